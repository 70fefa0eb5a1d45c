//! Several handles and processes at one file.

use std::time::Duration;

use backend_sqlite::{Durability, SqliteSource, SqliteStore, StoreOptions};
use backup_core::kv::Access;
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Error, KeyValueStore, Source};
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::contents::{contents, snapshot_contents};

use crate::{companions, partition, place, put, scan, store};

#[test]
fn two_openings_see_what_the_other_wrote() {
    let (_folder, file) = place();
    let one = store(&file);
    let other = StoreOptions::new().durability(Durability::Normal).open(&file).unwrap();
    for round in 0..50_u8 {
        put(partition(&one).as_ref(), b"one", &[round]).unwrap();
        assert_eq!(partition(&other).get(b"one").block_on().unwrap(), Some(vec![round]));
        put(partition(&other).as_ref(), b"other", &[round]).unwrap();
        assert_eq!(partition(&one).get(b"other").block_on().unwrap(), Some(vec![round]));
    }
}

#[test]
fn a_writer_that_is_kept_waiting_says_so() {
    let (_folder, file) = place();
    drop(store(&file));
    let patient = StoreOptions::new().patience(Duration::from_millis(100));
    let store = patient.open(&file).unwrap();
    let partition = partition(&store);
    put(partition.as_ref(), b"key", b"before").unwrap();
    let holder = Connection::open(&file).unwrap();
    holder.execute_batch("BEGIN IMMEDIATE").unwrap();
    let refused = put(partition.as_ref(), b"key", b"refused");
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    assert_eq!(partition.get(b"key").block_on().unwrap().unwrap(), b"before", "readers go on");
    holder.execute_batch("COMMIT").unwrap();
    put(partition.as_ref(), b"key", b"after").unwrap();
    assert_eq!(partition.get(b"key").block_on().unwrap().unwrap(), b"after");
}

/// The tables of a database are numbered, and no number comes twice.
#[test]
fn a_handle_never_reads_another_database() {
    let (_folder, file) = place();
    let (one, other) = (store(&file), SqliteStore::open(&file).unwrap());
    let old = partition(&one);
    put(old.as_ref(), b"key", b"old").unwrap();
    // What the one has open the other does not see.
    other.delete("default").block_on().unwrap();
    other.create("default").block_on().unwrap();
    put(partition(&other).as_ref(), b"key", b"new").unwrap();
    let (read, written) = (old.get(b"key").block_on(), put(old.as_ref(), b"key", b"lost"));
    assert!(read.is_err() && written.is_err(), "{read:?} {written:?}");
    let found = partition(&one).get(b"key").block_on().unwrap();
    assert_eq!(found.as_deref(), Some(&b"new"[..]));
}

/// The last connection to close is then one that only reads, and leaves the log where it is.
#[test]
fn a_store_that_is_closed_before_its_snapshot_loses_nothing() {
    let (_folder, file) = place();
    let open = store(&file);
    put(partition(&open).as_ref(), b"before", b"value").unwrap();
    let source = SqliteSource::path(&file).unwrap();
    let snapshot = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    put(partition(&open).as_ref(), b"after", b"value").unwrap();
    drop(open);
    let found = snapshot_contents(snapshot.as_ref()).block_on().unwrap();
    assert_eq!(found.records(), 1, "{found:?}");
    drop(snapshot);
    assert_eq!(contents(&source).block_on().unwrap().records(), 2);
    let open = SqliteStore::open(&file).unwrap();
    assert_eq!(scan(partition(&open).as_ref()).unwrap().len(), 2);
    drop(open);
    assert_eq!(companions(&file), [""; 0]);
}

#[test]
fn a_hundred_tasks_write_and_read_at_once() {
    let (_folder, file) = place();
    let store = store(&file);
    let database = store.database("default").block_on().unwrap();
    std::thread::scope(|scope| {
        for task in 0..100_u8 {
            let database = &database;
            scope.spawn(move || {
                let partition = database.open(&[task], Access::Exclusive).block_on().unwrap();
                for round in 0..5_u8 {
                    put(partition.as_ref(), &[round], &[task]).unwrap();
                    assert_eq!(partition.get(&[round]).block_on().unwrap(), Some(vec![task]));
                }
            });
        }
    });
    assert_eq!(database.root_keys().block_on().unwrap().len(), 100);
}
