//! The stores that are measured: records of one size under keys spread evenly.

use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use backend_rocksdb::rocksdb::{DB, Options, WriteBatch, WriteOptions};

use crate::folder;
use crate::noise::Noise;

const KEY_BYTES: u64 = 16;
const RECORDS_A_BATCH: u64 = 1000;

/// Bytes of keys and values of a sample.
const SAMPLE_BYTES: u64 = 32 << 20;

/// How many records, and how large.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Shape {
    pub(crate) records: u64,
    value_bytes: usize,
}

impl Shape {
    /// The shape of about `bytes` bytes of keys and values.
    pub(crate) fn of_records(bytes: u64, value_bytes: usize) -> Self {
        Self::of_number(bytes / (KEY_BYTES + value_bytes as u64), value_bytes)
    }

    /// The shape of so many records.
    pub(crate) fn of_number(records: u64, value_bytes: usize) -> Self {
        Self { records: records.max(1), value_bytes }
    }

    /// The shape of a store that has about `bytes` bytes on disk, if it is like `sample`.
    pub(crate) fn of_files(bytes: u64, sample: Sample) -> Self {
        let records = u128::from(bytes) * u128::from(sample.shape.records)
            / u128::from(sample.bytes_on_disk.max(1));
        Self::of_number(u64::try_from(records).unwrap_or(u64::MAX), sample.shape.value_bytes)
    }

    /// The length of each value.
    pub(crate) fn value_bytes(self) -> usize {
        self.value_bytes
    }

    /// Bytes of all keys and values.
    pub(crate) fn bytes(self) -> u64 {
        self.records * (KEY_BYTES + self.value_bytes as u64)
    }

    /// The key of a record: rising with its number, in even steps with some noise, so that content
    /// chooses boundaries as it does in real stores.
    pub(crate) fn key(self, number: u64) -> Vec<u8> {
        let step = u64::MAX / self.records;
        let place = step * number + Noise(number).next() % step;
        [place.to_be_bytes(), number.to_be_bytes()].concat()
    }

    /// The value of a record in a version of the store, the first being 0.
    pub(crate) fn value(self, number: u64, version: u64) -> Vec<u8> {
        Noise(number ^ (version << 48)).value(self.value_bytes)
    }
}

/// What a small store tells of larger ones: how much of a record ends up on disk.
#[derive(Clone, Copy)]
pub(crate) struct Sample {
    shape: Shape,
    bytes_on_disk: u64,
}

impl Sample {
    /// Makes a small store in `folder`, looks at it and removes it.
    pub(crate) fn take(value_bytes: usize, folder: &Path) -> Result<Self> {
        let shape = Shape::of_records(SAMPLE_BYTES, value_bytes);
        let store = Store::make(&folder.join("sample"), shape)?;
        let sample = Self { shape, bytes_on_disk: store.bytes_on_disk };
        store.remove()?;
        Ok(sample)
    }
}

/// A closed RocksDB store.
pub(crate) struct Store {
    pub(crate) path: PathBuf,
    pub(crate) shape: Shape,
    pub(crate) bytes_on_disk: u64,
    version: u64,
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shape { records, value_bytes } = self.shape;
        let (all, disk) = (self.shape.bytes() >> 20, self.bytes_on_disk >> 20);
        write!(
            f,
            "{records} records with values of {value_bytes} bytes, {all} MiB, of which RocksDB \
             makes {disk} MiB on disk"
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
            batch.put(shape.key(number), shape.value(number, 0));
            if number % RECORDS_A_BATCH == 0 {
                db.write_opt(std::mem::take(&mut batch), &unlogged).context("cannot write")?;
            }
        }
        db.write_opt(batch, &unlogged).context("cannot write")?;
        db.flush().context("cannot flush")?;
        db.compact_range(None::<&[u8]>, None::<&[u8]>);
        drop(db);
        let mut store = Self { path: path.to_path_buf(), shape, bytes_on_disk: 0, version: 0 };
        store.bytes_on_disk = folder::bytes(path)?;
        println!("store: {store}");
        Ok(store)
    }

    /// The address that keepsum reads it by.
    pub(crate) fn url(&self) -> String {
        format!("rocksdb:{}", self.path.display())
    }

    /// Gives every record whose number is a multiple of `step` a new value and flushes, as an
    /// application would, without a compaction. Returns the bytes of the tables that came anew.
    pub(crate) fn change(&mut self, step: u64) -> Result<u64> {
        let before = folder::files(&self.path)?;
        self.version += 1;
        let db = self.open()?;
        let mut batch = WriteBatch::default();
        for number in (0..self.shape.records).step_by(usize::try_from(step).unwrap_or(1)) {
            batch.put(self.shape.key(number), self.shape.value(number, self.version));
            if batch.len() as u64 == RECORDS_A_BATCH {
                db.write(std::mem::take(&mut batch)).context("cannot write")?;
            }
        }
        db.write(batch).context("cannot write")?;
        db.flush().context("cannot flush")?;
        drop(db);
        let after = folder::files(&self.path)?;
        let is_new_table = |path: &Path| {
            path.extension().is_some_and(|extension| extension == "sst")
                && !before.contains_key(path)
        };
        let new = after.iter().filter(|(path, _)| is_new_table(path));
        Ok(new.map(|(_, bytes)| bytes).sum())
    }

    /// Adds one record right after the one with this number.
    pub(crate) fn insert_after(&mut self, number: u64) -> Result<()> {
        let db = self.open()?;
        let key = [&self.shape.key(number)[..], b"+"].concat();
        db.put(key, self.shape.value(number, self.version + 1)).context("cannot write")?;
        db.flush().context("cannot flush")
    }

    /// Opens the store for writing; no compaction changes what is compared.
    pub(crate) fn open(&self) -> Result<DB> {
        let mut options = Options::default();
        options.set_disable_auto_compactions(true);
        DB::open(&options, &self.path)
            .with_context(|| format!("cannot open {}", self.path.display()))
    }

    /// The same store in another folder, with the same tables: as a checkpoint is.
    pub(crate) fn checkpoint(&self, to: &Path) -> Result<Self> {
        fs::create_dir(to).with_context(|| format!("cannot make {}", to.display()))?;
        for path in folder::files(&self.path)?.keys() {
            let copy = to.join(path.file_name().context("a file has a name")?);
            if path.extension().is_some_and(|extension| extension == "sst") {
                fs::hard_link(path, &copy)
            } else {
                fs::copy(path, &copy).map(drop)
            }
            .with_context(|| format!("cannot make {}", copy.display()))?;
        }
        Ok(Self { path: to.to_path_buf(), ..*self })
    }

    /// Removes the store.
    pub(crate) fn remove(self) -> Result<()> {
        folder::remove(&self.path)
    }
}
