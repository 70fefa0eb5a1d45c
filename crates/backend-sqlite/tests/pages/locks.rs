//! The locks of this process, which are lost when any descriptor of a locked file is closed.

use std::path::Path;
use std::process::Command;

use rusqlite::Connection;

use crate::ground::{SUM, bytes_of, look_into, make, place, take};

/// Tries SQL in another process; whether that could be done.
fn elsewhere(path: &Path, sql: &str) -> String {
    let script = "
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=0)
try: print(c.execute(sys.argv[2]).fetchall())
except sqlite3.OperationalError as error: print(error)
";
    let output = Command::new("python3").args(["-c", script]).arg(path).arg(sql).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// LESSONS: closing any of one's own descriptors on a database drops the process's locks on it.
#[test]
fn a_reader_of_the_application_keeps_its_lock_on_the_main_file() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=delete"));
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN; SELECT count(*) FROM accounts").unwrap();
    for _ in 0..3 {
        let snapshot = take(&path).unwrap();
        assert_eq!(look_into(&bytes_of(&snapshot).unwrap()).sum, SUM);
        drop(snapshot);
        assert_eq!(elsewhere(&path, "BEGIN EXCLUSIVE"), "database is locked");
    }
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(elsewhere(&path, "BEGIN EXCLUSIVE"), "[]");
}

/// LESSONS: or on its `-shm`.
#[test]
fn a_reader_of_the_application_keeps_its_mark_in_the_log() {
    let (_folder, path) = place();
    let writer = make(&path, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0");
    let reader = Connection::open(&path).unwrap();
    reader.execute_batch("BEGIN").unwrap();
    let sum = || reader.query_row("SELECT sum(balance) FROM accounts", [], |row| row.get(0));
    assert_eq!(sum(), Ok(SUM));
    for _ in 0..3 {
        let snapshot = take(&path).unwrap();
        bytes_of(&snapshot).unwrap();
        drop(snapshot);
        writer.execute_batch("UPDATE accounts SET balance = balance + 1").unwrap();
        let (busy, frames) = ("[(1,", elsewhere(&path, "PRAGMA wal_checkpoint(TRUNCATE)"));
        assert!(frames.starts_with(busy), "{frames}");
        assert_eq!(sum(), Ok(SUM));
    }
    reader.execute_batch("COMMIT").unwrap();
    assert_eq!(elsewhere(&path, "PRAGMA wal_checkpoint(TRUNCATE)"), "[(0, 0, 0)]");
}

/// A snapshot itself holds a log back, until it is dropped.
#[test]
fn a_snapshot_keeps_its_frames_until_it_is_dropped() {
    let (_folder, path) = place();
    let writer = make(&path, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0");
    let snapshot = take(&path).unwrap();
    let image = bytes_of(&snapshot).unwrap();
    writer.execute_batch("UPDATE accounts SET balance = balance + 1").unwrap();
    assert!(elsewhere(&path, "PRAGMA wal_checkpoint(TRUNCATE)").starts_with("[(1,"));
    assert!(bytes_of(&snapshot).unwrap() == image);
    drop(snapshot);
    assert_eq!(elsewhere(&path, "PRAGMA wal_checkpoint(TRUNCATE)"), "[(0, 0, 0)]");
}
