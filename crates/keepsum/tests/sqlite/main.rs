//! SQLite databases that other programs make, write and read again: Fossil, Python and the system's shell.
//! Large ones, ones of many tables, and ones whose backup is killed while they are written.
//!
//! The other programs are named by variables (`cargo xtask services list`).

#![cfg(all(target_os = "linux", feature = "cli", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod every_way;
mod fossil;
mod killed;
mod large;
mod many_tables;
mod place;
mod program;
mod python;
mod restores;
mod shell;
mod unusual;
mod waits;
mod writer;
