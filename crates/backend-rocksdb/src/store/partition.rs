//! An open partition.

use std::sync::{Arc, PoisonError};

use async_trait::async_trait;
use backup_core::kv::{OpenGuard, Operation, PairStream, WriteBatch};
use backup_core::{Error, Partition, Result, thread};
use rocksdb::{AsColumnFamilyRef, DBRawIteratorWithThreadMode};

use super::{Db, Inner, failed};
use crate::keys;
use crate::limits::LIMITS;
use crate::scan::total_order;

/// How many pairs a scan may be ahead of its reader.
const AHEAD: usize = 16;

/// The records of a database under one root key.
pub(super) struct RocksPartition {
    place: Arc<Place>,
}

/// Where a partition's records are.
struct Place {
    inner: Arc<Inner>,
    database: Arc<str>,
    /// What its RocksDB keys begin with; empty for the plain layout.
    prefix: Vec<u8>,
    /// The first RocksDB key after all of its; none for the plain layout.
    end: Option<Vec<u8>>,
    _guard: OpenGuard,
}

impl RocksPartition {
    pub(super) fn new(
        inner: Arc<Inner>,
        database: Arc<str>,
        prefix: Vec<u8>,
        end: Option<Vec<u8>>,
        guard: OpenGuard,
    ) -> Self {
        Self { place: Arc::new(Place { inner, database, prefix, end, _guard: guard }) }
    }
}

impl Place {
    /// The RocksDB key of a key, or of a prefix.
    fn key(&self, key: &[u8]) -> Vec<u8> {
        [self.prefix.as_slice(), key].concat()
    }

    /// The first RocksDB key after all that start with `prefix`, which is a RocksDB key's.
    fn end_of(&self, prefix: &[u8]) -> Option<Vec<u8>> {
        keys::prefix_end(prefix).or_else(|| self.end.clone())
    }

    fn scan(
        &self,
        prefix: &[u8],
        mut each: impl FnMut((Vec<u8>, Vec<u8>)) -> Result<()>,
    ) -> Result<()> {
        let handle = self.inner.handle(&self.database)?;
        let start = self.key(prefix);
        let mut options = total_order();
        if let Some(end) = self.end_of(&start) {
            options.set_iterate_upper_bound(end);
        }
        let mut iterator = self.inner.db.raw_iterator_cf_opt(&handle, options);
        iterator.seek(&start);
        while let Some((key, value)) = iterator.item() {
            each((key[self.prefix.len()..].to_vec(), value.to_vec()))?;
            iterator.next();
        }
        iterator.status().map_err(failed("scan", &self.database))
    }

    fn write(&self, batch: WriteBatch) -> Result<()> {
        batch.check(&LIMITS)?;
        let handle = self.inner.handle(&self.database)?;
        let endless = |operation: &Operation| match operation {
            Operation::DeletePrefix { prefix } => self.end_of(&self.key(prefix)).is_none(),
            _ => false,
        };
        let lock = &self.inner.writing;
        // Where the last key is, nobody else may write one after it before this batch is applied.
        let (_shared, _alone) = if batch.operations.iter().any(endless) {
            (None, Some(lock.write().unwrap_or_else(PoisonError::into_inner)))
        } else {
            (Some(lock.read().unwrap_or_else(PoisonError::into_inner)), None)
        };
        let mut operations = rocksdb::WriteBatch::default();
        let mut largest_put: Option<Vec<u8>> = None;
        for operation in batch.operations {
            match operation {
                Operation::Put { key, value } => {
                    let key = self.key(&key);
                    operations.put_cf(&handle, &key, value);
                    largest_put = largest_put.max(Some(key));
                }
                Operation::Delete { key } => operations.delete_cf(&handle, self.key(&key)),
                Operation::DeletePrefix { prefix } => {
                    let start = self.key(&prefix);
                    if let Some(end) = self.end_of(&start) {
                        operations.delete_range_cf(&handle, start, end);
                    } else if let Some(last) = self.last_key(&handle)?.max(largest_put.clone())
                        && last >= start
                    {
                        operations.delete_range_cf(&handle, &start, &last);
                        operations.delete_cf(&handle, last);
                    }
                }
            }
        }
        self.inner.db.write(operations).map_err(failed("write to", &self.database))
    }

    /// The last RocksDB key of the database.
    fn last_key(&self, handle: &impl AsColumnFamilyRef) -> Result<Option<Vec<u8>>> {
        let mut iterator: DBRawIteratorWithThreadMode<'_, Db> =
            self.inner.db.raw_iterator_cf_opt(handle, total_order());
        iterator.seek_to_last();
        iterator.status().map_err(failed("scan", &self.database))?;
        Ok(iterator.key().map(<[u8]>::to_vec))
    }
}

#[async_trait]
impl Partition for RocksPartition {
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let (place, key) = (self.place.clone(), self.place.key(key));
        thread::call("rocksdb get", move || {
            let handle = place.inner.handle(&place.database)?;
            place.inner.db.get_cf(&handle, key).map_err(failed("read from", &place.database))
        })
        .await
    }

    async fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let place = self.place.clone();
        let keys: Vec<_> = keys.iter().map(|key| place.key(key)).collect();
        thread::call("rocksdb get", move || {
            let handle = place.inner.handle(&place.database)?;
            let found = place.inner.db.multi_get_cf(keys.iter().map(|key| (&handle, key)));
            let failed = || failed("read from", &place.database);
            found.into_iter().map(|value| value.map_err(failed())).collect()
        })
        .await
    }

    fn scan_prefix(&self, prefix: &[u8]) -> PairStream {
        let (place, prefix) = (self.place.clone(), prefix.to_vec());
        thread::stream("rocksdb scan", AHEAD, move |sender| {
            match place.scan(&prefix, |pair| sender.send(pair)) {
                // The reader has enough.
                Err(Error::Cancelled) => Ok(()),
                other => other,
            }
        })
    }

    async fn write_batch(&self, batch: WriteBatch) -> Result<()> {
        let place = self.place.clone();
        thread::call("rocksdb write", move || place.write(batch)).await
    }
}
