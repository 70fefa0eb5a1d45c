//! Saying in between what is stored so far, so that an interrupted backup goes on from there.

use async_trait::async_trait;

use super::{DirectoryWritten, FilesWritten, RecordsWritten};
use crate::Result;

/// What a tree under way would be if it ended here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SoFar {
    /// The records of the database that is being written.
    Records(RecordsWritten),
    /// The databases, with what is there of the one that is being written.
    Databases(DirectoryWritten),
    /// The files.
    Files(FilesWritten),
}

/// Is asked by the writers of trees, at places where they could stop, whether to make a checkpoint.
#[async_trait]
pub trait Checkpoints: Send + Sync {
    /// Whether enough was stored since the last one.
    fn is_due(&self) -> bool;

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

    async fn save(&self, _so_far: SoFar) -> Result<()> {
        Ok(())
    }
}
