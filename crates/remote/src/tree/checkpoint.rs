//! Saying in between what is stored so far, so that an interrupted backup goes on from there.

use async_trait::async_trait;

use super::{DirectoryWritten, FilesWritten, RecordsWritten};
use crate::session::PARTING;
use crate::{Error, Result, Session};

/// What a tree under way would be if it ended here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoFar {
    /// The records of the database that is being written: those of all leaves that are stored, with gaps
    /// where ranges are read side by side.
    Records(RecordsWritten),
    /// The databases, with what is there of the one that is being written.
    Databases(DirectoryWritten),
    /// The files. Of the last one there may be a beginning only, which its description is longer than.
    Files(FilesWritten),
    /// Nothing more than the trees that are finished.
    Finished,
}

/// Is asked by the writers of trees, at places where they could stop, whether to make a checkpoint.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Whether enough was stored since the last one.
    fn is_due(&self) -> bool;

    /// Whether anything was stored since the last one, so that a writer that ends early makes one more.
    fn is_worth_it(&self) -> bool;

    /// Makes one.
    async fn save(&self, so_far: SoFar) -> Result<()>;
}

/// No checkpoints.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unsaved;

#[async_trait]
impl Checkpoints for Unsaved {
    fn is_due(&self) -> bool {
        false
    }

    fn is_worth_it(&self) -> bool {
        false
    }

    async fn save(&self, _so_far: SoFar) -> Result<()> {
        Ok(())
    }
}

/// Makes a checkpoint as a writer ends with an error, unless the work starts over after it.
pub(super) async fn keep_after(
    error: &Error,
    session: &Session,
    checkpoints: &dyn Checkpoints,
    so_far: impl Future<Output = Result<Option<SoFar>>>,
) {
    if !error.starts_over() {
        Box::pin(keep(session, checkpoints, so_far)).await;
    }
}

/// Makes a checkpoint as a writer ends early, in bounded time and if there is anything to keep. That it could
/// not be made is no error: the one to tell is that which ended the work.
///
/// Not where the work starts over ([`Error::starts_over`]).
pub async fn keep(
    session: &Session,
    checkpoints: &dyn Checkpoints,
    so_far: impl Future<Output = Result<Option<SoFar>>>,
) {
    if !checkpoints.is_worth_it() {
        return;
    }
    let _allowed = session.repository().store().allow_after_cancel();
    let kept = async {
        match so_far.await? {
            Some(so_far) => checkpoints.save(so_far).await,
            None => Ok(()),
        }
    };
    match tokio::time::timeout(PARTING, kept).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::warn!(%error, "what was stored could not be kept"),
        Err(_) => tracing::warn!("what was stored could not be kept in time"),
    }
}
