//! Committing: nothing is lost, nothing is committed twice, and no damage goes unseen.

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::catalog::{Change, Entry, EntryHash, Pin, PinId, SourceId, State};
use archive::object::{ObjectHash, ObjectName, ObjectRef};
use backup_core::progress::Context;
use futures_util::FutureExt;
use futures_util::future::join_all;
use object_store::local::LocalFileSystem;
use object_store::{ObjectStore, ObjectStoreExt};
use remote::store::Store;
use remote::verify::{Level, verify};
use remote::{Decision, Error, Head, Repository, RepositoryLocation, Result, Session};

use crate::ground::{fresh, is_memory, stride};
use testkit::crash::Op;
use testkit::faults::{FaultyDisk, Trigger};

use crate::support::{
    Fault, Faulty, Request, Seeded, contents, fresh_repository, host, in_memory, manifest,
    overwrite, reopen, source,
};

fn pin(id: u16) -> Change {
    let mut bytes = [0; 16];
    bytes[..2].copy_from_slice(&id.to_be_bytes());
    let name = ObjectName { hash: ObjectHash([1; 32]), nonce: [2; 8] };
    Change::Pin(Pin {
        id: PinId(bytes),
        manifest: ObjectRef { name, plain: 1, stored: 74 },
        source: source(),
        created_ms: 1,
        entry: 0,
    })
}

fn pins(state: &State) -> BTreeSet<u16> {
    state.pins.keys().map(|id| u16::from_be_bytes([id.0[0], id.0[1]])).collect()
}

async fn commit_pin(repository: &Repository, base: &Head, id: u16) -> Result<Head> {
    let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit(vec![pin(id)]));
    repository.catalog().commit(base, decide).await
}

/// A repository with so many entries after the first.
async fn with_entries(count: u16) -> (Repository, Arc<dyn ObjectStore>) {
    with_entries_of(1, count).await
}

async fn with_entries_of(seed: u64, count: u16) -> (Repository, Arc<dyn ObjectStore>) {
    let (repository, inner) = fresh_repository(seed).await;
    let mut head = repository.head().await.unwrap();
    for id in 0..count {
        head = commit_pin(&repository, &head, id).await.unwrap();
    }
    (repository, inner)
}

#[tokio::test]
async fn a_commit_is_seen_by_others() {
    let (_, inner) = with_entries(3).await;
    let head = reopen(&inner, 2).await.unwrap().head().await.unwrap();
    assert_eq!(head.number, 3);
    assert_eq!(pins(&head.state), BTreeSet::from([0, 1, 2]));
}

#[tokio::test]
async fn the_state_is_the_same_however_many_entries_it_is_made_of() {
    let (repository, inner) = with_entries(130).await;
    let known = repository.head().await.unwrap();
    let read = reopen(&inner, 2).await.unwrap().head().await.unwrap();
    assert_eq!(read, known);
    assert_eq!(pins(&read.state).len(), 130);
    // Entries 0, 64 and 128 hold all of it, and no others.
    for number in 0..=130 {
        let (entry, _) = repository.catalog().entry(number).await.unwrap().unwrap();
        assert_eq!(entry.state.is_some(), number % 64 == 0, "entry {number}");
    }
}

#[tokio::test]
async fn a_decision_sees_every_entry_since_its_base() {
    let (repository, inner) = fresh_repository(1).await;
    let base = repository.head().await.unwrap();
    let other = reopen(&inner, 2).await.unwrap();
    let (others, next) = if is_memory() { (70, 71) } else { (12, 13) };
    for id in 0..others {
        commit_pin(&other, &base, id).await.unwrap();
    }
    let mut seen = Vec::new();
    let decide = |newest: &State, since: &[Entry]| {
        seen.push((pins(newest).len(), since.iter().map(|e| e.number).collect::<Vec<_>>()));
        assert!(since.iter().all(|entry| entry.state.is_none()), "whole states are not held");
        Ok(Decision::Commit(vec![pin(999)]))
    };
    let head = repository.catalog().commit(&base, decide).await.unwrap();
    assert_eq!(head.number, next);
    assert_eq!(seen, [(usize::from(others), (1..next).collect())]);
}

#[tokio::test]
async fn a_commit_that_is_not_wanted_any_more_is_not_made() {
    let (repository, inner) = with_entries(1).await;
    let base = repository.head().await.unwrap();
    let before = contents(&inner).await;
    let nothing = |_: &State, _: &[Entry]| Ok(Decision::Nothing);
    assert_eq!(repository.catalog().commit(&base, nothing).await.unwrap(), base);
    let refuse = |_: &State, _: &[Entry]| Err(Error::StartOver { why: "no".to_owned() });
    let refused = repository.catalog().commit(&base, refuse).await;
    assert!(matches!(refused, Err(Error::StartOver { .. })));
    assert_eq!(contents(&inner).await, before);
}

/// Commits from several writers at the same time, all of them from the same old base, so that all
/// that others committed must be read.
async fn race(repositories: Vec<Repository>, commits: u16) {
    let tasks = repositories.into_iter().zip(0..).map(|(repository, writer)| {
        tokio::spawn(async move {
            let base = repository.head().await.unwrap();
            for id in writer * commits..(writer + 1) * commits {
                let head = commit_pin(&repository, &base, id).await.unwrap();
                assert!(pins(&head.state).contains(&id));
            }
        })
    });
    for task in join_all(tasks).await {
        task.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commits_are_all_kept() {
    let (_, inner) = fresh_repository(1).await;
    let open = async |seed| reopen(&inner, seed).await.unwrap();
    let (writers, commits) = if is_memory() { (8, 12) } else { (4, 4) };
    race(join_all((100..100 + writers).map(open)).await, commits).await;
    let head = open(99).await.head().await.unwrap();
    assert_eq!(head.number, writers * u64::from(commits));
    assert_eq!(pins(&head.state).len() as u64, head.number);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn concurrent_commits_are_all_kept_in_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let location = RepositoryLocation::folder(folder.path()).unwrap();
    let context = Context::default();
    Repository::init(&location, &host(1), &context).await.unwrap();
    let open = async |seed| Repository::open(&location, &host(seed), &context).await.unwrap();
    race(join_all((100..106).map(open)).await, 12).await;
    let head = open(99).await.head().await.unwrap();
    assert_eq!(head.number, 72);
    assert_eq!(pins(&head.state), (0..72).collect());
}

/// Every commit that says it is done is in the catalog once; every one that fails is there once or not
/// at all; and the chain holds.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lost_answers_lose_and_double_nothing() {
    for seed in 0..if is_memory() { 60 } else { 3 } {
        let (_, inner) = fresh_repository(seed).await;
        let dice = Arc::new(Seeded::new(seed));
        let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| match request {
            Request::Put(_) => match dice.below(10) {
                0 | 1 => Fault::LoseAnswer,
                2 => Fault::Fail,
                3 => Fault::SayExists,
                4 if is_memory() && dice.below(8) == 0 => Fault::Hang,
                _ => Fault::None,
            },
            Request::Get(_) if dice.below(20) == 0 => Fault::Fail,
            _ => Fault::None,
        });
        let tasks = (0..4_u16).map(|writer| {
            let faulty = Arc::clone(&faulty);
            tokio::spawn(async move {
                let repository = reopen(&faulty, seed * 1000 + u64::from(writer)).await?;
                let mut done = Vec::new();
                let base = repository.head().await?;
                for number in 0..8 {
                    let id = writer * 8 + number;
                    match commit_pin(&repository, &base, id).await {
                        Ok(head) => {
                            assert!(pins(&head.state).contains(&id), "seed {seed}");
                            done.push(id);
                        }
                        Err(Error::Store { .. }) => {}
                        Err(error) => panic!("seed {seed}: {error}: {error:?}"),
                    }
                }
                Ok::<_, Error>(done)
            })
        });
        let mut done = BTreeSet::new();
        for task in join_all(tasks).await {
            // A writer may fail to open it; that is no commit.
            done.extend(task.unwrap().unwrap_or_default());
        }
        let reader = reopen(&inner, 7).await.unwrap();
        let head = reader.head().await.unwrap();
        let there = pins(&head.state);
        assert!(done.is_subset(&there), "seed {seed}: {done:?} but only {there:?}");
        let mut committed = Vec::new();
        for number in 1..=head.number {
            let (entry, _) = reader.catalog().entry(number).await.unwrap().unwrap();
            committed.extend(entry.changes);
        }
        assert_eq!(committed.len(), there.len(), "seed {seed}: a commit was made twice");
        assert!(done.len() > 10, "seed {seed}: only {} of 32 commits", done.len());
    }
}

#[tokio::test]
async fn a_listing_that_misses_the_newest_does_no_harm() {
    let (_, inner) = with_entries(5).await;
    let faulty = Faulty::new(&inner, |_| Fault::None);
    for stale in 0..8 {
        faulty.stale.store(stale, Ordering::Relaxed);
        let store: Arc<dyn ObjectStore> = Arc::clone(&faulty) as _;
        let repository = reopen(&store, 2).await.unwrap();
        assert_eq!(repository.head().await.unwrap().number, 5, "{stale} missing");
    }
    let store: Arc<dyn ObjectStore> = faulty;
    let repository = reopen(&store, 2).await.unwrap();
    let base = repository.head().await.unwrap();
    assert_eq!(commit_pin(&repository, &base, 77).await.unwrap().number, 6);
}

#[tokio::test]
async fn every_flipped_byte_of_an_entry_is_found() {
    let (_, inner) = with_entries(3).await;
    let mut tried = 0;
    for (path, good) in contents(&inner).await {
        if !path.starts_with("catalog/") {
            continue;
        }
        for at in (0..good.len()).step_by(stride(37)) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.to_vec();
                bad[at] ^= flip;
                overwrite(&inner, &path, bad).await;
                let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
                let Error::Damaged { what, .. } = &error else { panic!("{path} at {at}: {error}") };
                assert_eq!(what, &path, "byte {at}");
                tried += 1;
            }
            overwrite(&inner, &path, good.slice(..at)).await;
            let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
            assert!(matches!(error, Error::Damaged { .. }), "{path} cut at {at}: {error}");
        }
        overwrite(&inner, &path, good).await;
    }
    assert!(tried > 1500 / stride(37), "only {tried} flips");
    assert_eq!(reopen(&inner, 2).await.unwrap().head().await.unwrap().number, 3);
}

fn names_damage(error: &Error, path: &str) -> bool {
    matches!(error, Error::Damaged { what, .. } if what == path)
}

#[tokio::test]
async fn entries_that_are_swapped_or_missing_are_found() {
    let (_, inner) = with_entries(4).await;
    let (_, foreign) = with_entries_of(2, 4).await;
    let entries: Vec<_> =
        contents(&inner).await.into_iter().filter(|(p, _)| p.starts_with("catalog/")).collect();
    let others = contents(&foreign).await;
    assert_eq!(entries.len(), 5);
    for (at, (path, good)) in entries.iter().enumerate() {
        for (other, bytes) in &entries {
            if other == path {
                continue;
            }
            overwrite(&inner, path, bytes.clone()).await;
            let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
            assert!(names_damage(&error, path), "{other} as {path}: {error}");
        }
        let (_, bytes) = others.iter().find(|(other, _)| other == path).unwrap();
        overwrite(&inner, path, bytes.clone()).await;
        let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
        assert!(names_damage(&error, path), "foreign {path}: {error}");

        inner.delete(&path.as_str().into()).await.unwrap();
        match reopen(&inner, 2).await.unwrap().head().await {
            // Nothing in the repository tells that its last entry is gone: a host's memory does.
            Ok(head) => assert_eq!((at, head.number), (4, 3)),
            Err(error) => {
                let Error::Missing { what } = &error else { panic!("{path}: {error}") };
                assert_eq!(what, path);
            }
        }
        overwrite(&inner, path, good.clone()).await;
    }
}

/// Another history of the same repository: every entry is whole, and in its place by its number.
#[tokio::test]
async fn an_entry_of_another_history_breaks_the_chain() {
    let (repository, inner) = with_entries(2).await;
    let base = repository.head().await.unwrap();
    let fork: Arc<dyn ObjectStore> = fresh().await;
    for (path, bytes) in contents(&inner).await {
        overwrite(&fork, &path, bytes).await;
    }
    let other = reopen(&fork, 5).await.unwrap();
    commit_pin(&other, &base, 50).await.unwrap();
    for id in 2..4 {
        commit_pin(&repository, &base, id).await.unwrap();
    }
    let path = Entry::path(3);
    let bytes = contents(&fork).await.into_iter().find(|(found, _)| *found == path).unwrap().1;
    overwrite(&inner, &path, bytes).await;
    let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
    assert!(names_damage(&error, &Entry::path(4)), "{error}");
}

/// The entry was stored, no attempt was answered, and the last one failed for good.
#[tokio::test]
async fn a_commit_that_landed_unanswered_is_found() {
    for after in [Fault::Fail, Fault::Deny] {
        let (_, inner) = fresh_repository(1).await;
        let seen = AtomicU64::new(0);
        let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| match request {
            Request::Put(_) if seen.fetch_add(1, Ordering::Relaxed) == 0 => Fault::LoseAnswer,
            Request::Put(_) => after,
            _ => Fault::None,
        });
        let repository = reopen(&faulty, 2).await.unwrap();
        let base = repository.head().await.unwrap();
        let head = commit_pin(&repository, &base, 1).await.unwrap();
        assert_eq!(reopen(&inner, 3).await.unwrap().head().await.unwrap(), head);
        assert_eq!(head.number, 1);
        let error = commit_pin(&repository, &head, 2).await.unwrap_err();
        assert!(matches!(error, Error::Store { action: "create", .. }), "{error}");
    }
}

/// A gap in the chain must not be filled: what follows it would be cut off.
#[tokio::test]
async fn nothing_is_committed_into_a_gap() {
    let (repository, inner) = fresh_repository(1).await;
    let base = repository.head().await.unwrap();
    let other = reopen(&inner, 2).await.unwrap();
    for id in 0..3 {
        commit_pin(&other, &base, id).await.unwrap();
    }
    inner.delete(&Entry::path(1).as_str().into()).await.unwrap();
    let error = commit_pin(&repository, &base, 9).await.unwrap_err();
    assert!(matches!(&error, Error::Missing { what } if *what == Entry::path(1)), "{error}");
    let error = repository.head().await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert!(!contents(&inner).await.iter().any(|(path, _)| *path == Entry::path(1)));
}

#[tokio::test]
async fn a_denied_entry_is_not_an_absent_one() {
    let (_, inner) = with_entries(2).await;
    for denied in [0, 1, 2, 3] {
        let rule = move |request: &Request| match request {
            Request::Get(path) if *path == Entry::path(denied) => Fault::Deny,
            _ => Fault::None,
        };
        let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, rule);
        let error = reopen(&faulty, 2).await.unwrap().head().await.unwrap_err();
        assert!(matches!(error, Error::Store { action: "read", .. }), "{denied}: {error}");
    }
    let rule = |request: &Request| match request {
        Request::List => Fault::Fail,
        _ => Fault::None,
    };
    let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, rule);
    let error = reopen(&faulty, 2).await.unwrap().head().await.unwrap_err();
    assert!(matches!(error, Error::Store { action: "list", .. }), "{error}");
}

#[tokio::test]
async fn foreign_files_in_the_catalog_are_no_entries() {
    let (_, inner) = with_entries(2).await;
    for name in
        ["notes.txt", "3", "0000000000000000003", "99999999999999999999", "+0000000000000000003"]
    {
        overwrite(&inner, &format!("catalog/{name}"), "x").await;
    }
    let head = reopen(&inner, 2).await.unwrap().head().await.unwrap();
    assert_eq!(head.number, 2);
}

#[tokio::test]
async fn an_entry_with_an_absurd_number_is_found_and_named() {
    for number in [u64::MAX, u64::MAX - 1, 1 << 40] {
        let (_, inner) = with_entries(2).await;
        overwrite(&inner, &Entry::path(number), "x").await;
        let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
        assert!(error.is_damage(), "{number}: {error}");
    }
}

#[tokio::test]
async fn an_entry_of_absurd_size_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let location = RepositoryLocation::folder(folder.path()).unwrap();
    let context = Context::default();
    let repository = Repository::init(&location, &host(1), &context).await.unwrap();
    for number in [0, 1] {
        let path = folder.path().join(Entry::path(number));
        let file = fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        let length = file.metadata().unwrap().len();
        file.set_len(1 << 42).unwrap();
        let error = repository.head().await.unwrap_err();
        assert!(matches!(&error, Error::Damaged { .. }), "{error}");
        file.set_len(length).unwrap();
    }
}

#[tokio::test]
async fn changes_that_no_reader_would_take_are_not_committed() {
    let (repository, inner) = fresh_repository(1).await;
    let base = repository.head().await.unwrap();
    let before = contents(&inner).await;
    let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit((0..u16::MAX).map(pin).collect()));
    let error = repository.catalog().commit(&base, decide).await.unwrap_err();
    assert!(matches!(error, Error::Format { .. }), "{error}");
    assert_eq!(contents(&inner).await, before);
}

/// Writes an entry as a later version's collector may: with a floor.
async fn append_with_floor(inner: &Arc<dyn ObjectStore>, head: &Head, floor: u64) {
    let reader = reopen(inner, 3).await.unwrap();
    let (last, hash) = reader.catalog().entry(head.number).await.unwrap().unwrap();
    let entry = Entry {
        number: head.number + 1,
        previous: hash,
        floor,
        commit: [9; 16],
        changes: Vec::new(),
        state: None,
        ..last
    };
    overwrite(inner, &Entry::path(entry.number), entry.encode().unwrap()).await;
}

#[tokio::test]
async fn a_writer_that_slept_below_the_floor_starts_over() {
    let (repository, inner) = fresh_repository(1).await;
    let asleep = repository.head().await.unwrap();
    let other = reopen(&inner, 2).await.unwrap();
    let mut head = asleep.clone();
    for id in 0..70 {
        head = commit_pin(&other, &head, id).await.unwrap();
    }
    append_with_floor(&inner, &head, 64).await;
    for number in 0..64 {
        overwrite(&inner, &Entry::path(number), "stub").await;
    }
    // Stubs below the floor are not damage to who reads the newest state.
    let read = reopen(&inner, 4).await.unwrap().head().await.unwrap();
    assert_eq!((read.number, read.floor), (71, 64));
    // Nor to a process that knew a state from before.
    assert_eq!(repository.head().await.unwrap(), read);

    let error = commit_pin(&repository, &asleep, 99).await.unwrap_err();
    assert!(matches!(error, Error::StartOver { .. }), "{error}");
    let error = repository.catalog().entries_since(&asleep).await.unwrap_err();
    assert!(matches!(error, Error::StartOver { .. }), "{error}");
    // The floor is carried along.
    let head = commit_pin(&repository, &read, 99).await.unwrap();
    assert_eq!((head.number, head.floor), (72, 64));
    assert_eq!(repository.catalog().entry(72).await.unwrap().unwrap().0.floor, 64);
}

/// Lost: trust. A reader whose listing is older than the floor, or that is overtaken by whoever raises
/// it, took stubs for damage.
#[tokio::test]
async fn a_listing_from_below_the_floor_is_no_damage() {
    let (repository, inner) = fresh_repository(1).await;
    let mut head = repository.head().await.unwrap();
    for id in 0..130 {
        head = commit_pin(&repository, &head, id).await.unwrap();
    }
    append_with_floor(&inner, &head, 128).await;
    for number in 0..128 {
        overwrite(&inner, &Entry::path(number), "stub").await;
    }
    let faulty = Faulty::new(&inner, |_| Fault::None);
    for stale in [0, 3, 4, 67, 68, 131] {
        faulty.stale.store(stale, Ordering::Relaxed);
        let store: Arc<dyn ObjectStore> = Arc::clone(&faulty) as _;
        let read = reopen(&store, 2).await.unwrap().head().await.unwrap();
        assert_eq!((read.number, read.floor), (131, 128), "{stale} missing");
    }
    // Without a later state to go by, it is damage.
    overwrite(&inner, &Entry::path(128), "stub").await;
    let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
    assert!(error.is_damage(), "{error}");
}

/// Lost: trust. A writer slept within the very request that was to store its entry, until another's of
/// the same number had become a stub: it called that damage. Whose the entry was is not known.
#[tokio::test]
async fn a_stub_in_the_place_of_one_s_own_entry_is_no_damage() {
    let error = asleep_within_a_commit(|_| Fault::None).await;
    assert!(matches!(error, Error::Store { .. }), "{error}");
}

/// Lost: trust. So did one that then could not look whether it was a stub: one in 100,000 schedules.
#[tokio::test]
async fn a_stub_is_no_damage_where_nothing_more_can_be_read() {
    let error = asleep_within_a_commit(|request| match request {
        Request::List => Fault::Fail,
        _ => Fault::None,
    })
    .await;
    assert!(matches!(error, Error::Store { .. }), "{error}");
}

/// How a commit fails that sleeps within storing its entry until that number is a stub; `then` is what the
/// store does from then on.
async fn asleep_within_a_commit(then: fn(&Request) -> Fault) -> Error {
    let inner = in_memory().await;
    let (others, asleep) = (Arc::clone(&inner), AtomicU64::new(0));
    let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| {
        let first = *request == Request::Put(Entry::path(1));
        if first && asleep.fetch_add(1, Ordering::Relaxed) == 0 {
            let others = Arc::clone(&others);
            let meanwhile = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                runtime.unwrap().block_on(grow_beyond_stubs(&others));
            });
            meanwhile.join().unwrap();
        }
        if asleep.load(Ordering::Relaxed) > 0 { then(request) } else { Fault::None }
    });
    let repository = reopen(&faulty, 2).await.unwrap();
    let base = repository.head().await.unwrap();
    commit_pin(&repository, &base, 99).await.unwrap_err()
}

/// Commits 70 entries, and makes stubs of all before number 64.
async fn grow_beyond_stubs(inner: &Arc<dyn ObjectStore>) {
    let repository = reopen(inner, 7).await.unwrap();
    let mut head = repository.head().await.unwrap();
    for id in 0..70 {
        head = commit_pin(&repository, &head, id).await.unwrap();
    }
    append_with_floor(inner, &head, 64).await;
    for number in 0..64 {
        overwrite(inner, &Entry::path(number), "stub").await;
    }
}

/// Lost: the pins of a backup that slept for so long that the entries since its base were stubs; it
/// could not be abandoned.
#[tokio::test]
async fn a_session_that_slept_below_the_floor_can_be_abandoned() {
    let (repository, inner) = fresh_repository(1).await;
    let base = repository.head().await.unwrap();
    let session = Session::begin(&repository, &base, &source(), &[]).await.unwrap();
    session.checkpoint(&manifest(1)).await.unwrap();
    grow_beyond_stubs(&inner).await;
    let other = reopen(&inner, 2).await.unwrap();
    let before = other.head().await.unwrap().state.pins.len();
    session.abandon().await.unwrap();
    assert_eq!(other.head().await.unwrap().state.pins.len(), before - 1);
}

/// Lost: the pins of a session that slept once more, between reading the newest state and committing on it.
#[tokio::test]
async fn a_session_that_sleeps_while_it_is_abandoned_is_abandoned_all_the_same() {
    let own = SourceId { location: "a store of its own".to_owned(), ..source() };
    for moment in 0.. {
        let inner = in_memory().await;
        let (others, request) = (Arc::clone(&inner), Arc::new(AtomicU64::new(u64::MAX / 2)));
        let counted = Arc::clone(&request);
        let slow: Arc<dyn ObjectStore> = Faulty::new(&inner, move |_| {
            if counted.fetch_add(1, Ordering::Relaxed) == moment {
                let others = Arc::clone(&others);
                let meanwhile = std::thread::spawn(move || {
                    let runtime =
                        tokio::runtime::Builder::new_current_thread().enable_time().build();
                    runtime.unwrap().block_on(grow_beyond_stubs(&others));
                });
                meanwhile.join().unwrap();
            }
            Fault::None
        });
        let repository = reopen(&slow, 2).await.unwrap();
        let base = repository.head().await.unwrap();
        let session = Session::begin(&repository, &base, &own, &[]).await.unwrap();
        session.checkpoint(&manifest(1)).await.unwrap();
        request.store(0, Ordering::Relaxed);
        session.abandon().await.unwrap_or_else(|error| panic!("asleep before {moment}: {error}"));
        let requests = request.load(Ordering::Relaxed);
        let state = reopen(&inner, 3).await.unwrap().head().await.unwrap().state;
        let left = state.pins.values().filter(|pin| pin.source == own).count();
        assert_eq!(left, 0, "asleep before {moment}");
        if moment >= requests {
            assert!(moment > 3, "it made {requests} requests");
            break;
        }
    }
}

#[tokio::test]
async fn a_floor_that_sinks_is_damage() {
    let (_, inner) = with_entries(1).await;
    let head = reopen(&inner, 2).await.unwrap().head().await.unwrap();
    append_with_floor(&inner, &head, 2).await;
    let head = reopen(&inner, 2).await.unwrap().head().await.unwrap();
    append_with_floor(&inner, &head, 1).await;
    let error = reopen(&inner, 2).await.unwrap().head().await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn a_state_that_its_entries_do_not_make_is_damage() {
    let (repository, inner) = with_entries(64).await;
    let (mut entry, _) = repository.catalog().entry(64).await.unwrap().unwrap();
    let hidden = entry.state.as_mut().unwrap().pins.pop_first();
    assert!(hidden.is_some());
    overwrite(&inner, &Entry::path(64), entry.encode().unwrap()).await;
    let base = {
        // A reader that comes from before entry 64 recomputes the state.
        let path = Entry::path(64);
        let bytes = contents(&inner).await.into_iter().find(|(p, _)| *p == path).unwrap().1;
        inner.delete(&path.as_str().into()).await.unwrap();
        let base = reopen(&inner, 2).await.unwrap().head().await.unwrap();
        overwrite(&inner, &path, bytes).await;
        base
    };
    assert_eq!(base.number, 63);
    let error = reopen(&inner, 3).await.unwrap().catalog().entries_since(&base).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

/// What a look at the whole catalog finds, by the names of the entries.
async fn findings(inner: &Arc<dyn ObjectStore>) -> Vec<String> {
    let repository = reopen(inner, 2).await.unwrap();
    let report = verify(&repository, Level::List, &Context::default()).await.unwrap();
    report.findings.into_iter().map(|finding| finding.what).collect()
}

/// Entries that the newest state does not need are looked at by `verify`.
#[tokio::test]
async fn an_old_entry_that_is_damaged_or_gone_is_found() {
    let (repository, inner) = fresh_repository(1).await;
    let mut head = repository.head().await.unwrap();
    let nothing = |_: &State, _: &[Entry]| Ok(Decision::Commit(Vec::new()));
    for _ in 0..70 {
        head = repository.catalog().commit(&head, nothing).await.unwrap();
    }
    assert_eq!(findings(&inner).await, [""; 0]);
    for number in [0, 1, 30, 63] {
        let path = Entry::path(number);
        let good = contents(&inner).await.into_iter().find(|(found, _)| *found == path).unwrap().1;
        let mut bad = good.to_vec();
        bad[40] ^= 1;
        overwrite(&inner, &path, bad).await;
        assert_eq!(findings(&inner).await, [path.as_str()]);
        inner.delete(&path.as_str().into()).await.unwrap();
        assert!(findings(&inner).await.contains(&path), "{path} is gone");
        overwrite(&inner, &path, good).await;
    }
    // A number far ahead is a finding, and not a walk through all numbers before it.
    overwrite(&inner, &Entry::path(u64::MAX - 1), "x").await;
    let found = findings(&inner).await;
    assert!(found.contains(&Entry::path(u64::MAX - 1)), "{found:?}");
    assert!(found.contains(&Entry::path(71)), "{found:?}");
}

#[tokio::test]
async fn the_chain_is_of_hashes() {
    let (repository, _) = with_entries(3).await;
    let mut last = EntryHash::default();
    for number in 0..=3 {
        let (entry, hash) = repository.catalog().entry(number).await.unwrap().unwrap();
        assert_eq!(entry.previous, last, "entry {number}");
        last = hash;
    }
    assert_eq!(repository.head().await.unwrap().hash, last);
}

/// The entry has its name, and the sync of the folder failed: the commit was taken for done, and a power
/// cut could undo it.
#[tokio::test]
async fn a_commit_whose_answer_was_lost_is_durable_before_it_is_done() {
    use std::os::unix::fs::MetadataExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().canonicalize().unwrap();
    let inner = LocalFileSystem::new_with_prefix(&path).unwrap().with_fsync(true);
    let inner: Arc<dyn ObjectStore> = Arc::new(inner);
    let losing = Faulty::new(&inner, |request| match request {
        Request::Put(path) if path.ends_with("catalog/00000000000000000001") => Fault::LoseAnswer,
        _ => Fault::None,
    });
    let disk = FaultyDisk::new(&path, Trigger::never());
    let synced = Arc::new(disk.clone());
    let store = Store::over_folder(losing, path.clone(), synced, &host(1), &Context::default());
    let repository = Repository::init_in(store).await.unwrap();
    let base = repository.head().await.unwrap();
    let before = disk.journal().len();
    assert_eq!(commit_pin(&repository, &base, 7).await.unwrap().number, 1);
    let inode = fs::metadata(path.join("catalog")).unwrap().ino();
    let synced = disk.journal().split_off(before);
    assert!(synced.contains(&Op::Sync { inode }), "{synced:?}");
}

/// A store that lets two writers create one entry said "created" to both, and to the one whose entry is
/// gone the command said "done".
#[tokio::test]
async fn who_commits_finds_that_the_entry_is_another_s_or_gone() {
    let inner = in_memory().await;
    let path = object_store::path::Path::from(Entry::path(1));
    let other = reopen(&inner, 2).await.unwrap();
    commit_pin(&other, &other.head().await.unwrap(), 7).await.unwrap();
    let theirs = inner.get(&path).await.unwrap().bytes().await.unwrap();
    inner.delete(&path).await.unwrap();
    for (left, words) in
        [(Some(theirs), "another writer's entry is there"), (None, "no entry is there")]
    {
        let under = Arc::clone(&inner);
        let racing: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| match request {
            Request::Put(path) if *path == Entry::path(1) => {
                if let Some(bytes) = &left {
                    let put = overwrite(&under, path, bytes.clone());
                    put.now_or_never().expect("memory answers at once");
                }
                Fault::Misplace
            }
            _ => Fault::None,
        });
        let repository = reopen(&racing, 3).await.unwrap();
        let base = repository.head().await.unwrap();
        let error = commit_pin(&repository, &base, 1).await.unwrap_err();
        assert!(matches!(error, Error::Overwritten { .. }), "{error}");
        let text = error.to_string();
        assert!(text.contains(words) && text.contains("`If-None-Match: *`"), "{text}");
        assert!(text.contains("is not in the repository"), "{text}");
        inner.delete(&path).await.unwrap();
    }
}
