//! Checkpoints of a backup: a manifest of what is stored so far, pinned in the catalog.

use std::fmt;
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
    /// The bytes of content that the last checkpoint has.
    kept: AtomicU64,
}

impl Pace {
    pub(crate) fn new(every: CheckpointEvery, session: &Session) -> Self {
        let stored = AtomicU64::new(session.uploaded_bytes());
        Self { every, stored, at: AtomicU64::new(now(session)), kept: AtomicU64::new(0) }
    }

    /// What an interrupted backup leaves behind.
    pub(crate) async fn kept(&self, session: &Session, earlier: bool) -> Kept {
        if session.has_checkpoint().await {
            Kept::Bytes(self.kept.load(Ordering::Relaxed))
        } else if earlier {
            Kept::Earlier
        } else {
            Kept::Nothing
        }
    }

    /// What was stored since the last checkpoint, in bytes. What is stored already costs nothing to find again.
    fn news(&self, session: &Session) -> u64 {
        session.uploaded_bytes() - self.stored.load(Ordering::Relaxed)
    }

    fn is_due(&self, session: &Session) -> bool {
        let stored = self.news(session);
        let waited = now(session).saturating_sub(self.at.load(Ordering::Relaxed));
        stored > 0 && (stored >= self.every.bytes || waited >= self.every.milliseconds)
    }

    fn begin_anew(&self, session: &Session, kept: u64) {
        self.stored.store(session.uploaded_bytes(), Ordering::Relaxed);
        self.at.store(now(session), Ordering::Relaxed);
        self.kept.store(kept, Ordering::Relaxed);
    }
}

/// What an interrupted backup leaves for the next one of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kept {
    /// So many bytes of what was read.
    Bytes(u64),
    /// What backups that were interrupted before had stored.
    Earlier,
    /// Nothing.
    Nothing,
}

impl fmt::Display for Kept {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bytes(bytes) => write!(
                f,
                "{bytes} bytes of the source are kept in the repository; the next backup of this source goes \
                 on from there"
            ),
            Self::Earlier => f.write_str(
                "nothing more was kept; the next backup of this source goes on from what an earlier one had \
                 stored",
            ),
            Self::Nothing => f.write_str(
                "nothing of this backup was kept; the next one starts from the beginning",
            ),
        }
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

    fn is_worth_it(&self) -> bool {
        self.pace.news(self.session) > 0
    }

    async fn save(&self, so_far: SoFar) -> remote::Result<()> {
        let mut manifest = self.before.clone();
        match so_far {
            SoFar::Finished => {}
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
        self.pace.begin_anew(self.session, manifest.bytes());
        tracing::info!(stored = self.session.uploaded_bytes(), "checkpoint");
        Ok(())
    }
}
