//! The store as applications use it.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::kv::{Access, Limits, OpenGuard, PairStream, WriteBatch};
use backup_core::record::RecordKey;
use backup_core::{Error, KeyValueDatabase, KeyValueStore, Partition, Result};
use futures_util::{StreamExt, stream};

use crate::MemoryStore;
use crate::records::Records;
use crate::store::{LIMITS, check_name};

#[async_trait]
impl KeyValueStore for MemoryStore {
    async fn databases(&self) -> Result<Vec<String>> {
        Ok(self.state().databases.keys().cloned().collect())
    }

    async fn create(&self, name: &str) -> Result<()> {
        check_name(name)?;
        self.change(|state| {
            if state.databases.contains_key(name) {
                let detail = "is there already; choose another name";
                return Err(Error::invalid(format!("database {name:?}"), detail));
            }
            state.databases.insert(name.to_owned(), Records::default());
            Ok(())
        })
    }

    async fn delete(&self, name: &str) -> Result<()> {
        self.change(|state| {
            state.records(name)?;
            if self.open_table().is_open(name) {
                let what = format!("database {name:?}");
                let hint = "close its partitions first".into();
                return Err(Error::InUse { what, hint });
            }
            state.databases.remove(name);
            Ok(())
        })
    }

    async fn database(&self, name: &str) -> Result<Arc<dyn KeyValueDatabase>> {
        self.state().records(name)?;
        Ok(Arc::new(Database { store: self.clone(), name: name.to_owned() }))
    }
}

struct Database {
    store: MemoryStore,
    name: String,
}

#[async_trait]
impl KeyValueDatabase for Database {
    async fn root_keys(&self) -> Result<Vec<Vec<u8>>> {
        Ok(self.store.state().records(&self.name)?.root_keys())
    }

    async fn open(&self, root_key: &[u8], access: Access) -> Result<Arc<dyn Partition>> {
        if root_key.len() as u64 > LIMITS.key {
            let found = root_key.len() as u64;
            return Err(Error::Limit { what: "a root key".into(), found, limit: LIMITS.key });
        }
        // The state is held until the partition is in the table, so that no delete comes between.
        let state = self.store.state();
        state.records(&self.name)?;
        let guard = self.store.open_table().open(&self.name, root_key, access)?;
        Ok(Arc::new(OpenPartition {
            store: self.store.clone(),
            database: self.name.clone(),
            root_key: root_key.to_vec(),
            _guard: guard,
        }))
    }

    fn limits(&self) -> Limits {
        LIMITS
    }
}

struct OpenPartition {
    store: MemoryStore,
    database: String,
    root_key: Vec<u8>,
    _guard: OpenGuard,
}

#[async_trait]
impl Partition for OpenPartition {
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let at = RecordKey::new(&self.root_key, key);
        Ok(self.store.state().records(&self.database)?.get(&at).cloned())
    }

    async fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let state = self.store.state();
        let records = state.records(&self.database)?;
        let value = |key: &Vec<u8>| records.get(&RecordKey::new(&self.root_key, key)).cloned();
        Ok(keys.iter().map(value).collect())
    }

    fn scan_prefix(&self, prefix: &[u8]) -> PairStream {
        let found = self.store.state().records(&self.database).cloned();
        match found {
            Ok(records) => stream::iter(records.into_pairs(&self.root_key, prefix).map(Ok)).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }

    async fn write_batch(&self, batch: WriteBatch) -> Result<()> {
        batch.check(&LIMITS)?;
        self.store.change(|state| {
            let records = state.records_mut(&self.database)?;
            let mut changed = records.clone();
            for operation in batch.operations {
                changed.apply(&self.root_key, operation);
            }
            *records = changed;
            Ok(())
        })
    }
}
