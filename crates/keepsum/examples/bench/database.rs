//! The SQLite databases that are measured: rows of one size with an index, in WAL mode, and open, as an
//! application has them.

use std::fmt;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rusqlite::{Connection, params};

use crate::folder;
use crate::noise::Noise;
use crate::store::Shape;

pub(crate) const TABLE: &str =
    "CREATE TABLE records(id INTEGER PRIMARY KEY, key BLOB NOT NULL, value BLOB NOT NULL)";
pub(crate) const INDEX: &str = "CREATE INDEX by_key ON records(key)";

/// The length of pages, SQLite's default.
const PAGE_BYTES: usize = 4096;

/// A database in a folder of its own, held open.
pub(crate) struct Database {
    pub(crate) folder: PathBuf,
    pub(crate) path: PathBuf,
    pub(crate) shape: Shape,
    pub(crate) bytes_on_disk: u64,
    pub(crate) connection: Connection,
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (rows, disk) = (self.shape.records, self.bytes_on_disk >> 20);
        let value_bytes = self.shape.value_bytes();
        write!(f, "{rows} rows with values of {value_bytes} bytes and an index, {disk} MiB on disk")
    }
}

impl Database {
    /// Fills a new database and checkpoints it. The same shape gives the same rows.
    pub(crate) fn make(folder: &Path, shape: Shape) -> Result<Self> {
        fs::create_dir(folder).with_context(|| format!("cannot make {}", folder.display()))?;
        let path = folder.join("data.db");
        let connection = Connection::open(&path).context("cannot make a database")?;
        connection
            .execute_batch(&format!("PRAGMA journal_mode = WAL; {TABLE}; BEGIN"))
            .context("cannot make a table")?;
        let mut insert = connection.prepare("INSERT INTO records VALUES (?1, ?2, ?3)")?;
        for number in 0..shape.records {
            insert.execute(params![
                number.cast_signed(),
                shape.key(number),
                shape.value(number, 0)
            ])?;
        }
        drop(insert);
        connection.execute_batch(&format!("{INDEX}; COMMIT")).context("cannot fill a table")?;
        let mut database =
            Self { folder: folder.to_path_buf(), path, shape, bytes_on_disk: 0, connection };
        database.checkpoint()?;
        database.bytes_on_disk = fs::metadata(&database.path).context("cannot read a size")?.len();
        println!("database: {database}");
        Ok(database)
    }

    /// The address that keepsum reads it by.
    pub(crate) fn url(&self) -> String {
        format!("sqlite:{}", self.path.display())
    }

    /// Moves all that is in the log into the database.
    pub(crate) fn checkpoint(&self) -> Result<()> {
        self.connection
            .query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
            .context("cannot checkpoint")
    }

    /// Gives neighbouring rows values that do not compress. Returns the bytes of the pages that differ now.
    pub(crate) fn change(&self, rows: Range<u64>) -> Result<u64> {
        let before = self.folder.with_extension("before");
        fs::copy(&self.path, &before).context("cannot copy the database")?;
        self.connection.execute_batch("BEGIN")?;
        let mut update = self.connection.prepare("UPDATE records SET value = ?2 WHERE id = ?1")?;
        for number in rows {
            let noise = Noise(!number).noise(self.shape.value_bytes());
            update.execute(params![number.cast_signed(), noise])?;
        }
        drop(update);
        self.connection.execute_batch("COMMIT").context("cannot change rows")?;
        self.checkpoint()?;
        let changed = differing_pages(&before, &self.path)?;
        fs::remove_file(&before).context("cannot remove a copy")?;
        Ok(changed * PAGE_BYTES as u64)
    }

    /// Removes the database.
    pub(crate) fn remove(self) -> Result<()> {
        drop(self.connection);
        folder::remove(&self.folder)
    }
}

/// How many pages two files of the same length do not have in common.
fn differing_pages(one: &Path, other: &Path) -> Result<u64> {
    use std::io::{BufReader, Read};
    let open =
        |path: &Path| fs::File::open(path).map(|file| BufReader::with_capacity(1 << 20, file));
    let (mut one, mut other) = (open(one)?, open(other)?);
    let (mut a, mut b) = ([0; PAGE_BYTES], [0; PAGE_BYTES]);
    let mut pages = 0;
    while one.read_exact(&mut a).is_ok() {
        other.read_exact(&mut b).context("the database became shorter")?;
        pages += u64::from(a != b);
    }
    Ok(pages)
}
