//! Scans from anywhere, and cuts, over tables of every kind of key.

use backend_sqlite::SqliteSource;
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::View;
use backup_core::{Records, Snapshot, Source};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;
use testkit::contents::records_of;

use crate::ground::Ground;

const TABLES: &str = "
    CREATE TABLE dense(id INTEGER PRIMARY KEY, b);
    CREATE TABLE sparse(id INTEGER PRIMARY KEY, b);
    CREATE TABLE texts(a TEXT COLLATE NOCASE PRIMARY KEY DESC, b);
    CREATE TABLE pairs(a, b, c, PRIMARY KEY(a DESC, b));
    CREATE TABLE apart(a, b, c, PRIMARY KEY(a, b DESC)) WITHOUT ROWID;
    CREATE TABLE numbers(id INTEGER PRIMARY KEY, b) WITHOUT ROWID;
    CREATE TABLE words(w TEXT PRIMARY KEY COLLATE RTRIM, b) WITHOUT ROWID;
    CREATE TABLE none(id INTEGER PRIMARY KEY);
    WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 5000) INSERT INTO dense SELECT i, zeroblob(300) FROM n;
    INSERT INTO sparse SELECT (id * 7919) % 100003 * 4611686018427 + 1, b FROM dense; INSERT INTO sparse VALUES(-9e18, 1);
    INSERT INTO texts SELECT hex(id) || 'x' || id, b FROM dense; INSERT INTO texts SELECT NULL, b FROM dense LIMIT 100;
    INSERT INTO pairs SELECT CASE id % 50 WHEN 7 THEN NULL ELSE id % 50 END, CASE id % 11 WHEN 3 THEN NULL WHEN 4 THEN id + 0.5 ELSE id END, b FROM dense;
    INSERT INTO apart SELECT id % 3, id, b FROM dense;
    INSERT INTO numbers SELECT id, b FROM dense; INSERT INTO numbers VALUES(1 << 60, 1), (-1e18, 1);
    INSERT INTO words SELECT printf('%016x ', id * 7919 % 100003 * 1152921504606), b FROM dense; INSERT INTO words VALUES('', x'');";

fn snapshot(ground: &Ground) -> Box<dyn Snapshot> {
    let source = SqliteSource::path(ground.original()).unwrap();
    source.snapshot(View::Records, &Context::default()).block_on().unwrap()
}

fn scan(records: &dyn Records, database: usize, from: Option<&RecordKey>) -> Vec<RecordKey> {
    let batches: Vec<_> = records.scan(database, from).try_collect().block_on().unwrap();
    let keys = batches.iter().flat_map(|batch| batch.iter().map(|at| RecordKey::new(b"", at.key)));
    keys.collect()
}

#[test]
fn a_scan_begins_at_any_key() {
    assert_scans_begin_anywhere(&Ground::new(TABLES));
}

/// Scans each table from keys, from what is between keys, and from the ends of ranges that it is cut into.
#[track_caller]
pub(crate) fn assert_scans_begin_anywhere(ground: &Ground) {
    let snapshot = snapshot(ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    for database in 0..snapshot.info().databases.len() {
        let all = scan(records, database, None);
        assert!(all.is_sorted_by(|one, next| one < next));
        let mut starts: Vec<Vec<u8>> =
            vec![vec![], vec![0], vec![1], vec![2], vec![3], vec![4], vec![5], vec![0xff; 64]];
        for at in all.iter().step_by(all.len() / 20 + 1) {
            let end = at.key.len();
            starts.push(at.key.clone());
            starts.push([&at.key, &b"\0 between"[..]].concat());
            starts.extend(
                [1, 2, 3, end / 2, end - 1].map(|length| at.key[..length.min(end)].to_vec()),
            );
            starts.push([&at.key[..end - 1], &[0xff]].concat());
        }
        let cuts = records.splits(database, 4).block_on().unwrap();
        let starts = starts.iter().map(|start| RecordKey::new(b"", start));
        for start in starts.chain(cuts) {
            let expected = &all[all.partition_point(|at| *at < start)..];
            let found = scan(records, database, Some(&start));
            let name = &snapshot.info().databases[database].name;
            assert!(
                found == expected,
                "{name} from {start:?}: {} and {}",
                found.len(),
                expected.len()
            );
        }
        let beyond = RecordKey::new(b"x", b"");
        assert_eq!(scan(records, database, Some(&beyond)), []);
    }
}

/// A scan that began at capital letters, at spaces in the end or at a negative zero, as no key of such a column
/// has them, took them for what they are equal to, and left out rows that come behind.
#[test]
fn a_scan_begins_at_keys_that_no_row_can_have() {
    let ground = Ground::new(
        "CREATE TABLE n(a TEXT COLLATE NOCASE, b, PRIMARY KEY(a, b)) WITHOUT ROWID;
         INSERT INTO n VALUES('abc', 'a'), ('ABC', 'z'), ('_', ''), ('b', 'a'), ('a' || char(0), '');
         CREATE TABLE r(a TEXT COLLATE RTRIM, b, PRIMARY KEY(a, b)) WITHOUT ROWID;
         INSERT INTO r VALUES('a', 'a'), ('a ', 'z'), ('a' || char(31), ''), ('a!', ''), ('b', '');
         CREATE TABLE z(a, b, PRIMARY KEY(a, b)) WITHOUT ROWID;
         INSERT INTO z VALUES(-1, 'a'), (0, 'a'), (-0.0, 'z'), (1, 'a');",
    );
    let snapshot = snapshot(&ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    let starts: [(&str, &[u8]); 8] = [
        ("n", b"\x03ABC\0\0\x03m\0\0"),
        ("n", b"\x03aBc\0\0\x03m\0\0"),
        ("n", b"\x03ABC"),
        ("n", b"\x03Z\0\0"),
        ("n", b"\x03A\0\xff\0\0\0\0\x03m\0\0"),
        ("r", b"\x03a \0\0\x03m\0\0"),
        ("r", b"\x03a  "),
        ("z", b"\x02\x7f\xff\xff\xff\xff\xff\xff\xff\0\0\x03m\0\0"),
    ];
    for (table, start) in starts {
        let databases = &snapshot.info().databases;
        let database = databases.iter().position(|info| info.name == table).unwrap();
        let all = scan(records, database, None);
        let start = RecordKey::new(b"", start);
        let expected = &all[all.partition_point(|at| *at < start)..];
        assert!(!expected.is_empty());
        assert_eq!(scan(records, database, Some(&start)), expected, "{table} from {start:?}");
    }
}

/// The most rows that cuts leave together.
fn largest(all: &[RecordKey], cuts: &[RecordKey]) -> usize {
    let places = cuts.iter().map(|cut| all.partition_point(|at| at < cut));
    let lengths = places.chain([all.len()]).scan(0, |last, place| {
        let length = place - *last;
        *last = place;
        Some(length)
    });
    lengths.max().unwrap()
}

#[test]
fn cuts_without_rowids_make_ranges_of_similar_size() {
    let ground = Ground::new(
        "CREATE TABLE numbers(id INTEGER PRIMARY KEY, b) WITHOUT ROWID;
         CREATE TABLE words(w TEXT COLLATE NOCASE PRIMARY KEY, b) WITHOUT ROWID;
         CREATE TABLE pairs(a, b, PRIMARY KEY(a, b DESC)) WITHOUT ROWID;
         WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 50000) INSERT INTO numbers SELECT i, 'x' FROM n;
         INSERT INTO words SELECT printf('user/%016X', id * 7919 % 100003 * 1152921504606), b FROM numbers;
         INSERT INTO pairs SELECT id % 3, id FROM numbers;
         INSERT INTO numbers VALUES(1 << 60, 1), (-1000000000000, 1); INSERT INTO words VALUES('', x'');",
    );
    let snapshot = snapshot(&ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    for (database, info) in snapshot.info().databases.iter().enumerate().skip(1) {
        let all = scan(records, database, None);
        for parts in [2, 3, 8] {
            let cuts = records.splits(database, parts).block_on().unwrap();
            assert!(cuts.iter().all(|cut| all.binary_search(cut).is_ok()), "{}", info.name);
            assert_eq!(cuts.len(), parts - 1, "{}", info.name);
            let (largest, even) = (largest(&all, &cuts), all.len() / parts);
            assert!(largest <= 3 * even, "{}: a range of {largest}, not {even}", info.name);
        }
    }
}

#[test]
fn cuts_make_ranges_of_similar_size() {
    let ground = Ground::new(TABLES);
    let snapshot = snapshot(&ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    for (database, info) in snapshot.info().databases.iter().enumerate() {
        let all = scan(records, database, None);
        for parts in [0, 1, 2, 8, 100] {
            let cuts = records.splits(database, parts).block_on().unwrap();
            assert!(cuts.len() < parts.max(1) && cuts.is_sorted_by(|one, next| one < next));
            if !["dense", "sparse", "texts", "pairs"].contains(&info.name.as_str()) || parts < 2 {
                continue;
            }
            assert!(cuts.len() >= parts / 2, "{}: {} cuts for {parts}", info.name, cuts.len());
            let (largest, even) = (largest(&all, &cuts), all.len() / parts);
            assert!(largest <= 4 * even + 100, "{}: a range of {largest}, not {even}", info.name);
        }
    }
}

#[test]
fn estimates_are_near() {
    let ground = Ground::new(TABLES);
    let snapshot = snapshot(&ground);
    let records = records_of(snapshot.as_ref()).unwrap();
    for (database, info) in snapshot.info().databases.iter().enumerate() {
        if info.name == "sqlite_schema" {
            continue;
        }
        let found = scan(records, database, None).len() as u64;
        let estimated = info.estimated_records.unwrap();
        assert!(
            estimated <= 4 * found && estimated * 3 >= found,
            "{}: {estimated} of {found}",
            info.name
        );
        let bytes = info.estimated_bytes.unwrap();
        assert!(
            bytes <= 1200 * found && bytes >= 80 * found.saturating_sub(10),
            "{}: {bytes}",
            info.name
        );
    }
}

#[test]
fn a_tree_out_of_order_is_found() {
    let ground = Ground::new(
        "CREATE TABLE t(a TEXT PRIMARY KEY) WITHOUT ROWID; INSERT INTO t VALUES('a'), ('B'), ('c');",
    );
    let schema = "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = 'CREATE TABLE t(a TEXT PRIMARY KEY COLLATE NOCASE) WITHOUT ROWID' WHERE name = 't';";
    ground.connection().execute_batch(schema).unwrap();
    let answer = ground.transfer();
    assert!(matches!(answer, Err(backup_core::Error::Damaged { .. })), "{answer:?}");
}

/// `cargo test --release -- --ignored ten_thousand` tells how long it takes.
#[test]
fn many_tables() {
    let ground = Ground::new(&tables(300));
    ground.assert_round_trip();
}

#[test]
#[ignore = "takes half a minute"]
fn ten_thousand_tables() {
    let ground = Ground::new(&tables(10_000));
    ground.assert_round_trip();
}

fn tables(count: usize) -> String {
    let table = |number: usize| {
        format!(
            "CREATE TABLE t{number}(id INTEGER PRIMARY KEY, a TEXT UNIQUE); INSERT INTO t{number}(a) VALUES('x'), ('y');"
        )
    };
    let all: String = (0..count).map(table).collect();
    format!("BEGIN; {all} COMMIT;")
}
