//! Making the store quiet for a moment, and letting it go on whatever happens in between.

use std::sync::Arc;
use std::time::Duration;

use backup_core::position::Position;
use backup_core::{Cause, Error, Result};

use crate::ENGINE;

/// How the owner of the files makes them stay as they are for a moment.
///
/// Both calls may block; they run on a thread of their own.
pub trait Quiesce: Send + Sync {
    /// Brings the files into a state that is worth having (flushed, checkpointed) and keeps every
    /// writer from changing them until [`resume`](Self::resume). Says which state that is.
    fn pause(&self) -> Result<Position>;

    /// Lets the writers go on. It is called once after each call of [`pause`](Self::pause), also after
    /// one that failed, and must then undo what that one did.
    fn resume(&self) -> Result<()>;
}

/// A clock that never runs backward, for the length of a pause. Time is passed in, so that tests
/// can choose it: `let start = Instant::now(); move || start.elapsed()` is one.
pub trait Clock: Send + Sync {
    /// The time since some fixed beginning.
    fn now(&self) -> Duration;
}

impl<F: Fn() -> Duration + Send + Sync> Clock for F {
    fn now(&self) -> Duration {
        self()
    }
}

/// What a source that can be made quiet has.
#[derive(Clone)]
pub(crate) struct Quieting {
    pub(crate) owner: Arc<dyn Quiesce>,
    pub(crate) clock: Arc<dyn Clock>,
}

/// What was done while the store was quiet.
pub(crate) struct Quiet<T> {
    pub(crate) work: T,
    pub(crate) position: Position,
    pub(crate) pause: Duration,
}

impl Quieting {
    /// Runs `work` while the store is quiet. The store goes on afterwards on every path: success,
    /// error and panic.
    ///
    /// # Errors
    /// Those of the owner and of `work`. Where the store could not be let go on, that error comes
    /// before all others: somebody is waiting.
    pub(crate) fn quietly<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<Quiet<T>> {
        let begun = self.clock.now();
        let paused = Paused { owner: self.owner.as_ref(), resumed: false };
        let done = self.owner.pause().and_then(|position| Ok((position, work()?)));
        paused.resume()?;
        let pause = self.clock.now().saturating_sub(begun);
        let (position, work) = done?;
        Ok(Quiet { work, position, pause })
    }
}

/// A store that is being kept quiet.
struct Paused<'a> {
    owner: &'a dyn Quiesce,
    resumed: bool,
}

impl Paused<'_> {
    fn resume(mut self) -> Result<()> {
        self.resumed = true;
        self.owner.resume()
    }
}

impl Drop for Paused<'_> {
    /// Only a panic comes here with the store still quiet.
    fn drop(&mut self) {
        if !self.resumed
            && let Err(error) = self.owner.resume()
        {
            tracing::error!(error = &error as &dyn std::error::Error, "the store is still paused");
        }
    }
}

/// An error of a quiesce callback, for its implementations.
pub(crate) fn failed(action: &str, cause: impl Into<Cause>) -> Error {
    Error::engine(ENGINE, action)(cause)
}
