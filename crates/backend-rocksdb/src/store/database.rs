//! A database of an open store.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::kv::{Access, Limits};
use backup_core::source::Layout;
use backup_core::{Error, KeyValueDatabase, Partition, Result, thread};

use super::partition::RocksPartition;
use super::{Inner, failed, not_there};
use crate::keys;
use crate::limits::LIMITS;
use crate::scan::total_order;

/// A column family.
pub(super) struct RocksDatabase {
    inner: Arc<Inner>,
    name: Arc<str>,
}

impl RocksDatabase {
    pub(super) fn new(inner: Arc<Inner>, name: &str) -> Self {
        Self { inner, name: name.into() }
    }
}

#[async_trait]
impl KeyValueDatabase for RocksDatabase {
    async fn root_keys(&self) -> Result<Vec<Vec<u8>>> {
        let (inner, name) = (self.inner.clone(), self.name.clone());
        thread::call("rocksdb root keys", move || {
            let handle = inner.handle(&name)?;
            let mut iterator = inner.db.raw_iterator_cf_opt(&handle, total_order());
            let mut root_keys = Vec::new();
            iterator.seek_to_first();
            while let Some(key) = iterator.key() {
                let root_key = match inner.layout {
                    Layout::Plain => Vec::new(),
                    Layout::Partitioned => match keys::decode(key) {
                        Some((root_key, _)) => root_key.into_owned(),
                        None => {
                            return Err(Error::damaged(
                                format!("the database {name:?}"),
                                "the store is partitioned, and a key of it has no root key",
                            ));
                        }
                    },
                };
                let end = keys::partition_end(&root_key);
                root_keys.push(root_key);
                if inner.layout == Layout::Plain {
                    break;
                }
                iterator.seek(end);
            }
            iterator.status().map_err(failed("list the root keys of", &name))?;
            Ok(root_keys)
        })
        .await
    }

    async fn open(&self, root_key: &[u8], access: Access) -> Result<Arc<dyn Partition>> {
        if root_key.len() as u64 > LIMITS.key {
            let found = root_key.len() as u64;
            return Err(Error::Limit { what: "a root key".into(), found, limit: LIMITS.key });
        }
        let prefix = match self.inner.layout {
            Layout::Partitioned => keys::partition(root_key),
            Layout::Plain if root_key.is_empty() => Vec::new(),
            Layout::Plain => {
                return Err(Error::unsupported(
                    "opening a root key that is not empty",
                    "the store has the plain layout; make one with the partitioned layout",
                ));
            }
        };
        // A database is deleted under the same lock, so that none is deleted while it is opened.
        let names = self.inner.names();
        if !names.contains(self.name.as_ref()) {
            return Err(not_there(&self.name));
        }
        let guard = self.inner.open.open(&self.name, root_key, access)?;
        drop(names);
        let end = (!prefix.is_empty()).then(|| keys::partition_end(root_key));
        let (inner, name) = (self.inner.clone(), self.name.clone());
        Ok(Arc::new(RocksPartition::new(inner, name, prefix, end, guard)))
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}
