//! What long calls say while they work, and how they are stopped.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::{Error, Result};

/// One thing a long call says.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A phase begins; `bytes` is the expected total, where it is known.
    Phase {
        /// What is done, as in "reading records".
        name: &'static str,
        /// The expected total in bytes.
        bytes: Option<u64>,
    },
    /// Work done in the current phase since the last such event.
    Advanced {
        /// Bytes handled.
        bytes: u64,
        /// Records handled, 0 where the phase does not count them.
        records: u64,
    },
    /// A sentence that the person should read.
    Note(String),
}

/// Receives the events of a long call, from any thread.
pub trait ProgressSink: Send + Sync {
    /// Takes one event. Must be quick: the work waits for it.
    fn event(&self, event: &Event);
}

/// Progress and cancellation, given to every long call.
///
/// ```
/// use backup_core::progress::Context;
/// let context = Context::default();
/// context.check()?;
/// context.cancel();
/// assert!(context.check().is_err());
/// # Ok::<(), backup_core::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct Context {
    sink: Option<Arc<dyn ProgressSink>>,
    cancelled: Arc<AtomicBool>,
    /// The flags of the contexts that this one is a part of.
    above: Vec<Arc<AtomicBool>>,
}

impl Context {
    /// A context whose events go to `sink`.
    pub fn new(sink: Arc<dyn ProgressSink>) -> Self {
        Self { sink: Some(sink), ..Self::default() }
    }

    /// A context for a part of the work: it reports to the same sink, is cancelled with this one, and can be
    /// cancelled alone.
    ///
    /// ```
    /// use backup_core::progress::Context;
    /// let whole = Context::default();
    /// let (part, other) = (whole.part(), whole.part());
    /// part.cancel();
    /// assert!(part.is_cancelled() && !whole.is_cancelled() && !other.is_cancelled());
    /// whole.cancel();
    /// assert!(other.is_cancelled());
    /// ```
    #[must_use]
    pub fn part(&self) -> Self {
        let mut above = self.above.clone();
        above.push(Arc::clone(&self.cancelled));
        Self { sink: self.sink.clone(), cancelled: Arc::default(), above }
    }

    /// Asks every call that has this context, or a clone, to stop at its next safe place.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        let mut flags = [&self.cancelled].into_iter().chain(&self.above);
        flags.any(|flag| flag.load(Ordering::Acquire))
    }

    /// Fails once the call was cancelled; long calls ask at least once a batch.
    ///
    /// # Errors
    /// [`Error::Cancelled`].
    pub fn check(&self) -> Result<()> {
        if self.is_cancelled() { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// Says that a phase begins.
    pub fn phase(&self, name: &'static str, bytes: Option<u64>) {
        self.event(&Event::Phase { name, bytes });
    }

    /// Says that work was done.
    pub fn advance(&self, bytes: u64, records: u64) {
        self.event(&Event::Advanced { bytes, records });
    }

    /// Says a sentence.
    pub fn note(&self, sentence: impl Into<String>) {
        self.event(&Event::Note(sentence.into()));
    }

    fn event(&self, event: &Event) {
        if let Some(sink) = &self.sink {
            sink.event(event);
        }
    }
}

impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context").field("cancelled", &self.is_cancelled()).finish_non_exhaustive()
    }
}
