//! Random batches, compared with plain maps after each.

use backup_core::kv::{Access, WriteBatch};
use backup_core::{KeyValueDatabase, Result};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;
use proptest::test_runner::TestCaseError;

use super::key_value::{first, store_of};
use super::{Abilities, Check, Subject, check};
use crate::contents::Database;
use crate::generate::{apply, batches};
use crate::seed::{self, failed};

pub(super) const CHECKS: &[Check] =
    &[check("model::random_batches_do_what_maps_do", Abilities::stores, random_batches)];

fn random_batches(subject: &Subject<'_>) -> Result<()> {
    let can = subject.place()?.source()?.capabilities();
    seed::check(48, &batches(can), |batches| {
        follow(subject, &batches).map_err(|error| failed(&error))?
    });
    Ok(())
}

/// Applies the batches to a new store and to a map, and compares the two after each.
fn follow(
    subject: &Subject<'_>,
    batches: &[(Vec<u8>, WriteBatch)],
) -> Result<Result<(), TestCaseError>> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let mut expected = Database::new();
    for (round, (root_key, batch)) in batches.iter().enumerate() {
        let partition = database.open(root_key, Access::Exclusive).block_on()?;
        partition.write_batch(batch.clone()).block_on()?;
        drop(partition);
        apply(&mut expected, root_key, batch);
        if read(database.as_ref())? != expected {
            let reason = format!("after batch {round} the store and the map differ");
            return Ok(Err(TestCaseError::fail(reason)));
        }
    }
    Ok(Ok(()))
}

/// All records, partition by partition, each value by scan and by get.
fn read(database: &dyn KeyValueDatabase) -> Result<Database> {
    let mut found = Database::new();
    for root_key in database.root_keys().block_on()? {
        let partition = database.open(&root_key, Access::Shared).block_on()?;
        let pairs: Vec<_> = partition.scan_prefix(b"").try_collect().block_on()?;
        for (key, value) in pairs {
            let got = partition.get(&key).block_on()?;
            assert_eq!(got.as_ref(), Some(&value), "get and scan of {key:?} differ");
            let at = backup_core::record::RecordKey { root_key: root_key.clone(), key };
            found.insert(at, value);
        }
    }
    Ok(found)
}
