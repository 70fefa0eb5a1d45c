//! RocksDB's stored formats, as far as a backup must read them without the engine.
//!
//! Everything here was checked against the C++ source of RocksDB 11.8, which is named where a
//! format is read. Input is hostile until proved otherwise: lengths are bounded by what was really
//! read before anything is allocated, and no input panics.

pub(crate) mod cursor;
pub(crate) mod file_name;
pub(crate) mod log;
pub(crate) mod manifest;
pub(crate) mod options;
pub(crate) mod table;
pub(crate) mod version_edit;
pub(crate) mod wal;
