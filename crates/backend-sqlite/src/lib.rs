#![doc = include_str!("../README.md")]

mod check;
mod file;
mod moment;
pub mod pages;
mod patience;
mod rows;
mod source;
mod splits;
mod store;
mod target;
mod tree;
mod unusual;
mod version;
mod words;

pub use patience::Patience;
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use rows::fuzzing;
pub use source::SqliteSource;
pub use store::{Durability, SqliteStore, StoreOptions};
pub use target::SqliteTarget;

/// The engine's name in locations.
const ENGINE: &str = "sqlite";
