//! What this crate promises, tried on stores that RocksDB itself wrote.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]
#![expect(
    clippy::case_sensitive_file_extension_comparisons,
    reason = "RocksDB writes the names of its files in lower case"
)]

mod by_path;
mod conformance;
mod damage;
mod foreign;
mod live;
mod lock;
mod open_database;
mod places;
mod restore;
mod stores;
