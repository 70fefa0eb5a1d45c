//! Every stored byte of a small repository, damaged in turn: `verify` finds and names each, a restore
//! fails before it replaces anything, and what `verify` lists heals with the next backup.
//!
//! Both shapes and all engines have a repository of their own, with two snapshots of which the second
//! shares most of the first. Each run prints how many faults it tried.
#![cfg(all(feature = "cli", feature = "rocksdb", feature = "files"))]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

mod catalog;
mod command;
mod flips;
mod heal;
#[cfg(feature = "sqlite")]
mod holes;
mod objects;
mod salvage;
mod sound;
