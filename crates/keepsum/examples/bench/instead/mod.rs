//! What a user would do instead.

mod engine;
mod programs;
mod scan;

pub(crate) use engine::{backup_engine, ingest, write_batches};
pub(crate) use programs::{Restic, copy_durably};
pub(crate) use scan::scan;
