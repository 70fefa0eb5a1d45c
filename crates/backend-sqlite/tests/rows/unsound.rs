//! Databases that SQLite itself would not make, and that their applications use all the same: rows that their
//! tables' own rules forbid, indexes without entries, schemas that do not parse as a whole. Every row comes
//! back with the class that it had, and what is read is read from the table and never from an index.

use backend_sqlite::SqliteSource;
use backup_core::Source;
use backup_core::progress::Context;
use backup_core::source::View;
use pollster::FutureExt as _;
use proptest::prelude::*;
use rusqlite::types::Value;
use testkit::contents::sums;

use super::ground::{Ground, values};

/// A database whose schema was changed behind SQLite's back.
fn altered(sql: &str, alter: &str) -> Ground {
    let ground = Ground::new(sql);
    let script = format!("PRAGMA writable_schema = ON; {alter}");
    ground.connection().execute_batch(&script).unwrap();
    ground
}

/// Brings a database there and back, and compares every row with the original's.
#[track_caller]
fn assert_comes_back(ground: &Ground) -> Vec<String> {
    let restored = ground.transfer().unwrap();
    let of = |path| sums(&SqliteSource::path(path).unwrap()).block_on().unwrap();
    assert_eq!(of(ground.original()), of(ground.copy()), "the sums of the schema and the tables");
    assert_eq!(values(&ground.original()), values(&ground.copy()));
    restored.notes
}

fn said(ground: &Ground) -> Vec<String> {
    let source = SqliteSource::path(ground.original()).unwrap();
    let snapshot = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    snapshot.info().notes.clone()
}

/// A table with a rowid was read through the index of its primary key, so that rows which this index had
/// lost were missing from backups, sums and comparisons.
#[test]
fn rows_that_an_index_lost_are_read_and_it_is_said() {
    let ground = altered(
        "CREATE TABLE t(a TEXT PRIMARY KEY, b); INSERT INTO t VALUES('one', 1);
         CREATE TABLE other(a TEXT PRIMARY KEY);",
        // The rows after this go into an index that is not this table's.
        "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_autoindex_other_1')
         WHERE name = 'sqlite_autoindex_t_1';",
    );
    ground.connection().execute_batch("INSERT INTO t VALUES('two', 2), ('three', 3)").unwrap();
    let found = sums(&SqliteSource::path(ground.original()).unwrap()).block_on().unwrap();
    assert_eq!(found["t"].records, 3);
    let said = said(&ground);
    assert!(said.iter().any(|note| note.contains("\"sqlite_autoindex_t_1\"")), "{said:?}");
}

#[test]
fn rows_that_conflict_clauses_would_drop_or_change_come_back() {
    for clause in ["REPLACE", "IGNORE", "ROLLBACK", "ABORT", "FAIL"] {
        let table = format!(
            "CREATE TABLE t(a NOT NULL ON CONFLICT {clause} DEFAULT 7, b UNIQUE ON CONFLICT {clause})"
        );
        let ground = altered(
            "CREATE TABLE t(a, b); INSERT INTO t VALUES(NULL, 1), (2, 1), (NULL, NULL), (3, 1);",
            &format!(
                "UPDATE sqlite_schema SET sql = '{table}' WHERE name = 't';
                 CREATE TABLE u(a UNIQUE);
                 INSERT INTO sqlite_schema SELECT type, 'sqlite_autoindex_t_1', 't', rootpage, sql
                 FROM sqlite_schema WHERE name = 'sqlite_autoindex_u_1';"
            ),
        );
        assert_comes_back(&ground);
    }
}

#[test]
fn values_of_another_type_come_back_as_they_were() {
    let rows = "CREATE TABLE t(a BLOB, b BLOB, c BLOB, d BLOB, e BLOB);
         INSERT INTO t VALUES(5, '42', 3.5, '007', 1), ('x', '1e3', 7, '12345678901234567890123', 2.0),
         (NULL, '0x10', 2.0, '3.0', -0.0), (x'00ff', 9223372036854775807, 1e300, ' 5', 140737488355328.0);";
    for table in [
        "CREATE TABLE t(a TEXT, b INTEGER, c TEXT, d NUMERIC, e REAL)",
        "CREATE TABLE t(a REAL, b REAL, c REAL, d REAL, e INTEGER)",
        "CREATE TABLE t(a INTEGER, b TEXT, c INTEGER, d TEXT, e TEXT) STRICT",
    ] {
        let alter = format!("UPDATE sqlite_schema SET sql = '{table}' WHERE name = 't'");
        assert_comes_back(&altered(rows, &alter));
    }
}

#[test]
fn a_unique_index_over_duplicates_comes_back_and_is_told() {
    let ground = altered(
        "CREATE TABLE t(a); INSERT INTO t VALUES(1), (1); CREATE INDEX i ON t(a);",
        "UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX i ON t(a)' WHERE name = 'i'",
    );
    let notes = assert_comes_back(&ground);
    assert!(
        notes.iter().any(|note| note.contains("\"i\"") && note.contains("unique")),
        "{notes:?}"
    );
}

/// What was written of the index before the first twin is found is more than the builder keeps in memory.
#[test]
fn a_large_unique_index_over_duplicates_leaves_nothing_behind() {
    let ground = altered(
        "CREATE TABLE t(a);
         WITH RECURSIVE n(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 150000)
             INSERT INTO t SELECT n || hex(zeroblob(60)) FROM n;
         INSERT INTO t VALUES('z'), ('z'); CREATE INDEX i ON t(a);",
        "UPDATE sqlite_schema SET sql = 'CREATE UNIQUE INDEX i ON t(a)' WHERE name = 'i'",
    );
    assert_comes_back(&ground);
    let found: String = ground.ask("SELECT group_concat(quick_check) FROM pragma_quick_check");
    assert_eq!(found, "ok");
    let counted: i64 = ground.ask("SELECT count(*) FROM t INDEXED BY i WHERE a >= 'z'");
    assert_eq!(counted, 2);
    let size: i64 =
        ground.ask("SELECT page_count * page_size FROM pragma_page_count, pragma_page_size");
    assert_eq!(u64::try_from(size).unwrap(), std::fs::metadata(ground.copy()).unwrap().len());
}

#[test]
fn a_schema_that_does_not_parse_as_a_whole_hides_no_table() {
    for alter in [
        "UPDATE sqlite_schema SET sql = 'CREATE VIEW v AS SELEKT 1' WHERE name = 'v'",
        "UPDATE sqlite_schema SET tbl_name = 'nowhere', sql = 'CREATE TRIGGER r AFTER INSERT ON nowhere BEGIN SELECT 1; END' WHERE name = 'r'",
        "UPDATE sqlite_schema SET sql = 'CREATE TEMP VIEW v AS SELECT 1' WHERE name = 'v'",
        "UPDATE sqlite_schema SET sql = sql || char(0) || 'junk' WHERE name = 'v'",
    ] {
        let ground = altered(
            "CREATE TABLE t(a PRIMARY KEY); INSERT INTO t VALUES(1), (2); CREATE VIEW v AS SELECT * FROM t;
             CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END;",
            alter,
        );
        assert_comes_back(&ground);
        let is_said =
            said(&ground).iter().any(|note| note.contains("cannot read the whole schema"));
        let does_not_parse = alter.contains("SELEKT") || alter.contains("nowhere");
        assert_eq!(is_said, does_not_parse, "{alter}");
    }
}

#[test]
fn no_scan_of_rows_uses_an_index() {
    let ground = Ground::new(
        "CREATE TABLE t(id TEXT PRIMARY KEY, a, b UNIQUE); CREATE INDEX i ON t(id, a, b);
         CREATE TABLE u(id INTEGER PRIMARY KEY, a UNIQUE); CREATE TABLE v(a UNIQUE);
         INSERT INTO t VALUES('k', 1, 2); INSERT INTO u VALUES(1, 2); INSERT INTO v VALUES(1);",
    );
    let connection = ground.connection();
    // Each index is pointed at a page that is none of an index: whoever uses it fails.
    let alter = "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'v') WHERE type = 'index';";
    connection.execute_batch(alter).unwrap();
    drop(connection);
    let source = SqliteSource::path(ground.original()).unwrap();
    let found = sums(&source).block_on().unwrap();
    let counts: Vec<_> = ["t", "u", "v"].iter().map(|table| found[*table].records).collect();
    assert_eq!(counts, [1, 1, 1]);
}

#[derive(Debug, Clone)]
struct Unsound {
    rows: Vec<[Value; 3]>,
    table: &'static str,
    index: &'static str,
}

fn value() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(Value::Null),
        (-3_i64..3).prop_map(Value::Integer),
        any::<i64>().prop_map(Value::Integer),
        prop::sample::select(vec![0.0, -0.0, 1.0, 2.5, 1e20, -3.0]).prop_map(Value::Real),
        prop::sample::select(vec!["", "1", "007", "1e3", "a", "A", "12345678901234567890123"])
            .prop_map(|text| Value::Text(text.into())),
        prop::sample::select(vec![vec![], vec![0], b"1".to_vec()]).prop_map(Value::Blob),
    ]
}

fn unsound() -> impl Strategy<Value = Unsound> {
    let tables = vec![
        "CREATE TABLE t(a TEXT, b INTEGER, c REAL)",
        "CREATE TABLE t(a NOT NULL, b CHECK(b > 5), c REFERENCES nowhere(x))",
        "CREATE TABLE t(a INT NOT NULL ON CONFLICT REPLACE DEFAULT 1, b TEXT, c ANY) STRICT",
        "CREATE TABLE t(a NUMERIC NOT NULL ON CONFLICT IGNORE, b COLLATE NOCASE, c DEFAULT (no_such(1)))",
        "CREATE TABLE t(rowid, b TEXT CHECK(b REGEXP \"x\"), c)",
    ];
    let indexes = vec![
        "CREATE UNIQUE INDEX i ON t(b)",
        "CREATE INDEX i ON t(c, b) WHERE c IS NOT NULL",
        "CREATE UNIQUE INDEX i ON t(c COLLATE NOCASE, b)",
    ];
    let row = [value(), value(), value()];
    (prop::collection::vec(row, 0..40), prop::sample::select(tables), prop::sample::select(indexes))
        .prop_map(|(rows, table, index)| Unsound { rows, table, index })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn whatever_rows_there_are_come_back(unsound in unsound()) {
        let ground = Ground::new("CREATE TABLE t(a, b, c); CREATE INDEX i ON t(a);");
        let connection = ground.connection();
        for row in &unsound.rows {
            connection.execute("INSERT INTO t VALUES(?1, ?2, ?3)", rusqlite::params_from_iter(row)).unwrap();
        }
        connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let sql = "UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2";
        connection.execute(sql, [unsound.table, "t"]).unwrap();
        connection.execute(sql, [unsound.index, "i"]).unwrap();
        drop(connection);
        assert_comes_back(&ground);
    }

    #[test]
    fn whatever_rows_no_name_reaches_come_back(
        rows in prop::collection::vec((any::<i64>(), [value(), value(), value()]), 0..40),
        setup in prop::sample::select(SETUPS.to_vec()),
    ) {
        let ground = Ground::new(&format!("{setup} CREATE TABLE t(a, b, c); CREATE INDEX i ON t(b);"));
        let connection = ground.connection();
        for (rowid, [a, b, c]) in &rows {
            let sql = "INSERT OR REPLACE INTO t(rowid, a, b, c) VALUES(?1, ?2, ?3, ?4)";
            connection.execute(sql, rusqlite::params![rowid, a, b, c]).unwrap();
        }
        connection.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let sql = "UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2";
        connection.execute(sql, ["CREATE TABLE t(_rowid_ TEXT, RowId INTEGER, oid REAL)", "t"]).unwrap();
        connection.execute(sql, ["CREATE UNIQUE INDEX i ON t(RowId)", "i"]).unwrap();
        drop(connection);
        assert_comes_back(&ground);
        let copy = rusqlite::Connection::open(ground.copy()).unwrap();
        for (rowid, [a, ..]) in &rows {
            // SQLite opens columns of text and of bytes so, and says of others what class they are of.
            let opened = copy.blob_open("main", "t", "_rowid_", *rowid, true);
            let is_there = opened.map_or_else(|error| !error.to_string().contains("no such rowid"), |_| true);
            assert!(is_there, "{rowid}: {a:?}");
        }
    }

    #[test]
    fn whatever_keys_without_rowids_there_are_come_back(
        rows in prop::collection::vec([value(), value(), value()], 0..40),
        (index, table) in prop::sample::select(KEYED.to_vec()),
        setup in prop::sample::select(SETUPS.to_vec()),
    ) {
        let ground = Ground::new(&format!("{setup} CREATE TABLE f(a, b, c);"));
        let connection = ground.connection();
        connection.create_collation("mine", |one, other| other.cmp(one)).unwrap();
        // The entries of an index become the rows of a table; the last column tells them apart.
        connection.execute_batch(&format!("CREATE INDEX i ON f({index})")).unwrap();
        for row in &rows {
            connection.execute("INSERT INTO f VALUES(?1, ?2, ?3)", rusqlite::params_from_iter(row)).unwrap();
        }
        let script = format!(
            "PRAGMA writable_schema = ON; DELETE FROM sqlite_schema WHERE name = 'f';
             UPDATE sqlite_schema SET type = 'table', name = 't', tbl_name = 't', sql = '{table}' WHERE name = 'i';"
        );
        connection.execute_batch(&script).unwrap();
        drop(connection);
        assert_comes_back(&ground);
    }
}

/// How databases are set up.
const SETUPS: [&str; 3] = [
    "",
    "PRAGMA encoding = 'UTF-16le';",
    "PRAGMA auto_vacuum = 1; PRAGMA page_size = 512; PRAGMA journal_mode = wal;",
];

/// The columns of an index, and a table that its tree can be.
const KEYED: [(&str, &str); 6] = [
    ("a, b, c", "CREATE TABLE t(a, b, c, n, PRIMARY KEY(a, b, c, n)) WITHOUT ROWID"),
    (
        "a, b, c",
        "CREATE TABLE t(a TEXT, b INTEGER, c NUMERIC, n, PRIMARY KEY(a, b, c, n)) WITHOUT ROWID",
    ),
    (
        "b DESC, a, c",
        "CREATE TABLE t(n INT, c TEXT, a REAL, b INT, PRIMARY KEY(b DESC, a, c, n)) WITHOUT ROWID",
    ),
    (
        "c COLLATE NOCASE, a COLLATE RTRIM DESC, b",
        "CREATE TABLE t(a, b TEXT, c TEXT COLLATE NOCASE, n, PRIMARY KEY(c, a COLLATE RTRIM DESC, b, n)) WITHOUT ROWID",
    ),
    (
        "a COLLATE mine, b, c",
        "CREATE TABLE t(a COLLATE mine, b, c, n, PRIMARY KEY(a, b, c, n)) WITHOUT ROWID",
    ),
    (
        "a, c COLLATE mine DESC, b",
        "CREATE TABLE t(a INT, b INT, c TEXT, n, PRIMARY KEY(a, c COLLATE mine DESC, b, n)) WITHOUT ROWID",
    ),
];
