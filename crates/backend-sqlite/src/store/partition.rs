//! An open partition.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::kv::{OpenGuard, PairStream, WriteBatch};
use backup_core::{Error, Partition, Result, thread};
use futures_util::{StreamExt, TryStreamExt, stream};

use super::failure::failed;
use super::limits::LIMITS;
use super::table::{Range, Table};
use super::{Inner, layout};

/// How many bytes of pairs a scan hands over at once, and how many times that it may be ahead.
const CHUNK_BYTES: usize = 64 << 10;
const AHEAD: usize = 2;

/// Keys and values.
type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The records of a database under one root key.
pub(super) struct SqlitePartition {
    place: Arc<Place>,
}

/// Where a partition's records are.
struct Place {
    inner: Arc<Inner>,
    table: Table,
    root_key: Vec<u8>,
    _guard: OpenGuard,
}

impl SqlitePartition {
    pub(super) fn new(
        inner: Arc<Inner>,
        table: Table,
        root_key: Vec<u8>,
        guard: OpenGuard,
    ) -> Self {
        Self { place: Arc::new(Place { inner, table, root_key, _guard: guard }) }
    }
}

impl Place {
    fn get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        self.inner.read(|reader| {
            let value = |key: &Vec<u8>| self.table.get(reader, &self.root_key, key);
            keys.iter().map(value).collect()
        })
    }

    /// Hands over all pairs with a prefix, some at a time, from one read transaction.
    fn scan(&self, prefix: &[u8], mut send: impl FnMut(Pairs) -> Result<()>) -> Result<()> {
        let reader = self.inner.connections.reader()?;
        let _moment = reader.unchecked_transaction().map_err(failed("scan", self.table.what()))?;
        let range = Range::of_prefix(&self.root_key, prefix);
        let (mut pairs, mut bytes) = (Pairs::new(), 0);
        self.table.each(&reader, &range, |key, value| {
            bytes += key.len() + value.len();
            pairs.push((key, value));
            if bytes < CHUNK_BYTES {
                return Ok(());
            }
            bytes = 0;
            send(std::mem::take(&mut pairs))
        })?;
        if pairs.is_empty() { Ok(()) } else { send(pairs) }
    }

    fn write(&self, batch: &WriteBatch) -> Result<()> {
        batch.check(&LIMITS)?;
        if batch.operations.is_empty() {
            return Ok(());
        }
        self.inner.connections.change(|writer| {
            let mut operations = batch.operations.iter();
            operations.try_for_each(|each| self.table.apply(writer, &self.root_key, each))?;
            layout::count_change(writer).map(drop)
        })
    }
}

#[async_trait]
impl Partition for SqlitePartition {
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>> {
        let (place, keys) = (self.place.clone(), [key.to_vec()]);
        let found = thread::call("sqlite get", move || place.get(&keys)).await?;
        Ok(found.into_iter().next().flatten())
    }

    async fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>> {
        let (place, keys) = (self.place.clone(), keys.to_vec());
        thread::call("sqlite get", move || place.get(&keys)).await
    }

    fn scan_prefix(&self, prefix: &[u8]) -> PairStream {
        let (place, prefix) = (self.place.clone(), prefix.to_vec());
        let chunks = thread::stream("sqlite scan", AHEAD, move |sender| {
            match place.scan(&prefix, |pairs| sender.send(pairs)) {
                // The reader has enough.
                Err(Error::Cancelled) => Ok(()),
                other => other,
            }
        });
        chunks.map_ok(|pairs| stream::iter(pairs.into_iter().map(Ok))).try_flatten().boxed()
    }

    async fn write_batch(&self, batch: WriteBatch) -> Result<()> {
        let place = self.place.clone();
        thread::call("sqlite write", move || place.write(&batch)).await
    }
}
