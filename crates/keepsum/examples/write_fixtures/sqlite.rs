//! The SQLite databases that fixtures are made of.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;
use backend_sqlite::SqliteStore;
use backup_core::kv::{Access, KeyValueStore, WriteBatch};
use rusqlite::Connection;
use serde_json::{Value, json};

/// A database with rows, and what is asked of it when it is restored, each answer in words.
pub(crate) struct Rows {
    sql: &'static str,
    questions: &'static [&'static str],
}

/// Tables of each kind with rows of every class, an index, a view and a trigger.
pub(crate) const ROWS: Rows = Rows {
    sql: "
    CREATE TABLE accounts(id INTEGER PRIMARY KEY, owner TEXT NOT NULL, balance NUMERIC);
    INSERT INTO accounts(owner, balance) VALUES('one', 100), ('two', -2.5), ('three', NULL);
    CREATE TABLE pairs(a TEXT COLLATE NOCASE, b BLOB, c, PRIMARY KEY(a, b DESC)) WITHOUT ROWID;
    INSERT INTO pairs VALUES('Key', x'00ff00', 1), ('key', x'', 'text'), ('KEY', x'00', NULL);
    CREATE TABLE classes(k PRIMARY KEY, v);
    INSERT INTO classes VALUES
        (NULL, NULL), (NULL, 'a second NULL'), (-9223372036854775808, 0), (9007199254740993, -0.0),
        (9007199254740992.0, 1e300), ('', ''), ('text', 'ünï' || char(0) || 'code'), (x'00', zeroblob(3000));
    CREATE TABLE computed(a INTEGER, b INTEGER GENERATED ALWAYS AS (a * 2) STORED, c INTEGER AS (a + 1)) STRICT;
    INSERT INTO computed(a) VALUES(1), (2);
    CREATE UNIQUE INDEX by_owner ON accounts(owner COLLATE NOCASE) WHERE balance IS NOT NULL;
    CREATE VIEW rich AS SELECT owner FROM accounts WHERE balance > 0;
    CREATE TRIGGER logged AFTER INSERT ON accounts BEGIN INSERT INTO classes(v) VALUES(new.owner); END;
    PRAGMA application_id = 7;
    PRAGMA user_version = 8;
",
    questions: &[
        "SELECT group_concat(id || quote(owner) || quote(balance)) FROM (SELECT * FROM accounts ORDER BY id)",
        "SELECT group_concat(quote(a) || quote(b) || quote(c)) FROM (SELECT * FROM pairs ORDER BY a, b)",
        "SELECT group_concat(typeof(k) || quote(k) || quote(v)) FROM (SELECT * FROM classes ORDER BY k, v)",
        "SELECT group_concat(quote(a) || quote(b) || quote(c)) FROM computed",
        "SELECT owner FROM rich",
        "SELECT group_concat(type || name || tbl_name || coalesce(sql, '')) FROM sqlite_schema",
        "SELECT application_id || ' ' || user_version FROM pragma_application_id, pragma_user_version",
    ],
};

/// A virtual table, with the tables that it keeps.
pub(crate) const WORDS: Rows = Rows {
    sql: "
    CREATE VIRTUAL TABLE words USING fts5(body, columnsize=0);
    INSERT INTO words VALUES('backups that add up'), ('and others');
",
    questions: &[
        "SELECT group_concat(body) FROM words WHERE words MATCH 'add'",
        "SELECT group_concat(type || name || tbl_name || coalesce(sql, '')) FROM sqlite_schema",
    ],
};

impl Rows {
    /// Makes the database.
    pub(crate) fn make(&self, path: &Path) -> Result<()> {
        let connection = Connection::open(path)?;
        connection.execute_batch(self.sql)?;
        connection.close().map_err(|(_, error)| error.into())
    }

    /// The questions, and what a database answers.
    pub(crate) fn answers(&self, path: &Path) -> Result<Value> {
        let connection = Connection::open(path)?;
        let answer = |question: &&str| connection.query_row(question, [], |row| row.get(0));
        let answers: Vec<String> =
            self.questions.iter().map(answer).collect::<rusqlite::Result<_>>()?;
        Ok(json!({"questions": self.questions, "answers": answers}))
    }
}

/// A database in WAL mode, in use, of which a part is in the log alone.
pub(crate) fn live(path: &Path) -> Result<Connection> {
    let connection = Connection::open(path)?;
    connection.execute_batch(
        "PRAGMA page_size = 512; PRAGMA journal_mode = wal; PRAGMA wal_autocheckpoint = 0;
         CREATE TABLE t(a INTEGER PRIMARY KEY, b);
         WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)
           INSERT INTO t SELECT i, hex(i * i) || ' in the main file' FROM n;
         PRAGMA wal_checkpoint(TRUNCATE);
         UPDATE t SET b = 'in the log' WHERE a % 7 = 0;",
    )?;
    Ok(connection)
}

/// What the main file is once SQLite has carried the log back, in a copy in `scratch`.
pub(crate) fn carried_back(path: &Path, scratch: &Path) -> Result<Vec<u8>> {
    let copy = scratch.join("carried back.db");
    for suffix in ["", "-wal"] {
        fs::copy(beside(path, suffix), beside(&copy, suffix))?;
    }
    let connection = Connection::open(&copy)?;
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
    connection.close().map_err(|(_, error)| error)?;
    Ok(fs::read(copy)?)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(suffix);
    name.into()
}

/// A key-value store in a SQLite file, with root keys, empty values and one that is kept in pieces.
pub(crate) async fn store(path: &Path) -> Result<SqliteStore> {
    let store = SqliteStore::create(path)?;
    for name in ["accounts", "empty"] {
        store.create(name).await?;
    }
    let database = store.database("accounts").await?;
    for root_key in [&b""[..], b"root", b"\0\xff"] {
        let partition = database.open(root_key, Access::Exclusive).await?;
        let mut batch = WriteBatch::new();
        for number in 0..100_u8 {
            batch.put([number], [root_key, &[number; 20]].concat());
        }
        batch.put(b"empty value", b"");
        batch.put(b"long", vec![b'.'; 3 << 20]);
        partition.write_batch(batch).await?;
    }
    Ok(store)
}
