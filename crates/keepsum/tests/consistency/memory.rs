//! The memory store beside several writers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;

use backend_memory::MemoryStore;
use backup_core::kv::{Access, KeyValueStore, Partition, WriteBatch};
use backup_core::record::RecordKey;
use keepsum::backup::ShapeChoice;
use pollster::FutureExt as _;
use testkit::contents::Contents;

use crate::accounts::DATABASES;
use crate::backups::back_up_and_check;

const ROOT_KEYS: [&[u8]; 3] = [b"one", b"three", b"two"];
const WRITERS: u64 = 3;
const ROUNDS: u32 = 20;

/// The two keys of a writer, which every batch of its writes.
fn keys(writer: u64) -> [Vec<u8>; 2] {
    [b"first ", b"other "].map(|name| [&name[..], &writer.to_be_bytes()].concat())
}

/// All partitions, in the order in which a writer goes round.
fn round_trip() -> impl Iterator<Item = (&'static str, &'static [u8])> {
    DATABASES.into_iter().flat_map(|name| ROOT_KEYS.into_iter().map(move |root| (name, root)))
}

fn write(partition: &dyn Partition, writer: u64, round: u64) {
    let mut batch = WriteBatch::new();
    for key in keys(writer) {
        batch.put(key, round.to_be_bytes());
    }
    partition.write_batch(batch).block_on().unwrap();
}

/// At one moment, the numbers that a writer wrote on its way round fall at most once, and by one.
pub(crate) fn check(contents: &Contents) -> Result<(), String> {
    for writer in 0..WRITERS {
        let mut rounds = Vec::new();
        for (name, root_key) in round_trip() {
            let number = |key: &Vec<u8>| {
                let value = contents.databases.get(name)?.get(&RecordKey::new(root_key, key))?;
                Some(u64::from_be_bytes(value.as_slice().try_into().ok()?))
            };
            let [Some(first), Some(other)] = keys(writer).each_ref().map(number) else {
                return Err(format!("{name} lacks a record of writer {writer}"));
            };
            if first != other {
                return Err(format!("{name} has half a batch of writer {writer}"));
            }
            rounds.push(first);
        }
        let falls = rounds.is_sorted_by(|one, next| one >= next);
        if !falls || rounds[0] - rounds[rounds.len() - 1] > 1 {
            return Err(format!("writer {writer} was in rounds {rounds:?} at once"));
        }
    }
    Ok(())
}

/// A store, and all its partitions in the order of the way round.
pub(crate) fn store() -> (MemoryStore, Vec<Arc<dyn Partition>>) {
    let store = MemoryStore::named("rounds");
    let mut partitions = Vec::new();
    for (name, root_key) in round_trip() {
        if !store.databases().block_on().unwrap().contains(&name.to_owned()) {
            store.create(name).block_on().unwrap();
        }
        let database = store.database(name).block_on().unwrap();
        let partition = database.open(root_key, Access::Shared).block_on().unwrap();
        (0..WRITERS).for_each(|writer| write(partition.as_ref(), writer, 0));
        partitions.push(partition);
    }
    (store, partitions)
}

/// Runs `test` while the writers go round.
pub(crate) fn beside_writers<T>(partitions: &[Arc<dyn Partition>], test: impl FnOnce() -> T) -> T {
    let (stop, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
    let done = thread::scope(|scope| {
        for writer in 0..WRITERS {
            let (stop, rounds) = (&stop, &rounds);
            scope.spawn(move || {
                for round in 1.. {
                    for each in partitions {
                        write(each.as_ref(), writer, round);
                    }
                    rounds.fetch_add(1, Ordering::Relaxed);
                    if stop.load(Ordering::Acquire) {
                        break;
                    }
                }
            });
        }
        let done = std::panic::catch_unwind(std::panic::AssertUnwindSafe(test));
        stop.store(true, Ordering::Release);
        done
    });
    assert!(rounds.into_inner() >= WRITERS, "every writer goes round at least once");
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

#[test]
fn with_several_writers() {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let (store, partitions) = store();
    let mut moments = beside_writers(&partitions, || {
        runtime.block_on(back_up_and_check(&store, ShapeChoice::Records, ROUNDS, check))
    });
    moments.dedup_by(|one, next| one.databases == next.databases);
    assert!(moments.len() > 3, "hardly anything was written between {ROUNDS} backups");
}
