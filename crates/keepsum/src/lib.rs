#![doc = include_str!("../README.md")]

pub mod backup;
mod built;
mod checkpoint;
pub mod convert;
pub mod diff;
pub mod engines;
mod error;
pub mod hash;
#[cfg(feature = "cli")]
pub mod location;
mod pages;
mod parents;
pub mod prove;
pub mod report;
pub mod restore;
pub mod restore_if_missing;
pub mod salvage;
mod scratch;
pub mod selector;
pub mod snapshots;
pub mod status;
mod sums;
mod time;
pub mod verify;

#[cfg(feature = "files")]
pub use backend_files as files;
pub use backend_memory as memory;
#[cfg(feature = "rocksdb")]
pub use backend_rocksdb as rocksdb;
#[cfg(feature = "sqlite")]
pub use backend_sqlite as sqlite;
pub use backup::{BackupOptions, backup};
pub use backup_core::progress::Context;
pub use backup_core::{self as core, ErrorKind, Source, Target};
pub use checkpoint::CheckpointEvery;
pub use engines::Engines;
pub use error::{Error, ExitCode, Result};
#[cfg(feature = "cli")]
pub use location::StoreLocation;
pub use prove::prove;
pub use remote::{Host, Repository, RepositoryLocation};
pub use restore::{RestoreOptions, restore};
pub use restore_if_missing::RestoreManager;
pub use selector::{Selector, SnapshotSpec, Which};
pub use verify::verify;
