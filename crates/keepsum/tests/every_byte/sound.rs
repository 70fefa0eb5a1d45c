//! A small repository with a copy of every file, so that each fault begins with a sound one.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use archive::boundary::Target as Boundary;
use archive::catalog::Change;
use archive::object::{Kind, ObjectHash, ObjectName};
use backup_core::progress::Context;
use backup_core::target::Existing;
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::report::{RestoreReport, VerifyReport};
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{Error, ExitCode, Host, Repository, RepositoryLocation, SnapshotSpec, StoreLocation};
use remote::{Decision, Memory};
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

/// The folders of a repository and of what this host remembers of it.
const FOLDERS: [&str; 2] = ["repo", "state"];

/// A repository with two snapshots, and all its files as they should be.
pub(crate) struct Sound {
    pub(crate) case: Case,
    folder: tempfile::TempDir,
    files: BTreeMap<PathBuf, Vec<u8>>,
    /// What the newest snapshot holds.
    wanted: Stored,
}

/// What a store holds, in a form that compares.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Stored {
    Records(Contents),
    Files(BTreeMap<PathBuf, Vec<u8>>),
}

pub(crate) fn host() -> Host {
    Host::system("test")
}

impl Sound {
    /// Makes one. Each takes a second or less.
    pub(crate) async fn new(case: Case) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut sound =
            Self { case, folder, files: BTreeMap::new(), wanted: Stored::Files(BTreeMap::new()) };
        Repository::init(&sound.repository_location(), &host(), &Context::default()).await.unwrap();
        for version in [1, 2] {
            sound.write_source(version).await;
            sound.back_up().await.unwrap();
        }
        sound.list_something().await;
        sound.wanted = sound.stored_at(&sound.source()).await;
        sound.files = files_below(sound.folder.path(), &FOLDERS);
        let found = sound.verify(Level::Full).await;
        assert_eq!(found.findings, [], "{case:?}: before any fault");
        sound
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn repository_location(&self) -> RepositoryLocation {
        RepositoryLocation::parse(self.path("repo").to_str().unwrap()).unwrap()
    }

    fn store_at(&self, name: &str) -> StoreLocation {
        format!("{}:{}", self.case.engine, self.path(name).display()).parse().unwrap()
    }

    pub(crate) fn source(&self) -> StoreLocation {
        self.store_at(if self.case.engine == "memory" { "source.bcs" } else { "source" })
    }

    pub(crate) fn target(&self) -> StoreLocation {
        self.store_at(if self.case.engine == "memory" { "into/store.bcs" } else { "into/store" })
    }

    /// Writes the source: some leaves and a node of records, or short and long files.
    async fn write_source(&self, version: u8) {
        let path = self.source().path().to_owned();
        let _ = fs::remove_dir_all(&path);
        let _ = fs::remove_file(&path);
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
    async fn list_something(&self) {
        let repository = self.open().await.unwrap();
        let name = ObjectName { hash: ObjectHash([7; 32]), nonce: [7; 8] };
        let names = remote::names::encode(&[name]).unwrap();
        let list = repository.objects().put(Kind::Names, names.into(), None).await.unwrap();
        let head = repository.head().await.unwrap();
        let changes = vec![Change::Damaged(list.reference)];
        let decide = move |_: &_, _: &[_]| Ok(Decision::Commit(changes.clone()));
        repository.catalog().commit(&head, decide).await.unwrap();
        // So that what this host remembers is the newest entry.
        repository.head().await.unwrap();
    }

    /// Opens the repository as a new process does.
    pub(crate) async fn open(&self) -> remote::Result<Repository> {
        let location = self.repository_location();
        let opened = Repository::open(&location, &host(), &Context::default()).await?;
        Ok(opened.with_memory(Memory::new(self.path("state"))))
    }

    pub(crate) async fn back_up(&self) -> Result<keepsum::report::BackupReport, Error> {
        let repository = self.open().await?;
        let source = self.source().source(&SourceOptions::default())?;
        let options = BackupOptions { shape: Some(self.case.shape), ..BackupOptions::default() };
        backup(&repository, source.as_ref(), &options, &host(), &Context::default()).await
    }

    /// What `verify` says, also where the repository cannot be opened.
    pub(crate) async fn verify(&self, level: Level) -> VerifyReport {
        match self.open().await {
            Ok(repository) => verify(&repository, level, &Context::default()).await.unwrap(),
            Err(damage) => keepsum::verify::not_opened(level, damage).unwrap(),
        }
    }

    pub(crate) async fn restore(&self) -> Result<RestoreReport, Error> {
        let repository = self.open().await?;
        let options = RestoreOptions { replace: true, ..RestoreOptions::default() };
        let (spec, target) = (SnapshotSpec::Latest, self.target());
        restore(&repository, &spec, &target, &options, &host(), &Context::default()).await
    }

    /// A restore over something that is there gives back the newest snapshot, or fails and leaves
    /// everything as it was; returns whether it gave it back.
    pub(crate) async fn restores(&self, what: &str) -> bool {
        let into = self.path("into");
        let _ = fs::remove_dir_all(&into);
        fs::create_dir(&into).unwrap();
        let old = if self.case.engine == "memory" {
            self.target().path().to_owned()
        } else {
            fs::create_dir(self.target().path()).unwrap();
            self.target().path().join("CURRENT")
        };
        fs::write(&old, b"what was there").unwrap();
        let before = testkit::tree::tree(&into).unwrap();
        match self.restore().await {
            Ok(_) => {
                let found = self.stored_at(&self.target()).await;
                assert_eq!(found, self.wanted, "{what}: a restore gave back something else");
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
            let mut files = files_below(location.path(), &[""]);
            files.remove(Path::new(backup_core::staging::SIDECAR));
            return Stored::Files(files);
        }
        let source = location.source(&SourceOptions::default()).unwrap();
        let mut found = contents(source.as_ref()).await.unwrap();
        // RocksDB always has a `default`.
        found.databases.retain(|_, records| !records.is_empty());
        Stored::Records(found)
    }

    /// The files of the repository, by their paths in it, with their bytes.
    pub(crate) fn stored(&self) -> Vec<(String, Vec<u8>)> {
        let inside = self.files.iter().filter_map(|(path, bytes)| {
            let path = path.strip_prefix("repo").ok()?;
            Some((path.to_str().unwrap().to_owned(), bytes.clone()))
        });
        inside.collect()
    }

    /// Its objects.
    pub(crate) fn objects(&self) -> Vec<(String, Vec<u8>)> {
        self.stored().into_iter().filter(|(path, _)| path.starts_with("objects/")).collect()
    }

    pub(crate) fn write(&self, path: &str, bytes: &[u8]) {
        fs::write(self.path("repo").join(path), bytes).unwrap();
    }

    pub(crate) fn remove(&self, path: &str) {
        fs::remove_file(self.path("repo").join(path)).unwrap();
    }

    /// Makes the repository as it was before any fault.
    pub(crate) fn repair(&self) {
        let found = files_below(self.folder.path(), &FOLDERS);
        for path in found.keys().filter(|path| !self.files.contains_key(*path)) {
            fs::remove_file(self.folder.path().join(path)).unwrap();
        }
        for (path, bytes) in
            self.files.iter().filter(|(path, bytes)| found.get(*path) != Some(bytes))
        {
            fs::write(self.folder.path().join(path), bytes).unwrap();
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

/// A few records in leaves of their own, so that a node is above them.
fn sample(version: u8) -> Contents {
    let ends = |number: &u64| Boundary::Records.ends_leaf(b"", &number.to_be_bytes(), 12);
    let boundaries: Vec<u64> = (0..).filter(ends).take(2).collect();
    let mut contents = Contents::new();
    for key in boundaries.iter().flat_map(|at| [at - 1, *at, at + 1]) {
        contents.put("accounts", b"", &key.to_be_bytes(), format!("{key:012}").into_bytes());
    }
    let changing = (boundaries[1] + 1).to_be_bytes();
    contents.put("accounts", b"", &changing, format!("version {version:4}").into_bytes());
    contents.put("names", b"", b"one", b"a name".to_vec());
    contents
}

/// The files below these folders of `root`, by their paths from there.
fn files_below(root: &Path, folders: &[&str]) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut pending: Vec<PathBuf> = folders.iter().map(|folder| root.join(folder)).collect();
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
