//! Values of every length: in their record's row, and in pieces.

use backend_sqlite::{SqliteSource, SqliteStore};
use backup_core::Error;
use backup_core::kv::WriteBatch;
use futures_util::TryStreamExt as _;
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::contents::contents;
use testkit::noise;

use crate::{partition, place, put, scan, store};

/// Lengths around those at which a value is kept in another way.
const LENGTHS: [usize; 11] = [
    0,
    1,
    200,
    201,
    (1 << 20) - 1,
    1 << 20,
    (1 << 20) + 1,
    2 << 20,
    (8 << 20) - 1,
    8 << 20,
    (8 << 20) + 1,
];

/// How many rows have pieces of long values.
fn pieces(file: &std::path::Path) -> i64 {
    let connection = Connection::open(file).unwrap();
    connection.query_row("SELECT count(*) FROM pieces_1", [], |row| row.get(0)).unwrap()
}

#[test]
fn values_of_every_length_come_back() {
    let (_folder, file) = place();
    let store = store(&file);
    let partition = partition(&store);
    let expected: Vec<_> =
        (0_u8..).zip(LENGTHS).map(|(key, length)| (vec![key], noise(7, length))).collect();
    let mut batch = WriteBatch::new();
    for (key, value) in &expected {
        batch.put(key.clone(), value.clone());
    }
    partition.write_batch(batch).block_on().unwrap();
    assert!(scan(partition.as_ref()).unwrap() == expected, "a scan");
    for (key, value) in &expected {
        let found = partition.get(key).block_on().unwrap();
        assert!(found.as_ref() == Some(value), "{} bytes", value.len());
    }
    let found = contents(&SqliteSource::path(&file).unwrap()).block_on().unwrap();
    let found: Vec<_> = found.databases["default"].values().collect();
    assert!(found.iter().zip(&expected).all(|(found, (_, value))| *found == value), "a snapshot");
    assert_eq!(found.len(), expected.len());
}

/// Elsewhere a value that became shorter left what it had been cut into.
#[test]
fn a_value_that_is_overwritten_or_deleted_leaves_no_piece() {
    let (_folder, file) = place();
    let store = store(&file);
    let partition = partition(&store);
    for old in [1, 201, 3 << 20] {
        for new in [0, 200, 201, 2 << 20, 4 << 20] {
            put(partition.as_ref(), b"key", &noise(1, old)).unwrap();
            put(partition.as_ref(), b"key", &noise(2, new)).unwrap();
            let found = partition.get(b"key").block_on().unwrap();
            assert!(found == Some(noise(2, new)), "{new} bytes over {old}");
            let expected = if new <= 200 { 0 } else { new.div_ceil(1 << 20) };
            assert_eq!(pieces(&file), i64::try_from(expected).unwrap(), "{new} bytes over {old}");
        }
    }
    for prefix in [None, Some(&b"ke"[..]), Some(b"")] {
        put(partition.as_ref(), b"key", &noise(1, 3 << 20)).unwrap();
        let mut batch = WriteBatch::new();
        match prefix {
            None => batch.delete("key"),
            Some(prefix) => batch.delete_prefix(prefix),
        }
        partition.write_batch(batch).block_on().unwrap();
        assert_eq!(pieces(&file), 0, "the prefix {prefix:?}");
    }
}

/// Every open scan has a reader of its own, and keeps it for as long as its consumer likes.
#[test]
fn many_open_scans_hold_nothing_up() {
    let (_folder, file) = place();
    let store = store(&file);
    let partition = partition(&store);
    let mut batch = WriteBatch::new();
    for key in 0..2000_u32 {
        batch.put(key.to_be_bytes(), noise(u64::from(key), 500));
    }
    partition.write_batch(batch).block_on().unwrap();
    let mut scans: Vec<_> = (0..50).map(|_| partition.scan_prefix(b"")).collect();
    for scan in &mut scans {
        assert!(scan.try_next().block_on().unwrap().is_some());
    }
    put(partition.as_ref(), b"later", b"value").unwrap();
    assert_eq!(partition.get(b"later").block_on().unwrap().unwrap(), b"value");
    for scan in scans {
        let rest: Vec<_> = scan.try_collect().block_on().unwrap();
        assert_eq!(rest.len(), 1999, "what was written later is not seen");
    }
}

/// A file that was damaged by hand: the loss is told, by get, scan and snapshot alike.
#[test]
fn a_lost_piece_is_damage() {
    for words in [
        "DELETE FROM pieces_1 WHERE number = 2",
        "UPDATE pieces_1 SET bytes = x'00' WHERE number = 1",
        "UPDATE records_1 SET length = length + 1",
        "UPDATE records_1 SET length = 9223372036854775807",
        "UPDATE records_1 SET length = -1",
        "UPDATE records_1 SET first = NULL",
    ] {
        let (_folder, file) = place();
        let open = store(&file);
        put(partition(&open).as_ref(), b"key", &noise(1, 9 << 20)).unwrap();
        drop(open);
        Connection::open(&file).unwrap().execute_batch(words).unwrap();
        let store = SqliteStore::open(&file).unwrap();
        let partition = partition(&store);
        let got = partition.get(b"key").block_on().map(drop);
        assert!(matches!(got, Err(Error::Damaged { .. })), "{words}: get gives {got:?}");
        let scanned = scan(partition.as_ref()).map(drop);
        assert!(matches!(scanned, Err(Error::Damaged { .. })), "{words}: scan gives {scanned:?}");
        let read = contents(&SqliteSource::path(&file).unwrap()).block_on().map(drop);
        assert!(matches!(read, Err(Error::Damaged { .. })), "{words}: a snapshot gives {read:?}");
    }
}
