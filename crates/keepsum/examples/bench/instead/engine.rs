//! RocksDB's own ways: its `BackupEngine`, and `write_batch`.

use std::path::Path;

use anyhow::{Context, Result};
use backend_rocksdb::rocksdb::backup::{BackupEngine, BackupEngineOptions};
use backend_rocksdb::rocksdb::{DB, Env, IteratorMode, Options, ReadOptions, WriteBatch};

use crate::folder;
use crate::store::Store;

/// Bytes of one write batch.
const BATCH: usize = 1 << 20;

/// A first backup of an open database into a new folder, synced, by as many threads as given.
pub(crate) fn backup_engine(db: &DB, to: &Path, threads: usize) -> Result<()> {
    let mut options = BackupEngineOptions::new(to).context("cannot make backup options")?;
    options.set_sync(true);
    options.set_max_background_operations(i32::try_from(threads).context("too many threads")?);
    let env = Env::new().context("cannot make an environment")?;
    let mut engine = BackupEngine::open(&options, &env).context("cannot open a BackupEngine")?;
    engine.create_new_backup_flush(db, false).context("the BackupEngine failed")
}

/// Writes the records of a store into a new one: default options, batches of 1 MiB, then a flush and
/// an fsync of every file.
pub(crate) fn write_batches(from: &Store, to: &Path) -> Result<()> {
    let source = DB::open_for_read_only(&Options::default(), &from.path, false)
        .with_context(|| format!("cannot open {}", from.path.display()))?;
    let mut reading = ReadOptions::default();
    reading.fill_cache(false);
    reading.set_readahead_size(4 << 20);
    let mut options = Options::default();
    options.create_if_missing(true);
    let target = DB::open(&options, to).with_context(|| format!("cannot make {}", to.display()))?;
    let mut batch = WriteBatch::default();
    for record in source.iterator_opt(IteratorMode::Start, reading) {
        let (key, value) = record.context("cannot read")?;
        batch.put(key, value);
        if batch.size_in_bytes() >= BATCH {
            target.write(std::mem::take(&mut batch)).context("cannot write")?;
        }
    }
    target.write(batch).context("cannot write")?;
    target.flush().context("cannot flush")?;
    folder::sync(to)
}
