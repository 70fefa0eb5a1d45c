//! A restore that places files, and nothing else.

use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::{BuiltStore, Placing};
use crate::record::RecordBatch;
use crate::source::Files;
use crate::target::{Built, Restore};
use crate::{Error, Result, thread};

/// Places files, and ends with what an engine does with them then.
struct FilesRestore<F> {
    placing: Placing,
    complete: F,
}

impl Placing {
    /// A restore of these files. `complete` gets them when all have come: it checks them, and may block.
    pub fn restore(
        self,
        complete: impl FnOnce(Self) -> Result<BuiltStore> + Send + 'static,
    ) -> Box<dyn Restore> {
        Box::new(FilesRestore { placing: self, complete })
    }
}

#[async_trait]
impl<F> Restore for FilesRestore<F>
where
    F: FnOnce(Placing) -> Result<BuiltStore> + Send + 'static,
{
    async fn load(&mut self, _database: usize, _batch: RecordBatch) -> Result<()> {
        Err(Error::invalid("a restore of files", "takes no records; it was begun for files"))
    }

    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.placing.place(file, offset, bytes).await
    }

    async fn leave_out(&mut self, file: usize, range: Range<u64>) -> Result<()> {
        self.placing.leave_out(file, range).await
    }

    fn left_over(&self) -> Option<Arc<dyn Files>> {
        self.placing.left_over()
    }

    fn interrupt(self: Box<Self>) {
        self.placing.interrupt();
    }

    async fn complete(self: Box<Self>) -> Result<Box<dyn Built>> {
        let Self { placing, complete } = *self;
        Ok(Box::new(thread::call("complete-files", move || complete(placing)).await?))
    }
}
