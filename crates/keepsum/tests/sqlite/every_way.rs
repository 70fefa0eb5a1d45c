//! Databases that SQLite itself would not make, by every way there and back: backed up in both shapes, converted,
//! exported and imported. Every row has the class that it had, and `hash` and `diff` see the same.

use std::path::Path;

use proptest::prelude::*;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use serde_json::Value;
use testkit::seed;

use crate::place::Place;

/// How often; each is some twenty calls of the command.
const CASES: u32 = 8;

#[derive(Debug, Clone)]
struct Unsound {
    /// Rows of three literals of SQL.
    rows: Vec<[&'static str; 3]>,
    shape: Shape,
    index: &'static str,
    loses_rows: bool,
}

/// What the table becomes that the rows were put into.
#[derive(Debug, Clone, Copy)]
enum Shape {
    /// One of columns `a`, `b` and `c`.
    Plain(&'static str),
    /// One whose columns have taken all names of the rowid.
    Nameless(&'static str),
    /// One WITHOUT ROWID, whose tree was this index.
    Keyed(&'static str, &'static str),
}

impl Shape {
    /// What tells of a row, as SQL.
    fn columns(self) -> &'static [&'static str] {
        match self {
            Self::Plain(_) => &["rowid", "a", "b", "c"],
            Self::Nameless(_) => &["oid", "rowid", "_rowid_"],
            Self::Keyed(..) => &["a", "b", "c", "n"],
        }
    }
}

fn unsound() -> impl Strategy<Value = Unsound> {
    let literal = || {
        prop::sample::select(vec![
            "NULL",
            "5",
            "'5'",
            "'007'",
            "7.0",
            "-0.0",
            "1e300",
            "'12345678901234567890123'",
            "x'00ff'",
            "''",
            "'a'",
            "'A'",
        ])
    };
    let plain = prop::sample::select(vec![
        "CREATE TABLE t(a TEXT, b INTEGER, c REAL)",
        "CREATE TABLE t(a NOT NULL, b CHECK(b > 5), c REFERENCES nowhere(x))",
        "CREATE TABLE t(a INT NOT NULL ON CONFLICT REPLACE DEFAULT 1, b TEXT, c ANY) STRICT",
        "CREATE TABLE t(a NUMERIC NOT NULL ON CONFLICT IGNORE, b COLLATE NOCASE, c DEFAULT (no_such(1)))",
    ]);
    let nameless = prop::sample::select(vec![
        "CREATE TABLE t(oid, rowid, _rowid_)",
        "CREATE TABLE t(oid TEXT, rowid INTEGER NOT NULL, _rowid_ REAL)",
    ]);
    let keyed = prop::sample::select(vec![
        (
            "a, b, c",
            "CREATE TABLE t(a TEXT, b INTEGER, c REAL, n, PRIMARY KEY(a, b, c, n)) WITHOUT ROWID",
        ),
        (
            "b COLLATE NOCASE, a DESC, c",
            "CREATE TABLE t(n, a INT, b TEXT COLLATE NOCASE, c, PRIMARY KEY(b, a DESC, c, n)) WITHOUT ROWID",
        ),
        (
            "a COLLATE mine, b, c",
            "CREATE TABLE t(a TEXT COLLATE mine, b, c, n, PRIMARY KEY(a, b, c, n)) WITHOUT ROWID",
        ),
    ]);
    let shapes = prop_oneof![
        plain.prop_map(Shape::Plain),
        nameless.prop_map(Shape::Nameless),
        keyed.prop_map(|(index, table)| Shape::Keyed(index, table)),
    ];
    let indexes = prop::sample::select(vec![
        "CREATE UNIQUE INDEX i ON t(b)",
        "CREATE INDEX i ON t(c, b) WHERE c IS NOT NULL",
    ]);
    let row = [literal(), literal(), literal()];
    (prop::collection::vec(row, 1..30), shapes, indexes, any::<bool>())
        .prop_map(|(rows, shape, index, loses_rows)| Unsound { rows, shape, index, loses_rows })
}

/// Makes it behind SQLite's back.
fn make(path: &Path, unsound: &Unsound) {
    let connection = with_collation(path);
    let empty = "CREATE TABLE t(a, b, c); CREATE INDEX i ON t(a); CREATE TABLE o(a); CREATE INDEX j ON o(a);
         PRAGMA writable_schema = ON;";
    connection.execute_batch(empty).unwrap();
    if let Shape::Keyed(index, _) = unsound.shape {
        connection.execute_batch(&format!("CREATE INDEX x ON t({index})")).unwrap();
    }
    if unsound.loses_rows {
        // The entries go into another table's index.
        let swap = "UPDATE sqlite_schema SET rootpage = (SELECT rootpage FROM sqlite_schema WHERE name = 'j')
             WHERE name = 'i'; PRAGMA writable_schema = RESET; PRAGMA writable_schema = ON;";
        connection.execute_batch(swap).unwrap();
    }
    for row in &unsound.rows {
        let insert = format!("INSERT INTO t VALUES({})", row.join(", "));
        connection.execute_batch(&insert).unwrap();
    }
    let sql = "UPDATE sqlite_schema SET sql = ?1 WHERE name = ?2";
    match unsound.shape {
        Shape::Plain(table) => {
            connection.execute(sql, [table, "t"]).unwrap();
            connection.execute(sql, [unsound.index, "i"]).unwrap();
        }
        Shape::Nameless(table) => {
            connection.execute(sql, [table, "t"]).unwrap();
            connection.execute(sql, ["CREATE UNIQUE INDEX i ON t(oid)", "i"]).unwrap();
        }
        Shape::Keyed(_, table) => {
            let becomes = "DELETE FROM sqlite_schema WHERE name IN ('t', 'i');
                 UPDATE sqlite_schema SET type = 'table', name = 't', tbl_name = 't' WHERE name = 'x';";
            connection.execute_batch(becomes).unwrap();
            connection.execute(sql, [table, "t"]).unwrap();
        }
    }
}

/// A connection of the program that has the collation.
fn with_collation(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.create_collation("mine", |one, other| other.cmp(one)).unwrap();
    connection
}

/// Every column of every row with its class, by a scan of the table's own tree, in no order.
fn rows(path: &Path, shape: Shape) -> Vec<String> {
    let connection = with_collation(path);
    // A schema that SQLite cannot read as a whole is read as far as it can be, at the second question.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).unwrap();
    let _ = connection.prepare("SELECT 1 FROM sqlite_schema");
    let column = |column: &&str| format!("typeof({column}) || ' ' || quote({column})");
    let columns: Vec<_> = shape.columns().iter().map(column).collect();
    let sql = format!("SELECT {} FROM t NOT INDEXED", columns.join(" || ' ' || "));
    let mut statement = connection.prepare(&sql).unwrap();
    let found = statement.query_map([], |row| row.get(0)).unwrap();
    let mut found: Vec<String> = found.map(|line| line.unwrap()).collect();
    found.sort();
    found
}

/// What the command says as JSON; it must succeed.
#[track_caller]
fn say(place: &Place, arguments: &[&str]) -> Value {
    let output = place.command(arguments).arg("--json").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn whatever_rows_there_are_come_back_by_every_way() {
    seed::check(CASES, &unsound(), |unsound| {
        let place = Place::new();
        let original = place.path("source/a.db");
        make(&original, &unsound);
        let held = rows(&original, unsound.shape);
        let at = |name: &str| format!("sqlite:{}", place.path(name).display());
        let original = format!("sqlite:{}", original.display());
        let hashed = say(&place, &["hash", &original])["databases"].clone();
        let alike = |one: &str, other: &str| {
            let found = say(&place, &["diff", one, other]);
            for database in found["databases"].as_array().unwrap() {
                for count in ["added", "removed", "changed"] {
                    assert_eq!(database[count], 0, "{one} and {other}: {database}");
                }
            }
        };
        let same = |name: &str| {
            assert_eq!(rows(&place.path(name), unsound.shape), held, "{name}: {unsound:?}");
            assert_eq!(say(&place, &["hash", &at(name)])["databases"], hashed, "{name}");
            alike(&original, &at(name));
        };
        let back_up = |shape: &[&str]| {
            let report = say(&place, &[&["backup", &original], shape].concat());
            report["snapshot"].as_str().unwrap().to_owned()
        };
        let (files, records) = (back_up(&["--files"]), back_up(&["--records"]));
        let proved = back_up(&["--files", "--proof", "logical"]);
        assert_eq!(say(&place, &["show", &proved])["databases"], hashed, "the proof of pages");
        say(&place, &["restore", &files, &at("files.db")]);
        same("files.db");
        say(&place, &["restore", &records, &at("records.db")]);
        same("records.db");
        say(&place, &["convert", &original, &at("converted.db")]);
        same("converted.db");
        let exported = place.path("exported");
        let exported = exported.to_str().unwrap();
        say(&place, &["export", &records, exported]);
        // Portable files hold records, and not the statements of tables.
        let portable = format!("memory:{exported}");
        assert_eq!(say(&place, &["hash", &portable])["databases"], hashed, "exported");
        let imported = say(&place, &["import", exported])["snapshot"].clone();
        alike(&records, imported.as_str().unwrap());
        Ok(())
    });
}
