//! Files that must stay as they are while they are read without a lock.

use std::fs::File;
use std::sync::atomic::{AtomicBool, Ordering};

use backup_core::{Error, Result};

use super::changed::changed;
use crate::file::place::{Place, Seen};
use crate::file::read_up_to;
use crate::file::wal::HEADER_BYTES;

/// A database's files as they were seen: any change spoils all that was read and all that would be.
#[derive(Debug)]
pub(crate) struct Still {
    place: Place,
    seen: Seen,
    /// Which of them are looked at.
    part: fn(Seen) -> Seen,
    /// The log that must not start over, where it may grow.
    log: Option<Begin>,
    spoiled: AtomicBool,
}

/// How a log begins. It is written anew whenever the log starts over, with other salts; until then no frame
/// up to its last commit changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Begin {
    file: (u64, u64),
    header: [u8; HEADER_BYTES],
}

impl Still {
    /// `seen` must be old enough for a change to show: see [`Place::look_settled`].
    pub(crate) fn new(place: &Place, seen: &Seen) -> Self {
        Self::of(place, seen, |seen| seen)
    }

    /// As [`new`](Self::new), where the memory that processes share may change.
    pub(crate) fn without_memory(place: &Place, seen: &Seen) -> Self {
        Self::of(place, seen, Seen::without_memory)
    }

    /// As [`without_memory`](Self::without_memory), where the log may grow as well. What is read of it must
    /// be checked by its own checksums, up to a commit.
    ///
    /// # Errors
    /// Those of reading the log.
    pub(crate) fn with_log(place: &Place, seen: &Seen) -> Result<Self> {
        let log = if seen.has_wal() { begin(place)? } else { None };
        Ok(Self { log, ..Self::of(place, seen, Seen::without_log) })
    }

    fn of(place: &Place, seen: &Seen, part: fn(Seen) -> Seen) -> Self {
        let (place, seen) = (place.clone(), part(*seen));
        Self { place, seen, part, log: None, spoiled: AtomicBool::new(false) }
    }

    /// Fails from the first change on. It is asked after each reading, before the bytes are used.
    ///
    /// # Errors
    /// [`Error::Changed`](backup_core::Error::Changed).
    pub(crate) fn check(&self) -> Result<()> {
        let spoiled = self.spoiled.load(Ordering::Acquire);
        if !spoiled && self.is_unchanged() {
            return Ok(());
        }
        self.spoiled.store(true, Ordering::Release);
        Err(changed(&self.place.main))
    }

    fn is_unchanged(&self) -> bool {
        let same = self.place.look().is_ok_and(|now| (self.part)(now) == self.seen);
        same && (self.log.is_none() || begin(&self.place).is_ok_and(|now| now == self.log))
    }
}

fn begin(place: &Place) -> Result<Option<Begin>> {
    use std::os::unix::fs::MetadataExt;
    let file = File::open(&place.wal).map_err(Error::io("open", &place.wal))?;
    let found = file.metadata().map_err(Error::io("look at", &place.wal))?;
    let mut header = [0; HEADER_BYTES];
    let read = read_up_to(&file, &mut header, 0).map_err(Error::io("read", &place.wal))?;
    Ok((read == HEADER_BYTES).then_some(Begin { file: (found.dev(), found.ino()), header }))
}
