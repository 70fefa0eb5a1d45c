//! What one session stored in a local folder and did not yet make durable.
//!
//! Nothing refers to an object before the session commits, so it need not be durable before then;
//! and a disk is synced for many files at a time at little more than the cost of one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use tokio::sync::RwLock;

use crate::store::Store;
use crate::{Error, Result};

/// How many files are synced at a time, and how many bytes: so many that the disk is asked seldom,
/// and so few that it has something to do all along.
const FILES_AT_A_TIME: usize = 32;
const BYTES_AT_A_TIME: u64 = 64 << 20;

/// The files of one session that are still to be synced.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    waiting: Mutex<Waiting>,
    /// Shared by all that sync some of them, held alone by the one who waits for all.
    turns: RwLock<()>,
    /// Whether a sync failed, or was given up: the system tells such a failure once, and a second
    /// sync that succeeds proves nothing.
    failed: AtomicBool,
}

/// Files that are stored, and their length in bytes.
#[derive(Debug, Default)]
struct Waiting {
    paths: Vec<String>,
    bytes: u64,
}

impl Unsynced {
    /// Notes a file that was stored, and syncs those that are there once they are many.
    pub(crate) async fn add(&self, path: String, bytes: u64, store: &Store) -> Result<()> {
        let many = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.paths.push(path);
            waiting.bytes += bytes;
            waiting.paths.len() >= FILES_AT_A_TIME || waiting.bytes >= BYTES_AT_A_TIME
        };
        if !many {
            return Ok(());
        }
        let _turn = self.turns.read().await;
        self.sync(store).await
    }

    /// Makes all files durable that were added.
    pub(crate) async fn settle(&self, store: &Store) -> Result<()> {
        let _turn = self.turns.write().await;
        self.sync(store).await?;
        if self.failed.load(Ordering::Acquire) {
            let why = "an earlier attempt to make what was stored durable failed; check the disk \
                       and run the backup again"
                .to_owned();
            return Err(Error::Unfit { address: store.address().to_owned(), why });
        }
        Ok(())
    }

    async fn sync(&self, store: &Store) -> Result<()> {
        let Waiting { paths, .. } =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        if paths.is_empty() {
            return Ok(());
        }
        // Dropped in between, it must not be taken for done.
        let mut attempt = Attempt { failed: &self.failed, succeeded: false };
        store.sync(paths).await?;
        attempt.succeeded = true;
        Ok(())
    }
}

struct Attempt<'a> {
    failed: &'a AtomicBool,
    succeeded: bool,
}

impl Drop for Attempt<'_> {
    fn drop(&mut self) {
        if !self.succeeded {
            self.failed.store(true, Ordering::Release);
        }
    }
}
