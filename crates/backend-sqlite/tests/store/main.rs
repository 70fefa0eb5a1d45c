//! What a store's file promises beyond the suite of every backend.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod files;
mod killed;
mod processes;
mod restore;
mod values;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use backend_sqlite::SqliteStore;
use backup_core::kv::{Access, WriteBatch};
use backup_core::{KeyValueStore, Partition, Result};
use futures_util::TryStreamExt as _;
use pollster::FutureExt as _;
use tempfile::TempDir;

/// A new folder, and the name of a file in it.
fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    (folder, file)
}

/// The file that SQLite keeps beside a database under this ending.
fn companion(file: &Path, ending: &str) -> PathBuf {
    let mut name = file.as_os_str().to_owned();
    name.push(ending);
    PathBuf::from(name)
}

/// The files of a database that are there, by their endings.
fn companions(file: &Path) -> Vec<&'static str> {
    let mut endings = vec!["-wal", "-shm", "-journal"];
    endings.retain(|ending| companion(file, ending).exists());
    endings
}

/// A store with a database `default`.
fn store(file: &Path) -> SqliteStore {
    let store = SqliteStore::create(file).unwrap();
    store.create("default").block_on().unwrap();
    store
}

/// The first database's empty root key.
fn partition(store: &SqliteStore) -> Arc<dyn Partition> {
    let database = store.database("default").block_on().unwrap();
    database.open(b"", Access::Shared).block_on().unwrap()
}

fn put(partition: &dyn Partition, key: &[u8], value: &[u8]) -> Result<()> {
    let mut batch = WriteBatch::new();
    batch.put(key, value);
    partition.write_batch(batch).block_on()
}

fn scan(partition: &dyn Partition) -> Result<Vec<(Vec<u8>, Vec<u8>)>> {
    partition.scan_prefix(b"").try_collect().block_on()
}
