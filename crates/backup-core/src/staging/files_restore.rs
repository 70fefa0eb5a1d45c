//! A restore that places files, and nothing else.

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::Placing;
use crate::record::RecordBatch;
use crate::source::Files;
use crate::target::{Restore, Restored};
use crate::{Error, Result, thread};

/// Places files, and ends with what an engine does with them then.
struct FilesRestore<F> {
    placing: Placing,
    finish: F,
}

impl Placing {
    /// A restore of these files. `finish` gets them when all have come: it checks and publishes them, and may
    /// block.
    pub fn restore(
        self,
        finish: impl FnOnce(Self) -> Result<Restored> + Send + 'static,
    ) -> Box<dyn Restore> {
        Box::new(FilesRestore { placing: self, finish })
    }
}

#[async_trait]
impl<F> Restore for FilesRestore<F>
where
    F: FnOnce(Placing) -> Result<Restored> + Send + 'static,
{
    async fn load(&mut self, _database: usize, _batch: RecordBatch) -> Result<()> {
        Err(Error::invalid("a restore of files", "takes no records; it was begun for files"))
    }

    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.placing.place(file, offset, bytes).await
    }

    fn left_over(&self) -> Option<Arc<dyn Files>> {
        self.placing.left_over()
    }

    fn interrupt(self: Box<Self>) {
        self.placing.interrupt();
    }

    async fn finish(self: Box<Self>) -> Result<Restored> {
        let Self { placing, finish } = *self;
        thread::call("publish-files", move || finish(placing)).await
    }
}
