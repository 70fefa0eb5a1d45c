//! What is the memory store's own: snapshots that cost nothing, forks, and restores in memory.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::sync::Arc;

use backend_memory::MemoryStore;
use backup_core::kv::{Access, WriteBatch};
use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::record::{MAX_KEY_BYTES, Record, RecordBatch};
use backup_core::source::{Layout, View};
use backup_core::target::{Content, Existing, RestorePlan};
use backup_core::{Error, KeyValueStore, Partition, RestoreExt, Snapshot, Source, Target};
use pollster::FutureExt as _;
use testkit::contents::{Contents, contents, snapshot_contents, sums};
use testkit::filler::Filler;
use testkit::transfer::{origin, records_plan, transfer};

fn partition(store: &MemoryStore) -> Arc<dyn Partition> {
    let database = store.database("default").block_on().unwrap();
    database.open(b"", Access::Shared).block_on().unwrap()
}

fn put(store: &MemoryStore, key: &[u8], value: &[u8]) {
    let mut batch = WriteBatch::new();
    batch.put(key, value);
    partition(store).write_batch(batch).block_on().unwrap();
}

fn snapshot(store: &MemoryStore) -> Box<dyn Snapshot> {
    store.snapshot(View::Records, &Context::default()).block_on().unwrap()
}

/// A store named `name` with one record.
fn one_record(name: &str) -> MemoryStore {
    let store = MemoryStore::named(name);
    store.create("default").block_on().unwrap();
    put(&store, b"key", b"value");
    store
}

/// A copy of the store for each snapshot would take a hundred gigabytes here.
#[test]
fn a_thousand_snapshots_of_a_written_store_are_kept() {
    let store = MemoryStore::new();
    let filler =
        Filler { seed: 3, databases: 1, partitions: 1, records: 100_000, value_bytes: 1000 };
    transfer(&filler, &store, Existing::Refuse).block_on().unwrap();
    let key = |number: u32| (number * 97).to_be_bytes();
    let snapshots: Vec<_> = (0..1000)
        .map(|number| {
            let taken = snapshot(&store);
            put(&store, &key(number), &number.to_be_bytes());
            taken
        })
        .collect();
    for number in [0, 1, 500, 999] {
        let found = snapshot_contents(snapshots[number].as_ref()).block_on().unwrap();
        let records = &found.databases["default"];
        assert_eq!(records.len(), 100_000);
        let changed = records.values().filter(|value| value.len() == 4).count();
        assert_eq!(changed, number, "changes before snapshot {number}");
    }
}

#[test]
fn positions_count_changes_and_never_go_back() {
    let store = MemoryStore::named("counted");
    let position = || snapshot(&store).info().position.clone();
    assert_eq!(position(), Position::Version(0));
    store.create("default").block_on().unwrap();
    put(&store, b"a", b"1");
    assert_eq!(position(), Position::Version(2));
    assert!(store.create("default").block_on().is_err());
    assert_eq!(position(), Position::Version(2), "what fails changes nothing");
    transfer(&Contents::new(), &store, Existing::KeepAside).block_on().unwrap();
    assert_eq!(position(), Position::Version(3), "a restore is a change, and no new beginning");
}

#[test]
fn a_fork_and_its_origin_go_their_own_ways() {
    let store = one_record("one");
    let fork = store.fork("other");
    put(&store, b"only here", b"1");
    put(&fork, b"only there", b"1");
    let count = |store: &MemoryStore| contents(store).block_on().unwrap().records();
    assert_eq!((count(&store), count(&fork)), (2, 2));
    assert_eq!(Source::describe(&fork).location, "memory:other");
    let clone = store.clone();
    put(&clone, b"both", b"1");
    assert_eq!(count(&store), 3, "a clone is the same store");
}

/// Memory has no place to keep the old store aside, and must not be silent about it.
#[test]
fn what_a_restore_replaces_is_gone_and_told() {
    let store = one_record("replaced");
    let kept = store.fork("kept");
    let mut new = Contents::new();
    new.put("other", b"", b"a", "b");
    let done = transfer(&new, &store, Existing::KeepAside).block_on().unwrap();
    assert_eq!(done.kept_aside, None);
    let [note] = &done.notes[..] else { panic!("one note: {:?}", done.notes) };
    assert!(note.contains("memory:replaced") && note.contains("gone"), "{note}");
    assert_eq!(contents(&kept).block_on().unwrap().records(), 1, "a fork keeps it");
    let done = transfer(&new, &MemoryStore::new(), Existing::KeepAside).block_on().unwrap();
    assert_eq!(done.notes, [] as [&str; 0], "nothing was there");
}

/// A partition that is open would find itself in another store.
#[test]
fn a_store_that_is_open_is_not_replaced() {
    let store = one_record("open");
    let taken = snapshot(&store);
    let plan = || records_plan(taken.as_ref(), Existing::KeepAside);
    let open = partition(&store);
    let begun = store.begin(plan(), &Context::default()).block_on();
    assert!(matches!(begun, Err(Error::InUse { .. })));
    drop(open);
    let restore = store.begin(plan(), &Context::default()).block_on().unwrap();
    let open = partition(&store);
    let finished = restore.finish().block_on();
    assert!(matches!(finished, Err(Error::InUse { .. })), "{finished:?}");
    assert_eq!(open.get(b"key").block_on().unwrap().as_deref(), Some(&b"value"[..]));
}

/// Somebody may make a database while a restore into the empty store is under way.
#[test]
fn a_store_that_is_filled_meanwhile_is_not_replaced() {
    let store = MemoryStore::named("filled");
    let content = Content::Records { layout: Layout::Plain, databases: Vec::new() };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    let restore = store.begin(plan, &Context::default()).block_on().unwrap();
    store.create("default").block_on().unwrap();
    let finished = restore.finish().block_on();
    assert!(matches!(finished, Err(Error::Occupied { .. })), "{finished:?}");
    let text = finished.unwrap_err().to_string();
    assert!(text.starts_with("memory:filled is not empty"), "{text}");
    assert_eq!(store.databases().block_on().unwrap(), ["default"]);
}

#[test]
fn a_long_root_key_is_refused() {
    let store = one_record("limits");
    let database = store.database("default").block_on().unwrap();
    let opened = database.open(&vec![0; MAX_KEY_BYTES + 1], Access::Shared).block_on().map(drop);
    assert!(matches!(opened, Err(Error::Limit { .. })), "{opened:?}");
    assert!(database.open(&vec![0; MAX_KEY_BYTES], Access::Shared).block_on().is_ok());
}

#[test]
fn a_value_that_claims_too_much_is_refused_before_it_comes() {
    let store = MemoryStore::new();
    let mut contents = Contents::new();
    contents.add_database("default");
    let taken = contents.snapshot(View::Records, &Context::default()).block_on().unwrap();
    let plan = records_plan(taken.as_ref(), Existing::Refuse);
    let mut restore = store.begin(plan, &Context::default()).block_on().unwrap();
    let mut batch = RecordBatch::new();
    let claims = Record { total: 1 << 60, ..Record::whole(b"", b"key", b"few bytes") };
    batch.push(claims).unwrap();
    let loaded = restore.load(0, batch).block_on();
    assert!(matches!(loaded, Err(Error::Limit { .. })), "{loaded:?}");
    assert!(restore.finish().block_on().is_err());
}

#[test]
fn a_large_store_of_many_partitions_comes_through() {
    let filler = Filler { seed: 9, databases: 3, partitions: 2000, records: 20, value_bytes: 50 };
    let store = MemoryStore::new();
    transfer(&filler, &store, Existing::Refuse).block_on().unwrap();
    assert_eq!(sums(&store).block_on().unwrap(), sums(&filler).block_on().unwrap());
    let bytes: u64 = sums(&store).block_on().unwrap().values().map(|sum| sum.bytes).sum();
    assert_eq!(bytes, filler.bytes());
    assert_eq!(snapshot(&store).info().layout, Layout::Partitioned);
}
