//! The one-call backup of any source into portable files.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs;
use std::sync::Arc;

use archive::portable::{DatabaseBackup, PortableSource};
use async_trait::async_trait;
use backend_memory::MemoryStore;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::{RecordBatch, RecordKey, parts};
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, Layout, Order, SnapshotInfo, StoreDescription, View,
};
use backup_core::target::Existing;
use backup_core::{Error, Files, Records, Result, Snapshot, Source};
use futures_util::{StreamExt, stream};
use pollster::FutureExt as _;
use testkit::contents::{Contents, contents};
use testkit::transfer::transfer;

fn store(contents: &Contents) -> MemoryStore {
    let store = MemoryStore::named("of a test");
    transfer(contents, &store, Existing::Refuse).block_on().unwrap();
    store
}

#[test]
fn a_store_of_one_default_database_becomes_a_file() {
    let mut expected = Contents::new();
    expected.put("default", b"", b"key", "value");
    expected.put("default", b"root", b"", "");
    let folder = tempfile::tempdir().unwrap();
    let path = store(&expected).backup_to(folder.path(), &Context::default()).block_on().unwrap();
    assert_eq!(path, folder.path().join("memory_backup.bcs"));
    assert!(path.is_file());
    let source = PortableSource::new(&path, folder.path()).unwrap();
    expected.assert_same(&contents(&source).block_on().unwrap(), "the backup");
    let sidecar = fs::read_to_string(folder.path().join("memory_backup.bcs.keepsum")).unwrap();
    assert!(sidecar.contains("\nsnapshot memory:of a test\nposition version "), "{sidecar}");
    assert!(sidecar.contains("\ntaken 20") && sidecar.ends_with("Z\n"), "{sidecar}");
}

#[test]
fn any_other_store_becomes_a_folder_of_that_name() {
    let mut expected = Contents::new();
    expected.put("default", b"", b"key", "value");
    expected.put("acc/ounts", b"root", b"key", vec![7; 100_000]);
    expected.add_database("empty");
    let mut renamed = Contents::new();
    renamed.put("only", b"", b"key", "value");
    for expected in [expected, renamed] {
        let folder = tempfile::tempdir().unwrap();
        let store: Arc<dyn Source> = Arc::new(store(&expected));
        let path = store.backup_to(folder.path(), &Context::default()).block_on().unwrap();
        assert_eq!(path, folder.path().join("memory_backup.bcs"));
        assert!(path.is_dir());
        let source = PortableSource::new(&path, folder.path()).unwrap();
        expected.assert_same(&contents(&source).block_on().unwrap(), "the backup");
        // A backup of the backup is the same again.
        let again = tempfile::tempdir().unwrap();
        let copy = source.backup_to(again.path(), &Context::default()).block_on().unwrap();
        for entry in fs::read_dir(&path).unwrap() {
            let name = entry.unwrap().file_name();
            if name != "KEEPSUM_RESTORED" {
                assert_eq!(
                    fs::read(path.join(&name)).unwrap(),
                    fs::read(copy.join(&name)).unwrap()
                );
            }
        }
    }
}

#[test]
fn an_earlier_backup_is_not_replaced() {
    let mut old = Contents::new();
    old.put("default", b"", b"old", "");
    let folder = tempfile::tempdir().unwrap();
    let path = store(&old).backup_to(folder.path(), &Context::default()).block_on().unwrap();
    let before = fs::read(&path).unwrap();
    let mut new = Contents::new();
    new.put("default", b"", b"new", "");
    let again = store(&new).backup_to(folder.path(), &Context::default()).block_on();
    assert!(matches!(again, Err(Error::Occupied { .. })), "{again:?}");
    assert_eq!(fs::read(&path).unwrap(), before);
    let missing = folder.path().join("missing");
    let nowhere = store(&new).backup_to(&missing, &Context::default()).block_on();
    assert!(matches!(nowhere, Err(Error::NotFound { .. })), "{nowhere:?}");
}

/// A source whose records come by token, that is in no order of keys, and that may fail.
struct Ring {
    fails: bool,
    info: SnapshotInfo,
}

impl Ring {
    fn new(fails: bool) -> Self {
        let info = SnapshotInfo {
            position: Position::Unknown,
            consistency: Consistency::PointInTime,
            layout: Layout::Plain,
            databases: vec![DatabaseInfo { order: Order::Token, ..DatabaseInfo::new("default") }],
            pause: None,
            ownership: None,
            notes: Vec::new(),
            unusual: Vec::new(),
        };
        Self { fails, info }
    }
}

#[async_trait]
impl Source for Ring {
    fn describe(&self) -> StoreDescription {
        let location = "ring:test".into();
        StoreDescription { engine: "ring".into(), location, identity: None }
    }

    fn capabilities(&self) -> Capabilities {
        PortableSource::new("x.bcs".as_ref(), "/").unwrap().capabilities()
    }

    async fn snapshot(&self, _view: View, _context: &Context) -> Result<Box<dyn Snapshot>> {
        Ok(Box::new(Self { fails: self.fails, info: self.info.clone() }))
    }
}

impl Snapshot for Ring {
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

#[async_trait]
impl Records for Ring {
    async fn splits(&self, _database: usize, _parts: usize) -> Result<Vec<RecordKey>> {
        Ok(Vec::new())
    }

    fn scan(&self, _database: usize, _from: Option<&RecordKey>) -> BatchStream {
        let batch = |key: &'static [u8]| {
            let mut batch = RecordBatch::new();
            parts(b"", key, b"value").try_for_each(|part| batch.push(part))?;
            Ok(batch)
        };
        let fault = self.fails.then(|| Err(Error::damaged("the ring", "it broke")));
        stream::iter([batch(b"c"), batch(b"a"), batch(b"b")].into_iter().chain(fault)).boxed()
    }
}

#[test]
fn records_in_token_order_are_sorted() {
    let folder = tempfile::tempdir().unwrap();
    let path = Ring::new(false).backup_to(folder.path(), &Context::default()).block_on().unwrap();
    assert_eq!(path, folder.path().join("ring_backup.bcs"));
    let source = PortableSource::new(&path, folder.path()).unwrap();
    let found = contents(&source).block_on().unwrap();
    let keys: Vec<_> = found.databases["default"].keys().map(|at| at.key.clone()).collect();
    assert_eq!(keys, [b"a", b"b", b"c"]);
}

#[test]
fn a_source_that_fails_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let failed = Ring::new(true).backup_to(folder.path(), &Context::default()).block_on();
    assert!(matches!(failed, Err(Error::Damaged { .. })), "{failed:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    let context = Context::default();
    context.cancel();
    let cancelled = Ring::new(false).backup_to(folder.path(), &context).block_on();
    assert!(matches!(cancelled, Err(Error::Cancelled)), "{cancelled:?}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}
