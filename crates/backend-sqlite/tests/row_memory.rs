//! A row that ends with a large blob takes no memory for it, read or written: the peak of the whole process
//! is measured, so this file has one test.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs;
use std::path::Path;

use backend_sqlite::{SqliteSource, SqliteTarget};
use backup_core::target::Existing;
use pollster::FutureExt as _;
use rusqlite::blob::Blob;
use rusqlite::{Connection, MAIN_DB};
use testkit::transfer::transfer;

/// The length of a blob, in bytes, and that of the pieces it is made and compared in.
const LENGTH: usize = 120 << 20;
const PIECE: usize = 1 << 20;

/// What the process may need above what it had: page caches, and batches under way.
const ALLOWED: usize = 56 << 20;

const TABLES: [&str; 2] = ["by_number", "by_name"];

/// The most memory the process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

fn blob<'c>(connection: &'c Connection, table: &str) -> Blob<'c> {
    connection.blob_open(MAIN_DB, table, "content", 7, false).unwrap()
}

/// A piece whose bytes say where it is.
fn piece(at: usize) -> Vec<u8> {
    let words =
        (at..at + PIECE).step_by(8).map(|at| (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    words.flat_map(u64::to_le_bytes).collect()
}

fn make(path: &Path) {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode = off; PRAGMA synchronous = off;
             CREATE TABLE by_number(id INTEGER PRIMARY KEY, name TEXT, content BLOB, note TEXT);
             CREATE TABLE by_name(name TEXT PRIMARY KEY, content BLOB, note TEXT);
             INSERT INTO by_number VALUES(6, 'before', x'01', 'short'), (7, 'large', zeroblob({LENGTH}), NULL), (8, 'after', NULL, '');
             INSERT INTO by_name(rowid, name, content, note) VALUES(7, 'large', zeroblob({LENGTH}), '');"
        ))
        .unwrap();
    for table in TABLES {
        let mut blob = blob(&connection, table);
        for at in (0..LENGTH).step_by(PIECE) {
            blob.write_at(&piece(at), at).unwrap();
        }
    }
}

#[test]
fn a_large_blob_at_the_end_of_a_row_is_written_as_it_comes() {
    let folder = tempfile::tempdir().unwrap();
    let [original, copy] = ["original.db", "copy.db"].map(|name| folder.path().join(name));
    make(&original);

    let before = peak();
    let source = SqliteSource::path(&original).unwrap();
    let target = SqliteTarget::path(&copy).unwrap();
    transfer(&source, &target, Existing::Refuse).block_on().unwrap();
    let grown = peak() - before;
    assert!(grown <= ALLOWED, "{} MiB more", grown >> 20);

    let connection = Connection::open(&copy).unwrap();
    for table in TABLES {
        let (blob, mut found) = (blob(&connection, table), vec![0; PIECE]);
        assert_eq!(usize::try_from(blob.size()), Ok(LENGTH));
        for at in (0..LENGTH).step_by(PIECE) {
            blob.read_at_exact(&mut found, at).unwrap();
            assert_eq!(found, piece(at), "{table} {at}");
        }
    }
    let others = "SELECT group_concat(id || name || coalesce(note, '-')) FROM by_number";
    let others: String = connection.query_row(others, [], |row| row.get(0)).unwrap();
    assert_eq!(others, "6beforeshort,7large-,8after");
}
