#![doc = include_str!("../README.md")]

mod capture;
mod command;
mod quiesce;
mod scratch;
mod selection;
mod snapshot;
mod source;
mod target;

use std::path::Path;

use backup_core::source::{Capabilities, StoreDescription};

pub use command::QuiesceCommand;
pub use quiesce::{Clock, Quiesce};
pub use selection::{Change, ListedFile};
pub use source::FilesSource;
pub use target::FilesTarget;

/// The engine's name in locations.
const ENGINE: &str = "files";

/// What a set of files can do. Only one that is made quiet is of one point in time.
const ABILITIES: Capabilities = Capabilities {
    records: false,
    files: true,
    load_records: false,
    place_files: true,
    partitions: false,
    databases: false,
    point_in_time: false,
};

fn describe(folder: &Path) -> StoreDescription {
    // Only an empty path cannot be made absolute; it is shown as it is, and fails when it is used.
    let folder = std::path::absolute(folder).unwrap_or_else(|_| folder.to_owned());
    let location = format!("{ENGINE}:{}", folder.display());
    StoreDescription { engine: ENGINE.into(), location, identity: None }
}
