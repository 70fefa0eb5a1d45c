//! The store in RocksDB: `files` (path → content), `lines` (path and line number → line), `default` (what
//! was read).

use std::path::Path;

use anyhow::{Context, Result};
use backend_rocksdb::rocksdb::{DB, IteratorMode, Options, WriteBatch};

use crate::Store;

const FILES: &str = "files";
const LINES: &str = "lines";
/// Bytes of one write batch while filling.
const BATCH: usize = 1 << 20;
/// In `default`: the number of the last change.
const LAST_CHANGE: &[u8] = b"last change";
/// In `lines`: the prefix of the record of each change, before its number. No path begins so.
const CHANGE: &[u8] = b"\0change ";

pub(crate) struct RocksStore {
    db: DB,
    batch: WriteBatch,
}

impl RocksStore {
    pub(crate) fn open(store: &Path) -> Result<Self> {
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let db = DB::open_cf(&options, store, [FILES, LINES])
            .with_context(|| format!("cannot open {}", store.display()))?;
        Ok(Self { db, batch: WriteBatch::default() })
    }

    fn put(&mut self, database: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let handle = self.db.cf_handle(database).context("the store was made with it")?;
        self.batch.put_cf(&handle, key, value);
        if self.batch.size_in_bytes() >= BATCH { self.write() } else { Ok(()) }
    }
}

impl Store for RocksStore {
    fn put_file(&mut self, path: &str, content: &[u8]) -> Result<()> {
        self.put(FILES, path.as_bytes(), content)
    }

    fn put_line(&mut self, path: &str, number: u32, line: &str) -> Result<()> {
        let key = [path.as_bytes(), b"\0", &number.to_be_bytes()].concat();
        self.put(LINES, &key, line.as_bytes())
    }

    fn put_read(&mut self, folder: &str, said: &str) -> Result<()> {
        self.db.put(folder, said).context("cannot write")
    }

    fn write(&mut self) -> Result<()> {
        self.db.write(std::mem::take(&mut self.batch)).context("cannot write")
    }

    fn paths(&self) -> Result<Vec<Vec<u8>>> {
        let files = self.db.cf_handle(FILES).context("the store has its files")?;
        let records = self.db.iterator_cf(&files, IteratorMode::Start);
        records.map(|record| Ok(record.context("cannot read")?.0.into())).collect()
    }

    fn change(&mut self, path: &[u8], number: u64, removes: bool) -> Result<()> {
        let files = self.db.cf_handle(FILES).context("the store has its files")?;
        let lines = self.db.cf_handle(LINES).context("the store has its lines")?;
        let mut batch = WriteBatch::default();
        if removes {
            batch.delete_cf(&files, path);
        } else {
            let mut content =
                self.db.get_cf(&files, path).context("cannot read")?.unwrap_or_default();
            content.extend_from_slice(format!("\nchange {number}\n").as_bytes());
            batch.put_cf(&files, path, content);
        }
        batch.put_cf(&lines, [CHANGE, &number.to_be_bytes()].concat(), path);
        batch.put(LAST_CHANGE, number.to_be_bytes());
        self.db.write(batch).context("cannot write")
    }

    fn last_change(&self) -> Result<u64> {
        let Some(bytes) = self.db.get(LAST_CHANGE).context("cannot read")? else { return Ok(0) };
        let bytes = bytes.try_into().ok().context("the last change's number has eight bytes")?;
        Ok(u64::from_be_bytes(bytes))
    }

    fn changes(&self) -> Result<Vec<u64>> {
        let lines = self.db.cf_handle(LINES).context("the store has its lines")?;
        let mut found = Vec::new();
        for record in self.db.prefix_iterator_cf(&lines, CHANGE) {
            let (key, _) = record.context("cannot read")?;
            let Some(number) = key.strip_prefix(CHANGE) else { break };
            let number = number.try_into().ok().context("a change's number has eight bytes")?;
            found.push(u64::from_be_bytes(number));
        }
        Ok(found)
    }
}
