//! How long other programs are waited for.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use backup_core::Result;
use backup_core::progress::Context;

use crate::file::header::named;

/// How long a source waits where nothing else was asked for.
pub(crate) const DEFAULT: Duration = Duration::from_secs(10);

/// After how long a person is told of it.
const TELL_AFTER: Duration = Duration::from_secs(1);

/// How long a source waits, in all, for programs that are in the way of a snapshot.
///
/// The time begins to run when something is in the way for the first time. It goes on over all snapshots
/// that are begun because the one before was spoiled, and ends when one was read without that. Clones share
/// the time.
#[derive(Clone)]
pub struct Patience(Arc<Shared>);

struct Shared {
    total: Duration,
    spent: Mutex<Spent>,
}

/// What was spent since the last snapshot that succeeded.
#[derive(Default)]
struct Spent {
    since: Option<Instant>,
    told: bool,
    spoiled: bool,
}

impl Patience {
    /// Waits for as long as this, and not at all where it is zero.
    pub fn of(total: Duration) -> Self {
        Self(Arc::new(Shared { total, spent: Mutex::default() }))
    }

    /// How long it is in all.
    pub fn total(&self) -> Duration {
        self.0.total
    }

    /// Waits a moment before something is tried again. False where the time is over.
    pub(crate) fn pause(&self, database: &Path, step: Duration, context: &Context) -> Result<bool> {
        context.check()?;
        let spent = self.spend();
        let left = self.total().saturating_sub(spent);
        if left.is_zero() {
            return Ok(false);
        }
        if spent >= TELL_AFTER && !std::mem::replace(&mut self.spent().told, true) {
            let seconds = left.as_secs_f64().ceil();
            let what = named(database);
            context.note(format!(
                "waiting for a program that uses {what}, for {seconds} seconds more at most"
            ));
        }
        thread::sleep(step.min(left));
        Ok(true)
    }

    /// A snapshot was spoiled: a new one goes on with the time that is left.
    pub(crate) fn spoil(&self) {
        self.spend();
        self.spent().spoiled = true;
    }

    /// Whether the snapshot before was spoiled.
    pub(crate) fn was_spoiled(&self) -> bool {
        self.spent().spoiled
    }

    /// A snapshot was found. The time is renewed, but for one that goes on after another was spoiled.
    pub(crate) fn found(&self) {
        if !self.was_spoiled() {
            self.renew();
        }
    }

    /// Nothing is in the way any more: the next snapshot has all of the time.
    pub(crate) fn renew(&self) {
        *self.spent() = Spent::default();
    }

    /// How much of the time has run, from now on where it did not yet.
    fn spend(&self) -> Duration {
        #[expect(
            clippy::disallowed_methods,
            reason = "whoever is waited for takes real time, whatever clock files are compared with"
        )]
        let now = Instant::now();
        now.duration_since(*self.spent().since.get_or_insert(now))
    }

    fn spent(&self) -> MutexGuard<'_, Spent> {
        self.0.spent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Patience {
    /// Ten seconds.
    fn default() -> Self {
        Self::of(DEFAULT)
    }
}

impl fmt::Debug for Patience {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Patience").field("total", &self.total()).finish_non_exhaustive()
    }
}
