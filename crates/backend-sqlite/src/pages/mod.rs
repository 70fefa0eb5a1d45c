//! A database as pages, at one point in time: live, or left behind.
//!
//! | what is found | how it is read | who waits |
//! |---|---|---|
//! | write-ahead log, in use | main file and frames of the log, under one read transaction | nobody |
//! | rollback journal | a reflink, where a scratch folder is given that can have one | a writer, for the reflink |
//! | | else slices of a read transaction each; any change in between spoils it | a writer, for a slice |
//! | | or one read transaction, where asked | writers, until the end |
//! | a hot journal, or a log that nobody has open | its files, by what is known of their bytes; any change spoils it | nobody |
//! | a program has it for itself | a copy of its files, as a crash would leave them, made while they do not change | nobody |
//!
//! Nothing of the database is changed: no checkpoint, no rollback in place, no file made or removed. A
//! database in use has a `-shm`, the memory its processes share, in which a reader leaves its mark as
//! every reader of SQLite's does.
//!
//! **Why pages and frames are one state.** A read transaction in WAL mode holds one of two kinds of lock.
//! With a mark in the log, no checkpoint carries frames beyond it back into the main file, and the log
//! does not start over. With the lock for readers of the main file alone, no checkpoint carries back
//! anything. The index of the log, read after the lock was taken, names the last committed frame: if all
//! up to it was carried back, the main file is the state, and nobody writes it; else the frames up to it
//! are not overwritten, as a log starts over only when it was carried back whole, and what a checkpoint
//! may still carry back is among those frames, which are read from the log.

mod changed;
mod held;
mod identity;
pub(crate) mod image;
mod left;
mod live;
mod rollback;
mod scratch;
mod snapshot;
pub(crate) mod state;
pub(crate) mod still;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use backup_core::Result;
use backup_core::progress::Context;

pub use snapshot::PageSnapshot;

use crate::moment::Moment;
use crate::patience::Patience;

/// What time it is. Time is passed in, so that tests can choose it.
pub type Clock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// How a database is read.
#[derive(Clone)]
pub struct Options {
    /// Where scratch folders are made: for a reflink of a database in rollback-journal mode, which is
    /// tried where a folder is given, and for the pages of one whose records cannot be read in place.
    /// The system's temporary folder for the latter, where none is given.
    pub scratch: Option<PathBuf>,
    /// Keep the writers of a database in rollback-journal mode waiting until it is read.
    pub block_writers: bool,
    /// How long programs that are in the way are waited for.
    pub patience: Patience,
    /// What time it is.
    pub clock: Clock,
}

impl Default for Options {
    /// No scratch folder, no writer blocked, ten seconds of patience, and a clock that knows no time: every
    /// file may then have been changed just now, and has no identity.
    fn default() -> Self {
        Self {
            scratch: None,
            block_writers: false,
            patience: Patience::default(),
            clock: Arc::new(|| UNIX_EPOCH),
        }
    }
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("scratch", &self.scratch)
            .field("block_writers", &self.block_writers)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}

/// Takes the pages of a database at the moment of the call.
///
/// # Errors
/// [`NotFound`](backup_core::Error::NotFound) where there is no file,
/// [`Invalid`](backup_core::Error::Invalid) for a folder,
/// [`Unsupported`](backup_core::Error::Unsupported) for what is no database, or an encrypted one,
/// [`InUse`](backup_core::Error::InUse) where a program is in the way for longer than there is patience,
/// [`Damaged`](backup_core::Error::Damaged) where its files contradict each other, and
/// [`Changed`](backup_core::Error::Changed), now or
/// when it is read, where nothing keeps writers away and one came.
pub fn capture(path: &Path, options: &Options, context: &Context) -> Result<PageSnapshot> {
    let state = state::find(path, state::Want::Pages, options, context)?;
    PageSnapshot::new(state, &options.patience, context)
}

/// Takes the pages of a database, and a connection that sees exactly the same state.
///
/// # Errors
/// As [`capture`]; [`Changed`](backup_core::Error::Changed) too where no quiet moment was found for both in a database in use.
pub(crate) fn capture_both(
    path: &Path,
    options: &Options,
    context: &Context,
) -> Result<(PageSnapshot, Arc<Moment>)> {
    let mut state = state::find(path, state::Want::Both, options, context)?;
    let moment = match state.moment.take() {
        Some(moment) => moment,
        None => state.beside(options, context)?,
    };
    moment.shows(Arc::clone(&state.image));
    Ok((PageSnapshot::new(state, &options.patience, context)?, moment))
}
