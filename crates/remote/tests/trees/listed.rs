//! Sources that the tests list record by record or file by file, and what the tests do with them.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::catalog::SourceId;
use archive::directory::{Content, Database, Holding};
use archive::manifest::{Manifest, Shape, SnapshotId};
use archive::node::Tree;
use async_trait::async_trait;
use backup_core::integrity::DatabaseSum;
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::record::{RecordBatch, RecordKey, parts};
use backup_core::source::{BatchStream, DatabaseInfo, FileInfo, FileNature};
use backup_core::{Files, Records};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use remote::tree::{
    DirectoryWriter, Reading, RecordsWritten, Unsaved, described, scan, write_records,
};
use remote::{Host, Repository, RepositoryLocation, Root, Session};

use crate::shared;

/// Records by their place.
pub(crate) type Map = BTreeMap<RecordKey, Vec<u8>>;

/// The database that all of these tests write.
pub(crate) fn database() -> DatabaseInfo {
    DatabaseInfo::new("default")
}

/// A snapshot whose records are listed, cut where the test says.
pub(crate) struct Listed {
    pub(crate) records: Arc<Map>,
    pub(crate) cuts: Vec<RecordKey>,
}

#[async_trait]
impl Records for Listed {
    async fn splits(&self, _database: usize, _parts: usize) -> backup_core::Result<Vec<RecordKey>> {
        Ok(self.cuts.clone())
    }

    fn scan(&self, _database: usize, from: Option<&RecordKey>) -> BatchStream {
        let from = from.cloned().unwrap_or_default();
        let mut batches = Vec::new();
        let mut batch = RecordBatch::new();
        for (at, value) in self.records.range(from..) {
            for part in parts(&at.root_key, &at.key, value) {
                batch.push(part).unwrap();
                if batch.is_full() {
                    batches.push(std::mem::take(&mut batch));
                }
            }
        }
        batches.push(batch);
        stream::iter(batches).map(Ok).boxed()
    }
}

/// `count` records of a few hundred bytes, the same for the same seed.
pub(crate) fn synthetic(count: u64, seed: u64) -> Map {
    let record = |number: u64| {
        let key = RecordKey::new(b"", &testkit::noise(number, 16));
        let length = usize::try_from(number % 400).unwrap();
        (key, testkit::noise(seed ^ number, length))
    };
    (0..count).map(record).collect()
}

pub(crate) async fn repository() -> Repository {
    let host = Host::system("test");
    Repository::init(&RepositoryLocation::memory(), &host, &Context::default()).await.unwrap()
}

/// Stores `records`, reusing what the trees of `parents` hold, and makes a snapshot of it, so that
/// what is stored is live.
pub(crate) async fn store(
    repository: &Repository,
    records: &Arc<Map>,
    cuts: Vec<RecordKey>,
    parents: &[(SnapshotId, Tree)],
) -> (SnapshotId, RecordsWritten) {
    let head = repository.head().await.unwrap();
    let roots: Vec<Root> = parents.iter().map(|(id, _)| Root::Snapshot(*id)).collect();
    let session = Arc::new(Session::begin(repository, &head, &source(), &roots).await.unwrap());
    let listed = Listed { records: Arc::clone(records), cuts };
    let info = database();
    let reading = Reading { records: &listed, number: 0, database: &info, readers: 2 };
    let trees: Vec<Tree> = parents.iter().map(|(_, tree)| tree.clone()).collect();
    let written =
        write_records(&session, reading, &trees, &Unsaved, &Context::default()).await.unwrap();
    let mut manifest = manifest(Shape::Records);
    manifest.id = SnapshotId(repository.host().random().unwrap());
    let content = match &written.tree {
        Some(tree) => Content::Tree(Box::new(tree.clone())),
        None => Content::Inline(Bytes::new()),
    };
    let database = Database { described: described(&info, Some(&written.sum)), content };
    let mut directory = DirectoryWriter::new(&session, &[], Holding::Records);
    directory.push(&database, Some(&written.sum.lthash)).await.unwrap();
    let directory = directory.finish().await.unwrap();
    (manifest.databases, manifest.sum) = (directory.tree, directory.sum);
    let committed = session.commit(&manifest).await.unwrap();
    (committed.snapshot, written)
}

pub(crate) fn source() -> SourceId {
    manifest(Shape::Records).source_id()
}

pub(crate) fn manifest(shape: Shape) -> Manifest {
    Manifest {
        sum: Some(DatabaseSum::default()),
        proved_from: Some(archive::manifest::ProvedFrom::Source),
        ..shared::manifest(SnapshotId([7; 16]), shared::source_of("test", "memory:test"), shape)
    }
}

/// All records of a tree from `from` on, with the sum that the scan recomputed.
pub(crate) async fn read_all(
    repository: &Repository,
    tree: &Tree,
    from: Option<&RecordKey>,
) -> (Map, backup_core::integrity::DatabaseSum) {
    let mut found = Map::new();
    let mut sum = backup_core::integrity::DatabaseSum::default();
    let mut values = backup_core::record::Assembler::new();
    let mut batches = scan(repository.objects(), tree, b"default", from);
    while let Some((batch, part)) = batches.try_next().await.unwrap() {
        sum.add(&part);
        let insert = |root_key: &[u8], key: &[u8], value: &[u8]| {
            assert_eq!(found.insert(RecordKey::new(root_key, key), value.to_vec()), None);
            Ok(())
        };
        values.feed(&batch, u64::MAX, insert).unwrap();
    }
    values.finish().unwrap();
    (found, sum)
}

pub(crate) async fn stored_objects(repository: &Repository) -> usize {
    repository.objects().list(&Context::default()).await.unwrap().len()
}

/// A file: path, nature, identity, content.
pub(crate) type Described = (&'static str, FileNature, Option<&'static [u8]>, Vec<u8>);

/// The files of a snapshot, with a count of the bytes that were read of them.
pub(crate) struct ListedFiles {
    pub(crate) infos: Vec<FileInfo>,
    pub(crate) contents: Vec<Bytes>,
    pub(crate) read: AtomicU64,
}

impl ListedFiles {
    pub(crate) fn new(files: Vec<Described>) -> Self {
        let info = |(path, nature, identity, content): &Described| FileInfo {
            path: FilePath::new(*path).unwrap(),
            bytes: content.len() as u64,
            identity: identity.map(<[u8]>::to_vec),
            mode: 0o640,
            owner: None,
            nature: *nature,
        };
        let mut files = files;
        files.sort_by_key(|(path, ..)| path.to_owned());
        Self {
            infos: files.iter().map(info).collect(),
            contents: files.into_iter().map(|(.., content)| Bytes::from(content)).collect(),
            read: AtomicU64::new(0),
        }
    }

    pub(crate) fn bytes_read(&self) -> u64 {
        self.read.load(Ordering::Relaxed)
    }
}

#[async_trait]
impl Files for ListedFiles {
    fn list(&self) -> &[FileInfo] {
        &self.infos
    }

    async fn read(&self, file: usize, range: Range<u64>) -> backup_core::Result<Bytes> {
        self.read.fetch_add(range.end - range.start, Ordering::Relaxed);
        let range = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        Ok(self.contents[file].slice(range))
    }
}
