//! Files that a restore made.

use std::fs;

use backend_sqlite::{SqliteSource, SqliteStore, SqliteTarget};
use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};
use backup_core::source::{DatabaseInfo, Layout, View};
use backup_core::target::{Content, Existing, RestorePlan};
use backup_core::{Error, KeyValueStore, Restore, RestoreExt, Source, Target};
use futures_util::TryStreamExt as _;
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::contents::contents;
use testkit::filler::Filler;
use testkit::noise;
use testkit::transfer::{origin, transfer};

use crate::{companion, companions, partition, place, put, scan, store};

/// A restore of the database `default`.
fn begin(file: &std::path::Path) -> Box<dyn Restore> {
    let databases = vec![DatabaseInfo::new("default")];
    let content = Content::Records { layout: Layout::Plain, databases };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    SqliteTarget::path(file).unwrap().begin(plan, &Context::default()).block_on().unwrap()
}

#[test]
fn a_restored_file_is_alone_and_ready_for_writers() {
    let (folder, file) = place();
    let filler = Filler { seed: 1, databases: 2, partitions: 3, records: 500, value_bytes: 300 };
    let target = SqliteTarget::path(&file).unwrap();
    transfer(&filler, &target, Existing::Refuse).block_on().unwrap();
    let mut names: Vec<_> =
        fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["store.db", "store.db.keepsum"]);
    assert_eq!(fs::read(&file).unwrap()[18..20], [2, 2], "WAL mode");
    let check = |question: &str| -> String {
        let connection = Connection::open(&file).unwrap();
        connection.query_row(question, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(check("PRAGMA integrity_check"), "ok");
    let store = SqliteStore::open(&file).unwrap();
    put(partition(&store).as_ref(), b"later", &noise(1, 3 << 20)).unwrap();
    drop(store);
    assert_eq!(check("PRAGMA integrity_check"), "ok");
    assert_eq!(companions(&file), [""; 0]);
}

/// How a value was cut on its way does not matter.
#[test]
fn parts_of_any_length_are_taken() {
    for part in [1, 199, 700_001, 1 << 20] {
        let (_folder, file) = place();
        let value = noise(5, if part < 200 { 20_000 } else { 5_000_000 });
        let mut restore = begin(&file);
        for (offset, part) in (0..).step_by(part).zip(value.chunks(part)) {
            let mut batch = RecordBatch::new();
            let total = value.len() as u64;
            batch.push(Record { root_key: b"", key: b"k", value: part, offset, total }).unwrap();
            restore.load(0, batch).block_on().unwrap();
        }
        restore.finish().block_on().unwrap();
        let found = scan(partition(&SqliteStore::open(&file).unwrap()).as_ref()).unwrap();
        assert!(found == [(b"k".to_vec(), value)], "parts of {part} bytes");
    }
}

#[test]
fn a_value_above_the_limit_is_refused_when_it_begins() {
    let (_folder, file) = place();
    let mut restore = begin(&file);
    let mut batch = RecordBatch::new();
    let total = (3 << 30) + 1;
    batch.push(Record { root_key: b"", key: b"k", value: &[1; 1000], offset: 0, total }).unwrap();
    // The writer has a thread of its own, and tells at the latest in the end.
    let loaded = restore.load(0, batch).block_on();
    let refused = loaded.and(restore.finish().block_on().map(drop));
    assert!(matches!(refused, Err(Error::Limit { found, .. }) if found == total), "{refused:?}");
    assert!(!file.exists());
}

#[test]
fn a_restore_beside_an_open_store_leaves_it_whole() {
    let (folder, file) = place();
    let open = store(&file);
    put(partition(&open).as_ref(), b"key", b"value").unwrap();
    let copy = folder.path().join("copy.db");
    let (source, target) = (SqliteSource::path(&file).unwrap(), SqliteTarget::path(&copy).unwrap());
    transfer(&source, &target, Existing::Refuse).block_on().unwrap();
    put(partition(&open).as_ref(), b"later", b"value").unwrap();
    assert_eq!(scan(partition(&open).as_ref()).unwrap().len(), 2);
    assert_eq!(contents(&SqliteSource::path(&copy).unwrap()).block_on().unwrap().records(), 1);
}

/// A new file that met an old log was written over with what the log held.
#[test]
fn no_new_file_meets_an_old_log() {
    let begin = |file: &std::path::Path, existing| {
        let content = Content::Records { layout: Layout::Plain, databases: Vec::new() };
        let plan = RestorePlan { content, existing, check: None, origin: origin() };
        SqliteTarget::path(file).unwrap().begin(plan, &Context::default()).block_on()
    };
    let (folder, file) = place();
    drop(store(&file));
    let late = begin(&file, Existing::KeepAside).unwrap();
    let open = SqliteStore::open(&file).unwrap();
    put(partition(&open).as_ref(), b"key", b"in the log").unwrap();
    let finished = late.finish().block_on();
    assert!(matches!(finished, Err(Error::InUse { .. })), "opened meanwhile: {finished:?}");
    let again = begin(&file, Existing::KeepAside).map(drop);
    assert!(matches!(again, Err(Error::InUse { .. })), "open: {again:?}");
    assert_eq!(partition(&open).get(b"key").block_on().unwrap().unwrap(), b"in the log");
    // A log whose file is gone goes aside.
    let gone = folder.path().join("gone.db");
    fs::copy(companion(&file, "-wal"), companion(&gone, "-wal")).unwrap();
    begin(&gone, Existing::Refuse).unwrap().finish().block_on().unwrap();
    assert!(companion(&folder.path().join("gone.db.keepsum-old"), "-wal").exists());
    assert!(SqliteStore::open(&gone).unwrap().databases().block_on().unwrap().is_empty());
    drop(open);
    begin(&file, Existing::KeepAside).unwrap().finish().block_on().unwrap();
    assert!(SqliteStore::open(&file).unwrap().databases().block_on().unwrap().is_empty());
}

#[test]
fn changes_are_counted() {
    let (_folder, file) = place();
    let position = || {
        let source = SqliteSource::path(&file).unwrap();
        source
            .snapshot(View::Records, &Context::default())
            .block_on()
            .unwrap()
            .info()
            .position
            .clone()
    };
    let store = store(&file);
    assert_eq!(position(), Position::Version(1));
    put(partition(&store).as_ref(), b"key", b"value").unwrap();
    assert_eq!(position(), Position::Version(2));
    let missing = store.delete("missing").block_on();
    assert!(missing.is_err());
    assert_eq!(position(), Position::Version(2), "what was refused is no change");
    store.delete("default").block_on().unwrap();
    assert_eq!(position(), Position::Version(3));
}

/// Longer than the longest blob that SQLite takes, and never in memory as a whole.
#[test]
#[ignore = "writes a gigabyte; run it with --release"]
fn a_very_long_value_goes_through() {
    const PARTS: u64 = 1100;
    const PART: usize = 1 << 20;
    let (_folder, file) = place();
    let mut restore = begin(&file);
    let total = PARTS * PART as u64;
    for number in 0..PARTS {
        let (value, offset) = (noise(number, PART), number * PART as u64);
        let mut batch = RecordBatch::new();
        batch.push(Record { root_key: b"", key: b"k", value: &value, offset, total }).unwrap();
        restore.load(0, batch).block_on().unwrap();
    }
    restore.finish().block_on().unwrap();
    let source = SqliteSource::path(&file).unwrap();
    let snapshot = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    let mut batches = snapshot.records().unwrap().scan(0, None);
    let mut found = 0;
    while let Some(batch) = batches.try_next().block_on().unwrap() {
        for part in batch.iter() {
            assert_eq!((part.offset, part.total), (found * PART as u64, total));
            assert!(part.value == noise(found, PART), "part {found}");
            found += 1;
        }
    }
    assert_eq!(found, PARTS);
}
