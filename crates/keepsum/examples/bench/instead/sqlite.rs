//! SQLite's own ways: its shell, a bare `SELECT`, and a loop of inserts.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};
use rusqlite::{Connection, OpenFlags, params};

use super::programs::run;
use crate::database::{Database, INDEX, TABLE};
use crate::folder;

/// How many rows one `INSERT` has.
const ROWS: usize = 16;

/// `VACUUM INTO`, and an fsync, which it leaves out.
pub(crate) fn vacuum_into(shell: &str, from: &Database, to: &Path) -> Result<()> {
    run_shell(shell, from, &format!("VACUUM INTO '{}'", to.display()))?;
    folder::sync_one(to)
}

/// The shell's `.backup`, which syncs.
pub(crate) fn dot_backup(shell: &str, from: &Database, to: &Path) -> Result<()> {
    run_shell(shell, from, &format!(".backup '{}'", to.display()))
}

fn run_shell(shell: &str, from: &Database, sql: &str) -> Result<()> {
    run(Command::new(shell).arg("-bail").arg(&from.path).arg(sql))
}

/// Reads every column of every row by one statement, as rusqlite lends them.
pub(crate) fn select_all(from: &Database) -> Result<()> {
    let connection = Connection::open_with_flags(&from.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let mut select = connection.prepare("SELECT * FROM records")?;
    let mut rows = select.query([])?;
    let (mut count, mut bytes) = (0, 0);
    while let Some(row) = rows.next()? {
        let _id: i64 = row.get(0)?;
        bytes += row.get_ref(1)?.as_blob()?.len() + row.get_ref(2)?.as_blob()?.len();
        count += 1;
    }
    let expected = (from.shape.records, from.shape.bytes());
    ensure!((count, bytes as u64) == expected, "a SELECT met {count} rows of {bytes} bytes");
    Ok(())
}

/// Inserts the rows of a database into a new one: one transaction, a prepared statement of several rows,
/// then the index, then an fsync.
pub(crate) fn insert_all(from: &Database, to: &Path) -> Result<()> {
    let source = Connection::open_with_flags(&from.path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let target = Connection::open(to).context("cannot make a database")?;
    // As fast as SQLite is where a failure throws the file away.
    let unsafe_speed = "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF";
    target.execute_batch(&format!("{unsafe_speed}; {TABLE}; BEGIN"))?;
    let marks = vec!["(?, ?, ?)"; ROWS].join(", ");
    let mut several = target.prepare(&format!("INSERT INTO records VALUES {marks}"))?;
    let mut one = target.prepare("INSERT INTO records VALUES (?, ?, ?)")?;
    let mut select = source.prepare("SELECT * FROM records")?;
    let mut rows = select.query([])?;
    let mut waiting: Vec<(i64, Vec<u8>, Vec<u8>)> = Vec::new();
    while let Some(row) = rows.next()? {
        waiting.push((row.get(0)?, row.get(1)?, row.get(2)?));
        if waiting.len() == ROWS {
            for (index, (id, key, value)) in waiting.drain(..).enumerate() {
                several.raw_bind_parameter(index * 3 + 1, id)?;
                several.raw_bind_parameter(index * 3 + 2, key)?;
                several.raw_bind_parameter(index * 3 + 3, value)?;
            }
            several.raw_execute()?;
        }
    }
    for (id, key, value) in waiting {
        one.execute(params![id, key, value])?;
    }
    drop((several, one));
    target.execute_batch(&format!("{INDEX}; COMMIT"))?;
    target.close().map_err(|(_, error)| error).context("cannot close a database")?;
    folder::sync_one(to)
}
