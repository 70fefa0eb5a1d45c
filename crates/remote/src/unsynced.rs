//! What one session stored in a local folder and did not yet make durable.
//!
//! Nothing refers to an object before the session commits, so it need not be durable before then; and a
//! disk is synced for many files at a time at little more than the cost of one. It is synced beside the
//! work, so that it has something to do all along.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use tokio::sync::Mutex as AsyncMutex;

use crate::store::Store;
use crate::task::Task;
use crate::{Error, Result};

/// How many files are synced at a time, and how many bytes: so many that the disk is asked seldom,
/// and so few that it has something to do all along.
const FILES_AT_A_TIME: usize = 32;
const BYTES_AT_A_TIME: u64 = 32 << 20;

/// How many such groups may be under way before the work waits for the disk.
const GROUPS_UNDER_WAY: usize = 3;

/// The files of one session that are still to be synced.
#[derive(Debug, Default)]
pub(crate) struct Unsynced {
    waiting: Mutex<Waiting>,
    under_way: AsyncMutex<UnderWay>,
}

/// Files that are stored, and their length in bytes.
#[derive(Debug, Default)]
struct Waiting {
    paths: Vec<String>,
    bytes: u64,
}

/// Groups that are being synced.
#[derive(Debug, Default)]
struct UnderWay {
    groups: VecDeque<Task<()>>,
    /// Whether a sync failed, or was given up: the system tells such a failure once, and a second sync
    /// that succeeds proves nothing.
    failed: bool,
}

impl Unsynced {
    /// Notes a file that was stored, and begins to sync those that are there once they are many.
    pub(crate) async fn add(&self, path: String, bytes: u64, store: &Store) -> Result<()> {
        let paths = {
            let mut waiting = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            waiting.paths.push(path);
            waiting.bytes += bytes;
            if waiting.paths.len() < FILES_AT_A_TIME && waiting.bytes < BYTES_AT_A_TIME {
                return Ok(());
            }
            std::mem::take(&mut *waiting).paths
        };
        let mut under_way = self.under_way.lock().await;
        under_way.begin(paths, store);
        under_way.wait(GROUPS_UNDER_WAY).await
    }

    /// Makes all files durable that were added.
    pub(crate) async fn settle(&self, store: &Store) -> Result<()> {
        let waiting =
            std::mem::take(&mut *self.waiting.lock().unwrap_or_else(PoisonError::into_inner));
        let mut under_way = self.under_way.lock().await;
        if !waiting.paths.is_empty() {
            under_way.begin(waiting.paths, store);
        }
        under_way.wait(0).await?;
        if under_way.failed {
            let why = "an earlier attempt to make what was stored durable failed; check the disk \
                       and run the backup again"
                .to_owned();
            return Err(Error::Unfit { address: store.address().to_owned(), why });
        }
        Ok(())
    }
}

impl UnderWay {
    fn begin(&mut self, paths: Vec<String>, store: &Store) {
        let store = store.clone();
        self.groups.push_back(Task::spawn(async move { store.sync(paths).await }));
    }

    /// Waits until at most `left` groups are being synced.
    async fn wait(&mut self, left: usize) -> Result<()> {
        while self.groups.len() > left
            && let Some(group) = self.groups.pop_front()
        {
            // Dropped in between, it must not be taken for done.
            let failed = std::mem::replace(&mut self.failed, true);
            group.join("sync what was stored").await?;
            self.failed = failed;
        }
        Ok(())
    }
}
