//! What a host remembers, and what it tells.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use archive::catalog::{Entry, State};
use backup_core::progress::Context;
use object_store::{ObjectStore, ObjectStoreExt};
use remote::{Decision, Error, Memory, Repository, RepositoryLocation};
use testkit::crash::{Survival, Volume};
use testkit::faults::{FaultyDisk, Trigger};

use crate::ground::fresh;
use crate::support::{
    Fault, Faulty, Request, contents, fresh_repository, host, in_memory, overwrite, reopen,
};

async fn commit(repository: &Repository) -> u64 {
    let base = repository.head().await.unwrap();
    let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit(Vec::new()));
    repository.catalog().commit(&base, decide).await.unwrap().number
}

async fn remembering(inner: &Arc<dyn ObjectStore>, folder: &Path) -> Repository {
    reopen(inner, 5).await.unwrap().with_memory(Memory::new(folder))
}

async fn copy(inner: &Arc<dyn ObjectStore>) -> Arc<dyn ObjectStore> {
    let copy: Arc<dyn ObjectStore> = fresh().await;
    for (path, bytes) in contents(inner).await {
        overwrite(&copy, &path, bytes).await;
    }
    copy
}

#[tokio::test]
async fn a_repository_that_goes_on_is_no_finding() {
    let state = tempfile::tempdir().unwrap();
    let (writer, inner) = fresh_repository(1).await;
    assert_eq!(remembering(&inner, state.path()).await.head().await.unwrap().number, 0);
    for expected in 1..=140 {
        assert_eq!(commit(&writer).await, expected);
        if expected % 35 == 0 {
            let head = remembering(&inner, state.path()).await.head().await.unwrap();
            assert_eq!(head.number, expected);
        }
    }
    // One's own commits are remembered, too.
    let own = remembering(&inner, state.path()).await;
    assert_eq!(commit(&own).await, 141);
    inner.delete(&Entry::path(141).as_str().into()).await.unwrap();
    let error = remembering(&inner, state.path()).await.head().await.unwrap_err();
    assert!(matches!(error, Error::History { remembered: 141, .. }), "{error}");
}

#[tokio::test]
async fn a_rollback_is_found_and_can_be_accepted() {
    let state = tempfile::tempdir().unwrap();
    let (writer, inner) = fresh_repository(1).await;
    commit(&writer).await;
    let old = copy(&inner).await;
    commit(&writer).await;
    remembering(&inner, state.path()).await.head().await.unwrap();

    let error = remembering(&old, state.path()).await.head().await.unwrap_err();
    assert!(matches!(error, Error::History { remembered: 2, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("ends at catalog entry 1") && text.contains("accept"), "{text}");
    // It is found again and again, by everyone on this host, and nothing is committed on top.
    let again = remembering(&old, state.path()).await;
    assert!(matches!(again.head().await, Err(Error::History { .. })));
    // Without memory nothing can be known.
    assert_eq!(reopen(&old, 3).await.unwrap().head().await.unwrap().number, 1);

    Memory::new(state.path()).accept(again.id(), again.location()).await.unwrap();
    assert_eq!(remembering(&old, state.path()).await.head().await.unwrap().number, 1);
    // And from here on that is what is remembered.
    let error = {
        old.delete(&Entry::path(1).as_str().into()).await.unwrap();
        remembering(&old, state.path()).await.head().await.unwrap_err()
    };
    assert!(matches!(error, Error::History { remembered: 1, .. }), "{error}");
}

#[tokio::test]
async fn another_history_is_found_however_far_it_went() {
    for further in [0, 1, 5, 70, 200] {
        let state = tempfile::tempdir().unwrap();
        let (writer, inner) = fresh_repository(1).await;
        commit(&writer).await;
        let fork = copy(&inner).await;
        commit(&writer).await;
        remembering(&inner, state.path()).await.head().await.unwrap();
        let other = reopen(&fork, 2).await.unwrap();
        for _ in 0..=further {
            commit(&other).await;
        }
        let error = remembering(&fork, state.path()).await.head().await.unwrap_err();
        assert!(matches!(error, Error::History { remembered: 2, .. }), "{further}: {error}");
        let text = error.to_string();
        assert!(text.contains("another catalog entry 2"), "{text}");
        // The store is suspected first: it was taken for a repository that was put back.
        let (store, replaced) = (text.find("let two of them create"), text.find("replaced"));
        assert!(store.is_some() && store < replaced, "{text}");
        assert!(text.contains("`If-None-Match: *`") && text.contains("lost"), "{text}");
    }
}

/// It said "make one there", of a bucket whose `keepsum.json` was removed, or of a volume that was not
/// mounted.
#[tokio::test]
async fn a_repository_that_is_gone_is_not_one_that_never_was() {
    let state = tempfile::tempdir().unwrap();
    let memory = Memory::new(state.path());
    let (writer, inner) = fresh_repository(1).await;
    let never = reopen(&fresh().await, 3).await.unwrap_err();
    assert!(matches!(memory.explain(never).await, Error::NoRepository { .. }));
    commit(&writer).await;
    remembering(&inner, state.path()).await.head().await.unwrap();
    let elsewhere = Error::NoRepository { address: "memory:elsewhere".to_owned() };
    assert!(matches!(memory.explain(elsewhere).await, Error::NoRepository { .. }));
    // Nothing at all is there any more.
    let gone = reopen(&fresh().await, 3).await.unwrap_err();
    assert!(matches!(gone, Error::NoRepository { .. }), "{gone}");
    let gone = memory.explain(gone).await;
    assert!(matches!(gone, Error::Gone { remembered: 1, .. }), "{gone}");
    let text = gone.to_string();
    assert!(text.contains("this host has used a repository there"), "{text}");
    assert!(text.contains("make no new repository"), "{text}");
}

/// The remembered entry is where it was, and a forged chain stands beside it.
#[tokio::test]
async fn an_entry_put_back_into_another_history_does_not_hide_it() {
    let state = tempfile::tempdir().unwrap();
    let (writer, inner) = fresh_repository(1).await;
    commit(&writer).await;
    let fork = copy(&inner).await;
    commit(&writer).await;
    remembering(&inner, state.path()).await.head().await.unwrap();
    let other = reopen(&fork, 2).await.unwrap();
    for _ in 0..70 {
        commit(&other).await;
    }
    let path = Entry::path(2);
    let seen = inner.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap();
    overwrite(&fork, &path, seen).await;
    let error = remembering(&fork, state.path()).await.head().await.unwrap_err();
    assert!(matches!(error, Error::History { .. }), "{error}");
    assert!(error.to_string().contains("another catalog entry 3"), "{error}");
}

#[tokio::test]
async fn a_commit_on_another_history_is_refused() {
    let state = tempfile::tempdir().unwrap();
    let (writer, inner) = fresh_repository(1).await;
    let fork = copy(&inner).await;
    let base = reopen(&fork, 3).await.unwrap().head().await.unwrap();
    commit(&writer).await;
    remembering(&inner, state.path()).await.head().await.unwrap();
    let before = contents(&fork).await;
    let repository = remembering(&fork, state.path()).await;
    let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit(Vec::new()));
    let error = repository.catalog().commit(&base, decide).await.unwrap_err();
    assert!(matches!(error, Error::History { .. }), "{error}");
    assert_eq!(contents(&fork).await, before);
}

#[tokio::test]
async fn a_damaged_memory_is_named_and_not_believed() {
    let state = tempfile::tempdir().unwrap();
    let (_, inner) = fresh_repository(1).await;
    let repository = remembering(&inner, state.path()).await;
    repository.head().await.unwrap();
    let file = fs::read_dir(state.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "json"))
        .unwrap();
    let good = fs::read(&file).unwrap();
    for at in 0..good.len() {
        let mut bad = good.clone();
        bad[at] ^= 0x04;
        fs::write(&file, bad).unwrap();
        let error = remembering(&inner, state.path()).await.head().await.unwrap_err();
        assert!(matches!(error, Error::Core(_)), "byte {at}: {error}");
        assert!(error.to_string().contains(file.to_str().unwrap()), "{error}");
        fs::write(&file, &good[..at]).unwrap();
        let error = remembering(&inner, state.path()).await.head().await.unwrap_err();
        assert!(matches!(error, Error::Core(_)), "cut at {at}: {error}");
    }
    Memory::new(state.path()).accept(repository.id(), repository.location()).await.unwrap();
    remembering(&inner, state.path()).await.head().await.unwrap();
}

#[tokio::test]
async fn repositories_and_addresses_are_remembered_apart() {
    let state = tempfile::tempdir().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let context = Context::default();
    for (name, commits) in [("one", 3), ("two", 1), ("one", 0), ("two", 0)] {
        let path = folder.path().join(name);
        let location = RepositoryLocation::folder(&path).unwrap();
        if !path.exists() {
            Repository::init(&location, &host(commits), &context).await.unwrap();
        }
        let repository = Repository::open(&location, &host(9), &context)
            .await
            .unwrap()
            .with_memory(Memory::new(state.path()));
        for _ in 0..commits {
            commit(&repository).await;
        }
        let expected = if name == "one" { 3 } else { 1 };
        assert_eq!(repository.head().await.unwrap().number, expected);
    }
    let kept = fs::read_dir(state.path()).unwrap().filter(|entry| {
        entry.as_ref().unwrap().path().extension().is_some_and(|extension| extension == "json")
    });
    assert_eq!(kept.count(), 2);
}

/// Lost: trust. While one process read the catalog, another of the same host committed and remembered
/// that; the first took its own head for one that had been put back.
#[tokio::test]
async fn what_another_process_saw_meanwhile_is_no_finding() {
    let state = tempfile::tempdir().unwrap();
    let inner = in_memory().await;
    commit(&remembering(&inner, state.path()).await).await;
    let (store, folder) = (Arc::clone(&inner), state.path().to_owned());
    let listings = AtomicU64::new(0);
    let own: Arc<OnceLock<Arc<Faulty>>> = Arc::default();
    let faulty = Arc::clone(&own);
    // The reader has seen that no entry 2 is there. As it lists, for the last time, there is one.
    let rule = move |request: &Request| {
        if *request == Request::List && listings.fetch_add(1, Ordering::Relaxed) == 1 {
            faulty.get().unwrap().stale.store(1, Ordering::Relaxed);
            let (store, folder) = (Arc::clone(&store), folder.clone());
            let other = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let other = async { commit(&remembering(&store, &folder).await).await };
                runtime.unwrap().block_on(other)
            });
            assert_eq!(other.join().unwrap(), 2);
        }
        Fault::None
    };
    own.set(Faulty::new(&inner, rule)).unwrap();
    let reader: Arc<dyn ObjectStore> = Arc::clone(own.get().unwrap()) as _;
    let head = remembering(&reader, state.path()).await.head().await.unwrap();
    assert_eq!(head.number, 1, "the other one came too late to be seen");
    assert_eq!(remembering(&inner, state.path()).await.head().await.unwrap().number, 2);
}

/// The folder of the memory was made and not synced in the one above it: after a power cut, nothing was
/// remembered. Cut off at any operation, the memory says what it said before or what it says now.
#[tokio::test]
async fn what_is_remembered_outlives_a_power_cut() {
    let (_, inner) = fresh_repository(1).await;
    let home = tempfile::tempdir().unwrap();
    let mut volume = Volume::read(home.path()).unwrap();
    let disk = FaultyDisk::new(home.path(), Trigger::never());
    let memory = Memory::new(home.path().join("a/state")).on_disk(Arc::new(disk.clone()));
    let repository = reopen(&inner, 5).await.unwrap().with_memory(memory);
    for _ in 0..3 {
        commit(&repository).await;
    }
    let remembered = |volume: &Volume, survival| {
        let left = volume.after_crash(survival);
        left.entries.keys().any(|path| {
            path.starts_with("a/state") && path.extension().is_some_and(|end| end == "json")
        })
    };
    let mut states = 0;
    for op in disk.journal() {
        volume.apply(&op);
        for survival in
            [Survival::Synced, Survival::Everything, Survival::Some(1), Survival::Some(2)]
        {
            let copy = tempfile::tempdir().unwrap();
            volume.after_crash(survival).write_to(copy.path()).unwrap();
            let state = copy.path().join("a/state");
            remembering(&inner, &state).await.head().await.unwrap();
            states += 1;
        }
    }
    assert!(remembered(&volume, Survival::Synced), "nothing is remembered after a power cut");
    assert!(states > 40, "{states}");
}
