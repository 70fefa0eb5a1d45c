//! A database that changed while it was read.

use std::fmt;
use std::path::Path;

use backup_core::Error;

use crate::ENGINE;

/// Why nothing more of a snapshot can be read, and nothing that was read of it may be used: the database
/// changed. A new snapshot may succeed.
///
/// It is the source of an [`Error::Engine`]; [`Changed::is`] finds it there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Changed {
    tries: u32,
}

impl Changed {
    /// The error for the database at a path, where this was the try number `tries`.
    pub(crate) fn error(database: &Path, tries: u32) -> Error {
        Error::engine(ENGINE, format!("read {} as it was", database.display()))(Self { tries })
    }

    /// Whether an error says that the database changed, so that the backup should begin again.
    pub fn is(error: &Error) -> bool {
        matches!(error, Error::Engine { source, .. } if source.downcast_ref::<Self>().is_some())
    }

    /// What to answer when too many tries in a row ended so.
    pub fn too_often(database: &Path, tries: u32) -> Error {
        Error::unsupported(
            format!("reading {} while it is written", database.display()),
            format!(
                "it is in rollback-journal mode, where a reader and a writer exclude each other, and it \
                 changed before it was read whole, {tries} times; let the writers wait (--block-writers), \
                 name a scratch folder on a file system that shares blocks between files (--scratch; \
                 Btrfs, XFS), or have its program use the write-ahead log (PRAGMA journal_mode=WAL)"
            ),
        )
    }
}

impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "it changed while it was read, at try {}; begin again", self.tries)
    }
}

impl std::error::Error for Changed {}
