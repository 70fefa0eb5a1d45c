//! Records and settings that no backup made: each is an error by its kind, and nothing of it is run.

use backend_sqlite::SqliteTarget;
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};
use backup_core::source::{DatabaseInfo, Layout};
use backup_core::target::{Content, Existing, RestorePlan, Restored};
use backup_core::{Error, RestoreExt, Result, Target};
use pollster::FutureExt as _;
use rusqlite::Connection;
use tempfile::TempDir;
use testkit::transfer::origin;

const HEAD: &str = "sqlite-rows 1\nencoding UTF-8\n";

/// The key of row 1, which is its rowid.
const ONE: &[u8] = &[0x80, 0, 0, 0, 0, 0, 0, 1];

/// Restores one record into a table with these settings.
fn restore(name: &str, settings: &str, key: &[u8], value: &[u8]) -> (Result<Restored>, TempDir) {
    restore_all(name, settings, &[Record::whole(b"", key, value)])
}

/// Restores records into a table with these settings, each in a batch of its own.
fn restore_all(name: &str, settings: &str, records: &[Record<'_>]) -> (Result<Restored>, TempDir) {
    let folder = TempDir::new().unwrap();
    let info = DatabaseInfo { settings: Some(settings.to_owned()), ..DatabaseInfo::new(name) };
    let content = Content::Records { layout: Layout::Plain, databases: vec![info] };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    let target = SqliteTarget::path(folder.path().join("copy.db")).unwrap();
    let done = async {
        let mut restore = target.begin(plan, &Context::default()).await?;
        for record in records {
            let mut batch = RecordBatch::new();
            batch.push(*record)?;
            restore.load(0, batch).await?;
        }
        restore.finish().await
    };
    (done.block_on(), folder)
}

#[track_caller]
fn refused(name: &str, settings: &str, key: &[u8], value: &[u8]) -> Error {
    let (done, folder) = restore(name, settings, key, value);
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().collect();
    assert!(left.is_empty(), "{left:?}");
    done.unwrap_err()
}

#[test]
fn the_row_of_the_others_is_taken() {
    let settings = format!("{HEAD}key rowid\nCREATE TABLE t(a, b)");
    let (done, folder) = restore("t", &settings, ONE, b"\x01\x02\x03\x02\x00hi");
    assert_eq!(done.unwrap().notes.len(), 1, "that the schema is not there");
    let copy = Connection::open(folder.path().join("copy.db")).unwrap();
    let row = copy.query_row("SELECT rowid, a, b FROM t", [], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    assert_eq!(row.unwrap(), (1, "hi".to_owned(), None::<i64>));
}

/// The row is there with zeros when its blob is interrupted: nothing of it is published.
#[test]
fn parts_of_a_long_row_that_do_not_belong_together() {
    let settings = format!("{HEAD}key rowid\nCREATE TABLE t(a, b)");
    let body = vec![7; 4000];
    // The columns are NULL and a blob of so many bytes.
    let head = |length: [u8; 2]| [b"\x01\x02\x00\x04".as_slice(), &length].concat();
    let first = [&head([0xa0, 0x1f]), &body[..994]].concat();
    let total = (first.len() + 3006) as u64;
    let record = |offset: u64, value| Record { root_key: b"", key: ONE, value, offset, total };
    let begun = record(0, &first);
    let next = |taken: usize| record(first.len() as u64, &body[..taken]);

    let (done, folder) = restore_all("t", &settings, &[begun, next(3006)]);
    done.unwrap();
    let copy = Connection::open(folder.path().join("copy.db")).unwrap();
    let found = copy.query_row("SELECT a, b FROM t", [], |row| Ok((row.get(0)?, row.get(1)?)));
    assert_eq!(found.unwrap(), (None::<i64>, body.clone()));

    let two = [0x80, 0, 0, 0, 0, 0, 0, 2];
    // Blobs of a byte less and a byte more.
    let [short, long] = [0x9f, 0xa1].map(|length| [&head([length, 0x1f]), &body[..994]].concat());
    let other =
        Record { root_key: b"", key: &two, value: b"\x01\x02\x00\x00", offset: 0, total: 4 };
    let cases: [&[Record<'_>]; 8] = [
        &[begun],
        &[begun, next(3005)],
        &[begun, next(10), next(10)],
        &[begun, other],
        &[begun, Record { key: &two, ..next(3006) }],
        &[begun, Record { total: total - 1, ..next(3005) }],
        &[record(0, &short), next(3006)],
        &[record(0, &long), next(3006)],
    ];
    for (number, records) in cases.into_iter().enumerate() {
        let (done, folder) = restore_all("t", &settings, records);
        let error = done.unwrap_err();
        assert!(
            matches!(error, Error::Invalid { .. } | Error::Damaged { .. }),
            "{number}: {error:?}"
        );
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "{number}");
    }
}

#[test]
fn values_that_are_no_rows_are_damage() {
    let settings = format!("{HEAD}key rowid\nCREATE TABLE t(a, b)");
    let rows: &[&[u8]] = &[
        b"",
        b"\x01",
        b"\x02\x02\x00\x00",
        b"\x01\x01\x00",
        b"\x01\x03\x00\x00\x00",
        b"\x01\x02\x00",
        b"\x01\x02\x06\x00",
        b"\x01\x02\x03\x03\x00hi",
        b"\x01\x02\x03\x01\x00hi",
        b"\x01\x02\x01\x001234567",
        b"\x01\x02\x03\xff\xff\xff\xff\x07\x00hi",
        b"\x01\x02\x03\xff\xff\xff\xff\x0f\x00hi",
        b"\x01\x02\x03\x82\x00\x00hi",
        b"\x01\xff\xff\xff\xff\x07",
        b"\x01\x02\x05\x02\x00hi",
        b"\x01\x02\x02\x00\0\0\0\0\0\0\xf8\x7f",
    ];
    for row in rows {
        let error = refused("t", &settings, ONE, row);
        assert!(matches!(error, Error::Damaged { .. }), "{row:?}: {error:?}");
    }
}

#[test]
fn keys_that_are_not_the_rows_are_damage() {
    let rowid = format!("{HEAD}key rowid\nCREATE TABLE t(a, b)");
    for key in [&b""[..], b"1234567", b"123456789"] {
        let error = refused("t", &rowid, key, b"\x01\x02\x00\x00");
        assert!(matches!(error, Error::Damaged { .. }), "{key:?}: {error:?}");
    }
    let settings = format!(
        "{HEAD}key primary NOCASE\nCREATE TABLE t(a TEXT COLLATE NOCASE PRIMARY KEY) WITHOUT ROWID"
    );
    for key in [&b""[..], b"\x03A\0\0", b"\x03b\0\0", b"\x03a\0\0\0", b"\x04a\0\0"] {
        let error = refused("t", &settings, key, b"\x01\x01\x03\x01A");
        assert!(matches!(error, Error::Damaged { .. }), "{key:?}: {error:?}");
    }
    restore("t", &settings, b"\x03a\0\0", b"\x01\x01\x03\x01A").0.unwrap();
}

#[test]
fn statements_that_are_not_the_tables_are_never_run() {
    let beside = TempDir::new().unwrap();
    let trap = beside.path().join("trap.db");
    let trap = trap.display();
    let statements = [
        "",
        "CREATE TABLE main.t(a)",
        "CREATE TEMP TABLE t(a)",
        "CREATE TABLE IF NOT EXISTS t(a)",
        "CREATE TABLE t AS SELECT 1 AS a",
        "CREATE VIEW t AS SELECT 1 AS a",
        "CREATE VIRTUAL TABLE t USING fts5(a)",
        &format!("ATTACH '{trap}' AS t"),
        &format!("CREATE TABLE t(a); ATTACH '{trap}' AS u"),
        &format!("CREATE TABLE t(a); ATTACH '{trap}' AS u; CREATE TABLE u.t(a)"),
        "CREATE TABLE t(a); CREATE TABLE u(a)",
        "CREATE TABLE t(a); PRAGMA journal_mode = WAL",
        "CREATE TABLE t(a)) ; PRAGMA journal_mode = WAL",
        "PRAGMA journal_mode = WAL",
        "/* CREATE TABLE t(a) */ PRAGMA journal_mode = WAL",
        "VACUUM",
    ];
    for statement in statements {
        let settings = format!("{HEAD}key rowid\n{statement}");
        // What stands behind the table's own statement is kept as text, and never run.
        let is_its_own = ["CREATE TABLE t(a);", "CREATE TABLE IF NOT EXISTS", "CREATE TEMP TABLE"];
        if is_its_own.iter().any(|begins| statement.starts_with(begins)) {
            let (done, folder) = restore("t", &settings, ONE, b"\x01\x01\x00");
            done.unwrap();
            let copy = Connection::open(folder.path().join("copy.db")).unwrap();
            copy.execute_batch("PRAGMA writable_schema = ON").unwrap();
            let count = "SELECT count(*) FROM sqlite_schema";
            // The first question after a schema that does not parse as a whole is refused.
            let _ = copy.prepare(count);
            assert_eq!(copy.query_row(count, [], |row| row.get(0)), Ok(1), "{statement}");
            let count = "SELECT count(*) FROM main.t";
            assert_eq!(copy.query_row(count, [], |row| row.get(0)), Ok(1), "{statement}");
            continue;
        }
        let (done, _folder) = restore("t", &settings, ONE, b"\x01\x01\x00");
        assert!(matches!(done, Err(Error::Unsupported { .. })), "{statement}: {done:?}");
    }
    assert_eq!(std::fs::read_dir(beside.path()).unwrap().count(), 0, "nothing was attached");
}

#[test]
fn a_table_without_its_schema_may_have_another_name() {
    let own = "CREATE TABLE \"its own\"(a, b REFERENCES \"its own\"(a))";
    for name in ["t", "a \"name\"; DROP TABLE t", "its own"] {
        let settings = format!("{HEAD}key rowid\n{own}");
        let (done, folder) = restore(name, &settings, ONE, b"\x01\x02\x03\x02\x00hi");
        done.unwrap();
        let copy = Connection::open(folder.path().join("copy.db")).unwrap();
        let sql = format!("SELECT a FROM \"{}\"", name.replace('"', "\"\""));
        let found: String = copy.query_row(&sql, [], |row| row.get(0)).unwrap();
        assert_eq!(found, "hi");
        let tables = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
        assert_eq!(copy.query_row(tables, [], |row| row.get(0)), Ok(1));
    }
    // SQLite's own names stay its own.
    let settings = format!("{HEAD}key rowid\n{own}");
    refused("sqlite_t", &settings, ONE, b"\x01\x02\x00\x00");
    let settings = format!("{HEAD}key rowid\nCREATE TABLE sqlite_stat1(tbl,idx,stat)");
    refused("t", &settings, ONE, b"\x01\x03\x00\x00\x00");
}

#[test]
fn the_schema_table_is_no_table_of_a_plan() {
    let settings = format!("{HEAD}key rowid\nCREATE TABLE sqlite_master(a)");
    let error = refused("sqlite_master", &settings, ONE, b"\x01\x01\x00");
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

#[test]
fn settings_that_do_not_fit_are_refused() {
    for (settings, kind) in [
        ("sqlite-rows 2\nencoding UTF-8\nkey rowid\nCREATE TABLE t(a)", "Unsupported"),
        ("sqlite-rows 1\nencoding UTF-8\nkey primary BINARY\nCREATE TABLE t(a)", "Invalid"),
        (
            "sqlite-rows 1\nencoding UTF-8\nkey rowid\nCREATE TABLE t(a PRIMARY KEY) WITHOUT ROWID",
            "Invalid",
        ),
        ("sqlite-rows 1\nencoding UTF-9\nkey rowid\nCREATE TABLE t(a)", "Invalid"),
        ("sqlite-rows 1\nkey rowid\nCREATE TABLE t(a)", "Invalid"),
        ("sqlite-rows 1\n", "Invalid"),
    ] {
        let error = refused("t", settings, ONE, b"\x01\x01\x00");
        assert!(format!("{error:?}").starts_with(kind), "{settings}: {error:?}");
    }
}

#[test]
fn a_plan_that_mixes_engines_is_refused_in_words() {
    let table = DatabaseInfo {
        settings: Some(format!("{HEAD}key rowid\nCREATE TABLE t(a)")),
        ..DatabaseInfo::new("t")
    };
    let databases = vec![table, DatabaseInfo::new("default")];
    let content = Content::Records { layout: Layout::Plain, databases };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    let folder = TempDir::new().unwrap();
    let target = SqliteTarget::path(folder.path().join("copy.db")).unwrap();
    let Err(error) = target.begin(plan, &Context::default()).block_on() else {
        panic!("a plan of two engines was taken");
    };
    assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
}

/// A text of less than 128 bytes as an entry of a head.
fn entry(text: &str) -> [u8; 2] {
    [3, u8::try_from(text.len()).unwrap()]
}

/// Restores a table and a schema of it and another object.
fn with_object(kind: &str, name: &str, sql: &str) -> (Result<Restored>, TempDir) {
    let folder = TempDir::new().unwrap();
    let statement = "CREATE TABLE t(a)";
    let schema = "schema page_size=4096 auto_vacuum=0 application_id=0 user_version=0 journal_mode=delete reserved=0";
    let info = |name, rest: &str| DatabaseInfo {
        settings: Some(format!("{HEAD}{rest}")),
        ..DatabaseInfo::new(name)
    };
    let databases =
        vec![info("sqlite_schema", schema), info("t", &format!("key rowid\n{statement}"))];
    let content = Content::Records { layout: Layout::Plain, databases };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    let target = SqliteTarget::path(folder.path().join("copy.db")).unwrap();
    let record = |rowid: u8, texts: [&str; 4]| {
        let [kind, name, _, _] = texts;
        let key = [b"\x03", kind.as_bytes(), b"\0\0\x03", name.as_bytes(), b"\0\0"].concat();
        let mut value = vec![1, 5, 1];
        value.extend(texts.iter().flat_map(|text| entry(text)));
        value.extend([rowid, 0, 0, 0, 0, 0, 0, 0]);
        value.extend(texts.iter().flat_map(|text| text.bytes()));
        (key, value)
    };
    let mut records =
        vec![record(1, ["table", "t", "t", statement]), record(2, [kind, name, "t", sql])];
    records.sort();
    let done = async {
        let mut restore = target.begin(plan, &Context::default()).await?;
        let mut batch = RecordBatch::new();
        for (key, value) in &records {
            batch.push(Record::whole(b"", key, value))?;
        }
        restore.load(0, batch).await?;
        restore.finish().await
    };
    (done.block_on(), folder)
}

#[test]
fn objects_of_a_schema_are_kept_as_text_or_made_by_their_own_statement_alone() {
    let schema = |folder: &TempDir| -> Vec<String> {
        let copy = Connection::open(folder.path().join("copy.db")).unwrap();
        copy.execute_batch("PRAGMA writable_schema = ON").unwrap();
        let sql = "SELECT type || ' ' || name FROM sqlite_schema ORDER BY rowid";
        // The first question after a schema that does not parse as a whole is refused.
        let _ = copy.prepare(sql);
        let mut statement = copy.prepare(sql).unwrap();
        let found = statement.query_map([], |row| row.get(0)).unwrap();
        found.map(|name| name.unwrap()).collect()
    };
    let (done, folder) = with_object("index", "i", "CREATE INDEX i ON t(a)");
    done.unwrap();
    assert_eq!(schema(&folder), ["table t", "index i"]);
    for sql in [
        "CREATE INDEX i ON t(a); DROP TABLE t",
        "CREATE INDEX j ON t(a)",
        "CREATE INDEX i ON t(no_such_function(a))",
        "PRAGMA journal_mode = WAL",
        "",
    ] {
        let (done, folder) = with_object("index", "i", sql);
        done.unwrap();
        assert_eq!(schema(&folder), ["table t"], "{sql}");
    }
    for (kind, name, sql) in [
        ("view", "v", "CREATE VIEW v AS SELECT 1; ATTACH 'x.db' AS x"),
        ("view", "v", "CREATE TEMP VIEW v AS SELECT 1"),
        ("trigger", "r", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END; VACUUM"),
        ("trigger", "r", "CREATE TABLE r(a)"),
        ("table", "f", "CREATE VIRTUAL TABLE g USING fts5(a)"),
    ] {
        let (done, folder) = with_object(kind, name, sql);
        done.unwrap();
        assert_eq!(schema(&folder), ["table t".to_owned(), format!("{kind} {name}")], "{sql}");
    }
    // What a record of a setting says beside what the settings say is of no effect.
    with_object("setting", "page_size", "CREATE TABLE u(a)").0.unwrap();
    let (done, folder) = with_object("window", "w", "CREATE WINDOW w");
    assert!(matches!(done.unwrap_err(), Error::Damaged { .. }));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
