//! Which files are opened, made and left alone.

use std::fs;

use backend_sqlite::{SqliteSource, SqliteStore};
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Error, KeyValueStore, Source};
use pollster::FutureExt as _;
use rusqlite::Connection;

use crate::{companion, companions, partition, place, put, scan, store};

/// A database that another program made, with these words done to it.
fn foreign(file: &std::path::Path, words: &str) {
    let connection = Connection::open(file).unwrap();
    connection.execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1);").unwrap();
    connection.execute_batch(words).unwrap();
}

#[test]
fn another_programs_database_is_refused_and_left_as_it_is() {
    for words in ["", "PRAGMA application_id = 7", "PRAGMA journal_mode = WAL"] {
        let (_folder, file) = place();
        foreign(&file, words);
        let before = fs::read(&file).unwrap();
        match SqliteStore::open(&file) {
            Err(Error::Invalid { what, .. }) => assert_eq!(what, file.display().to_string()),
            other => panic!("{words}: {other:?}"),
        }
        let made = SqliteStore::create(&file);
        assert!(matches!(&made, Err(Error::Occupied { path }) if *path == file), "{made:?}");
        assert_eq!(fs::read(&file).unwrap(), before, "{words}");
        assert_eq!(companions(&file), [""; 0], "{words}");
    }
}

#[test]
fn what_is_no_database_is_refused() {
    let (folder, file) = place();
    let missing = SqliteStore::open(&file);
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
    assert!(!file.exists(), "to open a store makes none");
    fs::write(&file, "This is a text, and longer than the header of a database is. ".repeat(20))
        .unwrap();
    for answer in [SqliteStore::open(&file), SqliteStore::create(&file)] {
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{answer:?}");
    }
    for answer in [SqliteStore::open(folder.path()), SqliteStore::create(folder.path())] {
        assert!(matches!(answer, Err(Error::Invalid { .. })), "{answer:?}");
    }
}

#[test]
fn an_empty_file_becomes_a_store() {
    let (_folder, file) = place();
    fs::write(&file, "").unwrap();
    let opened = SqliteStore::open(&file);
    assert!(matches!(opened, Err(Error::NotFound { .. })), "{opened:?}");
    drop(store(&file));
    let again = SqliteStore::create(&file);
    assert!(matches!(again, Err(Error::Occupied { .. })), "{again:?}");
    assert_eq!(SqliteStore::open(&file).unwrap().databases().block_on().unwrap(), ["default"]);
}

/// SQLite removes a log or a journal that it finds beside a file it makes; it may be all that is left.
#[test]
fn the_log_of_a_file_that_is_gone_is_left_alone() {
    for ending in ["-wal", "-journal"] {
        let (_folder, file) = place();
        let orphan = companion(&file, ending);
        fs::write(&orphan, "what is left").unwrap();
        let made = SqliteStore::create(&file);
        assert!(matches!(&made, Err(Error::Occupied { path }) if *path == orphan), "{made:?}");
        assert!(!file.exists());
        assert_eq!(fs::read(&orphan).unwrap(), b"what is left");
    }
}

#[test]
fn a_later_layout_is_refused() {
    let (_folder, file) = place();
    drop(store(&file));
    Connection::open(&file).unwrap().execute_batch("PRAGMA user_version = 2").unwrap();
    let opened = SqliteStore::open(&file);
    assert!(matches!(opened, Err(Error::Unsupported { .. })), "{opened:?}");
    let source = SqliteSource::path(&file).unwrap();
    let read = source.snapshot(View::Records, &Context::default()).block_on().map(drop);
    assert!(matches!(read, Err(Error::Unsupported { .. })), "{read:?}");
}

#[test]
fn a_file_says_whose_it_is() {
    let (_folder, file) = place();
    drop(store(&file));
    let header = fs::read(&file).unwrap();
    assert_eq!(&header[68..72], b"ksum", "application_id");
    assert_eq!(header[18..20], [2, 2], "WAL mode");
}

#[test]
fn closing_brings_the_log_home() {
    let (_folder, file) = place();
    let open = store(&file);
    put(partition(&open).as_ref(), b"key", b"value").unwrap();
    assert_eq!(companions(&file), ["-wal", "-shm"]);
    let clone = open.clone();
    drop(open);
    assert_eq!(companions(&file), ["-wal", "-shm"], "a clone has it open");
    drop(clone);
    assert_eq!(companions(&file), [""; 0]);
    let found = scan(partition(&SqliteStore::open(&file).unwrap()).as_ref()).unwrap();
    assert_eq!(found, [(b"key".to_vec(), b"value".to_vec())]);
}

#[test]
fn a_database_may_have_any_name() {
    let (_folder, file) = place();
    let store = SqliteStore::create(&file).unwrap();
    let long = "long ".repeat(10_000);
    let mut names =
        vec!["a\0b", "a\0c", "records_1", "\"; DROP TABLE keepsum_databases; --", "🗝", " ", &long];
    for name in &names {
        store.create(name).block_on().unwrap();
    }
    names.sort_unstable();
    assert_eq!(store.databases().block_on().unwrap(), names);
    drop(store);
    let store = SqliteStore::open(&file).unwrap();
    for name in &names {
        store.delete(name).block_on().unwrap();
    }
    assert_eq!(store.databases().block_on().unwrap(), [""; 0]);
}
