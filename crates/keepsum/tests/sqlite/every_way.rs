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
    table: &'static str,
    index: &'static str,
    loses_rows: bool,
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
    let tables = prop::sample::select(vec![
        "CREATE TABLE t(a TEXT, b INTEGER, c REAL)",
        "CREATE TABLE t(a NOT NULL, b CHECK(b > 5), c REFERENCES nowhere(x))",
        "CREATE TABLE t(a INT NOT NULL ON CONFLICT REPLACE DEFAULT 1, b TEXT, c ANY) STRICT",
        "CREATE TABLE t(a NUMERIC NOT NULL ON CONFLICT IGNORE, b COLLATE NOCASE, c DEFAULT (no_such(1)))",
    ]);
    let indexes = prop::sample::select(vec![
        "CREATE UNIQUE INDEX i ON t(b)",
        "CREATE INDEX i ON t(c, b) WHERE c IS NOT NULL",
    ]);
    let row = [literal(), literal(), literal()];
    (prop::collection::vec(row, 1..30), tables, indexes, any::<bool>())
        .prop_map(|(rows, table, index, loses_rows)| Unsound { rows, table, index, loses_rows })
}

/// Makes it behind SQLite's back.
fn make(path: &Path, unsound: &Unsound) {
    let connection = Connection::open(path).unwrap();
    let empty = "CREATE TABLE t(a, b, c); CREATE INDEX i ON t(a); CREATE TABLE o(a); CREATE INDEX j ON o(a);
         PRAGMA writable_schema = ON;";
    connection.execute_batch(empty).unwrap();
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
    connection.execute(sql, [unsound.table, "t"]).unwrap();
    connection.execute(sql, [unsound.index, "i"]).unwrap();
}

/// Every column of every row with its class, by a scan of the table's own tree.
fn rows(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    // A schema that SQLite cannot read as a whole is read as far as it can be, at the second question.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).unwrap();
    let _ = connection.prepare("SELECT 1 FROM sqlite_schema");
    let columns = ["a", "b", "c"].map(|column| format!("typeof({column}), quote({column})"));
    let sql = format!("SELECT rowid, {} FROM t NOT INDEXED", columns.join(", "));
    let mut statement = connection.prepare(&sql).unwrap();
    let line = |row: &rusqlite::Row<'_>| -> rusqlite::Result<String> {
        let texts = (1..7).map(|at| row.get::<_, String>(at)).collect::<Result<Vec<_>, _>>()?;
        Ok(format!("{} {}", row.get::<_, i64>(0)?, texts.join(" ")))
    };
    statement.query_map([], line).unwrap().map(|line| line.unwrap()).collect()
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
        let held = rows(&original);
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
            assert_eq!(rows(&place.path(name)), held, "{name}: {unsound:?}");
            assert_eq!(say(&place, &["hash", &at(name)])["databases"], hashed, "{name}");
            alike(&original, &at(name));
        };
        let back_up = |shape: &str| {
            let report = say(&place, &["backup", &original, shape]);
            report["snapshot"].as_str().unwrap().to_owned()
        };
        let (files, records) = (back_up("--files"), back_up("--records"));
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
