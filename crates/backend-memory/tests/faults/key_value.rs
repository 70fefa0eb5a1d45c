//! Key-value stores with a fault.

use std::sync::Arc;

use async_trait::async_trait;
use backend_memory::MemoryStore;
use backup_core::kv::{Access, Limits, Operation, PairStream, WriteBatch};
use backup_core::{Error, KeyValueDatabase, KeyValueStore, Partition, Result};
use futures_util::{StreamExt, TryStreamExt, stream};
use pollster::FutureExt as _;

use super::Fault;

pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    pub(crate) inner: MemoryStore,
}

struct FaultyDatabase {
    fault: Fault,
    inner: Arc<dyn KeyValueDatabase>,
}

#[derive(Clone)]
struct FaultyPartition {
    fault: Fault,
    inner: Arc<dyn Partition>,
}

#[async_trait]
impl KeyValueStore for Faulty {
    async fn databases(&self) -> Result<Vec<String>> {
        self.inner.databases().await
    }

    async fn create(&self, name: &str) -> Result<()> {
        self.inner.create(name).await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        match self.inner.delete(name).await {
            Err(Error::InUse { .. }) if self.fault == Fault::DeletesWhatIsOpen => Ok(()),
            answer => answer,
        }
    }

    async fn database(&self, name: &str) -> Result<Arc<dyn KeyValueDatabase>> {
        let inner = self.inner.database(name).await?;
        Ok(Arc::new(FaultyDatabase { fault: self.fault, inner }))
    }
}

#[async_trait]
impl KeyValueDatabase for FaultyDatabase {
    async fn root_keys(&self) -> Result<Vec<Vec<u8>>> {
        self.inner.root_keys().await
    }

    async fn open(&self, root_key: &[u8], access: Access) -> Result<Arc<dyn Partition>> {
        let access = if self.fault == Fault::ExcludesNobody { Access::Shared } else { access };
        let inner = self.inner.open(root_key, access).await?;
        Ok(Arc::new(FaultyPartition { fault: self.fault, inner }))
    }

    fn limits(&self) -> Limits {
        let limits = self.inner.limits();
        if self.fault == Fault::TakesAnything { Limits { key: 10, ..limits } } else { limits }
    }
}

#[async_trait]
impl Partition for FaultyPartition {
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        self.inner.get(key).await
    }

    async fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let mut keys = keys.to_vec();
        if self.fault == Fault::SortsItsAnswers {
            keys.sort_unstable();
        }
        self.inner.multi_get(&keys).await
    }

    fn scan_prefix(&self, prefix: &[u8]) -> PairStream {
        if self.fault != Fault::ScansAsItGoes {
            return self.inner.scan_prefix(prefix);
        }
        // Each pair is read when it is asked for.
        let (partition, prefix) = (self.clone(), prefix.to_vec());
        let keys = self.inner.scan_prefix(&prefix).map_ok(|(key, _)| key);
        let keys: Vec<_> = keys.try_collect().block_on().expect("memory reads");
        let pairs = stream::iter(keys).filter_map(move |key| {
            let value = partition.inner.get(&key).block_on().expect("memory reads");
            async { value.map(|value| Ok((key, value))) }
        });
        pairs.boxed()
    }

    async fn write_batch(&self, batch: WriteBatch) -> Result<()> {
        match self.fault {
            Fault::AppliesOneByOne => {
                for operation in batch.operations {
                    self.inner.write_batch(WriteBatch { operations: vec![operation] }).await?;
                }
                Ok(())
            }
            Fault::DeletesTooMuch => self.inner.write_batch(too_much(batch)).await,
            _ => self.inner.write_batch(batch).await,
        }
    }
}

/// As an engine does that takes the end of a range from the last byte plus one: 0xFF has none, so a
/// shorter prefix is deleted.
fn too_much(mut batch: WriteBatch) -> WriteBatch {
    for operation in &mut batch.operations {
        if let Operation::DeletePrefix { prefix } = operation {
            while prefix.last() == Some(&0xff) {
                prefix.pop();
            }
        }
    }
    batch
}
