//! Opening a captured copy of a store with the engine.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use backup_core::source::{FileInfo, FileNature};
use backup_core::{Error, Result};
use rocksdb::{ColumnFamilyDescriptor, DB, DBPath, Options};

use crate::ENGINE;
use crate::capture::Capture;
use crate::foreign::{self, Survey};
use crate::format::options::FamilyOptions;
use crate::keeper::ListedFamily;
use crate::layout;
use crate::settings::Applied;

/// The memory for what is replayed from logs, in bytes, divided among the column families.
const REPLAY_MEMORY: usize = 64 << 20;

/// How many tables are kept open; each holds its index in memory.
const OPEN_TABLES: i32 = 128;

/// How many levels a column family has where nothing else is said.
const DEFAULT_LEVELS: i32 = 7;

/// A copy of a store that the engine has open.
pub(crate) struct OpenCopy {
    pub(crate) db: DB,
    pub(crate) families: Vec<ListedFamily>,
    /// What the tables of each column family hold, in the order of `families`.
    pub(crate) surveys: Vec<Survey>,
}

impl OpenCopy {
    /// Opens the captured files themselves. They are then no longer as they were captured.
    pub(crate) fn of(capture: &Capture, store: &str) -> Result<Self> {
        Self::open(capture, store, capture.scratch.folder())
    }

    /// Opens a copy of the captured files, in a folder below theirs, and leaves them as they are.
    pub(crate) fn beside(capture: &Capture, store: &str) -> Result<Self> {
        let folder = derive(capture.scratch.folder(), &capture.files)?;
        Self::open(capture, store, &folder)
    }

    fn open(capture: &Capture, store: &str, folder: &Path) -> Result<Self> {
        let mut families = Vec::new();
        let mut surveys = Vec::new();
        let mut descriptors = Vec::new();
        let share = REPLAY_MEMORY / capture.live.families.len().max(1);
        for family in capture.live.families.values() {
            let name = family.shown_name();
            if layout::is_implicit(&name) {
                continue;
            }
            surveys.push(foreign::check(capture, store, family)?);
            let order = foreign::key_order(store, family)?;
            let stated = capture.options.families.get(&name);
            let comparator = String::from_utf8_lossy(&family.comparator);
            let unstated = FamilyOptions::default();
            let applied = Applied::for_reading(stated.unwrap_or(&unstated), &comparator);
            let mut options = applied.options;
            // Without OPTIONS, the default number of levels might be too small to open it.
            if stated.is_none() && family.levels() > DEFAULT_LEVELS {
                options.set_num_levels(family.levels());
            }
            options.set_disable_auto_compactions(true);
            options.set_write_buffer_size(share.max(1 << 20));
            descriptors.push(ColumnFamilyDescriptor::new(name.clone(), options));
            families.push(ListedFamily { name, order, always: false });
        }
        let failed = || Error::engine(ENGINE, format!("open a copy of {store}"));
        let mut options = database_options(capture);
        // A table in a folder with a number that the engine was not told of makes it crash.
        if capture.live.folders() > 1 {
            let path = || DBPath::new(folder, u64::MAX).map_err(failed());
            let paths: Result<Vec<_>> = (0..capture.live.folders()).map(|_| path()).collect();
            options.set_db_paths(&paths?);
        }
        let db = DB::open_cf_descriptors(&options, folder, descriptors).map_err(failed())?;
        Ok(Self { db, families, surveys })
    }
}

/// The options with which a copy is opened to be read once.
fn database_options(capture: &Capture) -> Options {
    let mut options = Options::default();
    // A log with prepared transactions is replayed only where they are expected.
    if capture.options.database_value("allow_2pc") == Some("true")
        && let Ok(two_phase) = options.get_options_from_string("allow_2pc=true")
    {
        options = two_phase;
    }
    options.create_if_missing(false);
    options.set_max_open_files(OPEN_TABLES);
    options.set_skip_stats_update_on_db_open(true);
    options.set_stats_dump_period_sec(0);
    options.set_stats_persist_period_sec(0);
    options.set_keep_log_file_num(1);
    options
}

/// Makes a folder with the same files: symbolic links for those that never change, copies of the
/// others, so that the engine can write there.
fn derive(from: &Path, files: &[FileInfo]) -> Result<PathBuf> {
    let folder = from.join("opened");
    fs::create_dir(&folder).map_err(Error::io("create the folder", &folder))?;
    for file in files {
        let (source, target) = (file.path.below(from), file.path.below(&folder));
        match file.nature {
            FileNature::Immutable => {
                symlink(&source, &target).map_err(Error::io("link", &source))?;
            }
            _ => drop(fs::copy(&source, &target).map_err(Error::io("copy", &source))?),
        }
    }
    Ok(folder)
}
