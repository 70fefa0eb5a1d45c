//! What a user would do instead.

mod engine;
mod programs;
mod scan;
mod sqlite;

pub(crate) use engine::{backup_engine, ingest, write_batches};
pub(crate) use programs::{Restic, copy_durably};
pub(crate) use scan::scan;
pub(crate) use sqlite::{dot_backup, insert_all, select_all, vacuum_into};
