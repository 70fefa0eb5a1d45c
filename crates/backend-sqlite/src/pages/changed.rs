//! A database that changed while it was read.

use std::path::Path;

use backup_core::Error;

/// Nothing more of a snapshot can be read, and nothing that was read of it may be used: the database at a
/// path changed. A new snapshot may succeed.
pub(crate) fn changed(database: &Path) -> Error {
    Error::Changed {
        what: format!("the database {}", database.display()),
        hint: "in rollback-journal mode a reader and a writer exclude each other: let the writers wait, \
               name a scratch folder on a file system that shares blocks between files (Btrfs, XFS), or have its program use the write-ahead log (PRAGMA \
               journal_mode=WAL)"
            .into(),
    }
}
