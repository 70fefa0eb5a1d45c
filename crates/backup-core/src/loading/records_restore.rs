//! A restore that loads records, and nothing else.

use async_trait::async_trait;
use bytes::Bytes;

use super::Loading;
use crate::record::RecordBatch;
use crate::staging::Staging;
use crate::target::{Restore, Restored};
use crate::{Result, thread};

/// Loads records, and ends with what an engine does with them then.
struct RecordsRestore<T, F> {
    finish: F,
    // The thread ends before the folder it writes into is swept: fields drop in this order.
    loading: Loading<T>,
    staging: Staging,
}

impl<T: Send + 'static> Loading<T> {
    /// A restore of what the thread writes into `staging`. When all has come, `finish` gets what the thread
    /// made: it checks and publishes it, and may block.
    pub fn restore(
        self,
        staging: Staging,
        finish: impl FnOnce(T, Staging) -> Result<Restored> + Send + 'static,
    ) -> Box<dyn Restore> {
        Box::new(RecordsRestore { finish, loading: self, staging })
    }
}

#[async_trait]
impl<T, F> Restore for RecordsRestore<T, F>
where
    T: Send + 'static,
    F: FnOnce(T, Staging) -> Result<Restored> + Send + 'static,
{
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        self.loading.load(database, batch).await
    }

    async fn place(&mut self, _file: usize, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(self.loading.refuse_files())
    }

    async fn finish(self: Box<Self>) -> Result<Restored> {
        let publish = move || {
            let Self { finish, mut loading, staging } = *self;
            finish(loading.finish()?, staging)
        };
        thread::call("publish-records", publish).await
    }
}
