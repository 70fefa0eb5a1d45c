//! A copy of a store's files at one moment, taken without the engine and without its lock.
//!
//! Tables and blob files never change once they are listed, so they are linked. CURRENT, the
//! MANIFEST, OPTIONS and the write-ahead logs are copied, the newest log first, between two readings
//! of CURRENT and of the MANIFEST's length. Where the two are equal, no file that the MANIFEST lists
//! was given up in between, and the logs continue it without a hole; where they differ, it starts
//! over. What is copied is what a crash at that moment would have left.

mod attempt;
pub(crate) mod encrypted;
mod place;
mod search;

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use backup_core::ownership::{Owners, Ownership};
use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::scratch::Scratch;
use backup_core::source::FileInfo;
use backup_core::staging::with_room;
use backup_core::{Error, Result};
use globset::GlobSet;

use crate::format::file_name;
use crate::format::log::End;
use crate::format::manifest::LiveState;
use crate::format::options::OptionsFile;
use crate::format::wal::{self, Writes};
use attempt::Attempt;
use place::Placer;

pub(crate) use attempt::{read_live_state, read_options};

/// What the names of scratch folders end with, before their number.
const SCRATCH: &str = ".keepsum-reading-";

/// How often a capture starts over before it gives up.
const MAX_TRIES: u32 = 100;

/// How long it waits before it starts over, times the number of tries.
const WAIT: Duration = Duration::from_millis(2);

/// Where a store's files are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Whereabouts {
    /// The store's folder, without symbolic links.
    pub(crate) folder: PathBuf,
    /// Where an application's own files are, which differs from `folder` where that is a checkpoint.
    pub(crate) in_use: PathBuf,
    /// What its scratch folders are named after.
    pub(crate) name: String,
    /// Further folders: `db_paths` and `cf_paths`, which OPTIONS does not say, and others with logs.
    pub(crate) also: Vec<PathBuf>,
    /// Where the logs are, whatever OPTIONS says.
    pub(crate) wal_dir: Option<PathBuf>,
    /// Which files that are not RocksDB's are copied as well.
    pub(crate) include: GlobSet,
    /// Where scratch folders are made, if not beside the store.
    pub(crate) scratch: Option<PathBuf>,
    /// Whether the default column family is a database even where it is empty, beside others.
    pub(crate) lists_default: bool,
}

impl Whereabouts {
    /// Whose the store is.
    pub(crate) fn ownership(&self) -> Result<Ownership> {
        Ownership::of_folder(&self.folder, Some(file_name::CURRENT))
    }

    /// The owners of its files.
    pub(crate) fn owners(&self) -> Result<Owners> {
        Ok(Owners::of_store(&self.ownership()?.owner))
    }
}

/// A copy of a store's files at one moment. The copy is removed when dropped.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) scratch: Scratch,
    pub(crate) live: LiveState,
    pub(crate) options: OptionsFile,
    /// The files, sorted by path.
    pub(crate) files: Vec<FileInfo>,
    /// Where in the store's history it stands; unknown where the store is encrypted.
    pub(crate) position: Position,
    /// The number of batches in the logs.
    pub(crate) batches_in_wals: u64,
    /// The numbers of the writes in the logs.
    pub(crate) logged: Writes,
    pub(crate) notes: Vec<String>,
    /// What a program may not find in a copy of the files: said again where they are restored.
    pub(crate) unusual: Vec<String>,
}

impl Capture {
    /// Takes the copy.
    pub(crate) fn take(store: &Whereabouts, context: &Context) -> Result<Self> {
        let mut notes = Vec::new();
        let scratch = scratch_for(store, &mut notes)?;
        let mut placer = Placer::new(scratch.folder().to_owned());
        for tries in 1..=MAX_TRIES {
            context.check()?;
            if encrypted::is_encrypted(&store.folder)? {
                if let Some(files) = encrypted::attempt(store, &mut placer, context)? {
                    return Self::of_encrypted(scratch, placer, files, notes);
                }
            } else if let Some(attempt) = Attempt::make(store, &mut placer, context)? {
                tracing::debug!(tries, files = attempt.files.len(), "captured a RocksDB store");
                return Self::finish(scratch, placer, attempt, notes);
            }
            std::thread::sleep(WAIT * tries);
        }
        Err(Error::InUse {
            what: format!("the database {}", store.folder.display()),
            hint: format!(
                "it changed its files during each of {MAX_TRIES} tries; try again when it is \
                 written less, or let its own program take the backup"
            ),
        })
    }

    fn of_encrypted(
        scratch: Scratch,
        placer: Placer,
        files: Vec<FileInfo>,
        mut notes: Vec<String>,
    ) -> Result<Self> {
        placer.keep_only(&files)?;
        notes.extend(placer.into_note());
        notes.push(
            "the store is encrypted: its files were copied as they are, without a check that all are \
             there"
                .into(),
        );
        Ok(Self {
            scratch,
            live: LiveState::default(),
            options: OptionsFile::default(),
            files,
            position: Position::Unknown,
            batches_in_wals: 0,
            logged: Writes::default(),
            notes,
            unusual: Vec::new(),
        })
    }

    /// Whether there is nothing in it that the engine could open without a key.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.live.families.is_empty()
    }

    fn finish(
        scratch: Scratch,
        placer: Placer,
        attempt: Attempt,
        mut notes: Vec<String>,
    ) -> Result<Self> {
        placer.keep_only(&attempt.files)?;
        notes.extend(placer.into_note());
        notes.extend(attempt.notes);
        let mut logged = Writes::default();
        let mut batches_in_wals = 0;
        for (position, number) in attempt.wals.iter().enumerate() {
            let path = scratch.folder().join(format!("{number:06}.log"));
            let file = fs::File::open(&path).map_err(Error::io("open", &path))?;
            let file = io::BufReader::with_capacity(1 << 20, file);
            let summary =
                wal::summarize(file, *number, logged).map_err(Error::io("read", &path))?;
            logged = summary.writes;
            batches_in_wals += summary.batches;
            if let End::Damaged { block, reason } = summary.end {
                notes.push(format!(
                    "the log {number:06}.log is damaged after {} batches ({reason}, in the block at \
                     {block}); RocksDB replays it up to there",
                    summary.batches
                ));
                // What later logs hold is not replayed either.
                if position + 1 < attempt.wals.len() {
                    break;
                }
            }
        }
        let mut unusual = attempt.unusual;
        if attempt.live.folders() > 1 {
            unusual.push(format!(
                "tables of {} folders (db_paths) were taken; a files restore has them in one, so open \
                 it with db_paths that name that folder {0} times",
                attempt.live.folders()
            ));
        }
        let Attempt { live, options, files, .. } = attempt;
        let sequence = live.last_sequence.max(logged.last.unwrap_or(0));
        let position = Position::RocksDb { sequence };
        Ok(Self {
            scratch,
            live,
            options,
            files,
            position,
            batches_in_wals,
            logged,
            notes,
            unusual,
        })
    }

    /// Whether the files that a checkpoint made while others wrote show every write up to one moment.
    ///
    /// Column families are flushed one after the other. What came to one of them in between must then
    /// be in the logs, without a gap; where the logs hold nothing, all families must have been flushed
    /// at once.
    pub(crate) fn is_one_moment(&self) -> bool {
        if let Some(last) = self.logged.last {
            return !self.logged.gap && last >= self.live.last_sequence;
        }
        let flushed_at_once = self.options.database_value("atomic_flush") == Some("true");
        let written = self.live.families.values().filter(|family| !family.tables.is_empty());
        flushed_at_once || written.count() <= 1
    }
}

/// A scratch folder on the store's file system: beside it, or inside where it is a mount point.
/// Where neither can be written, one in the system's temporary folder, and files are copied.
pub(crate) fn scratch_for(store: &Whereabouts, notes: &mut Vec<String>) -> Result<Scratch> {
    let folder = &store.folder;
    // A number comes after it.
    let name = with_room(store.name.as_ref(), 1 + SCRATCH.len() + "10000".len());
    let mut prefix = OsString::from(".");
    prefix.push(name);
    prefix.push(SCRATCH);
    if let Some(chosen) = &store.scratch {
        return Scratch::create(chosen, &prefix);
    }
    let device = |path: &Path| fs::metadata(path).map(|found| found.dev());
    let own = device(folder).map_err(Error::io("look at", folder))?;
    let beside = folder.parent().filter(|parent| device(parent).is_ok_and(|above| above == own));
    let place = beside.unwrap_or(folder);
    match Scratch::create(place, &prefix) {
        Err(Error::Io { source, .. }) if cannot_write(&source) => {
            let elsewhere = std::env::temp_dir();
            notes.push(format!(
                "{} cannot be written ({source}), so the files were copied to {} while the backup ran",
                place.display(),
                elsewhere.display()
            ));
            Scratch::create(&elsewhere, &prefix)
        }
        other => other,
    }
}

fn cannot_write(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem)
}

/// The folder of a store, if there is one at `path`.
pub(crate) fn find_store(path: &Path) -> Result<PathBuf> {
    let folder = match fs::canonicalize(path) {
        Ok(folder) => folder,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let hint = "check the path".into();
            return Err(Error::NotFound { what: format!("the folder {}", path.display()), hint });
        }
        Err(error) => return Err(Error::io("find", path)(error)),
    };
    let current = folder.join(file_name::CURRENT);
    match fs::symlink_metadata(&current) {
        Ok(_) => Ok(folder),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(Error::NotFound {
            what: format!("a RocksDB database in {}", path.display()),
            hint: "a database's folder holds a file named CURRENT".into(),
        }),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            let detail = "is a file, and a RocksDB database is a folder";
            Err(Error::invalid(path.display().to_string(), detail))
        }
        Err(error) => Err(Error::io("look at", current)(error)),
    }
}
