//! Requests: how many at a time, how often, how long, and until when.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use super::Store;
use crate::retry::{self, Kind, Met, TimedOut};
use crate::{Error, Result};

/// How often a request fails before it is said that its store is waited for.
const TOLD: u32 = 3;

/// How often a request under way looks whether its caller cancelled.
const CANCEL_POLL: Duration = Duration::from_millis(50);

impl Store {
    /// Waits as is right after `failed` failed attempts, or until the caller cancels.
    pub(crate) async fn pause(&self, failed: u32) -> Result<()> {
        self.sleep(self.shared.patience.pause(failed, &self.shared.host)?).await
    }

    /// Lets other writers go ahead, after `lost` races with them.
    pub(crate) async fn give_way(&self, lost: u32) -> Result<()> {
        self.sleep(self.shared.patience.turn(lost, &self.shared.host)?).await
    }

    async fn sleep(&self, pause: Duration) -> Result<()> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            error = self.cancelled() => Err(error),
        }
    }

    /// Makes a request until it is answered, refused for good, or patience ends. The outer error is
    /// not the store's.
    ///
    /// This is the only place where requests are made again: what is below must not do so by itself.
    pub(super) async fn request<T, F>(
        &self,
        attempt: impl Fn() -> F,
    ) -> Result<object_store::Result<T>>
    where
        F: Future<Output = Result<object_store::Result<T>>>,
    {
        let shared = self.shared.as_ref();
        let _permit = self.permit().await;
        let kind = if shared.folder.is_some() { Kind::Local } else { Kind::Remote };
        let (mut failed, mut since) = (0, None);
        loop {
            let answer = attempt().await?;
            let verdict = answer.as_ref().err().map(|error| retry::judge(error, kind));
            shared.outage.heard(self, verdict);
            let (Some(verdict), Err(error)) = (verdict, &answer) else { return Ok(answer) };
            failed += 1;
            let since = since.get_or_insert_with(Instant::now).elapsed();
            let met = shared.outage.met(since);
            let Some(pause) = shared.patience.plan(verdict, failed, met, &shared.host)? else {
                if verdict.is_away() {
                    shared.outage.given_up(self, since);
                }
                return Ok(answer);
            };
            if matches!(met, Met::Answered { .. }) && verdict.is_away() && failed >= TOLD {
                shared.outage.tell(self, error, since);
            }
            tracing::debug!(%error, failed, ?pause, "a request to the object store failed; trying again");
            self.sleep(pause).await?;
        }
    }

    /// One attempt that moves so many bytes, ended by its timeout and by the caller's cancellation.
    pub(super) async fn bounded<T>(
        &self,
        bytes: u64,
        attempt: impl Future<Output = Result<object_store::Result<T>>>,
    ) -> Result<object_store::Result<T>> {
        self.check()?;
        let allowed = self.shared.patience.allowed(bytes);
        tokio::select! {
            // An answer that is there is taken, without a timer for each file of a listing.
            biased;
            answer = tokio::time::timeout(allowed, attempt) => match answer {
                Ok(answer) => answer,
                Err(_) => Ok(Err(retry::own(TimedOut(allowed)))),
            },
            error = self.cancelled() => Err(error),
        }
    }

    pub(super) async fn permit(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.shared.permits.acquire().await.expect("the semaphore is never closed")
    }

    /// While the returned guard lives, requests run although the caller cancelled, so that a checkpoint can be
    /// stored.
    pub(crate) fn allow_after_cancel(&self) -> AllowedAfterCancel {
        self.shared.parting.fetch_add(1, Ordering::AcqRel);
        AllowedAfterCancel(Arc::clone(&self.shared.parting))
    }

    fn check(&self) -> Result<()> {
        if self.shared.parting.load(Ordering::Acquire) == 0 {
            self.shared.context.check()?;
        }
        Ok(())
    }

    async fn cancelled(&self) -> Error {
        loop {
            tokio::time::sleep(CANCEL_POLL).await;
            if let Err(error) = self.check() {
                return error;
            }
        }
    }
}

/// While it is there, a store's requests are not cancelled.
#[derive(Debug)]
pub(crate) struct AllowedAfterCancel(Arc<AtomicUsize>);

impl Drop for AllowedAfterCancel {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::AcqRel);
    }
}
