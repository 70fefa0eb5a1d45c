//! Trees over a repository in memory: written, read, compared, reused.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod comparing;
mod databases;
mod files;
mod listed;
mod records;
mod salvaged;
#[path = "../shared/manifest.rs"]
mod shared;
