//! The store that is measured: records of one size under keys spread evenly.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use backend_rocksdb::rocksdb::{DB, Options, WriteBatch, WriteOptions};

const KEY_BYTES: u64 = 16;
const RECORDS_A_BATCH: u64 = 1000;

/// How many records, and how large.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) records: u64,
    value_bytes: usize,
}

impl Shape {
    /// The shape of about `bytes` bytes of keys and values.
    pub(crate) fn of(bytes: u64, value_bytes: usize) -> Self {
        let records = (bytes / (KEY_BYTES + value_bytes as u64)).max(1);
        Self { records, value_bytes }
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(self) -> u64 {
        self.records * (KEY_BYTES + self.value_bytes as u64)
    }
}

/// A closed RocksDB store.
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) shape: Shape,
    pub(crate) bytes_on_disk: u64,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { records, value_bytes } = self.shape;
        let (all, disk) = (self.shape.bytes() >> 20, self.bytes_on_disk >> 20);
        write!(
            f,
            "{records} records with values of {value_bytes} bytes, {all} MiB, {disk} MiB on disk"
        )
    }
}

impl Store {
    /// Writes the store, compacts and closes it. The same shape gives the same records.
    pub(crate) fn make(path: &Path, shape: Shape) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.prepare_for_bulk_load();
        let db =
            DB::open(&options, path).with_context(|| format!("cannot make {}", path.display()))?;
        let mut unlogged = WriteOptions::default();
        unlogged.disable_wal(true);
        let mut batch = WriteBatch::default();
        for number in 0..shape.records {
            let mut noise = Noise(number);
            let key = [noise.next().to_be_bytes(), number.to_be_bytes()].concat();
            batch.put(key, noise.value(shape.value_bytes));
            if number % RECORDS_A_BATCH == 0 {
                db.write_opt(std::mem::take(&mut batch), &unlogged).context("cannot write")?;
            }
        }
        db.write_opt(batch, &unlogged).context("cannot write")?;
        db.flush().context("cannot flush")?;
        db.compact_range(None::<&[u8]>, None::<&[u8]>);
        drop(db);
        Ok(Self { path: path.to_path_buf(), shape, bytes_on_disk: bytes_of_files(path)? })
    }
}

fn bytes_of_files(folder: &Path) -> Result<u64> {
    let mut bytes = 0;
    for entry in
        fs::read_dir(folder).with_context(|| format!("cannot list {}", folder.display()))?
    {
        bytes += entry.and_then(|entry| entry.metadata()).context("cannot read a size")?.len();
    }
    Ok(bytes)
}

/// splitmix64: the same numbers for the same seed.
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Half noise and half zeros, so that it compresses to about half, as much real data does.
    fn value(&mut self, bytes: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(bytes + 8);
        while value.len() < bytes / 2 {
            value.extend_from_slice(&self.next().to_le_bytes());
        }
        value.resize(bytes, 0);
        value
    }
}
