//! Files that must stay as they are while they are read without a lock.

use std::sync::atomic::{AtomicBool, Ordering};

use backup_core::Result;

use super::changed::changed;
use crate::file::place::{Place, Seen};

/// A database's files as they were seen: any change spoils all that was read and all that would be.
#[derive(Debug)]
pub(crate) struct Still {
    place: Place,
    seen: Seen,
    spoiled: AtomicBool,
}

impl Still {
    /// `seen` must be old enough for a change to show: see [`Place::look_settled`].
    pub(crate) fn new(place: &Place, seen: &Seen) -> Self {
        Self { place: place.clone(), seen: *seen, spoiled: AtomicBool::new(false) }
    }

    /// Fails from the first change on. It is asked after each reading, before the bytes are used.
    ///
    /// # Errors
    /// [`Error::Changed`](backup_core::Error::Changed).
    pub(crate) fn check(&self) -> Result<()> {
        let spoiled = self.spoiled.load(Ordering::Acquire);
        if !spoiled && self.place.look().is_ok_and(|now| now == self.seen) {
            return Ok(());
        }
        self.spoiled.store(true, Ordering::Release);
        Err(changed(&self.place.main))
    }
}
