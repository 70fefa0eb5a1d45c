//! The store in SQLite, with a write-ahead log: `files`, `lines`, `folder` (what was read) and `change`, an
//! index and a full-text index of paths.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::Store;

/// How many bytes are written in one transaction while filling.
const BATCH: usize = 8 << 20;

const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    CREATE TABLE IF NOT EXISTS files(path TEXT PRIMARY KEY, content BLOB NOT NULL) WITHOUT ROWID;
    CREATE TABLE IF NOT EXISTS lines(id INTEGER PRIMARY KEY, path TEXT, number INTEGER, line TEXT);
    CREATE TABLE IF NOT EXISTS folder(path TEXT PRIMARY KEY, said TEXT);
    CREATE TABLE IF NOT EXISTS change(number INTEGER PRIMARY KEY, path TEXT);
    CREATE TABLE IF NOT EXISTS last(change INTEGER);
    CREATE INDEX IF NOT EXISTS by_path ON lines(path, number);
    CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5(path);
";

pub(crate) struct SqliteStore {
    connection: Connection,
    /// Bytes put since the last transaction ended.
    open: usize,
}

impl SqliteStore {
    pub(crate) fn open(store: &Path) -> Result<Self> {
        let opened = || -> rusqlite::Result<Connection> {
            let connection = Connection::open(store)?;
            connection.busy_timeout(Duration::from_secs(10))?;
            connection.execute_batch(SCHEMA)?;
            Ok(connection)
        };
        let connection = opened().with_context(|| format!("cannot open {}", store.display()))?;
        Ok(Self { connection, open: 0 })
    }

    fn put(&mut self, sql: &str, values: &[&dyn rusqlite::ToSql], bytes: usize) -> Result<()> {
        if self.open == 0 {
            self.connection.execute_batch("BEGIN")?;
        }
        self.connection.prepare_cached(sql)?.execute(values)?;
        self.open += bytes + 1;
        if self.open >= BATCH { self.write() } else { Ok(()) }
    }
}

impl Store for SqliteStore {
    fn put_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.put("INSERT INTO search VALUES (?1)", &[&path], path.len())?;
        let sql = "INSERT OR REPLACE INTO files VALUES (?1, ?2)";
        self.put(sql, &[&path, &content], path.len() + content.len())
    }

    fn put_line(&mut self, path: &str, number: u32, line: &str) -> Result<()> {
        let sql = "INSERT INTO lines(path, number, line) VALUES (?1, ?2, ?3)";
        self.put(sql, &[&path, &number, &line], path.len() + line.len())
    }

    fn put_read(&mut self, folder: &str, said: &str) -> Result<()> {
        self.put("INSERT OR REPLACE INTO folder VALUES (?1, ?2)", &[&folder, &said], said.len())
    }

    fn write(&mut self) -> Result<()> {
        if self.open > 0 {
            self.connection.execute_batch("COMMIT")?;
        }
        self.open = 0;
        Ok(())
    }

    fn paths(&self) -> Result<Vec<Vec<u8>>> {
        let mut statement = self.connection.prepare("SELECT path FROM files ORDER BY path")?;
        let paths = statement.query_map([], |row| row.get::<_, String>(0))?;
        paths.map(|path| Ok(path?.into_bytes())).collect()
    }

    fn change(&mut self, path: &[u8], number: u64, removes: bool) -> Result<()> {
        let path = std::str::from_utf8(path).context("a path is text here")?;
        let number = i64::try_from(number)?;
        let batch = self.connection.transaction()?;
        if removes {
            batch.execute("DELETE FROM files WHERE path = ?1", [path])?;
        } else {
            let said = format!("\nchange {number}\n");
            batch.execute(
                "INSERT INTO files VALUES (?1, CAST(?2 AS BLOB))
                 ON CONFLICT(path) DO UPDATE SET content = CAST(content || ?2 AS BLOB)",
                params![path, said],
            )?;
        }
        batch.execute("INSERT INTO change VALUES (?1, ?2)", params![number, path])?;
        batch.execute("DELETE FROM last", [])?;
        batch.execute("INSERT INTO last VALUES (?1)", [number])?;
        Ok(batch.commit()?)
    }

    fn last_change(&self) -> Result<u64> {
        let last =
            self.connection.query_row("SELECT change FROM last", [], |row| row.get::<_, i64>(0));
        Ok(u64::try_from(last.optional()?.unwrap_or(0))?)
    }

    fn changes(&self) -> Result<Vec<u64>> {
        let mut statement = self.connection.prepare("SELECT number FROM change ORDER BY number")?;
        let numbers = statement.query_map([], |row| row.get::<_, i64>(0))?;
        numbers.map(|number| Ok(u64::try_from(number?)?)).collect()
    }
}
