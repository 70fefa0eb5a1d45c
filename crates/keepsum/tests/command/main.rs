//! The command as a person or a script meets it: every test runs the built binary.

#![cfg(all(feature = "cli", feature = "rocksdb", feature = "files", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod bad_input;
mod damage;
mod exit_codes;
mod files;
mod interrupt;
mod json;
mod memory_file;
mod place;
mod pyoxigraph;
#[cfg(feature = "aws")]
mod restart;
mod rocksdb;
#[cfg(feature = "aws")]
mod s3;
mod sources;
mod sqlite;
mod terminal;
mod whose;
