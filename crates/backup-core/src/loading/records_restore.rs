//! A restore that loads records, and nothing else.

use async_trait::async_trait;
use bytes::Bytes;

use super::Loading;
use crate::record::RecordBatch;
use crate::staging::{BuiltStore, Staging};
use crate::target::{Built, Restore};
use crate::{Result, thread};

/// Loads records, and ends with what an engine does with them then.
struct RecordsRestore<T, F> {
    complete: F,
    // The thread ends before the folder it writes into is swept: fields drop in this order.
    loading: Loading<T>,
    staging: Staging,
}

impl<T: Send + 'static> Loading<T> {
    /// A restore of what the thread writes into `staging`. When all has come, `complete` gets what the
    /// thread made, and makes the store of it. It may block.
    pub fn restore(
        self,
        staging: Staging,
        complete: impl FnOnce(T, Staging) -> Result<BuiltStore> + Send + 'static,
    ) -> Box<dyn Restore> {
        Box::new(RecordsRestore { complete, loading: self, staging })
    }
}

#[async_trait]
impl<T, F> Restore for RecordsRestore<T, F>
where
    T: Send + 'static,
    F: FnOnce(T, Staging) -> Result<BuiltStore> + Send + 'static,
{
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        self.loading.load(database, batch).await
    }

    async fn place(&mut self, _file: usize, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(self.loading.refuse_files())
    }

    async fn complete(self: Box<Self>) -> Result<Box<dyn Built>> {
        let complete = move || {
            let Self { complete, mut loading, staging } = *self;
            complete(loading.finish()?, staging)
        };
        Ok(Box::new(thread::call("complete-records", complete).await?))
    }
}
