#![doc = include_str!("../README.md")]

mod moment;
mod source;
mod store;
mod target;

pub use source::SqliteSource;
pub use store::{Durability, SqliteStore, StoreOptions};
pub use target::SqliteTarget;

/// The engine's name in locations.
const ENGINE: &str = "sqlite";
