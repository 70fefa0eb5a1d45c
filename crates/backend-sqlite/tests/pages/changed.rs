//! What changes while it is read without a lock spoils all that was read.

use std::fs;

use backend_sqlite::pages::{Options, PageSnapshot, capture};
use backup_core::progress::Context;
use backup_core::{Error, Files};
use pollster::FutureExt as _;
use rusqlite::Connection;

use crate::ground::{
    SUM, beside, bytes_of, chain, copy_files, look_into, make, options, place, take,
};

fn is_spoiled(snapshot: &PageSnapshot) {
    for _ in 0..2 {
        let error = snapshot.read(0, 0..100).block_on().unwrap_err();
        assert!(matches!(error, Error::Changed { .. }), "{}", chain(&error));
        for word in ["let the writers wait", "name a scratch folder", "journal_mode=WAL"] {
            assert!(chain(&error).contains(word), "{}", chain(&error));
        }
    }
}

/// LESSONS: detect a change by more than its size.
#[test]
fn a_commit_between_two_slices_spoils_them() {
    let (_folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=delete");
    let snapshot = take(&path).unwrap();
    snapshot.read(0, 0..4096).block_on().unwrap();
    connection.execute_batch("BEGIN IMMEDIATE; UPDATE accounts SET balance = balance").unwrap();
    snapshot.read(0, 0..4096).block_on().unwrap();
    connection.execute_batch("COMMIT").unwrap();
    is_spoiled(&snapshot);
    assert_eq!(look_into(&bytes_of(&take(&path).unwrap()).unwrap()).sum, SUM);
}

#[test]
fn a_writer_that_does_not_end_spoils_them() {
    let (_folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=delete");
    let snapshot = take(&path).unwrap();
    connection.execute_batch("BEGIN EXCLUSIVE").unwrap();
    is_spoiled(&snapshot);
    connection.execute_batch("COMMIT").unwrap();
    is_spoiled(&snapshot);
}

#[test]
fn a_switch_to_the_other_mode_spoils_them() {
    let (_folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=delete");
    let snapshot = take(&path).unwrap();
    connection.query_row("PRAGMA journal_mode=wal", [], |_| Ok(())).unwrap();
    is_spoiled(&snapshot);
}

#[test]
fn whoever_opens_what_was_left_spoils_it() {
    let (_folder, live) = place();
    let connection = make(&live, "PRAGMA journal_mode=wal");
    let (_other, path) = place();
    copy_files(&live, &path);
    let snapshot = take(&path).unwrap();
    snapshot.read(0, 0..4096).block_on().unwrap();
    let opened = Connection::open(&path).unwrap();
    opened.execute_batch("INSERT INTO log VALUES(1, 'x')").unwrap();
    is_spoiled(&snapshot);
    drop(connection);
}

#[test]
fn a_file_that_comes_or_goes_beside_it_spoils_it() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=wal"));
    let snapshot = take(&path).unwrap();
    fs::write(beside(&path, "-wal"), "").unwrap();
    is_spoiled(&snapshot);
    let snapshot = take(&path).unwrap();
    fs::remove_file(beside(&path, "-wal")).unwrap();
    is_spoiled(&snapshot);
}

/// A read transaction keeps its state, whatever is done to the database.
#[test]
fn a_state_under_a_transaction_stays() {
    for mode in ["wal", "delete"] {
        let (_folder, path) = place();
        let connection = make(&path, &format!("PRAGMA journal_mode={mode}"));
        let options = Options { block_writers: true, ..options() };
        let snapshot = capture(&path, &options, &Context::default()).unwrap();
        let first = bytes_of(&snapshot).unwrap();
        let write =
            "UPDATE accounts SET balance = 0; INSERT INTO log VALUES(1, 'x'); DELETE FROM pairs;";
        assert_eq!(connection.execute_batch(write).is_ok(), mode == "wal", "{mode}");
        if mode == "wal" {
            for kind in ["PASSIVE", "FULL", "RESTART", "TRUNCATE"] {
                let _ =
                    connection.query_row(&format!("PRAGMA wal_checkpoint({kind})"), [], |_| Ok(()));
                assert!(bytes_of(&snapshot).unwrap() == first, "{kind}");
                connection.execute_batch("UPDATE accounts SET balance = balance + 1").unwrap();
            }
            connection.execute_batch("VACUUM").unwrap();
            assert!(bytes_of(&snapshot).unwrap() == first);
        }
        assert_eq!(look_into(&first).sum, SUM);
        drop(snapshot);
        connection.execute_batch("DELETE FROM accounts").unwrap();
    }
}
