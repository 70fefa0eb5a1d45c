//! The portable file: a database as one BCS map, which any program with a BCS library reads.
//!
//! ```text
//! BTreeMap<root key: Vec<u8>, BTreeMap<key: Vec<u8>, value: Vec<u8>>>
//!
//! number of root keys       ULEB128
//!   root key                ULEB128 length, bytes
//!   number of its records   ULEB128
//!     key, value            each ULEB128 length, bytes
//! ```
//!
//! The form is canonical, so equal databases give equal files. BCS sorts a map by the *encoded* key:
//! by the ULEB128 bytes of its length, then by content, which puts the lengths 128, 256 and 384
//! before 129. Counts, and the lengths of values, are below 2^31. A root key without records is
//! valid BCS but no record; writers make none, and readers count and drop it.
//!
//! A portable file has **no checksum**. A reader refuses what is not canonical: a count that is
//! wrong, a file cut short or with something after its end, keys that are out of order. A flipped
//! bit in a key or a value is another valid file: only its LtHash tells (`keepsum hash`).
//!
//! Files are read and written here as streams, with memory that neither their size nor what they
//! claim decides; records are sorted through spill files.
//!
//! - [`PortableReader`] and [`PortableWriter`] are the format.
//! - [`PortableSource`] and [`PortableTarget`] make a file, or a folder of files, a store.
//! - [`DatabaseBackup`] writes any source into such files, in one call.

mod backup;
mod build;
mod built;
mod name;
mod pinned;
mod reader;
mod source;
mod target;
mod writer;

use std::path::Path;

use backup_core::source::{Capabilities, StoreDescription};

use crate::Error;

pub use self::backup::DatabaseBackup;
pub(crate) use self::name::database_name;
pub use self::name::file_name;
pub use self::reader::PortableReader;
pub use self::source::PortableSource;
pub use self::target::PortableTarget;
pub use self::writer::PortableWriter;

/// The end of a portable file's name.
pub(crate) const EXTENSION: &str = ".bcs";

/// The one database of a store that is a file.
pub(crate) const FILE_DATABASE: &str = "default";

/// The longest value, in bytes, and the most elements of a map: 2^31 - 1.
pub const MAX_LENGTH: u32 = crate::wire::MAX_SEQUENCE;

/// The engine's name in a location.
const ENGINE: &str = "memory";

/// What a portable file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Contents {
    /// Root keys that have records.
    pub partitions: u64,
    /// Root keys without records, which are dropped.
    pub empty_partitions: u64,
    /// Records.
    pub records: u64,
    /// The bytes of all root keys, keys and values, the root key counted with each record.
    pub bytes: u64,
}

/// Whether a path that need not be there is meant as a file, not a folder.
pub(crate) fn names_file(path: &Path) -> bool {
    path.as_os_str().as_encoded_bytes().ends_with(EXTENSION.as_bytes())
}

fn describe(path: &Path) -> StoreDescription {
    StoreDescription {
        engine: ENGINE.into(),
        location: format!("{ENGINE}:{}", path.display()),
        identity: None,
    }
}

/// An error of the format as one of a source or target.
fn refused(path: &Path, error: Error) -> backup_core::Error {
    let what = || format!("the portable file {}", path.display());
    match error {
        Error::Core(error) => error,
        Error::Io { action, path, source } => backup_core::Error::Io { action, path, source },
        Error::Malformed { offset, detail, .. } => {
            let detail = format!("at byte {offset}, {detail}; use another copy of it");
            backup_core::Error::damaged(what(), detail)
        }
        Error::Limit { what: limited, found, limit } => backup_core::Error::unsupported(
            format!("writing {}", path.display()),
            format!("{limited} has {found}, the limit is {limit}; split the database"),
        ),
        error => backup_core::Error::engine(ENGINE, format!("use {}", path.display()))(error),
    }
}

/// What a portable file can do; a folder of them holds several databases.
fn abilities(databases: bool) -> Capabilities {
    Capabilities {
        records: true,
        files: false,
        load_records: true,
        place_files: false,
        partitions: true,
        databases,
        point_in_time: true,
    }
}
