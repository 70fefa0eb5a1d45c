//! What is known of how a store is doing, and what is said while it is away.

use std::fmt::Display;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::Store;
use crate::retry::{Met, Verdict, brief};

/// How long it is silent while a store is waited for.
const SILENCE: Duration = Duration::from_secs(30);

/// What all requests to one store know together.
#[derive(Debug, Default)]
pub(super) struct Outage(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    heard: bool,
    answered: bool,
    /// Since when it is said that the store is away, and when that was said last.
    away: Option<(Instant, Instant)>,
    given_up: bool,
}

impl Outage {
    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes note of what came of a request.
    pub(super) fn heard(&self, store: &Store, verdict: Option<Verdict>) {
        let mut known = self.known();
        known.heard |= verdict != Some(Verdict::Unreachable);
        if verdict.is_some_and(Verdict::is_away) || verdict == Some(Verdict::Failed) {
            return;
        }
        // A plain answer, be it a refusal.
        known.answered = true;
        if let Some((since, _)) = known.away.take() {
            let seconds = since.elapsed().as_secs();
            drop(known);
            say(store, format_args!("answers again, after {seconds} s"));
        }
    }

    /// How well the store is known to a request that fails since so long.
    pub(super) fn met(&self, since: Duration) -> Met {
        match &*self.known() {
            Known { answered: true, .. } => Met::Answered { since },
            Known { heard: true, .. } => Met::Heard,
            _ => Met::Never,
        }
    }

    /// Says that the store is waited for, and how long still: once, and again after a while.
    pub(super) fn tell(&self, store: &Store, error: &object_store::Error, since: Duration) {
        let left = store.patience().outage.saturating_sub(since).as_secs_f64().ceil();
        if left <= 0.0 {
            return;
        }
        let mut known = self.known();
        let now = Instant::now();
        let begun = now.checked_sub(since).unwrap_or(now);
        let (away, told) = known.away.unwrap_or((begun, begun));
        if known.away.is_some() && told.elapsed() < SILENCE {
            return;
        }
        known.away = Some((away, now));
        drop(known);
        let why = brief(error);
        say(store, format_args!("does not answer ({why}); it is waited for, {left} s at most"));
    }

    /// Says that a store that had answered did not come back: once, also where the wait was over before it was told.
    pub(super) fn given_up(&self, store: &Store, since: Duration) {
        let mut known = self.known();
        if known.answered && !known.given_up {
            known.given_up = true;
            drop(known);
            let seconds = since.as_secs();
            say(
                store,
                format_args!("did not come back in {seconds} s; it is not waited for longer"),
            );
        }
    }
}

fn say(store: &Store, what: impl Display) {
    store.context().note(format!("{} {what}", store.address()));
}
