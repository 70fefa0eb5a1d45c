//! What is unusual in a database is told when it is taken, in both shapes, and never keeps it from being taken.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use backend_sqlite::SqliteSource;
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Snapshot, Source};
use pollster::FutureExt as _;
use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;

use crate::ground::{bytes_of, place, take, take_settled};

/// A connection with what only an application's program has.
fn application(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .create_collation("unicase", |one, other| {
            match one.to_lowercase().cmp(&other.to_lowercase()) {
                Ordering::Equal => one.cmp(other),
                order => order,
            }
        })
        .unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let slug = |context: &rusqlite::functions::Context<'_>| {
        Ok(context.get::<Option<String>>(0)?.map(|text| text.to_lowercase()))
    };
    connection.create_scalar_function("slug", 1, flags, slug).unwrap();
    connection
}

/// Gives an object of the schema another statement.
fn rewrite(connection: &Connection, name: &str, sql: &str) {
    connection.pragma_update(None, "writable_schema", 1).unwrap();
    let change = "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1";
    assert_eq!(connection.execute(change, [name, sql]).unwrap(), 1);
}

/// What the files shape says of a database, which it gives byte for byte and leaves as it was.
fn said(path: &Path) -> Vec<String> {
    let before = fs::read(path).unwrap();
    let snapshot = take_settled(path).unwrap();
    assert!(bytes_of(&snapshot).unwrap() == before, "other pages were taken");
    assert!(fs::read(path).unwrap() == before, "the source was changed");
    snapshot.unusual().to_vec()
}

#[test]
fn an_ordinary_database_has_nothing_unusual() {
    let (_folder, path) = place();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a TEXT COLLATE NOCASE DEFAULT \"x\" CHECK(length(a) > 0));
             CREATE INDEX i ON t(lower(a)) WHERE a <> ''; CREATE VIEW v AS SELECT * FROM gone;
             CREATE TRIGGER r AFTER INSERT ON t BEGIN UPDATE t SET a = 'y' WHERE 0; END;
             CREATE VIRTUAL TABLE f USING fts5(body); CREATE VIRTUAL TABLE g USING fts4(body);
             CREATE VIRTUAL TABLE b USING rtree(id, x0, x1); INSERT INTO t(a) VALUES ('a'); ANALYZE",
        )
        .unwrap();
    assert_eq!(said(&path), [""; 0]);
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("INSERT INTO t(a) VALUES ('b')").unwrap();
    assert_eq!(take(&path).unwrap().unusual(), [""; 0]);
}

#[test]
fn what_its_program_has_is_named() {
    let (_folder, path) = place();
    let connection = application(&path);
    connection
        .execute_batch(
            "CREATE TABLE tags(tag TEXT PRIMARY KEY COLLATE unicase) WITHOUT ROWID;
             CREATE TABLE t(id INTEGER PRIMARY KEY, code, s AS (slug(code)));
             CREATE INDEX i ON t(slug(code));
             CREATE VIRTUAL TABLE f USING fts5(body); CREATE VIRTUAL TABLE v USING fts5(body);
             INSERT INTO tags VALUES ('Beta'), ('alpha'); INSERT INTO t(code) VALUES ('Abc')",
        )
        .unwrap();
    rewrite(&connection, "f", "CREATE VIRTUAL TABLE f USING fts5(body, tokenize='mine')");
    rewrite(&connection, "v", "CREATE VIRTUAL TABLE v USING vec0(body)");
    drop(connection);
    let said = said(&path);
    let has = |words: &[&str]| said.iter().any(|said| words.iter().all(|word| said.contains(word)));
    assert!(has(&["collations", "\"unicase\" (table \"tags\")"]), "{said:?}");
    assert!(has(&["functions", "\"slug\" (table \"t\")"]), "{said:?}");
    assert!(has(&["tokenizers", "\"mine\" (table \"f\")"]), "{said:?}");
    assert!(has(&["modules", "\"vec0\" (table \"v\")"]), "{said:?}");
    assert_eq!(said.len(), 4, "{said:?}");
}

#[test]
fn what_this_sqlite_would_not_make_is_named() {
    let (_folder, path) = place();
    let connection = Connection::open(&path).unwrap();
    connection.execute_batch("CREATE TABLE n(a); CREATE TABLE w(a)").unwrap();
    let columns: Vec<_> = (0..2100).map(|number| format!("c{number}")).collect();
    rewrite(&connection, "n", "CREATE TABLE n(a) FUTURE");
    rewrite(&connection, "w", &format!("CREATE TABLE w({})", columns.join(",")));
    drop(connection);
    let said = said(&path);
    let [wide, other] = said.as_slice() else { panic!("{said:?}") };
    assert!(wide.contains("more columns") && wide.contains("table \"w\""), "{wide}");
    assert!(other.contains("table \"n\"") && other.contains("FUTURE"), "{other}");
}

/// What the header says, at the place where it says so.
#[test]
fn an_unusual_header_is_told() {
    for (at, value, words) in [
        (20, 32, "keeps 32 bytes"),
        (47, 9, "format 9"),
        (59, 7, "encoding that SQLite has not, 7"),
        (59, 2, "UTF-16le"),
    ] {
        let (_folder, path) = place();
        let connection = Connection::open(&path).unwrap();
        if words == "UTF-16le" {
            connection.pragma_update(None, "encoding", words).unwrap();
        }
        connection.execute_batch("CREATE TABLE t(a)").unwrap();
        drop(connection);
        let mut bytes = fs::read(&path).unwrap();
        bytes[at] = value;
        fs::write(&path, bytes).unwrap();
        let said = said(&path);
        assert!(said.iter().any(|said| said.contains(words)), "{words}: {said:?}");
    }
}

/// SQLCipher and others leave the beginning of a header in the clear, 32 bytes of it or 16, for systems that
/// look at it.
#[test]
fn a_cipher_with_its_header_in_the_clear_is_taken_as_it_is() {
    for (clear, tail) in [(32, 80_u8), (32, 0), (16, 80)] {
        let (_folder, path) = place();
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(90000))")
            .unwrap();
        drop(connection);
        let mut bytes = fs::read(&path).unwrap();
        bytes[20] = tail;
        let noise = testkit::noise(7, bytes.len() - clear);
        bytes[clear..].copy_from_slice(&noise);
        fs::write(&path, &bytes).unwrap();
        let said = said(&path);
        assert!(said.iter().any(|said| said.contains("encrypts it")), "{clear}: {said:?}");
    }
}

#[test]
fn rows_say_the_same() {
    let (_folder, path) = place();
    let connection = Connection::open(&path).unwrap();
    connection
        .execute_batch("PRAGMA encoding = 'UTF-16be'; CREATE TABLE t(a); INSERT INTO t VALUES (1)")
        .unwrap();
    for mode in ["delete", "wal"] {
        connection.pragma_update(None, "journal_mode", mode).unwrap();
        let source = SqliteSource::path(&path).unwrap();
        for view in [View::Records, View::Files, View::Both] {
            let snapshot: Box<dyn Snapshot> =
                source.snapshot(view, &Context::default()).block_on().unwrap();
            let unusual = &snapshot.info().unusual;
            assert_eq!(unusual, &["the database's text is in UTF-16be"], "{mode}, {view:?}");
        }
    }
}
