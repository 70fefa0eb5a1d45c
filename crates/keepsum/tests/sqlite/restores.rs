//! What restores of SQLite elsewhere did wrong.

use std::fs;
use std::path::Path;

use rusqlite::Connection;

use crate::place::{Place, SHAPES, ask};
use crate::program::printed;

fn make(database: &Path, mode: &str, rows: u32) -> Connection {
    let connection = Connection::open(database).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode={mode}; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INTEGER); CREATE INDEX of_t ON t(a);
             WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
               INSERT INTO t SELECT i, 'row ' || i, -i FROM n;"
        ))
        .unwrap();
    connection
}

fn rows(database: &Path) -> u32 {
    ask(database, "SELECT count(*) FROM t")
}

/// A page that SQLite cannot read is found by the quick check, and an index that does not hold what its table
/// does by the full one: who asks for one gets nothing put in place.
#[test]
fn a_database_that_sqlite_finds_unsound_replaces_nothing_where_a_check_is_asked_for() {
    let no_index = "PRAGMA writable_schema=ON;
         UPDATE sqlite_schema SET sql = 'CREATE INDEX of_t ON t(b)' WHERE name = 'of_t'";
    for (name, check, word) in
        [("page", "--check", "quick check"), ("index", "--check=full", "missing from index of_t")]
    {
        let place = Place::new();
        let database = place.path("source/unsound.db");
        let connection = make(&database, "delete", 3000);
        if name == "index" {
            connection.execute_batch(no_index).unwrap();
        }
        drop(connection);
        if name == "page" {
            let mut bytes = fs::read(&database).unwrap();
            let middle = bytes.len() / 2 / 4096 * 4096;
            bytes[middle..middle + 8].fill(0xee);
            fs::write(&database, bytes).unwrap();
        }
        let source = format!("sqlite:{}", database.display());
        printed(&place.command(&["backup", &source, "--files"]).output().unwrap());
        let there = place.path("there.db");
        drop(make(&there, "delete", 7));
        let before = fs::read(&there).unwrap();
        for target in ["there.db", "new.db"] {
            let target = format!("sqlite:{}", place.path(target).display());
            let restore = ["restore", "latest", &target, "--replace", check];
            let output = place.command(&restore).output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(3), "{name}: {said}");
            assert!(said.contains(word), "{name}: {said}");
        }
        assert!(fs::read(&there).unwrap() == before, "{name}");
        let names = ["repo", "source", "state", "there.db", "tmp"];
        assert_eq!(place.names("."), names, "{name}");
    }
}

/// A restore is built beside its target, whatever the system's temporary folder is. LESSONS: a temporary folder on
/// another file system, found out by the rename after the old database had gone.
#[test]
fn a_restore_needs_no_temporary_folder() {
    let place = Place::new();
    let database = place.path("source/a.db");
    drop(make(&database, "wal", 1000));
    for shape in SHAPES {
        let snapshot = place.back_up(&database, shape).unwrap().snapshot;
        let there = place.path(&format!("{shape:?}.db"));
        drop(make(&there, "wal", 7));
        let target = format!("sqlite:{}", there.display());
        let mut restore = place.command(&["restore", &snapshot, &target, "--replace"]);
        printed(&restore.env("TMPDIR", place.path("nowhere")).output().unwrap());
        assert_eq!(rows(&there), 1000, "{shape:?}");
        assert_eq!(rows(&place.path(&format!("{shape:?}.db.keepsum-old"))), 7, "{shape:?}");
        assert!(!place.path("nowhere").exists());
    }
}

/// What was committed between two backups is in the second, whatever carried the log back meanwhile. LESSONS: a
/// checkpoint while nobody watched; a log whose frames are counted from the beginning again.
#[test]
fn a_checkpoint_between_two_backups_loses_nothing() {
    let place = Place::new();
    let database = place.path("source/a.db");
    let mut connection = make(&database, "wal", 500);
    let mut count = rows(&database);
    let mut snapshots = Vec::new();
    for kind in ["PASSIVE", "FULL", "RESTART", "TRUNCATE", "the last close"] {
        for shape in SHAPES {
            if kind == "the last close" {
                drop(connection);
                connection = Connection::open(&database).unwrap();
            } else {
                let checkpoint = format!("PRAGMA wal_checkpoint({kind})");
                let busy = connection.query_row(&checkpoint, [], |row| row.get::<_, i64>(0));
                assert_eq!(busy, Ok(0), "{kind}");
            }
            connection.execute_batch("INSERT INTO t(a) VALUES('one more')").unwrap();
            count += 1;
            snapshots.push((place.back_up(&database, shape).unwrap().snapshot, count, kind));
        }
    }
    for (number, (snapshot, count, kind)) in snapshots.iter().enumerate() {
        let (restored, _) = place.restore(snapshot, &format!("{number}.db"));
        assert_eq!(rows(&restored), *count, "{kind}");
    }
}
