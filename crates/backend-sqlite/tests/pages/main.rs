//! What the crate promises of databases as pages, tried on databases that SQLite itself wrote, in this
//! process and in others.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod changed;
mod exclusive;
mod fire;
mod ground;
mod held;
mod killed;
mod left;
mod locks;
mod midway;
mod placed;
mod quiet;
mod refused;
mod unusual;
mod waits;
mod writer;
