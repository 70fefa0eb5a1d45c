//! `hash`: the LtHash of each database of a store, without a repository.

use backup_core::Source;
use backup_core::progress::Context;
use backup_core::source::View;

use crate::report::{DatabaseReport, HashReport, global_word};
use crate::{Error, Result, sums};

/// Reads `source` and sums its records.
pub async fn hash(source: &dyn Source, context: &Context) -> Result<HashReport> {
    if !source.capabilities().records {
        let what = format!("a {} store has no records to hash", source.describe().engine);
        return Err(Error::Refused {
            what,
            instead: "back it up: its files are proved there".into(),
        });
    }
    let snapshot = source.snapshot(View::Records, context).await?;
    let databases = &snapshot.info().databases;
    let (proofs, global) = sums::sum_snapshot(snapshot.as_ref(), context).await?;
    let named = databases.iter().zip(&proofs);
    Ok(HashReport {
        databases: DatabaseReport::sorted(
            named.map(|(database, proof)| DatabaseReport::new(&database.name, Some(proof))),
        ),
        global_lthash: global_word(Some(&global)),
        position: snapshot.info().position.to_string(),
    })
}
