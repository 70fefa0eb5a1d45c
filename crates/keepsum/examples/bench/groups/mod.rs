//! What is measured, in groups that can be run alone.

mod files;
mod growth;
mod insert;
mod memory;
mod proof;
mod records;
mod restore;
mod sqlite;

use std::fmt;

use anyhow::Result;
use clap::ValueEnum;

use crate::figure::Table;
use crate::setting::Setting;

/// Bytes of the stores that most figures are promised for.
pub(crate) const GIB: u64 = 1 << 30;

/// Figures that are measured together.
#[derive(Clone, Copy, ValueEnum)]
pub(crate) enum Group {
    /// Backups of files beside cp, the BackupEngine and restic; again; after a change
    Files,
    /// What `--proof logical` costs
    Proof,
    /// Restores beside cp and write batches
    Restore,
    /// Backups of records beside a bare scan
    Records,
    /// What one new record among ten million sends
    Insert,
    /// Peak memory of backups and restores
    Memory,
    /// How time grows with the store and with the change
    Growth,
    /// Backups and restores of a SQLite database's pages beside cp, `VACUUM INTO` and `.backup`
    SqliteFiles,
    /// Backups and restores of a SQLite database's rows beside a SELECT and inserts
    SqliteRecords,
    /// What a backup costs who writes to a SQLite database meanwhile
    SqliteWriter,
    /// Peak memory of backups and restores of a SQLite database
    SqliteMemory,
}

impl Group {
    /// All, in an order in which stores can be shared.
    pub(crate) fn all() -> Vec<Self> {
        Self::value_variants().to_vec()
    }

    pub(crate) fn measure(self, setting: &mut Setting) -> Result<Table> {
        match self {
            Self::Files => files::measure(setting),
            Self::Proof => proof::measure(setting),
            Self::Restore => restore::measure(setting),
            Self::Records => records::measure(setting),
            Self::Insert => insert::measure(setting),
            Self::Memory => memory::measure(setting),
            Self::Growth => growth::measure(setting),
            Self::SqliteFiles => sqlite::files::measure(setting),
            Self::SqliteRecords => sqlite::records::measure(setting),
            Self::SqliteWriter => sqlite::writer::measure(setting),
            Self::SqliteMemory => sqlite::memory::measure(setting),
        }
    }
}

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = self.to_possible_value();
        f.write_str(value.as_ref().map_or("", |value| value.get_name()))
    }
}
