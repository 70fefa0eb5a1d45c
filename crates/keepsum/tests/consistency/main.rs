//! Backups beside writers: what was backed up is the state of one moment.
//!
//! In RocksDB a writer moves amounts between accounts that lie in several column families, each
//! transfer one atomic batch, so that all accounts together hold the same at every moment. In the
//! memory store, whose batches are of one partition, writers go round over databases and root keys
//! with a number. A backup that saw half of a batch, or two databases at two moments, shows it.

#![cfg(all(feature = "cli", feature = "rocksdb", feature = "files"))]
#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod accounts;
mod backups;
mod memory;
mod rocksdb;
mod torn;
