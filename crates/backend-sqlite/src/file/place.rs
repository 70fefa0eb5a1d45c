//! A database's files by their names, and what can be seen of them without opening them.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use backup_core::stamp::Stamp;
use backup_core::{Error, Result};

use super::header::named;

/// How long after a change the clock of a file system has ticked for certain, so that the next change
/// shows: the clocks of those with nanoseconds tick every few milliseconds, others by seconds.
const TICK: Duration = Duration::from_millis(50);
const LONG_TICK: Duration = Duration::from_millis(2100);

/// Where the files of a database are.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) main: PathBuf,
    pub(crate) wal: PathBuf,
    pub(crate) shm: PathBuf,
    pub(crate) journal: PathBuf,
}

/// All files of a database as they are at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) main: Stamp,
    pub(crate) wal: Option<Stamp>,
    pub(crate) shm: Option<Stamp>,
    pub(crate) journal: Option<Stamp>,
}

impl Place {
    /// The files of the database at a path. A symbolic link is followed, as SQLite does: the others
    /// lie beside the file it leads to.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is nothing, [`Error::Invalid`] for what is no file.
    pub(crate) fn find(database: &Path) -> Result<Self> {
        let main = match fs::canonicalize(database) {
            Ok(main) => main,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(missing(database)),
            Err(error) => return Err(Error::io("find", database)(error)),
        };
        let kind = fs::metadata(&main).map_err(Error::io("look at", &main))?.file_type();
        if !kind.is_file() {
            let what = if kind.is_dir() { "a folder" } else { "no file" };
            let detail = format!("is {what}; name the database's main file");
            return Err(Error::invalid(database.display().to_string(), detail));
        }
        let beside = |suffix: &str| {
            let mut name = OsString::from(&main);
            name.push(suffix);
            PathBuf::from(name)
        };
        let (wal, shm, journal) = (beside("-wal"), beside("-shm"), beside("-journal"));
        Ok(Self { main, wal, shm, journal })
    }

    /// Looks at all files.
    pub(crate) fn look(&self) -> Result<Seen> {
        Ok(Seen {
            main: stamp(&self.main)?.ok_or_else(|| missing(&self.main))?,
            wal: stamp(&self.wal)?,
            shm: stamp(&self.shm)?,
            journal: stamp(&self.journal)?,
        })
    }

    /// Looks at all files such that a change from now on would show, for which it waits a moment where
    /// they were just changed. None where they change meanwhile.
    pub(crate) fn look_settled(&self, now: SystemTime) -> Result<Option<Seen>> {
        self.look_settled_at(now, |seen| seen)
    }

    /// As [`look_settled`](Self::look_settled), at those of the files that `part` leaves.
    pub(crate) fn look_settled_at(
        &self,
        now: SystemTime,
        part: fn(Seen) -> Seen,
    ) -> Result<Option<Seen>> {
        let seen = part(self.look()?);
        let Some(wait) = seen.tick_left(now) else { return Ok(Some(seen)) };
        thread::sleep(wait);
        Ok(Some(seen).filter(|seen| self.look().is_ok_and(|again| part(again) == *seen)))
    }
}

impl Seen {
    /// Whether there is a log with content.
    pub(crate) fn has_wal(&self) -> bool {
        self.wal.is_some_and(|wal| wal.bytes > 0)
    }

    /// Whether there is a journal with content.
    pub(crate) fn has_journal(&self) -> bool {
        self.journal.is_some_and(|journal| journal.bytes > 0)
    }

    /// Without the memory that processes share, which holds nothing of the database.
    pub(crate) fn without_memory(self) -> Self {
        Self { shm: None, ..self }
    }

    /// Without the log, which may grow while what it holds stays.
    pub(crate) fn without_log(self) -> Self {
        Self { wal: None, ..self.without_memory() }
    }

    /// How long to wait until a later change has a later time; none where it has already.
    fn tick_left(&self, now: SystemTime) -> Option<Duration> {
        let files = [Some(self.main), self.wal, self.shm, self.journal];
        files.into_iter().flatten().filter_map(|stamp| tick_left(&stamp, now)).max()
    }
}

/// The file at a path; none where there is none.
pub(crate) fn stamp(path: &Path) -> Result<Option<Stamp>> {
    match Stamp::of(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

/// How long to wait until a later change of a file has a later time; none where it has already.
fn tick_left(stamp: &Stamp, now: SystemTime) -> Option<Duration> {
    let coarse = stamp.modified.1 == 0 && stamp.changed.1 == 0;
    let tick = if coarse { LONG_TICK } else { TICK };
    (!stamp.is_older(tick, now)).then_some(tick)
}

fn missing(database: &Path) -> Error {
    Error::NotFound { what: named(database), hint: "check the path".into() }
}
