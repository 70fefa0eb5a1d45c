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
}

impl Context {
    /// A context whose events go to `sink`.
    pub fn new(sink: Arc<dyn ProgressSink>) -> Self {
        Self { sink: Some(sink), cancelled: Arc::default() }
    }

    /// Asks every call that has this context, or a clone, to stop at its next safe place.
    pub fn cancel(&self) {
        self.cancelled.store(true, Ordering::Release);
    }

    /// Whether [`cancel`](Self::cancel) was called.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(Ordering::Acquire)
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
