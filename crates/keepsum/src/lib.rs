#![doc = include_str!("../README.md")]

pub mod backup;
mod built;
mod checkpoint;
pub mod convert;
pub mod diff;
pub mod engines;
mod error;
pub mod hash;
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

pub use checkpoint::CheckpointEvery;
pub use engines::Engines;
pub use error::{Error, ExitCode, Result};
pub use location::StoreLocation;
pub use remote::{Host, Repository, RepositoryLocation};
pub use selector::{Selector, SnapshotSpec, Which};
