//! A database of an open store.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::kv::{Access, Limits};
use backup_core::{Error, KeyValueDatabase, Partition, Result, thread};

use super::Inner;
use super::limits::LIMITS;
use super::partition::SqlitePartition;

/// A database by its name: one that was deleted and made again is found again.
pub(super) struct SqliteDatabase {
    inner: Arc<Inner>,
    name: String,
}

impl SqliteDatabase {
    pub(super) fn new(inner: Arc<Inner>, name: &str) -> Self {
        Self { inner, name: name.to_owned() }
    }
}

#[async_trait]
impl KeyValueDatabase for SqliteDatabase {
    async fn root_keys(&self) -> Result<Vec<Vec<u8>>> {
        let (inner, name) = (self.inner.clone(), self.name.clone());
        thread::call("sqlite root keys", move || {
            let table = inner.find(&name)?;
            inner.read(|reader| table.root_keys(reader))
        })
        .await
    }

    async fn open(&self, root_key: &[u8], access: Access) -> Result<Arc<dyn Partition>> {
        if root_key.len() as u64 > LIMITS.key {
            let found = root_key.len() as u64;
            return Err(Error::Limit { what: "a root key".into(), found, limit: LIMITS.key });
        }
        let (inner, name, root_key) = (self.inner.clone(), self.name.clone(), root_key.to_vec());
        thread::call("sqlite open", move || {
            // A database is deleted under the same lock, so that none is deleted while it is opened.
            let (table, guard) = inner.alone(|| {
                let table = inner.find(&name)?;
                Ok((table, inner.open.open(&name, &root_key, access)?))
            })?;
            let partition = SqlitePartition::new(inner, table, root_key, guard);
            Ok(Arc::new(partition) as Arc<dyn Partition>)
        })
        .await
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}
