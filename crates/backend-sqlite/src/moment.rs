//! One moment of a database, seen through a connection.

use std::path::Path;
use std::sync::{Mutex, PoisonError};

use backup_core::position::Position;
use backup_core::{Error, Result};
use rusqlite::{Connection, OpenFlags};

use crate::ENGINE;

/// A connection in a read transaction: what it reads is of one moment for as long as it lives.
///
/// It is shared by all that read from it; each takes it for about a batch at a time, and no statement
/// stays open while it is given back.
#[derive(Debug)]
pub(crate) struct Moment {
    connection: Mutex<Connection>,
    position: Position,
    /// What a person should know of how the moment was taken.
    notes: Vec<String>,
}

impl Moment {
    /// The moment of the call.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no file, [`Error::Engine`] for what is no database.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let failed = |error| Error::engine(ENGINE, format!("open {}", path.display()))(error);
        let connection = Connection::open_with_flags(path, flags).map_err(failed)?;
        connection.execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;").map_err(failed)?;
        let (position, notes) = (Position::Unknown, Vec::new());
        Ok(Self { connection: Mutex::new(connection), position, notes })
    }

    /// Reads with the connection, which nobody else has meanwhile.
    ///
    /// # Errors
    /// Those of `read`.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        // A reader that panicked has changed nothing: the transaction only reads.
        read(&self.connection.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Where in the database's history it stands.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// What a person should know of how the moment was taken.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}
