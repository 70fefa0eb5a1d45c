//! The stores that fixtures are made of.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use backend_memory::MemoryStore;
use backend_rocksdb::RocksStore;
use backup_core::kv::{Access, KeyValueStore, WriteBatch};
use backup_core::source::Layout;

/// A memory store with root keys.
pub(crate) struct Partitioned(MemoryStore);

impl Partitioned {
    pub(crate) async fn new() -> Result<Self> {
        let store = MemoryStore::named("fixture");
        for name in ["accounts", "empty", "tree"] {
            store.create(name).await?;
        }
        let this = Self(store);
        let lengths = [0, 1, 2, 127, 128, 129, 255, 256, 384, 1000];
        let keys = lengths.iter().flat_map(|length| [vec![0xff; *length], vec![b'a'; *length]]);
        let odd = keys.map(|key| (key.clone(), [&b"value of "[..], &key].concat()));
        this.put("accounts", b"odd", odd.chain([(b"empty value".to_vec(), Vec::new())])).await?;
        this.put("accounts", b"", [(b"no root key".to_vec(), b"1".to_vec())]).await?;
        // More than one whole value may have: stored in pieces.
        this.put("accounts", b"long", [(b"zeros".to_vec(), vec![0; (8 << 20) + 12_345])]).await?;
        let many = (0..12_000_u32).map(|number| {
            let value = [&number.to_le_bytes()[..], &[b'.'; 500]].concat();
            (number.to_be_bytes().to_vec(), value)
        });
        this.put("tree", b"many", many).await?;
        Ok(this)
    }

    /// Changes a record, adds one and removes one.
    pub(crate) async fn change(&self) -> Result<()> {
        let changed = (6000_u32.to_be_bytes().to_vec(), b"changed".to_vec());
        let added = (7_000_000_u32.to_be_bytes().to_vec(), b"added".to_vec());
        self.put("tree", b"many", [changed, added]).await?;
        let database = self.0.database("tree").await?;
        let partition = database.open(b"many", Access::Exclusive).await?;
        let mut batch = WriteBatch::new();
        batch.delete(100_u32.to_be_bytes());
        Ok(partition.write_batch(batch).await?)
    }

    pub(crate) fn source(&self) -> MemoryStore {
        self.0.clone()
    }

    async fn put(
        &self,
        database: &str,
        root_key: &[u8],
        records: impl IntoIterator<Item = (Vec<u8>, Vec<u8>)>,
    ) -> Result<()> {
        let database = self.0.database(database).await?;
        let partition = database.open(root_key, Access::Exclusive).await?;
        let mut batch = WriteBatch::new();
        for (key, value) in records {
            batch.put(key, value);
        }
        Ok(partition.write_batch(batch).await?)
    }
}

/// A plain RocksDB with two column families, some of it in tables and some in the log.
pub(crate) fn rocksdb(path: &Path) -> Result<RocksStore> {
    let store = RocksStore::create(path, Layout::Plain)?;
    let db = store.db();
    db.create_cf("blocks", &backend_rocksdb::rocksdb::Options::default())?;
    let blocks = db.cf_handle("blocks").context("it was just made")?;
    for number in 0..500_u32 {
        db.put_cf(&blocks, number.to_be_bytes(), [b'b'; 100])?;
        db.put(format!("key {number}"), number.to_le_bytes())?;
    }
    db.flush_cf(&blocks)?;
    db.put_cf(&blocks, b"in the log", b"only")?;
    db.delete(b"key 7")?;
    drop(blocks);
    Ok(store)
}

/// Files of an engine of one's own; returns their digest.
pub(crate) fn files(path: &Path) -> Result<String> {
    fs::create_dir_all(path.join("deep/er"))?;
    let mut pieces = Vec::new();
    for number in 0..300_000_u32 {
        pieces.extend_from_slice(&(number / 1000).to_le_bytes());
    }
    let contents: [(&str, Vec<u8>); 4] = [
        ("deep/er/pieces", pieces),
        ("deep/small", b"small".to_vec()),
        ("empty", Vec::new()),
        ("name with blanks", vec![7; 5000]),
    ];
    let mut digest = blake3::Hasher::new();
    for (name, content) in &contents {
        fs::write(path.join(name), content)?;
        digest.update(name.as_bytes());
        digest.update(blake3::hash(content).as_bytes());
    }
    Ok(digest.finalize().to_string())
}
