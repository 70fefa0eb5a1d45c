//! Faults at every operation of backup, restore, verify and diff: cut off, failed, torn, short, killed.
//! What holds after each is in `promise.rs`. docs/RELIABILITY.md says what was tried and found.
//!
//! `KEEPSUM_FAULTS=all` tries more of what may survive a crash.

#![cfg(all(
    target_os = "linux",
    feature = "cli",
    feature = "rocksdb",
    feature = "files",
    feature = "sqlite"
))]
#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod crashes;
mod errors;
mod killed;
mod place;
mod promise;
mod readers;
mod requests;
mod resumed;
mod salvaged;
mod scenario;
