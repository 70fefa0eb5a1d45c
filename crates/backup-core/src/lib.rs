#![doc = include_str!("../README.md")]

pub mod check;
pub mod disk;
pub mod error;
mod folder_lock;
pub mod fork;
pub mod integrity;
pub mod kv;
pub mod loading;
pub mod ownership;
pub mod path;
pub mod position;
pub mod progress;
pub mod record;
pub mod scratch;
pub mod source;
pub mod staging;
pub mod stamp;
pub mod target;
pub mod thread;

pub use error::{Cause, Error, ErrorKind, Result};
pub use kv::{KeyValueDatabase, KeyValueStore, Partition};
pub use source::{Files, Records, Snapshot, Source};
pub use target::{Built, Restore, RestoreExt, Target};
