#![doc = include_str!("../README.md")]

mod blocking;
mod body;
pub mod catalog;
pub mod damage;
mod descriptor;
pub mod env;
mod error;
mod held;
mod local;
pub mod location;
pub mod memory;
pub mod names;
mod nonce;
pub mod objects;
mod probe;
pub mod repository;
pub mod retry;
#[cfg(feature = "aws")]
pub mod s3;
pub mod session;
pub mod store;
mod task;
pub mod tree;
mod unsynced;
pub mod verify;

pub use blocking::Blocking;
pub use catalog::{Catalog, Decide, Decision, Head};
pub use env::{Clock, Entropy, Host, SystemClock, SystemEntropy};
pub use error::{Error, Result};
pub use location::RepositoryLocation;
pub use memory::Memory;
pub use objects::{Objects, Stored};
pub use repository::Repository;
pub use session::{Committed, Root, Session};
pub use store::Store;
