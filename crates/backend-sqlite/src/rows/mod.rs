//! The records shape of a SQLite database: each table is a database, each row a record.
//!
//! The key of a record is what its row is found by, in bytes that sort as SQLite sorts rows; its value is
//! the row, each column with its storage class. The schema is a database of its own, and each table carries
//! the statement that makes it, so that a restore makes the tables, fills them, and builds all else on them.
//! `docs/FORMAT.md` describes every byte.
//!
//! Rows come back as they were, whatever their tables' types and constraints say: they are loaded into tables that
//! let anything in, and the schema is written around them. What of it a restore could not make again is told
//! by the backup, which makes it in memory first, by the same code.

mod affinity;
mod apart;
mod blueprint;
mod build;
mod cell;
mod encoding;
mod estimate;
mod estimate_keys;
mod filled;
mod finish;
mod first_page;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod indexes;
mod key;
mod load;
mod long;
mod nulls;
mod read;
mod records;
mod rehearse;
mod restore;
mod rowids;
mod schema;
mod seek;
mod settings;
pub(crate) mod statement;
mod table;
mod value;

pub(crate) use records::RowRecords;
pub(crate) use restore::begin as begin_restore;
pub(crate) use schema::read_what_can_be;
pub(crate) use settings::can_load;
