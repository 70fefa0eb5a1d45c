//! Columns of many MiB.

use backend_sqlite::SqliteSource;
use backup_core::progress::Context;
use backup_core::record::{BATCH_BYTES, MAX_WHOLE_VALUE, PART_BYTES};
use backup_core::source::View;
use backup_core::{Snapshot, Source};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::contents::records_of;

use crate::ground::Ground;

const MIB: u32 = 1 << 20;

fn snapshot(ground: &Ground) -> Box<dyn Snapshot> {
    let source = SqliteSource::path(ground.original()).unwrap();
    source.snapshot(View::Records, &Context::default()).block_on().unwrap()
}

#[test]
fn blobs_and_texts_of_many_mib_in_every_place() {
    for with in ["", "WITHOUT ROWID"] {
        for kind in [
            "a INTEGER PRIMARY KEY",
            "a TEXT PRIMARY KEY",
            "a PRIMARY KEY, g AS (length(b)) STORED",
        ] {
            let ground = Ground::new(&format!("CREATE TABLE t({kind}, b, c, d) {with};"));
            let connection = ground.connection();
            let insert = |a: i64, b: u32, c: u32, d: u32| {
                let sql = "INSERT INTO t(a, b, c, d) VALUES(?1, randomblob(?2), hex(randomblob(?3)), CASE WHEN ?4 = 0 THEN NULL ELSE zeroblob(?4) END)";
                connection.execute(sql, (a, b, c, d)).unwrap();
            };
            insert(1, 10, 10, 10);
            insert(2, 9 * MIB, 10, 0);
            insert(3, 10, 5 * MIB, 2 * MIB);
            insert(4, MIB, MIB / 2, MIB);
            insert(5, MIB + 1, 0, 0);
            insert(6, 10, 10, 40 * MIB);
            insert(7, 10, 10, 10);
            ground.assert_round_trip();
        }
    }
}

#[test]
fn a_row_that_is_long_by_its_many_columns() {
    let columns: Vec<_> = (0..40).map(|number| format!("c{number}")).collect();
    let values = vec!["randomblob(1000000)"; 40].join(", ");
    let ground = Ground::new(&format!(
        "CREATE TABLE t({}); INSERT INTO t VALUES({values}); INSERT INTO t(c1) VALUES(1);",
        columns.join(", ")
    ));
    ground.assert_round_trip();
}

/// A column that an index has is written whole, or the index would not have it.
#[test]
fn long_blobs_at_the_end_of_rows_that_have_indexes() {
    let ground = Ground::new(
        "CREATE TABLE parent(content BLOB UNIQUE);
         CREATE TABLE t(name TEXT PRIMARY KEY, size INT UNIQUE, content BLOB UNIQUE, empty);
         CREATE TABLE u(name TEXT UNIQUE, other BLOB, content BLOB REFERENCES parent(content), CHECK(length(content) > 5));
         CREATE INDEX later ON u(content);
         INSERT INTO t VALUES('a', 1, randomblob(9000000), NULL), ('b', 2, randomblob(9000000), x'');
         INSERT INTO parent SELECT content FROM t;
         INSERT INTO u SELECT name, zeroblob(100000), content FROM t;
         INSERT INTO u VALUES('c', randomblob(6000000), (SELECT content FROM t));",
    );
    ground.assert_round_trip();
}

#[test]
fn a_long_blob_at_the_end_behind_text_of_utf16() {
    let ground = Ground::new(
        "PRAGMA encoding = 'UTF-16be'; CREATE TABLE t(a, b, c);
         INSERT INTO t VALUES('aé𝄞', CAST(x'D800' AS TEXT), randomblob(20000000)), ('b', zeroblob(9000000), '');",
    );
    ground.assert_round_trip();
}

#[test]
fn long_text_in_utf16() {
    let ground = Ground::new(
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE t(a, b);
         INSERT INTO t VALUES(replace(hex(zeroblob(6000000)), '00', 'aé𝄞'), zeroblob(3000000)), (1, CAST(zeroblob(4000000) || x'00D8' AS TEXT));",
    );
    ground.assert_round_trip();
}

#[test]
fn rows_of_eight_mib_come_whole_and_longer_ones_in_parts() {
    let ground = Ground::new("CREATE TABLE t(a BLOB);");
    let connection = ground.connection();
    // The head of a value with one long column has seven bytes.
    let whole = u32::try_from(MAX_WHOLE_VALUE).unwrap();
    for length in [whole - 8, whole - 7, whole - 6, 20 * MIB] {
        connection.execute("INSERT INTO t VALUES(randomblob(?1))", [length]).unwrap();
        connection.execute("INSERT INTO t VALUES('short')", []).unwrap();
    }
    let snapshot = snapshot(&ground);
    let mut batches = records_of(snapshot.as_ref()).unwrap().scan(1, None);
    let mut whole = 0;
    while let Some(batch) = batches.try_next().block_on().unwrap() {
        assert!(batch.bytes() <= BATCH_BYTES + MAX_WHOLE_VALUE + 100, "{}", batch.bytes());
        for record in batch.iter() {
            if record.total > MAX_WHOLE_VALUE as u64 {
                assert!(record.value.len() <= PART_BYTES);
            } else {
                assert!(record.is_whole());
                whole += 1;
            }
        }
    }
    assert_eq!(whole, 4 + 2);
    ground.assert_round_trip();
}

#[test]
fn a_long_row_below_where_a_scan_begins_is_not_given() {
    let ground = Ground::new(
        "CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID;
         INSERT INTO t VALUES('a', 1), ('b', zeroblob(12000000)), ('c', 3);",
    );
    let snapshot = snapshot(&ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    // From a key that SQL can only look for from the one before it on.
    let from = backup_core::record::RecordKey::new(b"", b"\x03b\0\0 and more");
    let batches: Vec<_> = records.scan(1, Some(&from)).try_collect().block_on().unwrap();
    let keys: Vec<_> =
        batches.iter().flat_map(|batch| batch.iter().map(|at| at.key.to_vec())).collect();
    assert_eq!(keys, [b"\x03c\0\0".to_vec()]);
    let from = backup_core::record::RecordKey::new(b"", b"\x03b\0\0");
    let batches: Vec<_> = records.scan(1, Some(&from)).try_collect().block_on().unwrap();
    let bytes: usize = batches.iter().map(backup_core::record::RecordBatch::bytes).sum();
    assert!(bytes > 12_000_000);
}

/// Failed with a limit of which neither the table nor the row was told.
#[test]
fn a_key_that_is_too_long_is_refused_by_its_table_and_row() {
    let insert =
        "INSERT INTO t VALUES('the short one', 1), ('a long one' || hex(zeroblob(1000000)), 2);";
    let refused =
        Ground::new(&format!("CREATE TABLE t(a TEXT PRIMARY KEY, b) WITHOUT ROWID; {insert}"));
    let snapshot = snapshot(&refused);
    let batches = records_of(snapshot.as_ref()).unwrap().scan(1, None);
    let error = batches.try_collect::<Vec<_>>().block_on().unwrap_err();
    let said = error.to_string();
    assert!(matches!(error, backup_core::Error::Unsupported { .. }), "{said}");
    assert!(
        ["\"t\"", "a long one", "back up the files"].iter().all(|word| said.contains(word)),
        "{said}"
    );
    // With a rowid, it is a value like others.
    Ground::new(&format!("CREATE TABLE t(a TEXT PRIMARY KEY, b); {insert}")).assert_round_trip();
}

#[test]
fn two_streams_of_long_rows_share_the_connection() {
    let ground = Ground::new(
        "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES(zeroblob(30000000)); INSERT INTO u VALUES(zeroblob(30000000));",
    );
    let snapshot = snapshot(&ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    // The first is not read until the second is at its end.
    let mut first = records.scan(1, None);
    let second: Vec<_> = records.scan(2, None).try_collect().block_on().unwrap();
    drop(snapshot);
    let mut count = 0;
    while first.try_next().block_on().unwrap().is_some() {
        count += 1;
    }
    assert_eq!((count, second.len()), (29, 29));
    let length: i64 = Connection::open(ground.original())
        .unwrap()
        .query_row("SELECT length(a) FROM t", [], |row| row.get(0))
        .unwrap();
    assert_eq!(length, 30_000_000);
}
