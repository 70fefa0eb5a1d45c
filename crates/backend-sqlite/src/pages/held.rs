//! A database that a program has for itself, read as a crash at this moment would leave it.
//!
//! No lock can be had on it, so its files are read between two equal looks, as those of a database that was
//! left behind, and copied, so that only as long as that takes has nothing to change.
//!
//! | beside the main file | what is read |
//! |---|---|
//! | a log | the last commit in it, by its checksums; it may grow meanwhile, where neither the main file changes nor the log starts over |
//! | a journal of a transaction that runs | the main file with the pages put back that it holds |
//! | a journal that was ended after the main file was last written | the main file |
//! | none, or an older one | the main file, where it is known that no transaction runs; else nothing |
//!
//! **Why two equal looks are enough.** A write changes the time of a file before it changes its bytes, and so
//! the first look waits until the clock of the file system has ticked since the last change: each write that
//! begins after it shows. One that began before it, and was held up within the system, is the only one of its
//! thread; SQLite orders its writes so that each of them alone may be missing: a page of the main file is in
//! the log or the journal before, and the end of the journal is written last. It is taken for given that
//! files are not written through mapped memory (SQLite is not, unless it is compiled with
//! `SQLITE_MMAP_READWRITE`), and that the program runs on this machine.
//!
//! **Why the main file alone is not enough.** A program with a journal in memory, or none, writes the main
//! file in the middle of a transaction, and no byte of it tells. In exclusive mode the counter of changes in
//! the header tells nothing either: SQLite counts once, and not again while it keeps its lock.

use std::fs::File;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use backup_core::{Error, Result};

use super::image::Image;
use super::left::{self, Recovered};
use super::scratch::{self, Copied};
use super::state::{Asked, Kept, Obstacle, State};
use super::still::Still;
use crate::file::descriptors;
use crate::file::holder::{Holder, Scope};
use crate::file::locks;
use crate::file::place::{self, Seen};

/// What a person should know of a snapshot that was taken so.
const AS_AFTER_A_CRASH: &str = "a program has the database for itself: it was read as a crash at this \
                                moment would leave it";

/// Up to which length a database is copied. A longer one is read in place, and spoiled by any change until
/// it is stored.
const COPIED: u64 = 1 << 30;

/// How long a main file beside which no journal is must not have been written.
const QUIET: Duration = Duration::from_secs(2);

/// Who has a main file for itself. None where nobody is known to: it was for a moment.
pub(crate) fn holder(asked: &Asked<'_>, main: &File) -> Result<Option<Holder>> {
    let database = &asked.place.main;
    let failed = |error| Error::io("ask for the locks of", database)(error);
    if let Some(holder) = locks::holder(main).map_err(failed)? {
        return Ok(Some(holder));
    }
    let found = place::stamp(database)?;
    let own = found.map_or(Ok(false), |found| descriptors::is_open_elsewhere(found.file()))?;
    Ok(own.then(Holder::own))
}

/// The state that a crash would leave. None where there is an obstacle, which is then told to `asked`.
pub(crate) fn find(asked: &Asked<'_>, main: &Arc<File>, holder: &Holder) -> Result<Option<State>> {
    let (place, clock) = (asked.place, &asked.options.clock);
    let restless = || {
        asked.meet(Obstacle::Restless);
        Ok(None)
    };
    let has_log = asked.is_wal(main, &place.look()?)?;
    let part: fn(Seen) -> Seen = if has_log { Seen::without_log } else { Seen::without_memory };
    let Some(settled) = place.look_settled_at(clock(), part)? else { return restless() };
    let seen = place.look()?.without_memory();
    let still =
        if has_log { Still::with_log(place, &seen)? } else { Still::without_memory(place, &seen) };
    if part(seen) != settled || (seen.has_wal() && !has_log) {
        return restless();
    }
    let found = left::recover(asked, main, &seen);
    if still.check().is_err() {
        return restless();
    }
    let found = match found {
        Ok(found) => found,
        // While a log grows, what is read of its end may be of two moments.
        Err(_) if place.look()?.without_memory() != seen => return restless(),
        Err(error) => return asked.meet_twice(&seen, error).map(|()| None),
    };
    if found.image.is_main_alone()
        && !has_log
        && let Some(obstacle) = in_doubt(asked, &found, &seen, holder)?
    {
        asked.meet(obstacle);
        return Ok(None);
    }
    let state = found.into_state(&seen, Arc::new(still), asked.options);
    copied(asked, state)
}

/// Why a main file, which has all there is, may be in the middle of a transaction.
fn in_doubt(
    asked: &Asked<'_>,
    found: &Recovered,
    seen: &Seen,
    holder: &Holder,
) -> Result<Option<Obstacle>> {
    let written = seen.main.modified;
    let before = |began| time(written).is_some_and(|written| written < began);
    let is_of_another = holder.began().is_some_and(before);
    if is_of_another {
        return Ok(None);
    }
    if let Some(journal) = seen.journal.filter(|journal| journal.modified >= written) {
        // In exclusive mode it stays open; one that is not is of an earlier transaction.
        let is_its_own = match holder.scope {
            Scope::Transaction => holder.has_open(journal.file()) != Some(false),
            Scope::Process => true,
        };
        return Ok((!is_its_own).then_some(Obstacle::Unjournaled));
    }
    if holder.scope == Scope::Transaction || seen.journal.is_some() {
        return Ok(Some(Obstacle::Unjournaled));
    }
    // Who removes a journal does so after the main file was written, which changes the folder.
    let folder = asked.place.main.parent().map(place::stamp).transpose()?.flatten();
    let removed = folder.is_some_and(|folder| folder.modified >= written);
    let grown = seen.main.bytes > found.image.bytes();
    if !removed || grown {
        return Ok(Some(Obstacle::Unjournaled));
    }
    let rests = seen.main.is_modified_before(QUIET, (asked.options.clock)());
    Ok((!rests).then_some(Obstacle::Restless))
}

fn time((seconds, nanos): (i64, i64)) -> Option<SystemTime> {
    let (seconds, nanos) = (u64::try_from(seconds).ok()?, u32::try_from(nanos).ok()?);
    UNIX_EPOCH.checked_add(Duration::new(seconds, nanos))
}

/// A copy of a state, where it is not too long: what the program does from then on is no matter.
fn copied(asked: &Asked<'_>, state: State) -> Result<Option<State>> {
    let mut notes = state.notes;
    notes.push(AS_AFTER_A_CRASH.into());
    let state = State { notes, ..state };
    if state.image.bytes() > COPIED {
        return Ok(Some(state));
    }
    let Copied { main, scratch, .. } = match copy(asked, &state) {
        Ok(copied) => copied,
        Err(Error::Changed { .. }) => {
            asked.meet(Obstacle::Restless);
            return Ok(None);
        }
        Err(error) => return Err(error),
    };
    let image = Arc::new(Image::of_copy(main, &state.image));
    Ok(Some(State { image, kept: Kept::Scratch(scratch), ..state }))
}

fn copy(asked: &Asked<'_>, state: &State) -> Result<Copied> {
    if let (Some(folder), true) = (&asked.options.scratch, state.image.is_main_alone())
        && let Some(copied) = scratch::reflink(&state.image.main, folder)?
    {
        state.kept.check()?;
        return Ok(copied);
    }
    scratch::copy(&state.image, &state.kept, asked.options, asked.context)
}
