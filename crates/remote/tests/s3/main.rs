//! Repositories in services that speak S3, real ones on loopback, through a proxy that breaks things.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod faults;
mod files;
mod ground;
mod refusals;
mod restarts;
#[path = "../shared/manifest.rs"]
mod shared;
mod tls;
mod unfit;
mod writers;
