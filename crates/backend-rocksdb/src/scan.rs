//! Reading a column family under an engine snapshot, in key order, as batches.

use backup_core::record::{RecordBatch, RecordKey, parts};
use backup_core::source::Layout;
use backup_core::{Error, Result};
use rocksdb::{DBRawIteratorWithThreadMode, ReadOptions, SnapshotWithThreadMode};

use crate::ENGINE;
use crate::foreign::KeyOrder;
use crate::keys;
use crate::open_database::OpenDatabase;

/// How far a scan reads ahead, in bytes.
const READAHEAD: usize = 2 << 20;

/// How a column family is read.
#[derive(Debug, Clone)]
pub(crate) struct FamilyView {
    pub(crate) name: String,
    pub(crate) order: KeyOrder,
    pub(crate) layout: Layout,
}

impl FamilyView {
    /// The RocksDB key of a record's place.
    pub(crate) fn engine_key(&self, at: &RecordKey) -> Vec<u8> {
        match self.layout {
            Layout::Plain => at.key.clone(),
            Layout::Partitioned => keys::encode(&at.root_key, &at.key),
        }
    }

    /// The place of a RocksDB key, if it is one of this layout's.
    pub(crate) fn place(&self, key: &[u8]) -> Option<RecordKey> {
        match self.layout {
            Layout::Plain => Some(RecordKey::new(b"", key)),
            Layout::Partitioned => {
                keys::decode(key).map(|(root_key, key)| RecordKey::new(&root_key, key))
            }
        }
    }

    /// Hands over all records from the one at `from` on, in batches, in order.
    pub(crate) fn scan<D: OpenDatabase>(
        &self,
        snapshot: &SnapshotWithThreadMode<'_, D>,
        handle: Option<&D::Handle<'_>>,
        from: Option<&[u8]>,
        mut emit: impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let mut iterator = iterator(snapshot, handle);
        self.seek(&mut iterator, from);
        let mut batch = RecordBatch::new();
        while let Some((key, value)) = iterator.item() {
            self.push(&mut batch, key, value, &mut emit)?;
            match self.order {
                KeyOrder::Forward => iterator.next(),
                KeyOrder::Reverse => iterator.prev(),
            }
        }
        let reading = format!("read column family {:?}", self.name);
        iterator.status().map_err(Error::engine(ENGINE, reading))?;
        if batch.is_empty() { Ok(()) } else { emit(batch) }
    }

    /// Whether there is any record.
    pub(crate) fn has_records<D: OpenDatabase>(
        &self,
        snapshot: &SnapshotWithThreadMode<'_, D>,
        handle: Option<&D::Handle<'_>>,
    ) -> Result<bool> {
        let mut iterator = iterator(snapshot, handle);
        iterator.seek_to_first();
        let reading = format!("read column family {:?}", self.name);
        iterator.status().map_err(Error::engine(ENGINE, reading))?;
        Ok(iterator.valid())
    }

    fn seek<D: OpenDatabase>(
        &self,
        iterator: &mut DBRawIteratorWithThreadMode<'_, D>,
        from: Option<&[u8]>,
    ) {
        match (self.order, from) {
            (KeyOrder::Forward, None) => iterator.seek_to_first(),
            (KeyOrder::Forward, Some(from)) => iterator.seek(from),
            (KeyOrder::Reverse, None) => iterator.seek_to_last(),
            // In its own order, the last key that is not after `from`.
            (KeyOrder::Reverse, Some(from)) => iterator.seek_for_prev(from),
        }
    }

    fn push(
        &self,
        batch: &mut RecordBatch,
        key: &[u8],
        value: &[u8],
        emit: &mut impl FnMut(RecordBatch) -> Result<()>,
    ) -> Result<()> {
        let apart;
        let (root_key, key) = match self.layout {
            Layout::Plain => (&[][..], key),
            Layout::Partitioned => {
                apart = keys::decode(key).ok_or_else(|| self.no_partition())?;
                (apart.0.as_ref(), apart.1)
            }
        };
        for record in parts(root_key, key, value) {
            batch.push(record)?;
            if batch.is_full() {
                emit(batch.take())?;
            }
        }
        Ok(())
    }

    fn no_partition(&self) -> Error {
        Error::damaged(
            format!("the column family {:?}", self.name),
            "the store is marked as partitioned, and a key of it has no root key",
        )
    }
}

/// An iterator over a column family; without a handle, over the default one.
fn iterator<'a, D: OpenDatabase>(
    snapshot: &'a SnapshotWithThreadMode<'_, D>,
    handle: Option<&D::Handle<'_>>,
) -> DBRawIteratorWithThreadMode<'a, D> {
    match handle {
        Some(handle) => snapshot.raw_iterator_cf_opt(handle, read_options()),
        None => snapshot.raw_iterator_opt(read_options()),
    }
}

/// A scan sees every key whatever the prefix extractor, and leaves the cache to the application.
fn read_options() -> ReadOptions {
    let mut options = total_order();
    options.fill_cache(false);
    options.set_readahead_size(READAHEAD);
    options.set_background_purge_on_iterator_cleanup(true);
    options
}

/// Without this, a prefix extractor would hide keys of other prefixes from an iterator.
pub(crate) fn total_order() -> ReadOptions {
    let mut options = ReadOptions::default();
    options.set_total_order_seek(true);
    options
}
