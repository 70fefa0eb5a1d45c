//! A restore of files that is cut off at any request goes on: what is there is not fetched again.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backup_core::progress::Context;
use keepsum::backup::{BackupOptions, backup};
use keepsum::location::SourceOptions;
use keepsum::report::RestoreReport;
use keepsum::restore::{RestoreOptions, restore};
use keepsum::{Repository, SnapshotSpec, StoreLocation};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use remote::retry::Patience;
use remote::store::Store;
use testkit::faults::{FaultyStore, Reach, RequestFault, Trigger, in_memory};

use crate::place::{at, host};

/// How files that change are cut, in bytes.
const PIECE: u64 = 1 << 20;

fn store(inner: Arc<dyn ObjectStore>) -> Store {
    let patience = Patience {
        attempts: 2,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(1),
        timeout: Duration::from_secs(10),
        outage: Duration::ZERO,
    };
    Store::new(inner, "memory:", &host(), &Context::default()).with_patience(patience)
}

/// A repository with a folder of files, and a place to restore it to.
struct World {
    folder: tempfile::TempDir,
    stored: Arc<InMemory>,
}

impl World {
    async fn new() -> Self {
        let folder = in_memory();
        let source = folder.path().join("source");
        fs::create_dir_all(source.join("deep")).unwrap();
        fs::write(source.join("a"), testkit::noise(1, (3 << 20) + 100_000)).unwrap();
        fs::write(source.join("deep/b"), testkit::noise(2, 2 << 20)).unwrap();
        fs::write(source.join("empty"), "").unwrap();
        fs::write(source.join("short"), "short").unwrap();
        let stored = Arc::new(InMemory::new());
        let repository = Repository::init_in(store(Arc::clone(&stored) as _)).await.unwrap();
        let source = at(folder.path(), "files:source").source(&SourceOptions::default()).unwrap();
        let options = BackupOptions::default();
        backup(&repository, source.as_ref(), &options).await.unwrap();
        Self { folder, stored }
    }

    fn target(&self) -> StoreLocation {
        at(self.folder.path(), "files:target")
    }

    fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Restores, and says how many requests that took.
    async fn restore(&self, trigger: Trigger) -> (keepsum::Result<RestoreReport>, u64) {
        let fault = RequestFault::Error;
        let inner = Arc::clone(&self.stored) as Arc<dyn ObjectStore>;
        let faulty = FaultyStore::new(inner, fault, trigger, std::collections::BTreeSet::new());
        let repository = Repository::open_in(store(Arc::clone(&faulty) as _)).await;
        let done = match repository {
            Ok(repository) => {
                let (latest, options) = (SnapshotSpec::latest(), RestoreOptions::default());
                let target = self.target().target().unwrap();
                restore(&repository, &latest, target.as_ref(), &options).await
            }
            Err(error) => Err(error.into()),
        };
        (done, faulty.trigger().count())
    }

    /// The pieces of what an interrupted restore left.
    fn pieces_there(&self) -> u64 {
        let hidden = self.path(".target.keepsum-restoring");
        let bytes =
            |name| fs::metadata(hidden.join(name)).map_or(0, |found: fs::Metadata| found.len());
        bytes("a").div_ceil(PIECE) + bytes("deep/b").div_ceil(PIECE)
    }

    /// The target is what was backed up, and nothing else is left; it is removed.
    fn assert_restored(&self, what: &str) {
        for name in ["a", "deep/b", "empty", "short"] {
            let read = |folder: &str| fs::read(self.path(folder).join(name)).unwrap();
            assert!(read("source") == read("target"), "{what}: {name}");
        }
        assert!(!Path::exists(&self.path(".target.keepsum-restoring")), "{what}");
        fs::remove_dir_all(self.path("target")).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cut_off_at_any_request_it_goes_on_with_what_is_there() {
    let world = World::new().await;
    let (done, all) = world.restore(Trigger::never()).await;
    done.unwrap();
    world.assert_restored("undisturbed");
    let mut most = 0;
    for number in 0..all {
        let (cut_off, _) = world.restore(Trigger::at(number, Reach::Onwards)).await;
        assert!(cut_off.is_err(), "cut off at {number} of {all}: {cut_off:?}");
        assert!(!Path::exists(&world.path("target")), "cut off at {number}");
        let there = world.pieces_there();
        let (done, requests) = world.restore(Trigger::never()).await;
        let what = format!("cut off at {number} of {all}, {there} pieces there: {done:?}");
        assert_eq!(requests, all - there, "{what}");
        let notes = done.unwrap().notes.join(" ");
        assert_eq!(notes.contains("not fetched again"), there > 0, "{what}");
        world.assert_restored(&what);
        most = most.max(there);
    }
    println!("cut off at each of {all} requests; at most {most} of 6 pieces were there");
    assert!(most >= 3, "hardly anything was ever there");
}

/// What is there and not as it was stored is fetched: a disk may have lost it.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_there_and_damaged_is_fetched_again() {
    let world = World::new().await;
    let (_, all) = world.restore(Trigger::never()).await;
    world.assert_restored("undisturbed");
    let mut tried = 0;
    for number in 0..all {
        drop(world.restore(Trigger::at(number, Reach::Onwards)).await);
        let there = world.pieces_there();
        let damaged = world.path(".target.keepsum-restoring/a");
        if let Ok(mut content) = fs::read(&damaged) {
            let middle = content.len() / 2;
            content[middle] ^= 1;
            fs::write(&damaged, content).unwrap();
            tried += 1;
        }
        let (done, requests) = world.restore(Trigger::never()).await;
        done.unwrap();
        assert_eq!(requests, all - there.saturating_sub(1), "cut off at {number}");
        world.assert_restored("over damage");
    }
    assert!(tried > 0, "nothing was ever there");
}
