//! Which of the ways to read a database is the one for what is found.

use std::cell::RefCell;
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
use super::{Options, held, left, live, rollback};
use crate::file::header::{self, HEADER_BYTES, Header, named};
use crate::file::holder::Holder;
use crate::file::place::{Place, Seen};
use crate::file::{descriptors, locks, read_up_to};
use crate::moment::Moment;
use crate::patience::Patience;
use crate::{unusual, version};

/// How often the files are looked at anew, where something is in the way.
const LOOK_AGAIN: Duration = Duration::from_millis(5);

/// How long a reader waits for the lock that a writer, or who closes a log, has for a moment, before it takes
/// it for that of a program that keeps it.
pub(crate) const GRACE: Duration = Duration::from_millis(100);

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
    pub(crate) image: Arc<Image>,
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

/// Finds the state of a database at the moment of the call, or at the first one at which nothing is in the
/// way.
pub(crate) fn find(path: &Path, want: Want, options: &Options, context: &Context) -> Result<State> {
    version::check()?;
    scratch::sweep(options);
    let place = Place::find(path)?;
    let met = RefCell::new(Obstacle::Moving);
    let asked = Asked { place: &place, want, options, context, met };
    let found = asked.find();
    match &found {
        Ok(_) => options.patience.found(),
        Err(Error::Changed { .. }) => options.patience.spoil(),
        Err(_) => options.patience.renew(),
    }
    found
}

/// The records of a database at the moment of the call.
pub(crate) fn records(path: &Path, options: &Options, context: &Context) -> Result<Moment> {
    let mut state = find(path, Want::Records, options, context)?;
    let moment = match state.moment.take() {
        Some(moment) => moment,
        None => state.beside(options, context)?,
    };
    let (unusual, image) = (state.unusual(context)?, Arc::clone(&state.image));
    drop(state);
    let moment = Arc::into_inner(moment).ok_or_else(|| {
        Error::engine(crate::ENGINE, format!("read {}", path.display()))(
            "its read transaction is still used by another reader",
        )
    })?;
    moment.shows(image);
    Ok(moment.of_unusual(unusual))
}

/// What is asked for, and of what.
pub(crate) struct Asked<'a> {
    pub(crate) place: &'a Place,
    pub(crate) want: Want,
    pub(crate) options: &'a Options,
    pub(crate) context: &'a Context,
    /// What was in the way last.
    met: RefCell<Obstacle>,
}

/// Why no state was found yet.
#[derive(Debug)]
pub(crate) enum Obstacle {
    /// The files change, or become those of another kind.
    Moving,
    /// A writer, or a recovery, keeps readers out.
    Locked,
    /// A program has it for itself, and its files change.
    Restless,
    /// A program has it for itself, and nothing tells whether it is in the middle of a transaction.
    Unjournaled,
    /// A program has it for itself, and its files, which were seen so, are not those of a database.
    Faulty(Box<(Seen, Error)>),
}

impl Obstacle {
    fn into_error(self, database: &Path, patience: &Patience) -> Error {
        let seconds = patience.total().as_secs_f64();
        let why = match self {
            Self::Moving => {
                "its files go on changing, though nobody is seen to have it open; end the program that \
                 writes it, or back it up on the machine where that runs"
                    .to_owned()
            }
            Self::Locked => format!(
                "a program keeps readers out of it, and did so for {seconds} seconds; allow more time, or \
                 try again when its transaction has ended"
            ),
            Self::Restless => format!(
                "a program has it for itself (PRAGMA locking_mode=EXCLUSIVE) and did not rest for \
                 {seconds} seconds; allow more time, try again when it has less to do or has ended, or \
                 have it use the mode NORMAL"
            ),
            Self::Unjournaled => "a program has it for itself (PRAGMA locking_mode=EXCLUSIVE) and keeps no \
                                  journal on the disk, so nothing tells whether it is in the middle of a \
                                  transaction; try again when it has ended, or have it use another \
                                  journal mode than MEMORY and OFF, or the locking mode NORMAL"
                .to_owned(),
            Self::Faulty(faulty) => return faulty.1,
        };
        Error::InUse { what: named(database), hint: why }
    }
}

impl Asked<'_> {
    fn find(&self) -> Result<State> {
        let (database, patience) = (&self.place.main, &self.options.patience);
        loop {
            self.context.check()?;
            if let Some(state) = self.look()? {
                return Ok(state);
            }
            if !patience.pause(database, LOOK_AGAIN, self.context)? {
                let met = self.met.replace(Obstacle::Moving);
                return Err(met.into_error(database, patience));
            }
        }
    }

    /// None where something is in the way, which is then known.
    fn look(&self) -> Result<Option<State>> {
        self.meet(Obstacle::Moving);
        let seen = self.place.look()?;
        let main = descriptors::open(&self.place.main)?;
        if seen.main.bytes == 0 {
            return left::empty(self, &main);
        }
        let written = |found: io::Result<bool>| {
            found.map_err(Error::io("ask for the locks of", &self.place.main))
        };
        if is_hidden(&main, &self.place.main)? {
            return if written(locks::is_written(&main))? {
                Ok(None)
            } else {
                left::hidden(self, &main)
            };
        }
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
        if let Some(holder) = self.keeps_it(&main)? {
            return held::find(self, &main, &holder);
        }
        if locks::is_log_open(self.place, &seen)? {
            return live::find(self, &main);
        }
        left::find(self, &main)
    }

    /// Who has the main file for itself, and goes on to. Who closes a log as the last one does so for a
    /// moment, in which it carries the log back.
    fn keeps_it(&self, main: &std::fs::File) -> Result<Option<Holder>> {
        let asked = |error| Error::io("ask for the locks of", &self.place.main)(error);
        let mut holder = locks::holder(main).map_err(asked)?;
        let mut waited = Duration::ZERO;
        while holder.is_some() && waited < GRACE {
            if !self.options.patience.pause(&self.place.main, LOOK_AGAIN, self.context)? {
                break;
            }
            waited += LOOK_AGAIN;
            holder = locks::holder(main).map_err(asked)?;
        }
        Ok(holder)
    }

    /// Tells what is in the way.
    pub(crate) fn meet(&self, obstacle: Obstacle) {
        let mut met = self.met.borrow_mut();
        // What was wrong with the files counts until they change.
        if !matches!(
            (&*met, &obstacle),
            (Obstacle::Faulty(..), Obstacle::Moving | Obstacle::Locked)
        ) {
            *met = obstacle;
        }
    }

    /// Tells what is wrong with files, as they were seen. It is an error at once where they were seen so
    /// before: they are no more about to change.
    pub(crate) fn meet_twice(&self, seen: &Seen, error: Error) -> Result<()> {
        let again = matches!(&*self.met.borrow(), Obstacle::Faulty(before) if before.0 == *seen);
        if again {
            return Err(error);
        }
        self.meet(Obstacle::Faulty(Box::new((*seen, error))));
        Ok(())
    }

    /// Whether a database with a rollback journal is to be read under a lock for more than a slice. Else
    /// one beside which a journal lies is read without SQLite, even where that is not hot: opening it,
    /// as SQLite does to see that, changes its time where root does so.
    fn wants_lock(&self) -> bool {
        self.want.records() || self.options.block_writers || self.options.scratch.is_some()
    }

    /// Whatever the header says, SQLite goes by a log that is there.
    pub(crate) fn is_wal(&self, main: &std::fs::File, seen: &Seen) -> Result<bool> {
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
    /// What is unusual in the database.
    pub(crate) fn unusual(&self, context: &Context) -> Result<Vec<String>> {
        let (image, kept) = (&self.image, &self.kept);
        let first = kept.read(image, 0..image.bytes().min(HEADER_BYTES as u64))?;
        // A database that has no page yet has no header.
        let Some(first) = first.first_chunk::<HEADER_BYTES>() else { return Ok(Vec::new()) };
        if header::is_hidden(first) {
            return Ok(vec![unusual::HIDDEN.to_owned()]);
        }
        let header = Header::parse(&image.database, first)?;
        let size = u64::from(image.page_size);
        let page = |number: u32| {
            let start = u64::from(number - 1) * size;
            kept.read(image, start..start + size)
        };
        unusual::look(&header, image.pages, &page, context)
    }

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
        self.image = Arc::new(Image { database, ..Image::of_copy(main, &self.image) });
        self.kept = Kept::Scratch(Arc::clone(&scratch));
        Moment::of_still(&path, None, Some(scratch), position, notes).map(Arc::new)
    }
}

/// Whether a main file shows next to nothing of its header.
fn is_hidden(main: &std::fs::File, database: &Path) -> Result<bool> {
    let mut bytes = [0; HEADER_BYTES];
    read_up_to(main, &mut bytes, 0).map_err(Error::io("read", database))?;
    Ok(header::is_hidden(&bytes))
}

impl Kept {
    /// Fails where the files that it keeps watch of have changed.
    pub(crate) fn check(&self) -> Result<()> {
        match self {
            Self::Still(still) => still.check(),
            Self::Transaction(_) | Self::Slices(_) | Self::Scratch(_) => Ok(()),
        }
    }

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
