//! The connections of an open store: one that writes, and a few that read.

use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use backup_core::{Error, Result};
use rusqlite::{Connection, ErrorCode, OpenFlags, TransactionBehavior};

use super::Durability;
use super::failure::failed;

/// How many readers are kept open, and how many reads of single keys go on at once.
const READERS: usize = 8;

/// How many prepared statements a connection keeps: those of about ten databases.
const STATEMENTS: usize = 64;

/// The pages that the writer keeps in memory, in KiB as `PRAGMA cache_size` counts them.
const WRITER_CACHE_KIB: i64 = 16 << 10;

/// The length in bytes to which the log is cut back once it is not needed, after it had grown beneath a
/// long scan.
const MAX_IDLE_LOG_BYTES: i64 = 64 << 20;

/// How a store's connections are set up.
#[derive(Debug, Clone, Copy)]
pub(super) struct Settings {
    pub(super) durability: Durability,
    pub(super) patience: Duration,
}

/// The connections of an open store.
///
/// Whoever writes has the one writer alone; in the same process nobody then meets `SQLITE_BUSY`. Readers
/// are taken by calls and scans and given back. A scan keeps its reader for as long as its consumer
/// likes, so scans never wait for one another: a reader is opened where none is idle, and closed where
/// enough are. Reads of single keys, of which an application may have thousands in flight, take turns.
#[derive(Debug)]
pub(super) struct Connections {
    path: PathBuf,
    settings: Settings,
    // Readers are closed before the writer: the last connection brings the log home, and must be able to.
    readers: Mutex<Readers>,
    turn_ended: Condvar,
    writer: Mutex<Connection>,
}

#[derive(Debug, Default)]
struct Readers {
    idle: Vec<Connection>,
    /// How many turns are taken.
    turns: usize,
}

/// A connection that reads, given back when dropped.
pub(super) struct Reader<'a> {
    connections: &'a Connections,
    connection: Option<Connection>,
}

/// Leave to read a few keys, given back when dropped.
pub(super) struct Turn<'a>(&'a Connections);

impl Connections {
    /// Those of a store whose writer is open.
    pub(super) fn new(path: PathBuf, settings: Settings, writer: Connection) -> Self {
        Self {
            path,
            settings,
            readers: Mutex::default(),
            turn_ended: Condvar::new(),
            writer: Mutex::new(writer),
        }
    }

    /// The store's file.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// A connection that reads.
    pub(super) fn reader(&self) -> Result<Reader<'_>> {
        let idle = self.readers().idle.pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open(&self.path, OpenFlags::SQLITE_OPEN_READ_ONLY, &self.settings)?,
        };
        Ok(Reader { connections: self, connection: Some(connection) })
    }

    /// Waits for leave to read a few keys. It must not be kept while a consumer is waited for.
    pub(super) fn turn(&self) -> Turn<'_> {
        let all_taken = |readers: &mut Readers| readers.turns >= READERS;
        let waited = self.turn_ended.wait_while(self.readers(), all_taken);
        waited.unwrap_or_else(PoisonError::into_inner).turns += 1;
        Turn(self)
    }

    /// Makes a change with the writer, in one transaction: all of it, or nothing where it fails.
    pub(super) fn change<T>(&self, change: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        // A change that panicked was rolled back when its transaction was dropped.
        let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
        let store = self.path.display().to_string();
        let transaction = writer
            .transaction_with_behavior(TransactionBehavior::Immediate)
            .map_err(failed("begin to write to", &store))?;
        let changed = change(&transaction)?;
        transaction.commit().map_err(failed("write to", &store))?;
        Ok(changed)
    }

    fn readers(&self) -> MutexGuard<'_, Readers> {
        // The lists are consistent after every statement, so a panic elsewhere leaves them usable.
        self.readers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Deref for Reader<'_> {
    type Target = Connection;

    fn deref(&self) -> &Connection {
        self.connection.as_ref().expect("a reader has its connection until it is dropped")
    }
}

impl Drop for Reader<'_> {
    fn drop(&mut self) {
        let mut readers = self.connections.readers();
        if readers.idle.len() < READERS {
            readers.idle.extend(self.connection.take());
        }
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        self.0.readers().turns -= 1;
        self.0.turn_ended.notify_one();
    }
}

/// Opens the file that is there.
pub(super) fn open(path: &Path, access: OpenFlags, settings: &Settings) -> Result<Connection> {
    let store = path.display().to_string();
    // Nobody uses a connection while another does: it needs no lock of its own.
    let flags = access | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("open", &store))?;
    connection.busy_timeout(settings.patience).map_err(failed("open", &store))?;
    connection.set_prepared_statement_cache_capacity(STATEMENTS);
    // SQLite reads the file only now.
    match connection.query_row("PRAGMA schema_version", [], |row| row.get::<_, i64>(0)) {
        Ok(_) => Ok(connection),
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::NotADatabase) => {
            let detail = "is no SQLite database, or one that is encrypted; name another file";
            Err(Error::invalid(store, detail))
        }
        Err(error) => Err(failed("open", &store)(error)),
    }
}

/// Makes a connection to a store the one that writes: from now on in WAL mode, so that readers and the
/// writer do not wait for one another.
pub(super) fn begin_to_write(
    connection: &Connection,
    path: &Path,
    settings: &Settings,
) -> Result<()> {
    let store = path.display().to_string();
    let mode: String = connection
        .query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))
        .map_err(failed("open", &store))?;
    if mode != "wal" {
        return Err(Error::unsupported(
            format!("writing to {store} beside readers"),
            format!("SQLite keeps it in the journal mode {mode}; move it to a local file system"),
        ));
    }
    // Without the last two, macOS calls durable what its disk may still lose.
    let synchronous = match settings.durability {
        Durability::Full => "FULL",
        Durability::Normal => "NORMAL",
    };
    let setup = format!(
        "PRAGMA synchronous = {synchronous}; PRAGMA cache_size = -{WRITER_CACHE_KIB}; \
         PRAGMA fullfsync = 1; PRAGMA checkpoint_fullfsync = 1;"
    );
    connection.execute_batch(&setup).map_err(failed("open", &store))?;
    connection
        .query_row(&format!("PRAGMA journal_size_limit = {MAX_IDLE_LOG_BYTES}"), [], |_| Ok(()))
        .map_err(failed("open", &store))
}
