//! A database with a rollback journal, in use or not: a reader and a writer exclude each other.

use std::fmt;
use std::fs::File;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};
use rusqlite::Connection;

use super::changed::changed;
use super::identity::identity;
use super::image::{Image, read_header};
use super::scratch::{self, Copied};
use super::state::{Asked, GRACE, Kept, Obstacle, State};
use super::{Options, held, left};
use crate::ENGINE;
use crate::file::header::Header;
use crate::file::place;
use crate::moment::{self, Moment, Refusal};

/// How long a writer is kept waiting for a slice, about.
const SLICE: Duration = Duration::from_millis(50);

/// Up to which length a database is copied under one lock.
const COPIED: u64 = 64 << 20;

/// How long a slice waits for a writer that keeps readers out, and that may yet change nothing.
const LONG_COMMIT: Duration = Duration::from_secs(5);

/// How much is read in a slice: at first, at least and at most.
const FIRST_STEP: u64 = 1 << 20;
const MIN_STEP: u64 = 1 << 16;
const MAX_STEP: u64 = 8 << 20;

/// What a person should know of a database that is read under one lock.
const WRITERS_WAIT: &str =
    "the database is in rollback-journal mode: who writes it waits until it is read";

/// The state at the moment of the call. None where it is in WAL mode by now.
pub(crate) fn find(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    let (place, options) = (asked.place, asked.options);
    let connection = moment::connect(&place.main)?;
    let within = (options, asked.context);
    match moment::begin_within(&connection, main, &place.main, GRACE, within)? {
        Ok(()) => {}
        Err(Refusal::HotJournal) => return left::find(asked, main),
        Err(Refusal::Busy) => {
            drop(connection);
            return locked(asked, main);
        }
        Err(refusal) => return Err(explained(refusal, asked, main)),
    }
    let begun = (options.clock)();
    let seen = place.look()?;
    let header = read_header(main, &place.main)?;
    let opened = main.metadata().map_err(Error::io("look at", &place.main))?;
    if seen.has_wal() || header.is_wal() || Stamp::new(&opened).file() != seen.main.file() {
        return Ok(None);
    }
    let (mut image, note) = Image::of_main(&place.main, main, &header, seen.main.bytes)?;
    let position = Position::Log(u64::from(header.change_counter));
    let identity = identity(&seen, &header, &position, [0; 2], &options.clock);
    let mut notes: Vec<_> = note.into_iter().collect();
    let (mut pause, mut given) = (None, None);
    let kept = if let Some(copied) = copied(asked, main, &image, begun)? {
        let Copied { main, scratch, .. } = copied;
        moment::end(&connection).map_err(Error::engine(ENGINE, "let a lock go"))?;
        pause = Some((options.clock)().duration_since(begun).unwrap_or_default());
        image = Image::of_copy(main, &image);
        Kept::Scratch(scratch)
    } else if asked.want.records() || options.block_writers {
        notes.push(WRITERS_WAIT.into());
        let moment = Arc::new(Moment::of_live(connection, position.clone(), notes.clone()));
        given = asked.want.records().then(|| Arc::clone(&moment));
        Kept::Transaction(moment)
    } else {
        moment::end(&connection).map_err(Error::engine(ENGINE, "let a lock go"))?;
        Kept::Slices(Box::new(Slices {
            connection: Mutex::new(connection),
            main: seen.main,
            header,
            step: AtomicU64::new(FIRST_STEP),
            spoiled: AtomicBool::new(false),
            options: options.clone(),
            context: asked.context.clone(),
        }))
    };
    let mode = seen.main.mode;
    let image = Arc::new(image);
    Ok(Some(State { image, kept, position, pause, notes, identity, mode, moment: given }))
}

/// A writer keeps readers out, for a long commit or for good.
fn locked(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    asked.meet(Obstacle::Locked);
    match held::holder(asked, main)? {
        Some(holder) => held::find(asked, main, &holder),
        None => Ok(None),
    }
}

/// What SQLite refused: in more words than its own, where the header shows why.
fn explained(refusal: Refusal, asked: &Asked<'_>, main: &Arc<File>) -> Error {
    let database = &asked.place.main;
    let whole = read_header(main, database).and_then(|header| {
        let bytes = main.metadata().map_err(Error::io("look at", database))?.len();
        Image::of_main(database, main, &header, bytes)
    });
    match (refusal, whole) {
        (Refusal::Other(_), Err(error)) => error,
        (refusal, _) => refusal.into_error(database),
    }
}

/// A copy, where it can be had in as long as a writer waits for a slice. The caller has the lock under which
/// nobody writes, since `begun`.
fn copied(
    asked: &Asked<'_>,
    main: &File,
    image: &Image,
    begun: SystemTime,
) -> Result<Option<Copied>> {
    let options = asked.options;
    if let Some(folder) = &options.scratch
        && let Some(copied) = scratch::reflink(main, folder)?
    {
        return Ok(Some(copied));
    }
    // Slices are no way where a writer comes between each two; those of the snapshot before were spoiled.
    let of_slices = !asked.want.records() && !options.block_writers;
    if !of_slices || !options.patience.was_spoiled() || image.bytes() > COPIED {
        return Ok(None);
    }
    scratch::copy_by(image.bytes(), options, &|range| {
        let took = (options.clock)().duration_since(begun).unwrap_or_default();
        if took > SLICE { Ok(None) } else { image.read(range).map(Some) }
    })
}

/// Reads under many short locks, between which writers go.
pub(crate) struct Slices {
    connection: Mutex<Connection>,
    /// The main file as it must stay.
    main: Stamp,
    header: Header,
    step: AtomicU64,
    spoiled: AtomicBool,
    options: Options,
    context: Context,
}

impl Slices {
    /// Reads a range of the image.
    ///
    /// # Errors
    /// [`Error::Changed`](backup_core::Error::Changed) once anything has changed since the first slice.
    pub(crate) fn read(&self, image: &Image, range: Range<u64>) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let mut at = range.start;
        loop {
            let end = range.end.min(at.saturating_add(self.step.load(Ordering::Relaxed)));
            bytes.append(&mut self.slice(image, at..end)?);
            at = end;
            if at >= range.end {
                return Ok(bytes);
            }
        }
    }

    fn slice(&self, image: &Image, range: Range<u64>) -> Result<Vec<u8>> {
        // One slice at a time: with several that overlap, no writer would find a gap.
        let connection = self.connection.lock().unwrap_or_else(PoisonError::into_inner);
        if self.spoiled.load(Ordering::Acquire) {
            return Err(changed(&image.database));
        }
        let (database, within) = (&image.database, (&self.options, &self.context));
        match moment::begin_within(&connection, &image.main, database, LONG_COMMIT, within)? {
            Ok(()) => self.options.patience.found(),
            // A program that holds the lock is writing, and one that left a journal had begun to.
            Err(Refusal::Busy | Refusal::HotJournal) => return Err(self.spoil(image)),
            Err(refusal) => return Err(refusal.into_error(&image.database)),
        }
        let begun = (self.options.clock)();
        let read = match self.is_unchanged(image) {
            Ok(true) => image.read(range),
            Ok(false) => Err(self.spoil(image)),
            Err(error) => Err(error),
        };
        let took = (self.options.clock)().duration_since(begun).unwrap_or_default();
        moment::end(&connection).map_err(Error::engine(ENGINE, "let a lock go"))?;
        self.adapt(took);
        read
    }

    /// Every commit changes the counter in the header, and nearly every write a time.
    fn is_unchanged(&self, image: &Image) -> Result<bool> {
        let same = place::stamp(&image.database)? == Some(self.main);
        Ok(same && read_header(&image.main, &image.database)? == self.header)
    }

    fn spoil(&self, image: &Image) -> Error {
        self.spoiled.store(true, Ordering::Release);
        changed(&image.database)
    }

    /// Reads more at a time from a quick disk, and less from a slow one.
    fn adapt(&self, took: Duration) {
        let step = self.step.load(Ordering::Relaxed);
        let next = if took > SLICE {
            step / 4
        } else if took < SLICE / 8 {
            step * 2
        } else {
            step
        };
        self.step.store(next.clamp(MIN_STEP, MAX_STEP), Ordering::Relaxed);
    }
}

impl fmt::Debug for Slices {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Slices")
            .field("main", &self.main)
            .field("spoiled", &self.spoiled)
            .finish_non_exhaustive()
    }
}
