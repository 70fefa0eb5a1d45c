#![doc = include_str!("../README.md")]

mod caller;
mod capture;
mod copy;
mod files;
mod foreign;
mod format;
mod keeper;
mod keys;
mod layout;
mod limits;
mod lock;
mod open_database;
mod scan;
mod settings;
mod snapshot;
mod source;
mod splits;
mod store;
mod target;

pub use rocksdb;

pub use open_database::OpenDatabase;
pub use source::RocksSource;
pub use store::RocksStore;
pub use target::RocksTarget;

/// The engine's name, in locations and errors.
pub const ENGINE: &str = "rocksdb";
