//! `convert`: one store becomes another, without a repository.

use backup_core::progress::Context;
use backup_core::target::Origin;
use backup_core::{Source, Target};
use remote::Host;

use crate::report::RestoreReport;
use crate::restore::{RestoreOptions, Restoring};
use crate::{Error, Result, time};

/// Copies the records of `source` into `target`, and proves that it holds them.
pub async fn convert(
    source: &dyn Source,
    target: &dyn Target,
    options: &RestoreOptions,
    host: &Host,
    context: &Context,
) -> Result<RestoreReport> {
    let started = host.clock.now_ms();
    let (from, to) = (source.describe().location, target.describe());
    let into = Restoring { target, options, context };
    if !target.capabilities().load_records {
        let what = format!("a {} store takes no records", to.engine);
        return Err(Error::Refused { what, instead: "convert into rocksdb: or memory:".into() });
    }
    let origin = Origin {
        snapshot: from.clone(),
        position: "unknown".into(),
        taken: time::rfc3339(started),
        salvaged: false,
        // That of the snapshot that is taken of it.
        ownership: None,
    };
    let converted = into.convert(source, &origin).await?;
    Ok(RestoreReport {
        snapshot: from,
        target: to.location,
        shape: "records",
        proved: Some("logical"),
        databases: converted.databases,
        global_lthash: converted.global_lthash,
        files: None,
        bytes: converted.bytes,
        kept_aside: converted.made.restored.kept_aside.map(|path| path.display().to_string()),
        dry_run: false,
        elapsed_seconds: time::seconds_since(started, host),
        notes: converted.made.restored.notes,
        unusual: converted.unusual,
        check: Some(converted.made.restored.check.into()),
        not_carried: converted.made.not_carried,
        salvaged: false,
        losses: Vec::new(),
    })
}
