//! RocksDB's own ways: its `BackupEngine`, and `write_batch`.

use std::path::Path;

use anyhow::{Context, Result};
use backend_rocksdb::rocksdb::backup::{BackupEngine, BackupEngineOptions};
use backend_rocksdb::rocksdb::{
    DB, Env, IngestExternalFileOptions, Options, ReadOptions, SstFileWriter, WriteBatch,
};

use crate::folder;
use crate::store::Store;

/// Bytes of one write batch.
const BATCH: usize = 1 << 20;

/// Bytes of a table as stored.
const TABLE: u64 = 64 << 20;

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
    let target = make(to)?;
    let mut batch = WriteBatch::default();
    each_record(from, |key, value| {
        batch.put(key, value);
        if batch.size_in_bytes() >= BATCH {
            target.write(std::mem::take(&mut batch)).context("cannot write")?;
        }
        Ok(())
    })?;
    target.write(batch).context("cannot write")?;
    target.flush().context("cannot flush")?;
    folder::sync(to)
}

/// Writes the records of a store into sorted tables, which a new one takes in: what a restore of records
/// cannot save, without reading a repository and without a proof.
pub(crate) fn ingest(from: &Store, to: &Path) -> Result<()> {
    let options = Options::default();
    let (mut paths, mut table) = (Vec::new(), None);
    let target = make(to)?;
    each_record(from, |key, value| {
        let writer = match &mut table {
            Some(writer) => writer,
            none => {
                let path = to.join(format!("new-{}.sst", paths.len()));
                let writer = SstFileWriter::create(&options);
                writer.open(&path).context("cannot open a table")?;
                paths.push(path);
                none.insert(writer)
            }
        };
        writer.put(key, value).context("cannot write")?;
        if writer.file_size() >= TABLE
            && let Some(mut writer) = table.take()
        {
            writer.finish().context("cannot finish a table")?;
        }
        Ok(())
    })?;
    if let Some(mut writer) = table.take() {
        writer.finish().context("cannot finish a table")?;
    }
    let mut moving = IngestExternalFileOptions::default();
    moving.set_move_files(true);
    target.ingest_external_file_opts(&moving, paths).context("cannot take in the tables")?;
    folder::sync(to)
}

fn make(to: &Path) -> Result<DB> {
    let mut options = Options::default();
    options.create_if_missing(true);
    DB::open(&options, to).with_context(|| format!("cannot make {}", to.display()))
}

fn each_record(from: &Store, mut take: impl FnMut(&[u8], &[u8]) -> Result<()>) -> Result<()> {
    let source = DB::open_for_read_only(&Options::default(), &from.path, false)
        .with_context(|| format!("cannot open {}", from.path.display()))?;
    let mut reading = ReadOptions::default();
    reading.fill_cache(false);
    reading.set_readahead_size(4 << 20);
    let mut records = source.raw_iterator_opt(reading);
    records.seek_to_first();
    while let Some((key, value)) = records.item() {
        take(key, value)?;
        records.next();
    }
    records.status().context("cannot read")
}
