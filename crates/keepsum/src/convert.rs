//! `convert`: one store becomes another, without a repository.

use backup_core::progress::Context;
use backup_core::target::Origin;
use remote::Host;

use crate::location::SourceOptions;
use crate::report::RestoreReport;
use crate::restore::{Into, RestoreOptions};
use crate::{Error, Result, StoreLocation, time};

/// Copies the records of `source`, which is read as `reading` says, into `target`, and proves that it holds
/// them.
pub async fn convert(
    source: &StoreLocation,
    reading: &SourceOptions,
    target: &StoreLocation,
    options: &RestoreOptions,
    host: &Host,
    context: &Context,
) -> Result<RestoreReport> {
    let started = host.clock.now_ms();
    let from = source.source(reading)?;
    let into = Into { target: target.target()?, options, context };
    if !into.target.capabilities().load_records {
        let what = format!("a {} store takes no records", target.engine());
        return Err(Error::Refused { what, instead: "convert into rocksdb: or memory:".into() });
    }
    let origin = Origin {
        snapshot: source.to_string(),
        position: "unknown".into(),
        taken: time::rfc3339(started),
        salvaged: false,
        // That of the snapshot that is taken of it.
        ownership: None,
    };
    let converted = into.convert(from.as_ref(), &origin).await?;
    Ok(RestoreReport {
        snapshot: source.to_string(),
        target: target.to_string(),
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
