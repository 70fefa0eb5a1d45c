//! The conformance suite over rows: its records are rows (key, value) of tables that are made for them.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backend_sqlite::{SqliteSource, SqliteTarget};
use backup_core::progress::Context;
use backup_core::record::{Assembler, MAX_WHOLE_VALUE, Record, RecordBatch, RecordKey, parts};
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, SnapshotInfo, StoreDescription, View, no_such_view,
};
use backup_core::target::{Content, RestorePlan, Restored};
use backup_core::{Built, Error, Files, Records, Restore, Result, Snapshot, Source, Target};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use tempfile::TempDir;
use testkit::conformance::{self, Factory, Place};

#[test]
fn tables_without_rowid() {
    conformance::run(&Tables { with: "WITHOUT ROWID" });
}

#[test]
fn tables_with_a_rowid_and_a_primary_key() {
    conformance::run(&Tables { with: "" });
}

/// The table of a store without any: a plan of no tables is no plan of rows.
const ALWAYS: &str = "always there";

#[derive(Clone)]
struct Tables {
    with: &'static str,
}

impl Factory for Tables {
    fn name(&self) -> &'static str {
        "rows"
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        let folder = TempDir::new().map_err(Error::io("make a folder in", "the temporary one"))?;
        Ok(Box::new(Store { tables: self.clone(), folder }))
    }
}

struct Store {
    tables: Tables,
    folder: TempDir,
}

impl Store {
    fn path(&self) -> PathBuf {
        self.folder.path().join("rows.db")
    }
}

impl Place for Store {
    fn source(&self) -> Result<Arc<dyn Source>> {
        let has_rowid = self.tables.with.is_empty();
        Ok(Arc::new(Mapped { inner: SqliteSource::path(self.path()).unwrap(), has_rowid }))
    }

    fn target(&self) -> Option<Arc<dyn Target>> {
        let tables = self.tables.clone();
        Some(Arc::new(MappedTarget { inner: SqliteTarget::path(self.path()).unwrap(), tables }))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        Ok(std::fs::read_to_string(self.folder.path().join("rows.db.keepsum")).ok())
    }

    fn untouched(&self) -> Option<PathBuf> {
        Some(self.path())
    }
}

fn abilities(of: Capabilities) -> Capabilities {
    // How a moment is taken, and pages, are not for these tests.
    Capabilities { point_in_time: false, partitions: false, files: false, place_files: false, ..of }
}

/// The row's key: a blob.
fn row_key(key: &[u8]) -> Vec<u8> {
    let escaped = key.iter().flat_map(|byte| match byte {
        0 => vec![0, 0xff],
        byte => vec![*byte],
    });
    [4].into_iter().chain(escaped).chain([0, 0]).collect()
}

fn length(bytes: u64) -> Vec<u8> {
    let mut groups = Vec::new();
    let mut left = bytes;
    while left >= 0x80 {
        groups.push(0x80 | (left % 0x80) as u8);
        left /= 0x80;
    }
    groups.push((left % 0x80) as u8);
    groups
}

/// What stands before the record's own value in a row's: the key.
fn before(key: &[u8], total: u64) -> Vec<u8> {
    let mut value = vec![1, 2, 4];
    value.extend(length(key.len() as u64));
    value.push(4);
    value.extend(length(total));
    value.extend(key);
    value
}

struct Mapped {
    inner: SqliteSource,
    has_rowid: bool,
}

#[async_trait]
impl Source for Mapped {
    fn describe(&self) -> StoreDescription {
        self.inner.describe()
    }

    fn capabilities(&self) -> Capabilities {
        abilities(self.inner.capabilities())
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        if view.files() {
            return Err(no_such_view("sqlite", view, "these are its rows alone"));
        }
        let inner = self.inner.snapshot(view, context).await?;
        Ok(Box::new(MappedSnapshot::of(inner, self.has_rowid)))
    }
}

struct MappedSnapshot {
    inner: Box<dyn Snapshot>,
    info: SnapshotInfo,
    /// The numbers of the databases, in the snapshot of rows.
    shown: Vec<usize>,
    has_rowid: bool,
}

impl Snapshot for MappedSnapshot {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }
}

impl MappedSnapshot {
    fn of(inner: Box<dyn Snapshot>, has_rowid: bool) -> Self {
        let mut info = inner.info().clone();
        let hidden = |info: &DatabaseInfo| info.name == "sqlite_schema" || info.name == ALWAYS;
        let shown = (0..info.databases.len()).filter(|at| !hidden(&info.databases[*at])).collect();
        info.databases.retain(|info| !hidden(info));
        Self { inner, info, shown, has_rowid }
    }

    fn number(&self, database: usize) -> usize {
        self.shown.get(database).copied().unwrap_or(usize::MAX)
    }
}

#[async_trait]
impl Records for MappedSnapshot {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        let records = self.inner.records().expect("it was asked for records");
        let cuts = records.splits(self.number(database), parts).await?;
        if self.has_rowid {
            // Which keys the rows of these rowids have, only the rows say.
            return Ok(Vec::new());
        }
        Ok(cuts.iter().map(|cut| RecordKey::new(b"", &own_key(&cut.key))).collect())
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let records = self.inner.records().expect("it was asked for records");
        let row = from.map(|from| RecordKey::new(&from.root_key, &row_key(&from.key)));
        let rows = records.scan(self.number(database), row.as_ref().filter(|_| !self.has_rowid));
        let first = from.cloned().filter(|_| self.has_rowid).unwrap_or_default();
        let has_rowid = self.has_rowid;
        let begin = (rows, Assembler::new(), first);
        let batches = stream::try_unfold(begin, move |(mut rows, mut values, first)| async move {
            while let Some(batch) = rows.try_next().await? {
                let found = own(&batch, &mut values, has_rowid, &first)?;
                if !found.is_empty() {
                    return Ok(Some((found, (rows, values, first))));
                }
            }
            values.finish()?;
            Ok(None)
        });
        batches.map_ok(|found| stream::iter(found).map(Ok)).try_flatten().boxed()
    }
}

fn own_key(key: &[u8]) -> Vec<u8> {
    let inner = &key[1..key.len() - 2];
    let mut own = Vec::new();
    let mut bytes = inner.iter();
    while let Some(byte) = bytes.next() {
        own.push(*byte);
        if *byte == 0 {
            assert_eq!(bytes.next(), Some(&0xff));
        }
    }
    own
}

/// The length of the key in a row's value, and where the entry of the own value begins behind it.
fn key_length(value: &[u8]) -> (usize, usize) {
    let (mut length, mut at, mut shift) = (0, 3, 0);
    loop {
        length |= usize::from(value[at] & 0x7f) << shift;
        (at, shift) = (at + 1, shift + 7);
        if value[at - 1] & 0x80 == 0 {
            return (length, at);
        }
    }
}

/// The key that stands in a row's value.
fn key_in(value: &[u8]) -> Vec<u8> {
    let (length, mut at) = key_length(value);
    // Behind the kind of the own value and its length.
    at += 1;
    while value[at] & 0x80 != 0 {
        at += 1;
    }
    value[at + 1..at + 1 + length].to_vec()
}

fn own(
    batch: &RecordBatch,
    values: &mut Assembler,
    has_rowid: bool,
    first: &RecordKey,
) -> Result<Vec<RecordBatch>> {
    let (mut full, mut open) = (Vec::new(), RecordBatch::new());
    values.feed(batch, u64::MAX, |root_key, key, value| {
        let key = if has_rowid { key_in(value) } else { own_key(key) };
        if first.compare(root_key, &key).is_gt() {
            return Ok(());
        }
        // The length of the value's own part is what remains, by whatever bytes it is spelt.
        let fixed = before(&key, 0).len() - 1;
        let spelt = (1..=5).find(|spelt| {
            let own = (value.len() - fixed - spelt) as u64;
            length(own).len() == *spelt
        });
        let own = &value[fixed + spelt.expect("a length has five bytes at most")..];
        for part in parts(root_key, &key, own) {
            open.push(part)?;
            if open.is_full() {
                full.push(open.take());
            }
        }
        Ok(())
    })?;
    if !open.is_empty() {
        full.push(open);
    }
    Ok(full)
}

struct MappedTarget {
    inner: SqliteTarget,
    tables: Tables,
}

#[async_trait]
impl Target for MappedTarget {
    fn describe(&self) -> StoreDescription {
        self.inner.describe()
    }

    fn capabilities(&self) -> Capabilities {
        abilities(self.inner.capabilities())
    }

    async fn is_occupied(&self) -> Result<bool> {
        self.inner.is_occupied().await
    }

    async fn begin(&self, mut plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        if let Content::Records { databases, .. } = &mut plan.content {
            if databases.is_empty() {
                databases.push(DatabaseInfo::new(ALWAYS));
            }
            for info in databases {
                let (name, with) = (&info.name, self.tables.with);
                let key = if with.is_empty() { "rowid" } else { "primary BINARY" };
                info.settings = Some(format!(
                    "sqlite-rows 1\nencoding UTF-8\nkey {key}\nCREATE TABLE \"{name}\"(\"key\" BLOB PRIMARY KEY, value BLOB) {with}"
                ));
            }
        }
        if let Content::Files { .. } = &plan.content {
            return Err(Error::unsupported("placing files", "these are rows alone"));
        }
        let inner = self.inner.begin(plan, context).await?;
        let rowid = self.tables.with.is_empty().then_some(0);
        let (database, last, is_refused) = (0, None, false);
        Ok(Box::new(MappedRestore { inner, rowid, database, last, is_refused }))
    }
}

struct MappedRestore {
    inner: Box<dyn Restore>,
    /// The rowid of the last row, where there are rowids.
    rowid: Option<i64>,
    database: usize,
    last: Option<Vec<u8>>,
    is_refused: bool,
}

#[async_trait]
impl Restore for MappedRestore {
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        let mut rows = RecordBatch::new();
        if self.database != database {
            (self.database, self.last) = (database, None);
        }
        for record in batch.iter() {
            if record.starts_value() {
                // The rows' rowids rise whatever comes, so the order of keys is checked here.
                let key = record.key.to_vec();
                if self.rowid.is_some() && self.last.as_ref().is_some_and(|last| *last >= key) {
                    self.is_refused = true;
                    return Err(Error::invalid("a record", "comes out of order, or twice"));
                }
                self.last = Some(key);
                self.rowid = self.rowid.map(|rowid| rowid + 1);
            }
            let key = match self.rowid {
                Some(rowid) => (rowid.cast_unsigned() ^ 1 << 63).to_be_bytes().to_vec(),
                None => row_key(record.key),
            };
            let head = before(record.key, record.total);
            let (total, offset) = (record.total + head.len() as u64, head.len() as u64);
            let root_key = record.root_key;
            if record.is_whole() {
                let value = [&head, record.value].concat();
                for part in parts(root_key, &key, &value) {
                    rows.push(part)?;
                }
            } else if record.starts_value() {
                let value = [&head, record.value].concat();
                assert!(value.len() <= MAX_WHOLE_VALUE);
                rows.push(Record { root_key, key: &key, value: &value, offset: 0, total })?;
            } else {
                let offset = record.offset + offset;
                rows.push(Record { root_key, key: &key, value: record.value, offset, total })?;
            }
        }
        self.inner.load(database, rows).await
    }

    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.inner.place(file, offset, bytes).await
    }

    async fn complete(self: Box<Self>) -> Result<Box<dyn Built>> {
        let has_rowid = self.rowid.is_some();
        if self.is_refused {
            return Err(Error::invalid("a restore", "goes on after it failed"));
        }
        Ok(Box::new(MappedBuilt { inner: self.inner.complete().await?, has_rowid }))
    }
}

struct MappedBuilt {
    inner: Box<dyn Built>,
    has_rowid: bool,
}

#[async_trait]
impl Built for MappedBuilt {
    async fn records(&self) -> Result<Option<Box<dyn Snapshot>>> {
        let Some(inner) = self.inner.records().await? else { return Ok(None) };
        Ok(Some(Box::new(MappedSnapshot::of(inner, self.has_rowid))))
    }

    async fn publish(self: Box<Self>) -> Result<Restored> {
        self.inner.publish().await
    }
}
