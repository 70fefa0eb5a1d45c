//! Checkpoints of a backup: a manifest of what is stored so far, pinned in the catalog.

use std::sync::atomic::{AtomicU64, Ordering};

use archive::manifest::{Manifest, Shape};
use async_trait::async_trait;
use remote::Session;
use remote::tree::{Checkpoints, SoFar};

/// When a checkpoint is made, whichever comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CheckpointEvery {
    /// After so many bytes were stored.
    pub bytes: u64,
    /// After so many milliseconds.
    pub milliseconds: u64,
}

impl Default for CheckpointEvery {
    /// 256 MiB, or a minute: more than that is not sent twice, and a checkpoint costs a few small
    /// objects.
    fn default() -> Self {
        Self { bytes: 256 << 20, milliseconds: 60_000 }
    }
}

/// How much a backup has stored since its last checkpoint, over all of its trees.
pub(crate) struct Pace {
    every: CheckpointEvery,
    stored: AtomicU64,
    at: AtomicU64,
}

impl Pace {
    pub(crate) fn new(every: CheckpointEvery, session: &Session) -> Self {
        let stored = AtomicU64::new(session.uploaded_bytes());
        Self { every, stored, at: AtomicU64::new(now(session)) }
    }

    fn is_due(&self, session: &Session) -> bool {
        let stored = session.uploaded_bytes() - self.stored.load(Ordering::Relaxed);
        let waited = now(session).saturating_sub(self.at.load(Ordering::Relaxed));
        // What is stored already costs nothing to find again.
        stored > 0 && (stored >= self.every.bytes || waited >= self.every.milliseconds)
    }

    fn begin_anew(&self, session: &Session) {
        self.stored.store(session.uploaded_bytes(), Ordering::Relaxed);
        self.at.store(now(session), Ordering::Relaxed);
    }
}

fn now(session: &Session) -> u64 {
    session.repository().host().clock.now_ms()
}

/// Makes checkpoints of one tree of a backup.
pub(crate) struct Saving<'a> {
    session: &'a Session,
    pace: &'a Pace,
    /// The manifest with what was finished before this tree.
    before: &'a Manifest,
}

impl<'a> Saving<'a> {
    pub(crate) fn new(session: &'a Session, pace: &'a Pace, before: &'a Manifest) -> Self {
        Self { session, pace, before }
    }
}

#[async_trait]
impl Checkpoints for Saving<'_> {
    fn is_due(&self) -> bool {
        self.pace.is_due(self.session)
    }

    async fn save(&self, so_far: SoFar) -> remote::Result<()> {
        let mut manifest = self.before.clone();
        match so_far {
            SoFar::Files(files) => {
                let (count, bytes) = (files.count, files.bytes);
                manifest.shape = Shape::Files { tree: files.tree, count, bytes };
            }
            SoFar::Databases(written) => {
                (manifest.databases, manifest.sum) = (written.tree, written.sum);
            }
            // Comes with the directory of the databases before it, as above.
            SoFar::Records(_) => return Ok(()),
        }
        self.session.checkpoint(&manifest).await?;
        self.pace.begin_anew(self.session);
        tracing::info!(stored = self.session.uploaded_bytes(), "checkpoint");
        Ok(())
    }
}
