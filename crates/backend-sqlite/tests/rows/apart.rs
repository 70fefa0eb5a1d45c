//! Tables of which SQLite reads every row and can look for none: columns that have taken all three names of the
//! rowid, keys WITHOUT ROWID in an order that only the application knows, and keys that hold what their columns
//! would not let in.

use backend_sqlite::SqliteSource;
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Error, Source};
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::contents::sums;

use super::ground::{Ground, values};
use super::streams::assert_scans_begin_anywhere;

/// Brings a database there and back, and compares every row with the original's.
#[track_caller]
fn assert_comes_back(ground: &Ground) {
    ground.transfer().unwrap();
    let of = |path| sums(&SqliteSource::path(path).unwrap()).block_on().unwrap();
    assert_eq!(of(ground.original()), of(ground.copy()), "the sums of the schema and the tables");
    assert_eq!(values(&ground.original()), values(&ground.copy()));
}

/// The rowids of `t` among `candidates`, as SQLite finds them where SQL has no name for them.
fn rowids(connection: &Connection, candidates: impl Iterator<Item = i64>) -> Vec<i64> {
    let is_there = |rowid: &i64| connection.blob_open("main", "t", "oid", *rowid, true).is_ok();
    candidates.filter(is_there).collect()
}

/// Refused: a table of which no row can be named.
#[test]
fn rowids_without_a_name_come_back() {
    for setup in [
        "PRAGMA page_size = 512;",
        "PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;",
        "PRAGMA encoding = 'UTF-16le'; PRAGMA auto_vacuum = 1;",
        "PRAGMA page_size = 65536;",
    ] {
        let ground = Ground::new(&format!(
            "{setup} CREATE TABLE f(n INTEGER PRIMARY KEY, a, b, c);
             WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                 INSERT INTO f SELECT i * 7 - 900, 'r' || i, hex(i), zeroblob(i % 50) FROM n;
             INSERT INTO f VALUES(-9223372036854775808, 'x', 1, 2), (9223372036854775807, 'x', NULL, 2.5);
             DELETE FROM f WHERE n % 5 = 0; CREATE INDEX i ON f(b);
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE t(oid, rowid, _rowid_)', name = 't', tbl_name = 't' WHERE name = 'f';
             UPDATE sqlite_schema SET sql = 'CREATE INDEX i ON t(rowid)', tbl_name = 't' WHERE name = 'i';"
        ));
        // The first column of what was a table with an INTEGER PRIMARY KEY is NULL on its pages.
        let open = ground.connection();
        open.execute_batch("UPDATE t SET oid = 'there'").unwrap();
        assert_scans_begin_anywhere(&ground);
        let ends = [i64::MIN, i64::MAX];
        let of = |connection| rowids(connection, (-1000..21_000).chain(ends));
        let expected = of(&open);
        assert!(expected.len() > 2400 && expected.ends_with(&ends), "{}", expected.len());
        assert_comes_back(&ground);
        assert_eq!(of(&Connection::open(ground.copy()).unwrap()), expected, "{setup}");
    }
}

#[test]
fn long_columns_of_rows_without_a_name_come_back() {
    assert_comes_back(&Ground::new(
        "CREATE TABLE t(rowid, oid, _rowid_);
         INSERT INTO t VALUES(1, zeroblob(20000000), 'x'), (hex(zeroblob(3000000)), 2, zeroblob(9000000)), (3, 4, 5);",
    ));
}

/// Puts the application's own collation where SQLite's was.
fn of_the_application(sql: &str) -> Ground {
    let ground = Ground::new(sql);
    let schema = "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(sql, '\"BINARY\"', 'mine');";
    ground.connection().execute_batch(schema).unwrap();
    let connection = with_collation(&ground.original());
    connection.execute_batch("REINDEX").unwrap();
    ground
}

/// A connection of the program that has the collation: the last comes first.
fn with_collation(path: &std::path::Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.create_collation("mine", |a, b| b.cmp(a)).unwrap();
    connection
}

/// Refused: a table whose order only its program knows.
#[test]
fn rows_in_an_order_that_only_their_program_knows_come_back_in_another() {
    for encoding in ["UTF-8", "UTF-16be"] {
        let ground = of_the_application(&format!(
            "PRAGMA encoding = '{encoding}';
             CREATE TABLE t(a TEXT COLLATE \"BINARY\", n INT, b UNIQUE, c, PRIMARY KEY(a, n DESC)) WITHOUT ROWID;
             WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 5000)
                 INSERT INTO t SELECT 'k' || (i * 31 % 700), i, -i, hex(i) FROM n;
             CREATE INDEX i ON t(c);"
        ));
        let source = SqliteSource::path(ground.original()).unwrap();
        let snapshot = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
        let said = snapshot.info().notes.join(", ");
        assert!(said.contains("primary key") && said.contains("REINDEX"), "{said}");
        drop(snapshot);
        assert_scans_begin_anywhere(&ground);
        let not_carried = ground.assert_proved();
        let names: Vec<_> = not_carried.iter().map(|part| (&*part.kind, &*part.name)).collect();
        let expected = [("primary key", "t"), ("index", "sqlite_autoindex_t_1"), ("index", "i")];
        assert_eq!(names, expected);
        assert!(not_carried.iter().all(|part| part.why.contains("mine")), "{not_carried:?}");
        assert!(not_carried[0].why.contains("REINDEX"), "{not_carried:?}");
        // Its program has the collation.
        let copy = with_collation(&ground.copy());
        let ask = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(ask("SELECT count(*) || ' ' || sum(n) FROM t"), "5001 12502500");
        copy.execute_batch("REINDEX").unwrap();
        assert_eq!(ask("PRAGMA integrity_check"), "ok");
        assert_eq!(ask("SELECT c FROM t WHERE a = 'k31' AND n = 1"), "31");
        assert_eq!(ask("SELECT a FROM t LIMIT 1"), "k99");
        drop(copy);
        let again = sums(&SqliteSource::path(ground.copy()).unwrap()).block_on().unwrap();
        let before = sums(&source).block_on().unwrap();
        assert_eq!(again["t"], before["t"], "whatever the order");
    }
}

/// A tree that has entries of an index is the table's, with NULLs in its key.
fn with_nulls(setup: &str, index: &str, table: &str) -> Ground {
    Ground::new(&format!(
        "{setup} CREATE TABLE f(a, b); {index};
         INSERT INTO f VALUES(NULL, 1), (NULL, 'x'), (5, NULL), ('5', x'00ff'), (NULL, NULL), (-0.0, 2.5), ('a', 1e300), ('A', 3), ('a ', 4);
         PRAGMA writable_schema = ON;
         DELETE FROM sqlite_schema WHERE name = 'f' AND type = 'table';
         UPDATE sqlite_schema SET type = 'table', name = 't', tbl_name = 't', sql = '{table}' WHERE name = 'i';"
    ))
}

/// Refused: rows of a table whose key has NULL, which SQLite reads and lets nobody put there.
#[test]
fn nulls_in_a_key_come_back() {
    for setup in [
        "",
        "PRAGMA auto_vacuum = 1; PRAGMA page_size = 512;",
        "PRAGMA encoding = 'UTF-16le'; CREATE TABLE other(a UNIQUE); INSERT INTO other VALUES(1);",
    ] {
        for (index, table) in [
            (
                "CREATE INDEX i ON f(a, b)",
                "CREATE TABLE t(a, b, c INTEGER, PRIMARY KEY(a, b, c)) WITHOUT ROWID",
            ),
            (
                "CREATE INDEX i ON f(b DESC, a)",
                "CREATE TABLE t(x, a, b, PRIMARY KEY(b DESC, a, x)) WITHOUT ROWID",
            ),
            (
                "CREATE INDEX i ON f(a COLLATE NOCASE, b COLLATE RTRIM)",
                "CREATE TABLE t(a TEXT COLLATE NOCASE, b INTEGER, c, PRIMARY KEY(a, b COLLATE RTRIM, c)) WITHOUT ROWID",
            ),
        ] {
            let ground = with_nulls(setup, index, table);
            assert_scans_begin_anywhere(&ground);
            assert_comes_back(&ground);
            // A column that is added has its default in each row.
            let copy = Connection::open(ground.copy()).unwrap();
            copy.execute_batch("ALTER TABLE t ADD COLUMN later DEFAULT 7").unwrap();
            let found: i64 = ground.ask("SELECT count(*) FROM t WHERE later = 7");
            assert_eq!(found, 9);
            // Nothing is left of what they went through.
            let found: String = ground.ask("SELECT group_concat(name) FROM sqlite_schema");
            assert!(!found.contains("keepsum"), "{found}");
            let said: String =
                ground.ask("SELECT group_concat(integrity_check) FROM pragma_integrity_check");
            let pages = ["Page", "Tree", "order", "Freelist"];
            assert!(pages.iter().all(|word| !said.contains(word)), "{said}");
        }
    }
}

/// Refused: rows of a table whose key holds values of another type than its columns'.
#[test]
fn keys_of_another_type_than_their_columns_come_back() {
    for (setup, columns, key) in [
        ("", "a TEXT, b INTEGER", "a, b"),
        ("", "a INTEGER, b TEXT", "a DESC, b"),
        ("PRAGMA encoding = 'UTF-16be';", "a NUMERIC, b REAL", "b, a DESC"),
        ("PRAGMA page_size = 512;", "b TEXT, a INT", "a"),
    ] {
        let ground = Ground::new(&format!(
            "{setup} CREATE TABLE t({}, c, PRIMARY KEY({key})) WITHOUT ROWID;
             INSERT INTO t VALUES(5, '42', 1), ('5', '1e3', 2), (7.5, 8, zeroblob(2000000)), (x'00', x'01', 4), ('x', 'y', 5);
             WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 4000)
                 INSERT INTO t SELECT i, CAST(i AS TEXT), i FROM n WHERE i > 99;
             PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE TABLE t({columns}, c, PRIMARY KEY({key})) WITHOUT ROWID';",
            columns.split(", ").map(|column| &column[..1]).collect::<Vec<_>>().join(", ")
        ));
        assert_scans_begin_anywhere(&ground);
        assert_comes_back(&ground);
        let said: String = ground.ask("PRAGMA quick_check");
        assert!(!said.contains("order"), "{said}");
    }
}

/// Text that is no UTF-16 has no place that NOCASE and RTRIM would keep.
#[test]
fn keys_that_are_no_utf16_come_back() {
    for collation in ["NOCASE", "RTRIM", "BINARY"] {
        let ground = Ground::new(&format!(
            "PRAGMA encoding = 'UTF-16le';
             CREATE TABLE t(a TEXT COLLATE {collation} PRIMARY KEY, b) WITHOUT ROWID;
             INSERT INTO t VALUES('Ab', 1), (CAST(x'00d84100' AS TEXT), 2), ('c  ', 3), (CAST(x'feff' AS TEXT), 4);"
        ));
        assert_scans_begin_anywhere(&ground);
        assert_comes_back(&ground);
    }
}

#[test]
fn a_key_that_comes_twice_is_damage() {
    let ground = Ground::new(
        "CREATE TABLE f(a, b); CREATE INDEX i ON f(a, b); INSERT INTO f VALUES(NULL, 1), (NULL, 1);
         PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'f' AND type = 'table';
         UPDATE sqlite_schema SET type = 'table', name = 't', tbl_name = 't',
             sql = 'CREATE TABLE t(a, b, c, PRIMARY KEY(a, b)) WITHOUT ROWID' WHERE name = 'i';",
    );
    let answer = ground.transfer();
    assert!(matches!(answer, Err(Error::Damaged { .. })), "{answer:?}");
}
