//! A start that restores its database where that is missing, over an object store that fails.

#![cfg(all(feature = "cli", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use backup_core::Target;
use backup_core::progress::Context;
use keepsum::backup::{BackupOptions, backup};
use keepsum::location::SourceOptions;
use keepsum::restore_if_missing::{Outcome, RestoreManager};
use keepsum::{ExitCode, Host, Repository, RepositoryLocation, StoreLocation};
use object_store::ObjectStore;
use object_store::memory::InMemory;
use remote::retry::Patience;
use remote::store::Store;
use rusqlite::Connection;
use testkit::faults::{FaultyStore, Reach, RequestFault, Trigger, in_memory};

/// What an object store does wrong for good, so that no other try gets over it.
const FAULTS: [RequestFault; 4] =
    [RequestFault::Error, RequestFault::Denied, RequestFault::NoAnswer, RequestFault::ShortRead];

fn host() -> Host {
    Host::system("test")
}

fn store(inner: Arc<dyn ObjectStore>) -> Store {
    let patience = Patience {
        attempts: 2,
        first_pause: Duration::from_millis(1),
        longest_pause: Duration::from_millis(2),
        timeout: Duration::from_millis(50),
        outage: Duration::ZERO,
    };
    Store::new(inner, "memory:", &host(), &Context::default()).with_patience(patience)
}

fn location(path: &Path) -> StoreLocation {
    format!("sqlite:{}", path.display()).parse().unwrap()
}

fn at(path: &Path) -> Arc<dyn Target> {
    location(path).target().unwrap().into()
}

/// A repository with a snapshot of a database.
async fn with_backup(folder: &Path) -> Arc<InMemory> {
    let inner = Arc::new(InMemory::new());
    let repository = Repository::init_in(store(Arc::clone(&inner) as _)).await.unwrap();
    let path = folder.join("app.db");
    let application = Connection::open(&path).unwrap();
    application.execute_batch("CREATE TABLE t(a); INSERT INTO t VALUES('kept')").unwrap();
    drop(application);
    let source = location(&path).source(&SourceOptions::default()).unwrap();
    backup(&repository, source.as_ref(), &BackupOptions::default()).await.unwrap();
    inner
}

/// A start with what fails from request `number` on, after the repository was opened. Whether it failed.
async fn start(inner: &Arc<InMemory>, fault: RequestFault, number: u64, target: &Path) -> bool {
    let what = format!("{fault:?} at {number}");
    let trigger = Trigger::at(number, Reach::Onwards);
    let faulty = FaultyStore::new(Arc::clone(inner) as _, fault, trigger, BTreeSet::new());
    let backed_up = location(&target.with_file_name("app.db")).to_string();
    let manager =
        RestoreManager::new(RepositoryLocation::memory(), at(target), host()).source(backed_up);
    let done = async {
        let repository = Repository::open_in(store(Arc::clone(&faulty) as _)).await?;
        manager.restore_from(&repository).await
    };
    match done.await {
        Ok(Outcome::Restored(_)) => {
            let copy = Connection::open(target).unwrap();
            let kept = copy.query_row("SELECT a FROM t", [], |row| row.get::<_, String>(0));
            assert_eq!(kept.unwrap(), "kept", "{what}");
            false
        }
        Ok(other) => panic!("{what}: {other:?}"),
        Err(error) => {
            assert!(faulty.trigger().has_struck(), "{what}: {error}");
            assert!(!matches!(error.exit_code(), ExitCode::Done | ExitCode::Nothing), "{what}");
            assert!(!target.exists(), "{what}: a start would take it for the database");
            true
        }
    }
}

/// LESSONS: a transient store error was taken for "no backup", and the program started with nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_fails_at_any_request_is_never_a_missing_backup() {
    let folder = in_memory();
    let inner = with_backup(folder.path()).await;
    let mut failed = 0;
    for fault in FAULTS {
        let mut number = 0;
        let target = |number: u64| folder.path().join(format!("{fault:?}-{number}.db"));
        while start(&inner, fault, number, &target(number)).await {
            number += 1;
        }
        println!("{fault:?}: {number} starts failed");
        failed += number;
    }
    assert!(failed >= 20, "{failed} starts failed");
}

/// The answer that the faults must not give.
#[tokio::test(flavor = "multi_thread")]
async fn a_repository_without_a_snapshot_has_no_backup() {
    let folder = in_memory();
    let repository = Repository::init_in(store(Arc::new(InMemory::new()))).await.unwrap();
    let target = at(&folder.path().join("app.db"));
    let manager = RestoreManager::new(RepositoryLocation::memory(), target, host());
    let done = manager.restore_from(&repository).await.unwrap();
    let Outcome::NoBackup(error) = done else { panic!("{done:?}") };
    assert_eq!(error.exit_code(), ExitCode::Nothing);
}
