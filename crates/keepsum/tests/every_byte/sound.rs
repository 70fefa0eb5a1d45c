//! A small repository with a copy of every file, so that each fault begins with a sound one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::boundary::Target as Boundary;
use archive::catalog::Change;
use archive::object::{Kind, ObjectHash, ObjectName};
use backup_core::progress::Context;
use backup_core::target::Existing;
use bytes::Bytes;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::report::{RestoreReport, VerifyReport};
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{Error, ExitCode, Host, Repository, SnapshotSpec, StoreLocation};
use object_store::memory::InMemory;
use object_store::{GetOptions, ObjectMeta, ObjectStore, PutOptions, PutPayload};
use remote::{Decision, Memory, Store};
use testkit::contents::{Contents, contents};
use testkit::transfer::transfer;

/// An engine and the shape that it is backed up in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Case {
    pub(crate) engine: &'static str,
    pub(crate) shape: ShapeChoice,
}

pub(crate) const MEMORY: Case = Case { engine: "memory", shape: ShapeChoice::Records };
pub(crate) const ROCKSDB: Case = Case { engine: "rocksdb", shape: ShapeChoice::Records };
pub(crate) const ROCKSDB_FILES: Case = Case { engine: "rocksdb", shape: ShapeChoice::Files };
pub(crate) const FILES: Case = Case { engine: "files", shape: ShapeChoice::Files };
pub(crate) const CASES: [Case; 4] = [MEMORY, ROCKSDB, ROCKSDB_FILES, FILES];

/// A repository in memory with two snapshots, and all its files as they should be.
pub(crate) struct Sound {
    pub(crate) case: Case,
    /// The source and the targets.
    folder: tempfile::TempDir,
    inner: Arc<dyn ObjectStore>,
    files: BTreeMap<String, Bytes>,
    /// What the newest snapshot holds.
    wanted: Stored,
    /// Whether this host remembers what it saw of the catalog.
    pub(crate) remembers: bool,
    /// The list of damaged objects that it has.
    pub(crate) list: String,
}

/// What a store holds, in a form that compares.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stored {
    Records(Contents),
    Files(BTreeMap<PathBuf, Vec<u8>>),
}

impl Stored {
    /// Where the two differ.
    fn differs(&self, other: &Self) -> Option<String> {
        match (self, other) {
            _ if self == other => None,
            (Self::Files(one), Self::Files(other)) => {
                let names = one.keys().chain(other.keys());
                let differing = names.filter(|name| one.get(*name) != other.get(*name));
                Some(format!("{:?}", differing.collect::<Vec<_>>()))
            }
            _ => Some("records".to_owned()),
        }
    }
}

pub(crate) fn host() -> Host {
    Host::system("test")
}

impl Sound {
    /// Makes one. Each takes a second or less.
    pub(crate) async fn new(case: Case) -> Self {
        let mut sound = Self {
            case,
            folder: scratch(),
            inner: Arc::new(InMemory::new()),
            files: BTreeMap::new(),
            wanted: Stored::Files(BTreeMap::new()),
            remembers: false,
            list: String::new(),
        };
        Repository::init_in(sound.store()).await.unwrap();
        for version in [1, 2] {
            sound.write_source(version).await;
            sound.back_up().await.unwrap();
        }
        sound.list = sound.list_something().await;
        sound.wanted = sound.stored_at(&sound.source()).await;
        sound.files = sound.there();
        let found = sound.verify(Level::Full).await;
        assert_eq!(found.findings, [], "{case:?}: before any fault");
        sound
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn store(&self) -> Store {
        Store::new(Arc::clone(&self.inner), "memory:", &host(), &Context::default())
    }

    fn store_at(&self, name: &str) -> StoreLocation {
        format!("{}:{}", self.case.engine, self.path(name).display()).parse().unwrap()
    }

    pub(crate) fn source(&self) -> StoreLocation {
        self.store_at("source")
    }

    pub(crate) fn target(&self) -> StoreLocation {
        self.store_at("into/store")
    }

    /// Writes the source: some leaves and a node of records, or short and long files.
    async fn write_source(&self, version: u8) {
        let path = self.source().path().to_owned();
        let _ = fs::remove_dir_all(&path);
        if self.case == FILES {
            fs::create_dir(&path).unwrap();
            fs::write(path.join("changing"), [version; 3000]).unwrap();
            fs::write(path.join("empty"), b"").unwrap();
            fs::write(path.join("long"), b"a long file ".repeat(3000)).unwrap();
            fs::write(path.join("short"), b"a short file").unwrap();
            return;
        }
        transfer(&sample(version), self.source().target().unwrap().as_ref(), Existing::Refuse)
            .await
            .unwrap();
    }

    /// A list of damaged objects, as `verify` commits them, of a name that nothing reaches.
    async fn list_something(&self) -> String {
        let repository = self.open().await.unwrap();
        let name = ObjectName { hash: ObjectHash([7; 32]), nonce: [7; 8] };
        let names = remote::names::encode(&[name]).unwrap();
        let list = repository.objects().put(Kind::Names, names.into(), None).await.unwrap();
        let head = repository.head().await.unwrap();
        let changes = vec![Change::Damaged(list.reference)];
        let decide = move |_: &_, _: &[_]| Ok(Decision::Commit(changes.clone()));
        repository.catalog().commit(&head, decide).await.unwrap();
        list.reference.name.path()
    }

    /// Opens the repository as a new process does.
    pub(crate) async fn open(&self) -> remote::Result<Repository> {
        let opened = Repository::open_in(self.store()).await?;
        let memory = || Memory::new(self.path("state"));
        Ok(if self.remembers { opened.with_memory(memory()) } else { opened })
    }

    pub(crate) async fn back_up(&self) -> Result<keepsum::report::BackupReport, Error> {
        let repository = self.open().await?;
        let source = self.source().source(&SourceOptions::default())?;
        let options = BackupOptions { shape: Some(self.case.shape), ..BackupOptions::default() };
        backup(&repository, source.as_ref(), &options).await
    }

    /// What `verify` says, also where the repository cannot be opened.
    pub(crate) async fn verify(&self, level: Level) -> VerifyReport {
        match self.open().await {
            Ok(repository) => verify(&repository, level).await.unwrap(),
            Err(damage) => keepsum::verify::not_opened(level, damage).unwrap(),
        }
    }

    pub(crate) async fn restore(&self) -> Result<RestoreReport, Error> {
        let repository = self.open().await?;
        let options = RestoreOptions { replace: true, ..RestoreOptions::default() };
        let (spec, target) = (SnapshotSpec::latest(), self.target().target()?);
        restore(&repository, &spec, target.as_ref(), &options).await
    }

    /// A restore over something that is there gives back the newest snapshot, or fails and leaves
    /// everything as it was; returns whether it gave it back.
    pub(crate) async fn restores(&self, what: &str) -> bool {
        let into = self.path("into");
        let _ = fs::remove_dir_all(&into);
        fs::create_dir_all(self.target().path()).unwrap();
        let old = if self.case.engine == "memory" { "old.bcs" } else { "CURRENT" };
        let old = self.target().path().join(old);
        fs::write(&old, b"what was there").unwrap();
        let before = testkit::tree::tree(&into).unwrap();
        match self.restore().await {
            Ok(_) => {
                let found = self.stored_at(&self.target()).await;
                let differs = found.differs(&self.wanted);
                assert_eq!(differs, None, "{what}: a restore gave back something else");
                true
            }
            Err(error) => {
                assert_eq!(error.exit_code(), ExitCode::Damaged, "{what}: {error}");
                let after = testkit::tree::tree(&into).unwrap();
                assert!(same_but_times(&before, &after), "{what}: {after:?}");
                false
            }
        }
    }

    async fn stored_at(&self, location: &StoreLocation) -> Stored {
        if self.case.engine == "files" {
            let mut files = files_below(location.path());
            files.remove(Path::new(backup_core::staging::SIDECAR));
            return Stored::Files(files);
        }
        let source = location.source(&SourceOptions::default()).unwrap();
        let mut found = contents(source.as_ref()).await.unwrap();
        // RocksDB always has a `default`.
        found.databases.retain(|_, records| !records.is_empty());
        Stored::Records(found)
    }

    /// The files of the repository as they should be, by their paths in it.
    pub(crate) fn stored(&self) -> Vec<(String, Vec<u8>)> {
        self.files.iter().map(|(path, bytes)| (path.clone(), bytes.to_vec())).collect()
    }

    /// Its objects.
    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        self.stored().into_iter().filter(|(path, _)| path.starts_with("objects/")).collect()
    }

    /// The files of the repository as they are.
    fn there(&self) -> BTreeMap<String, Bytes> {
        let listed: Vec<_> = at_once(self.inner.list(None).try_collect());
        let read = |meta: ObjectMeta| {
            let found = at_once(self.inner.get_opts(&meta.location, GetOptions::default()));
            (meta.location.to_string(), at_once(found.bytes()))
        };
        listed.into_iter().map(read).collect()
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        let payload = PutPayload::from_bytes(Bytes::copy_from_slice(bytes));
        at_once(self.inner.put_opts(&path.into(), payload, PutOptions::default()));
    }

    pub(crate) fn remove(&self, path: &str) {
        let path = futures_util::stream::iter([Ok(path.into())]).boxed();
        let removed: Vec<_> = at_once(self.inner.delete_stream(path).try_collect());
        assert_eq!(removed.len(), 1);
    }

    /// Makes the repository as it was before any fault.
    pub(crate) fn repair(&self) {
        let there = self.there();
        for path in there.keys().filter(|path| !self.files.contains_key(*path)) {
            self.remove(path);
        }
        for (path, bytes) in
            self.files.iter().filter(|(path, bytes)| there.get(*path) != Some(bytes))
        {
            self.write(path, bytes);
        }
    }

    /// The objects without which the newest snapshot does not restore.
    pub(crate) async fn needed(&self) -> BTreeSet<String> {
        let mut needed = BTreeSet::new();
        for (path, bytes) in self.objects() {
            self.remove(&path);
            if !self.restores(&format!("without {path}")).await {
                needed.insert(path.clone());
            }
            self.write(&path, &bytes);
        }
        needed
    }
}

/// `verify` found and named `path`.
#[track_caller]
pub(crate) fn assert_named(report: &VerifyReport, path: &str, what: &str) {
    let named = report.findings.iter().any(|finding| finding.what == path);
    assert!(named, "{what}: {:?}", report.findings);
    assert!(report.findings.iter().all(|finding| !finding.detail.is_empty()), "{what}");
}

fn same_but_times(
    one: &BTreeMap<PathBuf, testkit::tree::Entry>,
    other: &BTreeMap<PathBuf, testkit::tree::Entry>,
) -> bool {
    let plain = |entry: &testkit::tree::Entry| (entry.mode, entry.inode, entry.content.clone());
    one.keys().eq(other.keys()) && one.values().map(plain).eq(other.values().map(plain))
}

/// A folder in memory where there is one: tens of thousands of faults wait for no disk.
fn scratch() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap()
}

/// How long values are: together they are more than the directory takes.
const LENGTH: usize = 3000;

/// A few records in leaves of their own, so that a node is above them, and a database that stands in the
/// directory.
fn sample(version: u8) -> Contents {
    let ends =
        |number: &u64| Boundary::Records.ends_leaf(b"", &number.to_be_bytes(), LENGTH as u64);
    let boundaries: Vec<u64> = (0..).filter(ends).take(2).collect();
    let mut contents = Contents::new();
    for key in boundaries.iter().flat_map(|at| [at - 1, *at, at + 1]) {
        contents.put("accounts", b"", &key.to_be_bytes(), format!("{key:0LENGTH$}").into_bytes());
    }
    let changing = (boundaries[1] + 1).to_be_bytes();
    contents.put(
        "accounts",
        b"",
        &changing,
        format!("version {version:0width$}", width = LENGTH - 8).into_bytes(),
    );
    contents.put("names", b"", b"one", b"a name".to_vec());
    contents
}

/// What a store in memory answers at once.
fn at_once<T>(answer: impl Future<Output = object_store::Result<T>>) -> T {
    answer.now_or_never().expect("a store in memory never waits").unwrap()
}

/// The files below a folder, by their paths from there.
pub(crate) fn files_below(root: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending = vec![root.to_owned()];
    while let Some(folder) = pending.pop() {
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                pending.push(path);
            } else {
                let bytes = fs::read(&path).unwrap();
                found.insert(path.strip_prefix(root).unwrap().to_owned(), bytes);
            }
        }
    }
    found
}
