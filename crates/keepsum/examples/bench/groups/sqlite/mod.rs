//! SQLite: its pages, its rows, who writes meanwhile, and memory.

pub(super) mod files;
pub(super) mod memory;
pub(super) mod records;
pub(super) mod writer;

use anyhow::Result;

use crate::database::Database;
use crate::setting::Setting;
use crate::store::Shape;

/// A database of about so many bytes on disk at the scale of this run, with rows of 1 KiB. Three of them
/// are on a page of 4 KiB.
fn database(setting: &mut Setting, bytes: u64) -> Result<Database> {
    setting.keep_nothing()?;
    let shape = Shape::of_records(setting.scaled(bytes) / 4 * 3, 1024);
    Database::make(&setting.path("database"), shape)
}
