//! Which of the ways to read a database is the one for what is found.

use std::io;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::{Error, Result};

use super::image::{Image, read_header};
use super::rollback::Slices;
use super::scratch::{self, Copied};
use super::still::Still;
use super::{Options, left, live, rollback};
use crate::file::header::named;
use crate::file::place::{Place, Seen};
use crate::file::{descriptors, locks};
use crate::moment::{self, Moment};
use crate::version;

/// How often the files are looked at anew, where the database changes from one kind to another.
const LOOKS: u32 = 20;

/// What is wanted of a state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Want {
    Pages,
    Records,
    Both,
}

impl Want {
    pub(crate) fn records(self) -> bool {
        self != Self::Pages
    }
}

/// A state of a database, and what keeps it.
#[derive(Debug)]
pub(crate) struct State {
    pub(crate) image: Image,
    pub(crate) kept: Kept,
    pub(crate) position: Position,
    /// How long a writer had to wait for it at most.
    pub(crate) pause: Option<Duration>,
    pub(crate) notes: Vec<String>,
    pub(crate) identity: Option<Vec<u8>>,
    pub(crate) mode: u32,
    /// A connection that sees the state, where there is one already.
    pub(crate) moment: Option<Arc<Moment>>,
}

/// What keeps a state as it is while it is read, or tells that it is not.
#[derive(Debug)]
pub(crate) enum Kept {
    /// A read transaction.
    Transaction(#[expect(dead_code, reason = "it is kept for its lock")] Arc<Moment>),
    /// A read transaction around each reading, and a look at whether anything changed in between.
    Slices(Box<Slices>),
    /// A look after each reading.
    Still(Arc<Still>),
    /// Nobody else has the file.
    Scratch(Arc<backup_core::scratch::Scratch>),
}

/// Finds the state of a database at the moment of the call.
pub(crate) fn find(path: &Path, want: Want, options: &Options, context: &Context) -> Result<State> {
    version::check()?;
    let place = Place::find(path)?;
    let asked = Asked { place: &place, want, options, context };
    for _ in 0..LOOKS {
        context.check()?;
        if let Some(state) = asked.look()? {
            return Ok(state);
        }
    }
    Err(Error::InUse {
        what: named(&place.main),
        hint: ": its files go on changing, though nobody is seen to have it open; end the program that \
               writes it, or back it up on the machine where that runs"
            .into(),
    })
}

/// The records of a database at the moment of the call.
pub(crate) fn records(path: &Path, options: &Options, context: &Context) -> Result<Moment> {
    let mut state = find(path, Want::Records, options, context)?;
    let moment = match state.moment.take() {
        Some(moment) => moment,
        None => state.beside(options, context)?,
    };
    drop(state);
    Arc::into_inner(moment).ok_or_else(|| {
        Error::engine(crate::ENGINE, format!("read {}", path.display()))("it is read twice at once")
    })
}

/// What is asked for, and of what.
pub(crate) struct Asked<'a> {
    pub(crate) place: &'a Place,
    pub(crate) want: Want,
    pub(crate) options: &'a Options,
    pub(crate) context: &'a Context,
}

impl Asked<'_> {
    /// None where the files became those of another kind meanwhile.
    fn look(&self) -> Result<Option<State>> {
        let seen = self.place.look()?;
        let main = descriptors::open(&self.place.main)?;
        if seen.main.bytes == 0 {
            return left::empty(self, &main);
        }
        let written = |found: io::Result<bool>| {
            found.map_err(Error::io("ask for the locks of", &self.place.main))
        };
        if !self.is_wal(&main, &seen)? {
            let journal = seen.has_journal() && !written(locks::is_written(&main))?;
            let left = if journal { left::find(self, &main)? } else { None };
            return match left {
                Some(state) if !state.image.is_main_alone() || !self.wants_lock() => {
                    Ok(Some(state))
                }
                _ => rollback::find(self, &main),
            };
        }
        if locks::is_log_open(self.place, &seen)? {
            return live::find(self, &main);
        }
        if written(locks::is_exclusive(&main))? {
            self.wait_for_a_close(&main)?;
            return Ok(None);
        }
        left::find(self, &main)
    }

    /// Waits until nobody has the main file for itself any more. Who closes a log as the last one does so
    /// for a moment, in which it carries the log back.
    fn wait_for_a_close(&self, main: &std::fs::File) -> Result<()> {
        let mut asked = 0;
        let failed = |error| Error::io("ask for the locks of", &self.place.main)(error);
        while locks::is_exclusive(main).map_err(failed)? {
            self.context.check()?;
            if !moment::wait(asked) {
                return Err(Error::InUse {
                    what: named(&self.place.main),
                    hint: ": a program has it for itself (PRAGMA locking_mode=EXCLUSIVE); try again when \
                           it has ended, or have it use the mode NORMAL"
                        .into(),
                });
            }
            asked += 1;
        }
        Ok(())
    }

    /// Whether a database with a rollback journal is to be read under a lock for more than a slice. Else
    /// one beside which a journal lies is read without SQLite, even where that is not hot: opening it,
    /// as SQLite does to see that, changes its time where root does so.
    fn wants_lock(&self) -> bool {
        self.want.records() || self.options.block_writers || self.options.scratch.is_some()
    }

    /// Whatever the header says, SQLite goes by a log that is there.
    fn is_wal(&self, main: &std::fs::File, seen: &Seen) -> Result<bool> {
        match read_header(main, &self.place.main) {
            Ok(header) => Ok(header.is_wal() || seen.has_wal()),
            Err(error @ Error::Unsupported { .. }) if !seen.has_journal() => Err(error),
            Err(_) if seen.has_wal() => Ok(true),
            // A transaction half way may have left any header; the journal knows the one that counts.
            Err(_) if seen.has_journal() => Ok(false),
            Err(error) => Err(error),
        }
    }
}

impl State {
    /// A connection that sees this state: on the main file, where it is all of it and stays as it is,
    /// else on a copy in a scratch folder, which then has the pages too.
    pub(crate) fn beside(&mut self, options: &Options, context: &Context) -> Result<Arc<Moment>> {
        let (position, notes) = (self.position.clone(), self.notes.clone());
        let database = self.image.database.clone();
        // Where the log or a journal holds a part, SQLite would have to write before it reads.
        if let Kept::Still(still) = &self.kept
            && self.image.is_main_alone()
        {
            let still = Some(Arc::clone(still));
            return Moment::of_still(&database, still, None, position, notes).map(Arc::new);
        }
        let Copied { path, main, scratch } = match &self.kept {
            Kept::Scratch(scratch) => Copied {
                path: scratch::file_in(scratch),
                main: Arc::clone(&self.image.main),
                scratch: Arc::clone(scratch),
            },
            kept => scratch::copy(&self.image, kept, options, context)?,
        };
        self.image = Image { database, ..Image::of_copy(main, &self.image) };
        self.kept = Kept::Scratch(Arc::clone(&scratch));
        Moment::of_still(&path, None, Some(scratch), position, notes).map(Arc::new)
    }
}

impl Kept {
    /// Reads a range of the image that it keeps, or of which it tells that it has changed.
    pub(crate) fn read(&self, image: &Image, range: Range<u64>) -> Result<Vec<u8>> {
        match self {
            Self::Transaction(_) | Self::Scratch(_) => image.read(range),
            Self::Slices(slices) => slices.read(image, range),
            Self::Still(still) => {
                let read = image.read(range);
                // A page that is not there any more is no damage where the files changed.
                still.check()?;
                read
            }
        }
    }
}
