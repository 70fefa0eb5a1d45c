//! Pages and records together.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use backup_core::Files;
use backup_core::progress::Context;
use pollster::FutureExt as _;
use rusqlite::Connection;

use super::{Options, PageSnapshot, capture_both};
use crate::moment::Moment;

fn make(path: &Path, mode: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode={mode}; CREATE TABLE t(id INTEGER PRIMARY KEY, x BLOB);
             INSERT INTO t VALUES(1, zeroblob(20000)); INSERT INTO t VALUES(2, 'two');"
        ))
        .unwrap();
    connection
}

fn rows(connection: &Connection) -> (i64, i64) {
    let found = connection
        .query_row("SELECT count(*), max(id) FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)));
    found.unwrap()
}

fn rows_of(moment: &Moment) -> (i64, i64) {
    moment.with(|connection| Ok(rows(connection))).unwrap()
}

fn image(snapshot: &PageSnapshot) -> Vec<u8> {
    snapshot.read(0, 0..snapshot.list()[0].bytes).block_on().unwrap().to_vec()
}

fn rows_in(image: &[u8]) -> (i64, i64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("x.db");
    fs::write(&path, image).unwrap();
    let connection = Connection::open(path).unwrap();
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    assert_eq!(check.unwrap(), "ok");
    rows(&connection)
}

/// Writers in this very process: its locks are everybody's here.
#[test]
fn pages_and_records_are_of_one_state_while_threads_write() {
    for mode in ["wal", "delete"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.db");
        let connection = make(&path, mode);
        let stop = AtomicBool::new(false);
        let writer = || {
            let connection = Connection::open(&path).unwrap();
            connection.busy_timeout(std::time::Duration::from_mins(1)).unwrap();
            connection
                .execute_batch("PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=20")
                .unwrap();
            while !stop.load(Ordering::Relaxed) {
                let write = "BEGIN IMMEDIATE; INSERT INTO t(x) VALUES(randomblob(3000));
                     DELETE FROM t WHERE id < (SELECT max(id) FROM t) - 50; COMMIT";
                connection.execute_batch(write).unwrap();
                if mode == "delete" {
                    thread::sleep(std::time::Duration::from_millis(2));
                }
            }
        };
        let mut states = Vec::new();
        thread::scope(|scope| {
            scope.spawn(writer);
            scope.spawn(writer);
            for _ in 0..30 {
                let (snapshot, moment) =
                    capture_both(&path, &Options::default(), &Context::default()).unwrap();
                assert_eq!(rows_in(&image(&snapshot)), rows_of(&moment), "{mode}");
                assert_eq!(snapshot.position(), moment.position());
                states.push(rows_of(&moment));
            }
            stop.store(true, Ordering::Relaxed);
        });
        assert!(states.is_sorted() && states.first() != states.last(), "{mode}: {states:?}");
        drop(connection);
    }
}

fn names(folder: &Path) -> Vec<(std::ffi::OsString, Vec<u8>)> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    let mut all: Vec<_> =
        entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect();
    all.sort();
    all
}

/// What was left, a hot journal or a log among it, is read on a copy; nothing beside it appears.
#[test]
fn records_of_what_was_left_are_read_on_a_copy() {
    for (mode, work) in [
        ("wal", "INSERT INTO t VALUES(3, 'three')"),
        (
            "delete",
            "PRAGMA cache_size=1; BEGIN; UPDATE t SET x = randomblob(20000); DELETE FROM t WHERE id = 2",
        ),
    ] {
        let live = tempfile::tempdir().unwrap();
        let from = live.path().join("a.db");
        let connection = make(&from, mode);
        connection.execute_batch(work).unwrap();
        let left = tempfile::tempdir().unwrap();
        let path = left.path().join("a.db");
        for suffix in ["", "-wal", "-journal"] {
            let name = format!("a.db{suffix}");
            if live.path().join(&name).exists() {
                fs::copy(live.path().join(&name), left.path().join(&name)).unwrap();
            }
        }
        let before = names(left.path());
        assert_eq!(before.len(), 2, "{mode}");
        let scratch = tempfile::tempdir().unwrap();
        let options = Options { scratch: Some(scratch.path().to_owned()), ..Options::default() };
        let moment = Moment::open_with(&path, &options, &Context::default()).unwrap();
        let expected = if mode == "wal" { (3, 3) } else { (2, 2) };
        assert_eq!(rows_of(&moment), expected, "{mode}");
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1, "{mode}");
        drop(moment);
        assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 0, "{mode}");

        let (snapshot, moment) = capture_both(&path, &options, &Context::default()).unwrap();
        assert_eq!(rows_in(&image(&snapshot)), rows_of(&moment));
        assert_eq!(rows_of(&moment), expected);
        drop((snapshot, moment));
        assert_eq!(names(left.path()), before, "{mode}");
        drop(connection);
    }
}

/// One that was closed well is read in place, though SQLite would make files to do so.
#[test]
fn records_of_a_closed_database_are_read_in_place_until_it_changes() {
    for name in ["a.db", "odd %41?b=c#d.db"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        drop(make(&path, "wal"));
        let before = names(folder.path());
        let moment = Moment::open(&path).unwrap();
        assert_eq!(rows_of(&moment), (2, 2));
        assert_eq!(names(folder.path()), before);
        let connection = Connection::open(&path).unwrap();
        connection.execute_batch("INSERT INTO t VALUES(9, 'nine')").unwrap();
        let error = moment.with(|connection| Ok(rows(connection))).unwrap_err();
        assert!(matches!(error, backup_core::Error::Changed { .. }), "{error:?}");
    }
}

#[test]
fn records_of_an_empty_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    fs::write(&path, "").unwrap();
    let moment = Moment::open(&path).unwrap();
    let tables = moment.with(|connection| {
        let count = "SELECT count(*) FROM sqlite_schema";
        Ok(connection.query_row(count, [], |row| row.get::<_, i64>(0)).unwrap())
    });
    assert_eq!(tables.unwrap(), 0);
}

#[test]
fn a_moment_of_a_rollback_journal_says_that_writers_wait() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.db");
    drop(make(&path, "delete"));
    let moment = Moment::open(&path).unwrap();
    assert!(moment.notes()[0].contains("waits"), "{:?}", moment.notes());
    assert!(matches!(moment.position(), backup_core::position::Position::Log(_)));
}
