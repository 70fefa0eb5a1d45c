//! The records shape of a SQLite database: each table is a database, each row a record.
//!
//! The key of a record is what its row is found by, in bytes that sort as SQLite sorts rows; its value is
//! the row, each column with its storage class. The schema is a database of its own, and each table carries
//! the statement that makes it, so that a restore makes the tables, fills them, and builds all else on them.
//! `docs/FORMAT.md` describes every byte.
//!
//! Nothing is carried that a restore could not make again: a backup makes the schema in memory first, by
//! the same code.

mod build;
mod cell;
mod encoding;
mod estimate;
mod estimate_keys;
mod finish;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod key;
mod load;
mod long;
mod read;
mod records;
mod restore;
mod schema;
mod seek;
mod settings;
pub(crate) mod statement;
mod table;
mod value;

pub(crate) use records::RowRecords;
pub(crate) use restore::begin as begin_restore;
pub(crate) use settings::can_load;
