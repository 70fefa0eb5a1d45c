//! What the tests stand on: databases of SQL, brought there and back, and compared by other means.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use backend_sqlite::{SqliteSource, SqliteTarget};
use backup_core::Result;
use backup_core::record::RecordKey;
use backup_core::target::{Existing, NotCarried, Restored};
use pollster::FutureExt as _;
use rusqlite::types::Value;
use rusqlite::{Connection, config::DbConfig};
use tempfile::TempDir;
use testkit::contents::{contents, snapshot_contents, sums};
use testkit::transfer::{load, transfer};

/// A folder with an original and the place of its copy.
pub(crate) struct Ground {
    pub(crate) folder: TempDir,
}

impl Ground {
    /// A database made by these statements.
    pub(crate) fn new(sql: &str) -> Self {
        let ground = Self::empty();
        let connection = ground.connection();
        connection.pragma_update(None, "foreign_keys", 0).unwrap();
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
        connection.execute_batch(sql).unwrap();
        ground
    }

    /// No database yet.
    pub(crate) fn empty() -> Self {
        Self { folder: TempDir::new().unwrap() }
    }

    pub(crate) fn original(&self) -> PathBuf {
        self.folder.path().join("original.db")
    }

    pub(crate) fn copy(&self) -> PathBuf {
        self.folder.path().join("copy.db")
    }

    /// A connection to the original.
    pub(crate) fn connection(&self) -> Connection {
        Connection::open(self.original()).unwrap()
    }

    /// Restores a backup of the original.
    pub(crate) fn transfer(&self) -> Result<Restored> {
        let (source, target) = (
            SqliteSource::path(self.original()).unwrap(),
            SqliteTarget::path(self.copy()).unwrap(),
        );
        transfer(&source, &target, Existing::Refuse).block_on()
    }

    /// Restores a backup of the original, and compares the two by sums, by values and by dumps.
    #[track_caller]
    pub(crate) fn assert_round_trip(&self) -> Restored {
        let restored = self.transfer().unwrap();
        let of = |path: &Path| sums(&SqliteSource::path(path).unwrap()).block_on().unwrap();
        let (expected, found) = (of(&self.original()), of(&self.copy()));
        assert_eq!(expected, found, "the sums of the schema and the tables");
        let (expected, found) = (values(&self.original()), values(&self.copy()));
        assert_eq!(expected.len(), found.len(), "{expected:?} and {found:?}");
        for (expected, found) in expected.iter().zip(&found) {
            assert_eq!(expected, found);
        }
        if let (Some(expected), Some(found)) = (dump(&self.original()), dump(&self.copy())) {
            assert_eq!(expected, found, "what the shell dumps");
        }
        restored
    }

    /// Compares what a restore builds with what the original has, but for what it says that it could not make,
    /// and publishes it. Gives the latter.
    #[track_caller]
    pub(crate) fn assert_proved(&self) -> Vec<NotCarried> {
        let source = SqliteSource::path(self.original()).unwrap();
        let target = SqliteTarget::path(self.copy()).unwrap();
        let restore = load(&source, &target, Existing::Refuse).block_on().unwrap();
        let built = restore.complete().block_on().unwrap();
        let not_carried = built.not_carried().to_vec();
        let mut expected = contents(&source).block_on().unwrap();
        let schema = expected.databases.get_mut("sqlite_schema").unwrap();
        for batch in not_carried.iter().flat_map(|part| &part.records) {
            for record in batch.1.iter() {
                assert!(schema.remove(&RecordKey::new(b"", record.key)).is_some());
            }
        }
        let found = built.records().block_on().unwrap().unwrap();
        expected
            .assert_same(&snapshot_contents(found.as_ref()).block_on().unwrap(), "what is built");
        drop(found);
        built.publish().block_on().unwrap();
        not_carried
    }

    /// One value of the copy.
    #[track_caller]
    pub(crate) fn ask<T: rusqlite::types::FromSql>(&self, sql: &str) -> T {
        let copy = Connection::open(self.copy()).unwrap();
        copy.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

/// Every object of the schema and every column of every row, with its class, as lines.
pub(crate) fn values(path: &Path) -> Vec<String> {
    let connection = Connection::open(path).unwrap();
    // Nothing is looked for here, so any order does.
    connection.create_collation("mine", str::cmp).unwrap();
    // A schema that SQLite cannot read as a whole is read as far as it can be, at the second question.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true).unwrap();
    let _ = connection.prepare("SELECT 1 FROM sqlite_schema");
    let mut lines = Vec::new();
    for pragma in ["page_size", "encoding", "auto_vacuum", "application_id", "user_version"] {
        let value: Value = connection.pragma_query_value(None, pragma, |row| row.get(0)).unwrap();
        lines.push(format!("{pragma} {value:?}"));
    }
    let mode: String =
        connection.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
    lines.push(format!("wal {}", mode == "wal"));
    let schema = "SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name";
    let mut statement = connection.prepare(schema).unwrap();
    let mut objects = statement.query([]).unwrap();
    while let Some(row) = objects.next().unwrap() {
        let columns: Vec<Option<String>> = (0..4).map(|at| row.get(at).unwrap()).collect();
        lines.push(format!("{columns:?}"));
    }
    let tables = "SELECT name, wr FROM pragma_table_list
         WHERE schema = 'main' AND type IN ('table', 'shadow') AND name <> 'sqlite_schema' ORDER BY name";
    let mut statement = connection.prepare(tables).unwrap();
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let tables: Vec<(String, bool)> = found.map(|found| found.unwrap()).collect();
    for (name, without_rowid) in tables {
        lines.extend(rows(&connection, &name, without_rowid));
    }
    lines
}

fn rows(connection: &Connection, table: &str, without_rowid: bool) -> Vec<String> {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    let mut statement = connection
        .prepare("SELECT name FROM pragma_table_xinfo(?1) WHERE hidden <> 1 ORDER BY cid")
        .unwrap();
    let names: Vec<String> =
        statement.query_map([table], |row| row.get(0)).unwrap().map(|name| name.unwrap()).collect();
    let rowid = ["_rowid_", "oid", "rowid"]
        .into_iter()
        .find(|rowid| !names.iter().any(|name| name.eq_ignore_ascii_case(rowid)));
    let mut columns: Vec<_> = names
        .iter()
        .map(|name| quoted(name))
        .map(|name| format!("typeof({name}), CAST({name} AS BLOB), {name}"))
        .collect();
    let rowid = rowid.filter(|_| !without_rowid);
    columns.extend(rowid.map(|rowid| format!("'rowid', x'', {rowid}")));
    // An index may not have what its table has.
    let way = if without_rowid { "" } else { " NOT INDEXED" };
    let sql = format!("SELECT {} FROM {}{way}", columns.join(", "), quoted(table));
    let mut statement = connection.prepare(&sql).unwrap();
    let mut rows = statement.query([]).unwrap();
    let mut lines = Vec::new();
    while let Some(row) = rows.next().unwrap() {
        let mut line = format!("{table}:");
        for column in 0..columns.len() {
            let kind: String = row.get(3 * column).unwrap();
            let bytes: Option<Vec<u8>> = row.get(3 * column + 1).unwrap();
            let number = match kind.as_str() {
                "integer" | "rowid" => row.get::<_, i64>(3 * column + 2).unwrap().to_string(),
                "real" => format!("{:x}", row.get::<_, f64>(3 * column + 2).unwrap().to_bits()),
                _ => String::new(),
            };
            let bytes = bytes.map(|bytes| bytes.escape_ascii().to_string());
            // Writing to a string cannot fail.
            let _ = write!(line, " {kind} {number} {bytes:?},");
        }
        lines.push(line);
    }
    lines.sort();
    lines
}

/// What the system's shell of SQLite dumps, in sorted lines; none without it.
fn dump(path: &Path) -> Option<Vec<String>> {
    let mut shell = Command::new(testkit::program::named("KEEPSUM_SQLITE3")?);
    let output = shell.arg("-readonly").arg(path).arg(".dump").stderr(Stdio::null()).output();
    let output = output.unwrap();
    let mut lines: Vec<_> =
        String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    Some(lines)
}
