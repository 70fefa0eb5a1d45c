//! A source of noise, which nothing compresses, with a repository, and ways to stop a backup of it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};

use archive::object::ObjectRef;
use backend_memory::MemoryStore;
use backup_core::kv::{Access, KeyValueStore, WriteBatch};
use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::target::Existing;
use keepsum::backup::{BackupOptions, ProofChoice, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{CheckpointEvery, Host, Repository, RepositoryLocation, SnapshotSpec, StoreLocation};
use testkit::transfer::transfer;

pub(crate) const MIB: u64 = 1 << 20;

/// The length of a value, in bytes.
const VALUE: usize = 4000;

/// The phases in which the source is read.
const READING: [&str; 3] =
    ["copying files", "reading records", "copying files and summing records"];

pub(crate) struct Ground {
    folder: tempfile::TempDir,
    source: StoreLocation,
    shape: ShapeChoice,
    proof: ProofChoice,
    location: RepositoryLocation,
    repository: Repository,
    /// About the bytes of the source.
    pub(crate) total: u64,
}

/// What a backup did, in stored bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Taken {
    pub(crate) uploaded: u64,
    pub(crate) reused: u64,
}

/// Cancels its context once so many bytes were handled, and keeps the notes.
struct Watcher {
    context: OnceLock<Context>,
    left: AtomicU64,
    /// Whether the source is read by now: what a capture copies before is no part of the backup's bytes.
    reading: AtomicBool,
    /// Whether it cancels as soon as the source is read.
    at_once: bool,
    notes: Mutex<Vec<String>>,
}

impl ProgressSink for Watcher {
    fn event(&self, event: &Event) {
        match event {
            Event::Note(note) => self.notes.lock().unwrap().push(note.clone()),
            Event::Phase { name, .. } => {
                let reading = READING.contains(name);
                self.reading.store(reading, Ordering::Relaxed);
                if reading && self.at_once {
                    self.context.get().unwrap().cancel();
                }
            }
            Event::Advanced { bytes, .. } if self.reading.load(Ordering::Relaxed) => {
                let take = |left: u64| Some(left.saturating_sub(*bytes));
                let before = self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take);
                if before.unwrap() <= *bytes {
                    self.context.get().unwrap().cancel();
                }
            }
            _ => {}
        }
    }
}

pub(crate) fn host() -> Host {
    Host::system("test")
}

/// A store of that engine with `bytes` of noise.
pub(crate) async fn fill(location: &StoreLocation, bytes: u64) {
    let store = MemoryStore::new();
    store.create("default").await.unwrap();
    let database = store.database("default").await.unwrap();
    let partition = database.open(b"", Access::Exclusive).await.unwrap();
    let mut batch = WriteBatch::new();
    for number in 0..bytes / VALUE as u64 {
        batch.put(number.to_be_bytes().to_vec(), testkit::noise(number, VALUE));
    }
    partition.write_batch(batch).await.unwrap();
    let target = location.target().unwrap();
    transfer(&store, target.as_ref(), Existing::Refuse).await.unwrap();
}

impl Ground {
    pub(crate) async fn new(source: &str, shape: ShapeChoice) -> Self {
        Self::over(source, shape, &RepositoryLocation::memory()).await
    }

    pub(crate) async fn over(source: &str, shape: ShapeChoice, at: &RepositoryLocation) -> Self {
        let (host, context) = (host(), Context::default());
        let repository = Repository::init(at, &host, &context).await.unwrap();
        let folder = tempfile::tempdir().unwrap();
        let (engine, name) = source.split_once(':').unwrap();
        let path = folder.path().join(name);
        let location: StoreLocation = format!("{engine}:{}", path.display()).parse().unwrap();
        // Tables are cut into large pieces.
        let total = if (engine, shape) == ("rocksdb", ShapeChoice::Files) { 72 } else { 24 } * MIB;
        match (engine, name) {
            ("files", "big") => {
                fs::create_dir(&path).unwrap();
                let length = usize::try_from(total).unwrap();
                fs::write(path.join("data"), testkit::noise(1, length)).unwrap();
            }
            ("files", _) => {
                fs::create_dir(&path).unwrap();
                for number in 0..total / 100_000 {
                    let bytes = testkit::noise(number, 100_000);
                    fs::write(path.join(format!("{number:05}")), bytes).unwrap();
                }
            }
            _ => fill(&location, total).await,
        }
        let proof = ProofChoice::Physical;
        Self { folder, source: location, shape, proof, location: at.clone(), repository, total }
    }

    /// What is backed up.
    pub(crate) fn source(&self) -> &StoreLocation {
        &self.source
    }

    /// The same, whose records are summed beside.
    pub(crate) fn proved(self) -> Self {
        Self { proof: ProofChoice::Logical, ..self }
    }

    fn options(&self, checkpoint_every: CheckpointEvery) -> BackupOptions {
        let (shape, proof) = (Some(self.shape), self.proof);
        BackupOptions { shape, proof, checkpoint_every, ..BackupOptions::default() }
    }

    async fn run(
        &self,
        options: &BackupOptions,
        context: &Context,
    ) -> keepsum::Result<keepsum::report::BackupReport> {
        let source = self.source.source(&SourceOptions::default()).unwrap();
        // As in the command, who cancels the backup cancels the repository's requests.
        let repository = Repository::open(&self.location, &host(), context).await?;
        backup(&repository, source.as_ref(), options).await
    }

    pub(crate) async fn back_up(&self) -> Taken {
        let options = self.options(CheckpointEvery::default());
        let report = self.run(&options, &Context::default()).await.unwrap();
        Taken { uploaded: report.uploaded_bytes, reused: report.reused_bytes }
    }

    /// Begins a backup that is cancelled after so many bytes, and returns what it said.
    pub(crate) async fn cancelled(&self, every: CheckpointEvery, after: u64) -> Vec<String> {
        self.cancelled_with(&self.options(every), after, false).await
    }

    pub(crate) async fn cancelled_fresh(&self, after: u64) {
        let never = CheckpointEvery { bytes: u64::MAX, milliseconds: u64::MAX };
        let options = BackupOptions { fresh: true, ..self.options(never) };
        self.cancelled_with(&options, after, false).await;
    }

    pub(crate) async fn cancelled_as_it_copies(&self, every: CheckpointEvery) -> Vec<String> {
        self.cancelled_with(&self.options(every), u64::MAX, true).await
    }

    async fn cancelled_with(
        &self,
        options: &BackupOptions,
        after: u64,
        at_once: bool,
    ) -> Vec<String> {
        let watcher = Arc::new(Watcher {
            context: OnceLock::new(),
            left: AtomicU64::new(after),
            reading: AtomicBool::new(false),
            at_once,
            notes: Mutex::default(),
        });
        let context = Context::new(Arc::clone(&watcher) as _);
        watcher.context.set(context.clone()).unwrap();
        let error = self.run(options, &context).await.unwrap_err();
        assert!(error.to_string().starts_with("cancelled"), "{error}");
        watcher.notes.lock().unwrap().clone()
    }

    /// Begins a backup that is given up once it has made a checkpoint.
    pub(crate) async fn dropped_after_a_checkpoint(&self, every: CheckpointEvery) {
        let made = async {
            while self.kept().await == 0 {
                tokio::task::yield_now().await;
            }
        };
        let (options, context) = (self.options(every), Context::default());
        tokio::select! {
            biased;
            () = made => {}
            done = self.run(&options, &context) => panic!("it ended before a checkpoint: {done:?}"),
        }
    }

    /// Begins a backup that is given up once it has pinned what it builds on.
    pub(crate) async fn killed_as_it_begins(&self) {
        let before = self.repository.head().await.unwrap().number;
        let pinned = async {
            while self.repository.head().await.unwrap().number == before {
                tokio::task::yield_now().await;
            }
        };
        let (options, context) = (self.options(crate::NEVER), Context::default());
        tokio::select! {
            biased;
            () = pinned => {}
            done = self.run(&options, &context) => panic!("it ended before it was killed: {done:?}"),
        }
    }

    pub(crate) async fn pins(&self) -> usize {
        self.repository.head().await.unwrap().state.pins.len()
    }

    /// The bytes of the source that the checkpoint which came farthest has.
    pub(crate) async fn kept(&self) -> u64 {
        let mut most = 0;
        let state = self.repository.head().await.unwrap().state;
        let whole: Vec<ObjectRef> = state.snapshots.values().map(|live| live.manifest).collect();
        for pin in state.pins.values().filter(|pin| !whole.contains(&pin.manifest)) {
            most = most.max(self.repository.manifest(&pin.manifest).await.unwrap().bytes());
        }
        most
    }

    /// All that was ever sent, in stored bytes: nothing is removed.
    pub(crate) async fn sent(&self) -> u64 {
        let objects = self.repository.objects().list(&Context::default()).await.unwrap();
        objects.values().sum()
    }

    /// A whole backup now sends what the checkpoint does not have, ends the pins and restores.
    pub(crate) async fn goes_on(&self, kept: u64, what: &str) {
        let taken = self.back_up().await;
        assert!(taken.reused >= kept, "{what}: {taken:?}, {kept} kept of {}", self.total);
        // Leaves are cut anew where a checkpoint ended, and nodes above them.
        let rest = self.total.saturating_sub(kept) + 2 * MIB + self.total / 20;
        assert!(taken.uploaded <= rest, "{what}: {taken:?}, {kept} kept of {}", self.total);
        assert_eq!(self.pins().await, 0, "{what}");
        self.assert_sound().await;
        self.assert_restores().await;
    }

    /// `verify` finds nothing, in unfinished backups either.
    pub(crate) async fn assert_sound(&self) {
        let found = verify(&self.repository, Level::Full).await.unwrap();
        assert_eq!(found.findings, []);
    }

    /// Changes a byte in the beginning of the source.
    pub(crate) fn change(&self) {
        let path = self.source.path();
        if path.is_dir() {
            let file = path.join("data");
            let mut content = fs::read(&file).unwrap();
            content[100] ^= 1;
            fs::write(&file, content).unwrap();
        } else {
            let connection = rusqlite::Connection::open(path).unwrap();
            let sql = "CREATE TABLE more(a); INSERT INTO more VALUES (randomblob(100))";
            connection.execute_batch(sql).unwrap();
        }
    }

    /// The last snapshot restores to what the source is now.
    pub(crate) async fn assert_restores(&self) {
        let engine = self.source.engine();
        let restored: PathBuf = self.folder.path().join("restored");
        let target: StoreLocation = format!("{engine}:{}", restored.display()).parse().unwrap();
        let options = RestoreOptions { replace: restored.exists(), ..RestoreOptions::default() };
        let (latest, into) = (SnapshotSpec::latest(), target.target().unwrap());
        restore(&self.repository, &latest, into.as_ref(), &options).await.unwrap();
        if engine == "files" {
            for entry in fs::read_dir(self.source.path()).unwrap() {
                let entry = entry.unwrap();
                let there = fs::read(restored.join(entry.file_name())).unwrap();
                assert!(fs::read(entry.path()).unwrap() == there, "{entry:?}");
            }
            return;
        }
        let contents = async |location: &StoreLocation| {
            let source = location.source(&SourceOptions::default()).unwrap();
            testkit::contents::contents(source.as_ref()).await.unwrap()
        };
        contents(&self.source).await.assert_same(&contents(&target).await, "restored");
    }
}
