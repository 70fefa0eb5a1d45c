//! A request to the object store that fails, at every number, in backup, restore, verify and diff.
//!
//! One failure is got over where another try can: the work is done as if nothing had been. Where every
//! request fails from some moment on, which is what a crash of the store or of the network is, the work
//! says so, and what was there before is there.

use std::collections::BTreeSet;
use std::path::Path as LocalPath;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::catalog::{Change, Entry, State};
use archive::object::Kind;
use backup_core::Source;
use backup_core::progress::{Context, Event, ProgressSink};
use futures_util::{FutureExt, TryStreamExt};
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::diff::{DiffOptions, Side, diff};
use keepsum::location::SourceOptions;
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{Error, Repository, SnapshotSpec, StoreLocation};
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt};
use remote::retry::Patience;
use remote::store::Store;
use remote::{Decision, names};
use testkit::contents::Contents;
use testkit::faults::{FaultyStore, Reach, RequestFault, Trigger, in_memory};

use crate::place::{at, fill, host, look};
use crate::promise::assert_clean;
use crate::scenario::{BACKUPS, Scenario, hash_of};

const FAULTS: [(RequestFault, Reach); 8] = [
    (RequestFault::Error, Reach::Once),
    (RequestFault::LostAnswer, Reach::Once),
    (RequestFault::NoAnswer, Reach::Once),
    (RequestFault::Torn, Reach::Once),
    (RequestFault::ShortRead, Reach::Once),
    (RequestFault::StaleListing, Reach::Once),
    (RequestFault::Denied, Reach::Once),
    (RequestFault::Error, Reach::Onwards),
];

/// A repository in memory, at two moments: with the earlier snapshot, and with the later one too.
struct World {
    scenario: Scenario,
    folder: tempfile::TempDir,
    source: Box<dyn Source>,
    earlier: InMemory,
    later: InMemory,
    old: BTreeSet<Path>,
}

/// What is said on the way.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl ProgressSink for Notes {
    fn event(&self, event: &Event) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push(note.clone());
        }
    }
}

/// What is done under faults. Its answer is the same whenever it is one.
#[derive(Debug, Clone, Copy)]
enum Work {
    Backup,
    Restore,
    VerifyFull,
    VerifyList,
    Diff,
}

fn store(inner: Arc<dyn ObjectStore>) -> Store {
    let patience = Patience {
        attempts: 3,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        timeout: Duration::from_millis(250),
        outage: Duration::ZERO,
    };
    Store::new(inner, "memory:", &host(), &Context::default()).with_patience(patience)
}

async fn open(inner: Arc<dyn ObjectStore>) -> Result<Repository, Error> {
    Ok(Repository::open_in(store(inner)).await?)
}

async fn objects(inner: &InMemory) -> BTreeSet<Path> {
    inner.list(None).map_ok(|meta| meta.location).try_collect().await.unwrap()
}

fn hashes(paths: &BTreeSet<Path>) -> BTreeSet<String> {
    let objects = paths.iter().filter(|path| path.as_ref().starts_with("objects/"));
    objects.map(|path| hash_of(path.filename().unwrap())).collect()
}

impl World {
    async fn new(scenario: Scenario) -> Self {
        let folder = in_memory();
        let shared = Arc::new(InMemory::new());
        Repository::init_in(store(Arc::clone(&shared) as Arc<dyn ObjectStore>)).await.unwrap();
        for version in [1, 2] {
            fill(&version_of(&scenario, folder.path(), version), &scenario.content(version)).await;
        }
        let mut world = Self {
            source: source_of(&scenario, folder.path(), 1),
            scenario,
            folder,
            earlier: InMemory::new(),
            later: InMemory::new(),
            old: BTreeSet::new(),
        };
        let repository = open(Arc::clone(&shared) as Arc<dyn ObjectStore>).await.unwrap();
        world.back_up(&repository).await.unwrap();
        world.earlier = shared.fork();
        world.old = objects(&shared).await;
        world.source = source_of(&world.scenario, world.folder.path(), 2);
        world.back_up(&repository).await.unwrap();
        world.later = shared.fork();
        world
    }

    async fn back_up(&self, repository: &Repository) -> Result<(), Error> {
        let shape = match self.scenario.shape {
            "files" => ShapeChoice::Files,
            _ => ShapeChoice::Records,
        };
        // One source, although the later content lies at another place than the earlier.
        let name = Some("the store".to_owned());
        let options = BackupOptions { shape: Some(shape), name, ..BackupOptions::default() };
        let notes = Arc::new(Notes::default());
        let context = Context::new(Arc::clone(&notes) as Arc<dyn ProgressSink>);
        let repository = repository.clone().with_context(&context);
        let done = backup(&repository, self.source.as_ref(), &options).await;
        let notes = notes.0.lock().unwrap();
        assert!(!notes.iter().any(|note| note.contains("damaged")), "{notes:?}");
        done.map(drop)
    }

    fn target(&self) -> StoreLocation {
        let path = |name: &str| self.folder.path().join(name);
        let _ = std::fs::remove_dir_all(path("target"));
        for file in ["target.db", "target.db.keepsum"] {
            let _ = std::fs::remove_file(path(file));
        }
        at(self.folder.path(), self.scenario.target)
    }

    async fn assert_restores(&self, repository: &Repository, wanted: &Contents, what: &str) {
        let id = self.snapshot_with(repository, wanted).await;
        let (target, options) = (self.target(), RestoreOptions::default());
        let spec = id.parse().unwrap();
        let into = target.target().unwrap();
        let done = restore(repository, &spec, into.as_ref(), &options).await;
        assert!(done.unwrap().proved.is_some(), "{what}");
        wanted.assert_same(&look(&target).await.unwrap(), what);
    }

    /// The oldest snapshot for the earlier content, the newest for the later.
    async fn snapshot_with(&self, repository: &Repository, wanted: &Contents) -> String {
        let head = repository.head().await.unwrap();
        let by_age = |id: &&archive::catalog::SnapshotEntry| id.entry;
        let snapshots = head.state.snapshots.values();
        let found = if *wanted == self.scenario.earlier() {
            snapshots.min_by_key(by_age)
        } else {
            snapshots.max_by_key(by_age)
        };
        found.unwrap().id.to_string()
    }

    async fn work(&self, work: Work, inner: Arc<dyn ObjectStore>) -> Result<String, Error> {
        let repository = open(inner).await?;
        let (context, latest) = (Context::default(), SnapshotSpec::latest());
        match work {
            Work::Backup => self.back_up(&repository).await.map(|()| "done".to_owned()),
            Work::Restore => {
                let (target, options) = (self.target(), RestoreOptions::default());
                let into = target.target().unwrap();
                let done = restore(&repository, &latest, into.as_ref(), &options).await;
                let done = done.map(|report| report.proved.unwrap().to_owned());
                let found = look(&target).await;
                assert_eq!(found.is_some(), done.is_ok(), "half a restore: {done:?}");
                if let Some(found) = found {
                    self.scenario.wanted().assert_same(&found, "restored under faults");
                }
                done
            }
            Work::VerifyFull | Work::VerifyList => {
                let full = matches!(work, Work::VerifyFull);
                let level = if full { Level::Full } else { Level::List };
                let report = verify(&repository, level).await?;
                Ok(format!("{} objects, {:?}", report.objects_checked, report.findings))
            }
            Work::Diff => {
                let first = self.snapshot_of_earlier(&repository).await?;
                let sides = (Side::Snapshot(first), Side::Snapshot(latest));
                let report =
                    diff(Some(&repository), &sides.0, &sides.1, &by_record(), &context).await?;
                Ok(serde_json::to_string(&report).unwrap())
            }
        }
    }

    async fn snapshot_of_earlier(&self, repository: &Repository) -> Result<SnapshotSpec, Error> {
        let head = repository.head().await?;
        let first = head.state.snapshots.values().min_by_key(|snapshot| snapshot.entry);
        first.unwrap().id.to_string().parse()
    }

    /// After a backup under faults: everything earlier is there, and the same again is done.
    async fn backup_holds(&self, left: &InMemory, what: &str) {
        let repository = open(Arc::new(left.fork())).await.unwrap();
        self.assert_restores(&repository, &self.scenario.earlier(), what).await;
        let again = Arc::new(left.fork());
        let there = objects(&again).await;
        let repository = open(Arc::clone(&again) as Arc<dyn ObjectStore>).await.unwrap();
        self.back_up(&repository).await.unwrap();
        let sent: BTreeSet<Path> = objects(&again).await.difference(&there).cloned().collect();
        let resent: Vec<_> = hashes(&sent).intersection(&hashes(&self.old)).cloned().collect();
        assert_eq!(resent, [""; 0], "{what}: what the earlier snapshot holds was sent again");
        assert_eq!(repository.head().await.unwrap().state.pins.len(), 0, "{what}: pins are left");
        self.assert_restores(&repository, &self.scenario.wanted(), what).await;
        assert_clean(&repository, what).await;
    }

    /// Does the work with one kind of fault at every request, and counts them.
    async fn every(&self, work: Work, fault: RequestFault, reach: Reach, good: &str) -> u64 {
        for number in 0.. {
            let base = match work {
                Work::Backup => Arc::new(self.earlier.fork()),
                _ => Arc::new(self.later.fork()),
            };
            let inner = Arc::clone(&base) as Arc<dyn ObjectStore>;
            let faulty =
                FaultyStore::new(inner, fault, Trigger::at(number, reach), self.old.clone());
            let done = self.work(work, Arc::clone(&faulty) as Arc<dyn ObjectStore>).await;
            let what = format!(
                "{}: {work:?}, {fault:?} {reach:?} at {number}: {done:?}",
                self.scenario.name
            );
            let struck = faulty.trigger().has_struck();
            match &done {
                Ok(said) => assert_eq!(said, good, "{what}"),
                Err(error) => {
                    let persistent = reach == Reach::Onwards || fault == RequestFault::Denied;
                    // A listing is streamed, and not begun again where it was cut off.
                    let listing = error.to_string().contains("list");
                    assert!(struck && (persistent || listing), "{what}");
                    assert_ne!(error.exit_code(), keepsum::ExitCode::Damaged, "{what}");
                }
            }
            if matches!(work, Work::Backup) {
                self.backup_holds(&base, &what).await;
            }
            if !struck {
                return number;
            }
        }
        unreachable!("a work ends")
    }

    /// Does the work while, before request `number`, every snapshot that was there is removed and
    /// collected. `None` where the work has fewer requests.
    async fn beside_a_removal(
        &self,
        work: Work,
        number: u64,
    ) -> Option<(InMemory, Result<String, Error>)> {
        let shared = match work {
            Work::Backup => self.earlier.fork(),
            _ => self.later.fork(),
        };
        let doomed = objects(&shared).await;
        let base = Arc::new(shared);
        let others = Arc::clone(&base);
        let deed = move || collect_all(Arc::clone(&others), doomed.clone()).boxed();
        let trigger = Trigger::at(number, Reach::Once);
        let inner = Arc::clone(&base) as Arc<dyn ObjectStore>;
        let store = FaultyStore::meanwhile(inner, trigger, deed);
        let done = self.work(work, Arc::clone(&store) as Arc<dyn ObjectStore>).await;
        store.trigger().has_struck().then(|| (base.fork(), done))
    }

    async fn everywhere(&self, works: &[Work]) {
        for work in works {
            let base = if matches!(work, Work::Backup) { &self.earlier } else { &self.later };
            let good = self.work(*work, Arc::new(base.fork())).await.unwrap();
            let mut tried = Vec::new();
            for (fault, reach) in FAULTS {
                let count = self.every(*work, fault, reach, &good).await;
                tried.push(format!("{count} {fault:?} {reach:?}"));
                assert!(count >= 4, "{work:?}: {tried:?}");
            }
            println!("{}: {work:?}: {}", self.scenario.name, tried.join(", "));
        }
    }
}

/// Removes every snapshot and all that they reach, as a collection does: not while there are pins.
async fn collect_all(inner: Arc<InMemory>, doomed: BTreeSet<Path>) {
    let repository = open(Arc::clone(&inner) as Arc<dyn ObjectStore>).await.unwrap();
    let is_object = |path: &&Path| path.as_ref().starts_with("objects/");
    let doomed: Vec<&Path> = doomed.iter().filter(is_object).collect();
    let mut list: Vec<_> =
        doomed.iter().map(|path| path.filename().unwrap().parse().unwrap()).collect();
    list.sort_unstable();
    let list = names::encode(&list).unwrap();
    let list = repository.objects().put(Kind::Names, list.into(), None).await.unwrap().reference;
    let head = repository.head().await.unwrap();
    let decide = move |state: &State, _: &[Entry]| {
        if !state.pins.is_empty() {
            return Ok(Decision::Nothing);
        }
        let forgotten = state.snapshots.keys().copied().map(Change::Forget);
        Ok(Decision::Commit(forgotten.chain([Change::Condemn(list)]).collect()))
    };
    match repository.catalog().commit(&head, decide).await {
        Ok(after) if after.number > head.number => {
            for path in doomed {
                inner.delete(path).await.unwrap();
            }
        }
        other => assert!(!head.state.pins.is_empty(), "{other:?}"),
    }
}

fn version_of(scenario: &Scenario, folder: &LocalPath, version: u64) -> StoreLocation {
    at(folder, &format!("{}-{version}", scenario.source.trim_end_matches(".bcs")))
}

fn source_of(scenario: &Scenario, folder: &LocalPath, version: u64) -> Box<dyn Source> {
    version_of(scenario, folder, version).source(&SourceOptions::default()).unwrap()
}

#[tokio::test]
async fn requests_of_a_backup_of_records() {
    World::new(BACKUPS[0]).await.everywhere(&[Work::Backup]).await;
}

#[tokio::test]
async fn requests_of_a_backup_of_files() {
    World::new(BACKUPS[2]).await.everywhere(&[Work::Backup]).await;
}

#[tokio::test]
async fn requests_of_reading_records() {
    let works = [Work::Restore, Work::VerifyFull, Work::VerifyList, Work::Diff];
    World::new(BACKUPS[0]).await.everywhere(&works).await;
}

#[tokio::test]
async fn requests_of_reading_files() {
    let works = [Work::Restore, Work::VerifyFull, Work::VerifyList, Work::Diff];
    World::new(BACKUPS[2]).await.everywhere(&works).await;
}

#[tokio::test]
async fn requests_of_a_backup_of_pages() {
    World::new(BACKUPS[4]).await.everywhere(&[Work::Backup]).await;
}

#[tokio::test]
async fn requests_of_reading_pages() {
    let works = [Work::Restore, Work::VerifyFull, Work::Diff];
    World::new(BACKUPS[4]).await.everywhere(&works).await;
}

/// What is read is removed at every moment: the work is done, or says that the snapshot was removed, and
/// never that it is damaged. A backup whose parent goes goes on without it.
#[tokio::test]
async fn a_snapshot_is_removed_before_any_request() {
    for scenario in [BACKUPS[0], BACKUPS[2]] {
        let world = World::new(scenario).await;
        for work in [Work::Backup, Work::Restore] {
            let (mut done, mut removed, mut behind_it) = (0, 0, 0);
            for number in 0.. {
                let Some((left, outcome)) = world.beside_a_removal(work, number).await else {
                    break;
                };
                let what = format!("{work:?}, removed before request {number}: {outcome:?}");
                let is_said = matches!(
                    outcome,
                    Err(Error::Remote(remote::Error::NotFound { .. }) | Error::NoSnapshot { .. })
                );
                assert!(outcome.is_ok() || (is_said && matches!(work, Work::Restore)), "{what}");
                if is_said {
                    removed += 1;
                } else {
                    done += 1;
                }
                if matches!(work, Work::Backup) {
                    let repository = open(Arc::new(left)).await.unwrap();
                    // Behind its commit, which is read back, its own snapshot is removed with the others.
                    if repository.head().await.unwrap().state.snapshots.is_empty() {
                        behind_it += 1;
                    } else {
                        world.assert_restores(&repository, &world.scenario.wanted(), &what).await;
                    }
                    assert_clean(&repository, &what).await;
                }
            }
            assert!(behind_it <= 1, "{behind_it} backups are gone");
            println!("{}: {work:?}: {done} done, {removed} removed", world.scenario.name);
            assert!(done + removed >= 8, "{work:?}");
        }
    }
}

fn by_record() -> DiffOptions {
    DiffOptions { records: true, ..DiffOptions::default() }
}
