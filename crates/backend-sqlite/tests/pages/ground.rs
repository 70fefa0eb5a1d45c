//! What the tests stand on: databases made, read as pages, restored and looked at.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use backend_sqlite::pages::{Options, PageSnapshot, capture};
use backup_core::progress::Context;
use backup_core::{Error, Files, Result};
use pollster::FutureExt as _;
use rusqlite::Connection;
use tempfile::TempDir;

/// What all accounts hold together, whatever is transferred.
pub(crate) const SUM: i64 = 200_000;

/// How much is read at a time: no multiple of any page.
const PIECE: u64 = 999_983;

/// The time of the system.
#[expect(clippy::disallowed_methods, reason = "files get their times from the system")]
pub(crate) fn now() -> SystemTime {
    SystemTime::now()
}

/// Options with the system's clock.
pub(crate) fn options() -> Options {
    Options { clock: Arc::new(now), ..Options::default() }
}

/// A clock by which all that is there was changed long ago.
pub(crate) fn later() -> Options {
    Options { clock: Arc::new(|| now() + Duration::from_hours(1)), ..Options::default() }
}

pub(crate) fn take(path: &Path) -> Result<PageSnapshot> {
    capture(path, &options(), &Context::default())
}

/// As [`take`], of files that nobody is about to change: nothing waits until that would show.
pub(crate) fn take_settled(path: &Path) -> Result<PageSnapshot> {
    capture(path, &later(), &Context::default())
}

/// All bytes of a snapshot, in pieces.
pub(crate) fn bytes_of(snapshot: &PageSnapshot) -> Result<Vec<u8>> {
    let length = snapshot.list()[0].bytes;
    let mut bytes = Vec::new();
    let mut at = 0;
    while at < length {
        let end = (at + PIECE).min(length);
        bytes.extend_from_slice(&snapshot.read(0, at..end).block_on()?);
        at = end;
    }
    Ok(bytes)
}

/// A place with a database that is not there yet.
pub(crate) fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("the database.db");
    (folder, path)
}

/// Makes a database with accounts, after these pragmas.
pub(crate) fn make(path: &Path, pragmas: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(pragmas).unwrap();
    connection
        .execute_batch(
            "CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, pad BLOB);
             CREATE TABLE log(id INTEGER PRIMARY KEY, what TEXT);
             CREATE TABLE pairs(a TEXT, b BLOB, PRIMARY KEY(a, b)) WITHOUT ROWID;
             CREATE INDEX by_balance ON accounts(balance);
             BEGIN;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
               INSERT INTO accounts SELECT i, 1000, randomblob(900) FROM n;
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
               INSERT INTO pairs SELECT 'key ' || i, randomblob(50) FROM n;
             COMMIT;
             PRAGMA user_version = 77;
             PRAGMA application_id = 123456;",
        )
        .unwrap();
    connection
}

/// What a database holds, and that it is sound.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Held {
    pub(crate) sum: i64,
    pub(crate) logged: (i64, i64),
    pub(crate) user_version: i64,
}

pub(crate) fn look(path: &Path) -> Held {
    let connection = Connection::open(path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let number = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    Held {
        sum: number("SELECT sum(balance) FROM accounts"),
        logged: (number("SELECT count(*) FROM log"), number("SELECT ifnull(max(id), 0) FROM log")),
        user_version: number("PRAGMA user_version"),
    }
}

/// Writes an image where nothing else is, and looks into it.
pub(crate) fn look_into(image: &[u8]) -> Held {
    let (_folder, path) = place();
    fs::write(&path, image).unwrap();
    look(&path)
}

/// What SQLite makes of a copy of a database's files.
pub(crate) fn recovered(database: &Path) -> Held {
    let (_folder, copy) = place();
    copy_files(database, &copy);
    look(&copy)
}

/// Copies a database's files, all but the memory that its processes share.
pub(crate) fn copy_files(database: &Path, copy: &Path) {
    for suffix in ["", "-wal", "-journal"] {
        let from = beside(database, suffix);
        if from.exists() {
            fs::copy(from, beside(copy, suffix)).unwrap();
        }
    }
}

/// The main file after SQLite recovered a copy and carried everything back into it.
pub(crate) fn carried_back(database: &Path) -> Vec<u8> {
    let (_folder, copy) = place();
    copy_files(database, &copy);
    let connection = Connection::open(&copy).unwrap();
    connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(())).unwrap();
    connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
    drop(connection);
    fs::read(copy).unwrap()
}

pub(crate) fn beside(database: &Path, suffix: &str) -> PathBuf {
    let mut name = database.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// What can be seen of a file: which it is, its length and mode; and when it was changed.
pub(crate) type SeenFile = ((PathBuf, u64, u64, u32), [(i64, i64); 2]);

/// Everything that can be seen of the files in a folder, and of the folder.
pub(crate) fn seen(folder: &Path) -> Vec<SeenFile> {
    let mut all: Vec<_> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    all.push(folder.to_owned());
    all.sort();
    all.into_iter()
        .map(|path| {
            let found = fs::metadata(&path).unwrap();
            let modified = (found.mtime(), found.mtime_nsec());
            let changed = (found.ctime(), found.ctime_nsec());
            ((path, found.ino(), found.len(), found.mode()), [modified, changed])
        })
        .collect()
}

/// An error with all its causes.
pub(crate) fn chain(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(next) = cause {
        text = format!("{text}: {next}");
        cause = next.source();
    }
    text
}
