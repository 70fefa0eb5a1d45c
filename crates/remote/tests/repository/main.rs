//! The repository's protocol over stores in memory, in folders and in services, well-behaved and not.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod catalog;
mod damage;
mod ground;
mod init;
mod memory;
mod objects;
mod session;
#[path = "../shared/manifest.rs"]
mod shared;
mod store;
mod support;
mod unsynced;
