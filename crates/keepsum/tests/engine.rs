//! The engine over every backend: what goes into a repository comes out of it, in any engine.

#![cfg(all(feature = "cli", feature = "rocksdb", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use backend_memory::MemoryStore;
use backup_core::kv::{Access, KeyValueStore, WriteBatch};
use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::source::{Capabilities, Snapshot, StoreDescription, View};
use backup_core::target::Existing;
use backup_core::{Source, Target};
use keepsum::backup::{BackupOptions, ProofChoice, ShapeChoice, backup};
use keepsum::diff::{DiffOptions, Side, diff};
use keepsum::location::SourceOptions;
use keepsum::report::BackupReport;
use keepsum::restore::{RestoreOptions, restore};
use keepsum::snapshots::Listing;
use keepsum::verify::{Level, verify};
use keepsum::{
    CheckpointEvery, Engines, Error, ExitCode, Host, Repository, RepositoryLocation, SnapshotSpec,
    StoreLocation,
};
use proptest::strategy::{Strategy, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};
use testkit::contents::{Contents, contents};
use testkit::transfer::transfer;

const ENGINES: [&str; 3] = ["rocksdb", "memory", "sqlite"];

fn host() -> Host {
    Host::system("test")
}

fn location(engine: &str, folder: &Path, name: &str) -> StoreLocation {
    format!("{engine}:{}", folder.join(name).display()).parse().unwrap()
}

async fn repository() -> Repository {
    let location = RepositoryLocation::memory();
    Repository::init(&location, &host(), &Context::default()).await.unwrap()
}

/// A memory store with this content.
async fn memory(wanted: &Contents) -> MemoryStore {
    let store = MemoryStore::new();
    for (name, records) in &wanted.databases {
        if !store.databases().await.unwrap().contains(name) {
            store.create(name).await.unwrap();
        }
        let database = store.database(name).await.unwrap();
        for (at, value) in records {
            let partition = database.open(&at.root_key, Access::Exclusive).await.unwrap();
            let mut batch = WriteBatch::new();
            batch.put(at.key.clone(), value.clone());
            partition.write_batch(batch).await.unwrap();
        }
    }
    store
}

/// Makes a store at `location` with this content.
async fn fill(location: &StoreLocation, wanted: &Contents) {
    let target: Box<dyn Target> = location.target().unwrap();
    transfer(&memory(wanted).await, target.as_ref(), Existing::Refuse).await.unwrap();
}

fn source(location: &StoreLocation) -> Box<dyn Source> {
    location.source(&SourceOptions::default()).unwrap()
}

fn options(shape: ShapeChoice, proof: ProofChoice) -> BackupOptions {
    BackupOptions { shape: Some(shape), proof, ..BackupOptions::default() }
}

async fn back_up(
    repository: &Repository,
    location: &StoreLocation,
    options: &BackupOptions,
) -> BackupReport {
    let source = source(location);
    backup(repository, source.as_ref(), options).await.unwrap()
}

async fn put_back(
    repository: &Repository,
    snapshot: &str,
    target: &StoreLocation,
    options: &RestoreOptions,
) -> Result<keepsum::report::RestoreReport, Error> {
    let spec: SnapshotSpec = snapshot.parse().unwrap();
    restore(repository, &spec, target.target()?.as_ref(), options).await
}

/// Random stores that any engine takes; the seed is printed with a failure.
fn stores(seed: u64, count: usize) -> Vec<Contents> {
    let can: Capabilities = Source::capabilities(&MemoryStore::new());
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &testkit::noise(seed, 32));
    let mut runner = TestRunner::new_with_rng(Config::default(), rng);
    let strategy = testkit::generate::store(can);
    (0..count).map(|_| strategy.new_tree(&mut runner).unwrap().current()).collect()
}

/// RocksDB lists its `default` only where it has records or is the only one.
fn comparable(mut contents: Contents) -> Contents {
    contents.databases.retain(|name, records| name != "default" || !records.is_empty());
    contents
}

/// Refused: a store with an empty database of the name that RocksDB's own one has, beside others.
#[tokio::test(flavor = "multi_thread")]
async fn an_empty_default_beside_others_goes_into_any_engine() {
    let mut wanted = Contents::new();
    wanted.add_database("default");
    wanted.put("words", b"", b"one", "1");
    let (repository, folder) = (repository().await, tempfile::tempdir().unwrap());
    let here = location("memory", folder.path(), "from");
    fill(&here, &wanted).await;
    let records = options(ShapeChoice::Records, ProofChoice::Physical);
    let taken = back_up(&repository, &here, &records).await;
    for to in ENGINES {
        let there = location(to, folder.path(), &format!("to-{to}"));
        let restored =
            put_back(&repository, &taken.snapshot, &there, &RestoreOptions::default()).await;
        assert_eq!(restored.unwrap().global_lthash, taken.global_lthash, "{to}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn any_engine_into_any_other_through_a_repository() {
    let seed = testkit::seed::seed();
    for (number, wanted) in stores(seed, 6).into_iter().enumerate() {
        let what = format!("KEEPSUM_SEED={seed}, store {number}");
        let folder = tempfile::tempdir().unwrap();
        for from in ENGINES {
            let repository = repository().await;
            let here = location(from, folder.path(), &format!("from-{from}"));
            fill(&here, &wanted).await;
            let records = options(ShapeChoice::Records, ProofChoice::Physical);
            let taken = back_up(&repository, &here, &records).await;
            for to in ENGINES {
                let there = location(to, folder.path(), &format!("{from}-to-{to}"));
                let checked = RestoreOptions::default();
                let restored =
                    put_back(&repository, &taken.snapshot, &there, &checked).await.unwrap();
                assert_eq!(restored.proved, Some("logical"), "{what}");
                assert_eq!(restored.global_lthash, taken.global_lthash, "{what}");
                let found = comparable(contents(source(&there).as_ref()).await.unwrap());
                comparable(wanted.clone()).assert_same(&found, &format!("{what}: {from} to {to}"));
                let there = source(&there);
                let live = Side::Store(there.as_ref());
                let kept = Side::Snapshot("latest".parse().unwrap());
                let context = Context::default();
                let compared =
                    diff(Some(&repository), &kept, &live, &by_record(), &context).await.unwrap();
                assert!(compared.equal, "{what}: {compared:?}");
            }
            let found = verify(&repository, Level::Full).await.unwrap();
            assert_eq!(found.findings, [], "{what}");
        }
    }
}

fn sample() -> Contents {
    let mut contents = Contents::new();
    for number in 0..2_000_u64 {
        let value = testkit::noise(number, 300);
        contents.put("accounts", b"", &number.to_be_bytes(), value);
        contents.put("default", b"", format!("k{number}").as_bytes(), b"v".to_vec());
    }
    contents.add_database("empty");
    contents
}

#[tokio::test(flavor = "multi_thread")]
async fn files_and_records_of_one_store_prove_alike() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("rocksdb", folder.path(), "here");
    fill(&here, &sample()).await;
    let records =
        back_up(&repository, &here, &options(ShapeChoice::Records, ProofChoice::Physical)).await;
    let proved =
        back_up(&repository, &here, &options(ShapeChoice::Files, ProofChoice::Logical)).await;
    assert_eq!(
        (proved.shape, proved.proof, proved.proved_from),
        ("files", "logical", Some("source"))
    );
    assert_eq!(proved.databases, records.databases);
    let plain =
        back_up(&repository, &here, &options(ShapeChoice::Files, ProofChoice::Physical)).await;
    assert_eq!((plain.proof, plain.proved_from, &plain.global_lthash), ("physical", None, &None));
    assert!(plain.databases.iter().all(|database| database.lthash.is_none()));
    // A proof that is added later says where it comes from.
    let spec: SnapshotSpec = plain.snapshot.parse().unwrap();
    let later = keepsum::prove::prove(&repository, &spec, &Engines::default()).await.unwrap();
    assert_eq!((later.proof, later.proved_from), ("logical", Some("repository")));
    assert_eq!(later.summary.databases, records.databases);
    // The files go back as they are, and into another engine through their records.
    let back = location("rocksdb", folder.path(), "back");
    let placed =
        put_back(&repository, &proved.snapshot, &back, &RestoreOptions::default()).await.unwrap();
    assert_eq!((placed.shape, placed.proved), ("files", Some("physical")));
    let other = location("memory", folder.path(), "other");
    let moved =
        put_back(&repository, &proved.snapshot, &other, &RestoreOptions::default()).await.unwrap();
    assert_eq!((moved.proved, &moved.global_lthash), (Some("logical"), &records.global_lthash));
    for store in [back, other] {
        sample().assert_same(&contents(source(&store).as_ref()).await.unwrap(), "a copy");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unchanged_store_is_reused_in_both_shapes() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("rocksdb", folder.path(), "here");
    fill(&here, &sample()).await;
    for shape in [ShapeChoice::Records, ShapeChoice::Files] {
        let options = options(shape, ProofChoice::Physical);
        let first = back_up(&repository, &here, &options).await;
        let second = back_up(&repository, &here, &options).await;
        assert!(first.uploaded_bytes > 400_000, "{first:?}");
        assert!(second.uploaded_bytes < 20_000, "{second:?}");
        assert!(second.reused_bytes > 400_000, "{second:?}");
        let fresh = BackupOptions { fresh: true, ..options };
        let again = back_up(&repository, &here, &fresh).await;
        assert!(again.uploaded_bytes > 400_000 && again.reused_bytes == 0, "{again:?}");
    }
}

/// Cancels once so many bytes of records were read.
struct CancelAfter {
    context: std::sync::OnceLock<Context>,
    left: AtomicI64,
}

impl ProgressSink for CancelAfter {
    fn event(&self, event: &Event) {
        if let Event::Advanced { bytes, .. } = event {
            let before = self.left.fetch_sub(i64::try_from(*bytes).unwrap(), Ordering::Relaxed);
            if before < i64::try_from(*bytes).unwrap() {
                self.context.get().unwrap().cancel();
            }
        }
    }
}

/// What a checkpoint kept is not stored again, and its pin ends with the backup that goes on from it.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backup_goes_on_from_its_checkpoint() {
    let folder = tempfile::tempdir().unwrap();
    let mut wanted = Contents::new();
    for database in 0..6 {
        for number in 0..3_000_u64 {
            let value = testkit::noise(number + database * 10_000, 500);
            wanted.put(&format!("d{database}"), b"", &number.to_be_bytes(), value);
        }
    }
    let here = location("rocksdb", folder.path(), "here");
    fill(&here, &wanted).await;
    for shape in [ShapeChoice::Records, ShapeChoice::Files] {
        let repository = repository().await;
        let mut options = options(shape, ProofChoice::Physical);
        options.checkpoint_every = CheckpointEvery { bytes: 1, milliseconds: u64::MAX };
        let sink = Arc::new(CancelAfter {
            context: std::sync::OnceLock::new(),
            left: AtomicI64::new(5_000_000),
        });
        let context = Context::new(sink.clone());
        sink.context.set(context.clone()).unwrap();
        let source = source(&here);
        let cancelled = repository.clone().with_context(&context);
        let cut = backup(&cancelled, source.as_ref(), &options).await;
        let cut = cut.unwrap_err().to_string();
        assert!(cut.starts_with("cancelled"), "{cut}");
        let state = repository.head().await.unwrap().state;
        assert_eq!((state.pins.len(), state.snapshots.len()), (1, 0), "{shape:?}");
        let whole = back_up(&repository, &here, &options).await;
        assert!(whole.reused_bytes > 3_000_000, "{shape:?}: {whole:?}");
        assert!(whole.uploaded_bytes < 6_000_000, "{shape:?}: {whole:?}");
        assert_eq!(repository.head().await.unwrap().state.pins.len(), 0);
        let there = location("rocksdb", folder.path(), &format!("{shape:?}"));
        put_back(&repository, "latest", &there, &RestoreOptions::default()).await.unwrap();
        wanted.assert_same(
            &comparable(contents(self::source(&there).as_ref()).await.unwrap()),
            "restored",
        );
        let found = verify(&repository, Level::Full).await.unwrap();
        assert_eq!(found.findings, []);
    }
}

/// Pins named the machine, and were looked for under the name that the backup was given: it never went on
/// from them, and they stayed for ever.
#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_backup_under_another_name_leaves_no_pin() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("rocksdb", folder.path(), "here");
    fill(&here, &sample()).await;
    let named = Host { name: "another".into(), ..host() };
    let options = options(ShapeChoice::Records, ProofChoice::Physical);
    let source = source(&here);
    let renamed = repository.clone().on_host(&named);
    let take = async |context: &Context| {
        let repository = renamed.clone().with_context(context);
        backup(&repository, source.as_ref(), &options).await
    };
    take(&Context::default()).await.unwrap();
    // Its second run is given up where it stands, with what it built on pinned.
    let pinned = async {
        while repository.head().await.unwrap().state.pins.is_empty() {
            tokio::task::yield_now().await;
        }
    };
    let context = Context::default();
    tokio::select! {
        biased;
        () = pinned => {}
        done = take(&context) => panic!("it ended before it was given up: {done:?}"),
    }
    let state = repository.head().await.unwrap().state;
    assert_eq!(
        state.pins.values().map(|pin| pin.source.host.as_str()).collect::<Vec<_>>(),
        ["another"]
    );
    take(&Context::default()).await.unwrap();
    assert_eq!(repository.head().await.unwrap().state.pins.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn one_database_is_restored_under_another_name_and_still_proves() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("memory", folder.path(), "here");
    fill(&here, &sample()).await;
    let taken = back_up(&repository, &here, &BackupOptions::default()).await;
    let there = location("rocksdb", folder.path(), "there");
    let part = RestoreOptions {
        database: Some("accounts".into()),
        rename: Some("renamed".into()),
        ..RestoreOptions::default()
    };
    let restored = put_back(&repository, &taken.snapshot, &there, &part).await.unwrap();
    assert_eq!(restored.databases.len(), 1);
    let found = comparable(contents(source(&there).as_ref()).await.unwrap());
    assert_eq!(found.databases.keys().collect::<Vec<_>>(), ["renamed"]);
    assert_eq!(found.databases["renamed"], sample().databases["accounts"]);
    let unknown = RestoreOptions { database: Some("nothing".into()), ..RestoreOptions::default() };
    let refused = put_back(&repository, "latest", &there, &unknown).await.unwrap_err();
    assert_eq!(refused.exit_code(), ExitCode::Usage, "{refused}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_done_is_refused_with_its_exit_code() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("rocksdb", folder.path(), "here");
    fill(&here, &sample()).await;
    let nothing = put_back(&repository, "latest", &here, &RestoreOptions::default()).await;
    assert_eq!(nothing.unwrap_err().exit_code(), ExitCode::Nothing);
    let taken =
        back_up(&repository, &here, &options(ShapeChoice::Files, ProofChoice::Physical)).await;
    let occupied = put_back(&repository, "latest", &here, &RestoreOptions::default()).await;
    assert_eq!(occupied.unwrap_err().exit_code(), ExitCode::Refused);
    let replaced = RestoreOptions { replace: true, ..RestoreOptions::default() };
    let report = put_back(&repository, &taken.snapshot, &here, &replaced).await.unwrap();
    assert!(Path::new(&report.kept_aside.unwrap()).join("CURRENT").exists());
    let files = location("files", folder.path(), "plain-files");
    let refused = put_back(&repository, "latest", &files, &RestoreOptions::default()).await;
    assert_eq!(refused.unwrap_err().exit_code(), ExitCode::Refused);
    assert!(!files.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_live_store_is_compared_record_by_record() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let (here, there) =
        (location("memory", folder.path(), "here"), location("rocksdb", folder.path(), "there"));
    fill(&here, &sample()).await;
    back_up(&repository, &here, &BackupOptions::default()).await;
    let mut other = sample();
    other.put("accounts", b"", &5_u64.to_be_bytes(), b"changed".to_vec());
    other.put("accounts", b"", b"new", b"added".to_vec());
    other.databases.get_mut("default").unwrap().pop_first();
    other.databases.remove("empty");
    fill(&there, &other).await;
    let there = source(&there);
    let (kept, live) = (Side::Snapshot(SnapshotSpec::latest()), Side::Store(there.as_ref()));
    let context = Context::default();
    let report = diff(Some(&repository), &kept, &live, &by_record(), &context).await.unwrap();
    let counts: Vec<_> =
        report.databases.iter().map(|d| (d.name.as_str(), d.added, d.removed, d.changed)).collect();
    assert_eq!(counts, [("accounts", 1, 0, 1), ("default", 0, 1, 0), ("empty", 0, 0, 0)]);
    let named = report.databases[0].records.as_ref().unwrap();
    let named: Vec<_> = named.iter().map(|record| (record.change, record.key.as_str())).collect();
    assert_eq!(named, [("changed", "0000000000000005"), ("added", "6e6577")]);
    assert!(!report.equal);
}

/// A clock that is set back by an hour each time it is looked at.
#[derive(Debug)]
struct SetBack(AtomicI64);

impl remote::env::Clock for SetBack {
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.fetch_sub(3_600_000, Ordering::Relaxed)).unwrap()
    }
}

/// Lost: the newest snapshot. Where the clock was set back between two backups, `latest` was the older.
#[tokio::test]
async fn the_latest_snapshot_is_the_last_one_whatever_the_clock_says() {
    let repository = repository().await;
    let clock = Arc::new(SetBack(AtomicI64::new(1_700_000_000_000)));
    let repository = repository.on_host(&Host { clock, ..host() });
    let options = BackupOptions::default();
    let mut contents = Contents::new();
    for number in 0..4_u8 {
        contents.put("default", b"", b"number", [number]);
        let store = memory(&contents).await;
        let taken = backup(&repository, &store, &options).await.unwrap();
        let latest: SnapshotSpec = "latest".parse().unwrap();
        let shown = keepsum::snapshots::show(&repository, &latest).await.unwrap();
        assert_eq!(shown.summary.snapshot, taken.snapshot, "backup {number}");
    }
}

/// Lost: one host in 2038 was `latest` for ever, and shifted the times of everybody's later snapshots.
#[tokio::test]
async fn a_host_in_2038_beside_others() {
    const THEN: i64 = 2_147_483_648_000;
    const NOW: i64 = 1_700_000_000_000;
    let repository = repository().await;
    let mut taken = Vec::new();
    for (number, (name, now)) in [("app", THEN), ("app", NOW), ("other", NOW)].iter().enumerate() {
        let mut contents = Contents::new();
        contents.put("default", b"", b"number", [u8::try_from(number).unwrap()]);
        let store = memory(&contents).await;
        let host = Host { clock: Arc::new(SetBack(AtomicI64::new(*now))), ..host() };
        let options = BackupOptions { name: Some((*name).into()), ..BackupOptions::default() };
        let repository = repository.clone().on_host(&host);
        taken.push(backup(&repository, &store, &options).await.unwrap().snapshot);
    }
    let listed = keepsum::snapshots::list(&repository, &Listing::default()).await.unwrap();
    let found: Vec<_> = listed
        .iter()
        .map(|s| (s.snapshot.clone(), s.created_ms, s.ahead_of_clock, s.clock_ran_backward))
        .collect();
    let time = |time: i64| u64::try_from(time).unwrap();
    let expected = [
        (taken[0].clone(), time(THEN), true, false),
        (taken[1].clone(), time(NOW), false, true),
        (taken[2].clone(), time(NOW), false, false),
    ];
    assert_eq!(found, expected);

    let app = || keepsum::Selector { name: Some("app".into()), ..keepsum::Selector::default() };
    let found = async |spec: SnapshotSpec| {
        let shown = keepsum::snapshots::show(&repository, &spec.within(app())).await;
        shown.map(|shown| shown.summary.snapshot)
    };
    for at in [NOW, THEN - 1, THEN, THEN + 1] {
        assert_eq!(found(SnapshotSpec::at(time(at))).await.unwrap(), taken[1], "{at}");
    }
    assert_eq!(found(SnapshotSpec::latest()).await.unwrap(), taken[1]);
    let before = found(SnapshotSpec::at(time(NOW - 1))).await.unwrap_err();
    assert_eq!(before.exit_code(), keepsum::ExitCode::Nothing);
    let several = keepsum::snapshots::show(&repository, &SnapshotSpec::latest()).await;
    let keepsum::Error::SeveralSources { sources, .. } = several.unwrap_err() else { panic!() };
    assert_eq!(sources.iter().map(|source| source.snapshots).collect::<Vec<_>>(), [2, 1]);
}

/// A backend of somebody else's is restored into and compared, and its engine reads the records of its files.
#[tokio::test(flavor = "multi_thread")]
async fn any_target_is_restored_into_and_engines_can_be_added() {
    struct OfMyOwn;
    impl keepsum::engines::Engine for OfMyOwn {
        fn source(&self, path: &Path) -> keepsum::Result<Box<dyn Source>> {
            Ok(Box::new(backend_sqlite::SqliteSource::path(path)?))
        }

        fn target(&self, path: &Path) -> keepsum::Result<Box<dyn keepsum::Target>> {
            Ok(Box::new(backend_sqlite::SqliteTarget::path(path)?))
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("sqlite", folder.path(), "here");
    fill(&here, &sample()).await;
    let files = options(ShapeChoice::Files, ProofChoice::Physical);
    back_up(&repository, &here, &files).await;
    let (latest, there) = (SnapshotSpec::latest(), MemoryStore::new());
    let none = RestoreOptions { engines: Engines::none(), ..RestoreOptions::default() };
    let refused = restore(&repository, &latest, &there, &none).await.unwrap_err();
    assert_eq!(refused.exit_code(), ExitCode::Refused, "{refused}");
    let engines = Engines::none().with("sqlite", OfMyOwn);
    let added = RestoreOptions { engines: engines.clone(), ..RestoreOptions::default() };
    let restored = restore(&repository, &latest, &there, &added).await.unwrap();
    assert_eq!(restored.proved, Some("logical"));
    comparable(sample()).assert_same(&comparable(contents(&there).await.unwrap()), "restored");
    let (kept, live) = (Side::Snapshot(latest), Side::Store(&there));
    let options = DiffOptions { engines, ..DiffOptions::default() };
    let compared = diff(Some(&repository), &kept, &live, &options, &Context::default()).await;
    assert!(compared.unwrap().equal);
}

/// A store that changes as its first snapshots are taken.
struct Restless {
    store: MemoryStore,
    left: AtomicI64,
}

#[async_trait::async_trait]
impl Source for Restless {
    fn describe(&self) -> StoreDescription {
        Source::describe(&self.store)
    }

    fn capabilities(&self) -> Capabilities {
        Source::capabilities(&self.store)
    }

    async fn snapshot(
        &self,
        view: View,
        context: &Context,
    ) -> backup_core::Result<Box<dyn Snapshot>> {
        if self.left.fetch_sub(1, Ordering::Relaxed) > 0 {
            let (what, hint) = ("the store".to_owned(), String::new());
            return Err(backup_core::Error::Changed { what, hint });
        }
        self.store.snapshot(view, context).await
    }
}

/// A backup failed at once where the source changed as its snapshot was taken, and not only as it was read.
#[tokio::test]
async fn a_source_that_changes_as_its_snapshot_is_taken_is_tried_again() {
    let repository = repository().await;
    let source = Restless { store: memory(&sample()).await, left: AtomicI64::new(3) };
    let taken = backup(&repository, &source, &BackupOptions::default()).await.unwrap();
    assert!(taken.proof == "logical" || taken.global_lthash.is_some(), "{taken:?}");
    assert_eq!(source.left.load(Ordering::Relaxed), -1);
}

/// A restore by way of a scratch copy fetched everything before it said that its target is not empty, or that there is
/// no such folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_restore_by_way_of_a_scratch_copy_is_refused_before_anything_is_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let repository = repository().await;
    let here = location("sqlite", folder.path(), "here");
    fill(&here, &sample()).await;
    back_up(&repository, &here, &options(ShapeChoice::Files, ProofChoice::Physical)).await;
    let fetching = Arc::new(Fetching::default());
    let repository = repository.with_context(&Context::new(Arc::clone(&fetching) as _));
    let taken = location("rocksdb", folder.path(), "taken");
    fill(&taken, &sample()).await;
    let nowhere = location("rocksdb", &folder.path().join("nowhere"), "store");
    for (target, said) in [(taken, "is not empty"), (nowhere, "does not exist; create it first")] {
        let refused = put_back(&repository, "latest", &target, &RestoreOptions::default()).await;
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(said), "{refused}");
    }
    assert!(!fetching.0.load(Ordering::Relaxed));
}

/// Whether files were fetched.
#[derive(Default)]
struct Fetching(AtomicBool);

impl ProgressSink for Fetching {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Phase { name: "fetching files", .. }) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
}

fn by_record() -> DiffOptions {
    DiffOptions { records: true, ..DiffOptions::default() }
}
