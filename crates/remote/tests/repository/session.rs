//! Sessions against a collector that works beside them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::catalog::{Change, Entry, PinId, State};
use archive::manifest::{Manifest, SnapshotId};
use archive::object::{Kind, ObjectName, ObjectRef};
use object_store::{ObjectStore, ObjectStoreExt};
use remote::{Decision, Error, Head, Repository, Root, Session, names};

use crate::support::{
    Fault, Faulty, Request, fresh_repository, manifest, overwrite, reopen, source,
};

async fn commit(repository: &Repository, changes: Vec<Change>) -> Head {
    let base = repository.head().await.unwrap();
    let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit(changes.clone()));
    repository.catalog().commit(&base, decide).await.unwrap()
}

async fn begin(repository: &Repository, roots: &[Root]) -> Session {
    let base = repository.head().await.unwrap();
    Session::begin(repository, &base, &source(), roots).await.unwrap()
}

async fn store_names(repository: &Repository, mut listed: Vec<ObjectName>) -> ObjectRef {
    listed.sort();
    let content = names::encode(&listed).unwrap();
    repository.objects().put(Kind::Names, content.into(), None).await.unwrap().reference
}

/// What a collector commits.
async fn condemn(repository: &Repository, listed: &[ObjectName]) {
    let list = store_names(repository, listed.to_vec()).await;
    commit(repository, vec![Change::Condemn(list)]).await;
}

/// A snapshot of one piece.
async fn snapshot(repository: &Repository, id: u8, content: &'static str) -> ObjectRef {
    let session = begin(repository, &[]).await;
    let stored = session.put(Kind::Piece, content.into(), None).await.unwrap();
    session.commit(&manifest(id)).await.unwrap();
    stored.reference
}

fn root(id: u8) -> Root {
    Root::Snapshot(SnapshotId([id; 16]))
}

async fn assert_starts_over(session: &Session, id: u8, why: &str) {
    let error = session.commit(&manifest(id)).await.unwrap_err();
    assert!(matches!(error, Error::StartOver { .. }), "{error}");
    assert!(error.to_string().contains(why), "{error}");
    let head = session.repository().head().await.unwrap();
    assert!(!head.state.snapshots.contains_key(&SnapshotId([id; 16])));
}

#[tokio::test]
async fn a_session_makes_a_snapshot_live_and_leaves_no_pin() {
    let (repository, inner) = fresh_repository(1).await;
    let session = begin(&repository, &[]).await;
    let stored = session.put(Kind::Piece, "content".into(), None).await.unwrap().reference;
    let made = manifest(1);
    let done = session.commit(&made).await.unwrap();
    assert_eq!(done.snapshot, made.id);
    assert_eq!((done.reused_bytes, session.reused_bytes()), (0, 0));
    assert!(done.uploaded_bytes > u64::from(stored.stored));

    let other = reopen(&inner, 2).await.unwrap();
    let head = other.head().await.unwrap();
    assert_eq!(head, done.head);
    assert!(head.state.pins.is_empty());
    let entry = &head.state.snapshots[&made.id];
    assert_eq!(entry.source, source());
    assert_eq!((entry.entry, entry.added), (done.head.number, done.uploaded_bytes));
    assert_eq!(other.manifest(&entry.manifest).await.unwrap(), made);
}

#[tokio::test]
async fn the_parent_is_pinned_while_the_session_lasts() {
    let (repository, _) = fresh_repository(1).await;
    let piece = snapshot(&repository, 1, "content").await;
    let parent = repository.head().await.unwrap().state.snapshots[&SnapshotId([1; 16])].manifest;
    let session = begin(&repository, &[root(1)]).await;
    let pins: Vec<_> = repository.head().await.unwrap().state.pins.values().cloned().collect();
    assert_eq!(pins.len(), 1);
    assert_eq!((pins[0].manifest, &pins[0].source), (parent, &source()));

    let again = session.put(Kind::Piece, "content".into(), Some(piece)).await.unwrap();
    assert!(again.reused);
    assert!(session.reuse(&piece));
    assert_eq!(session.reused_bytes(), 2 * u64::from(piece.stored));
    session.commit(&manifest(2)).await.unwrap();
    let head = repository.head().await.unwrap();
    assert!(head.state.pins.is_empty());
    assert_eq!(head.state.snapshots.len(), 2);
    // A session that has committed has nothing to abandon.
    session.abandon().await.unwrap();
    assert_eq!(repository.head().await.unwrap(), head);
}

#[tokio::test]
async fn a_session_does_not_begin_on_what_is_gone() {
    let (repository, inner) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let base = repository.head().await.unwrap();
    let unknown = Session::begin(&repository, &base, &source(), &[root(9)]).await.unwrap_err();
    assert!(matches!(unknown, Error::StartOver { .. }), "{unknown}");
    let other = reopen(&inner, 2).await.unwrap();
    commit(&other, vec![Change::Forget(SnapshotId([1; 16]))]).await;
    let gone = Session::begin(&repository, &base, &source(), &[root(1)]).await.unwrap_err();
    assert!(matches!(gone, Error::StartOver { .. }), "{gone}");
    assert!(repository.head().await.unwrap().state.pins.is_empty());
}

#[tokio::test]
async fn abandoning_ends_the_pins() {
    let (repository, _) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let session = begin(&repository, &[root(1)]).await;
    session.checkpoint(&manifest(2)).await.unwrap();
    assert_eq!(repository.head().await.unwrap().state.pins.len(), 2);
    session.abandon().await.unwrap();
    let head = repository.head().await.unwrap();
    assert!(head.state.pins.is_empty());
    assert_eq!(head.state.snapshots.len(), 1);
}

#[tokio::test]
async fn another_session_goes_on_from_a_checkpoint() {
    let (repository, inner) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let session = begin(&repository, &[root(1)]).await;
    let piece = session.put(Kind::Piece, "much work".into(), None).await.unwrap().reference;
    session.checkpoint(&manifest(7)).await.unwrap();
    session.checkpoint(&manifest(8)).await.unwrap();
    // Killed.
    drop(session);

    let other = reopen(&inner, 2).await.unwrap();
    let head = other.head().await.unwrap();
    assert_eq!(head.state.pins.len(), 2, "the parent's and the last checkpoint's");
    let roots: Vec<Root> = head.state.pins.keys().copied().map(Root::Pin).collect();
    let mut ids = Vec::new();
    for pin in head.state.pins.values() {
        ids.push(other.manifest(&pin.manifest).await.unwrap().id);
    }
    ids.sort();
    assert_eq!(ids, [SnapshotId([1; 16]), SnapshotId([8; 16])]);

    let next = Session::begin(&other, &head, &source(), &roots).await.unwrap();
    assert!(next.put(Kind::Piece, "much work".into(), Some(piece)).await.unwrap().reused);
    next.commit(&manifest(9)).await.unwrap();
    let head = other.head().await.unwrap();
    assert!(head.state.pins.is_empty(), "those of the interrupted session ended, too");
    assert_eq!(head.state.snapshots.len(), 2);
}

#[tokio::test]
async fn a_dead_parent_does_no_harm_before_something_is_condemned() {
    let (repository, inner) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let session = begin(&repository, &[root(1)]).await;
    let other = reopen(&inner, 2).await.unwrap();
    let pins = other.head().await.unwrap().state.pins.clone();
    let mut changes: Vec<_> = pins.into_keys().map(Change::Unpin).collect();
    changes.push(Change::Forget(SnapshotId([1; 16])));
    commit(&other, changes).await;
    session.commit(&manifest(2)).await.unwrap();
    assert_eq!(repository.head().await.unwrap().state.snapshots.len(), 1);
}

#[tokio::test]
async fn a_forgotten_parent_does_no_harm_while_its_pin_lives() {
    let (repository, inner) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let session = begin(&repository, &[root(1)]).await;
    let other = reopen(&inner, 2).await.unwrap();
    commit(&other, vec![Change::Forget(SnapshotId([1; 16]))]).await;
    condemn(&other, &[]).await;
    session.commit(&manifest(2)).await.unwrap();
    assert_eq!(repository.head().await.unwrap().state.snapshots.len(), 1);
}

/// In any order of the parent's death and the condemning entry, the session starts over, even where
/// the parent seems to live again.
#[tokio::test]
async fn a_dead_parent_and_a_collection_make_a_session_start_over() {
    for revived in [false, true] {
        for condemned_first in [false, true] {
            let (repository, inner) = fresh_repository(1).await;
            let piece = snapshot(&repository, 1, "content").await;
            let live = repository.head().await.unwrap().state.snapshots.clone();
            let session = begin(&repository, &[root(1)]).await;
            session.put(Kind::Piece, "content".into(), Some(piece)).await.unwrap();
            let other = reopen(&inner, 2).await.unwrap();
            if condemned_first {
                condemn(&other, &[]).await;
            }
            let pins = other.head().await.unwrap().state.pins.clone();
            let mut changes: Vec<_> = pins.keys().copied().map(Change::Unpin).collect();
            changes.push(Change::Forget(SnapshotId([1; 16])));
            commit(&other, changes).await;
            if !condemned_first {
                condemn(&other, &[piece.name]).await;
            }
            if revived {
                let back = live.values().cloned().map(Change::Snapshot).collect();
                commit(&other, back).await;
            }
            assert_starts_over(&session, 2, "what it built on").await;
            // What is live now is enough for another.
            let head = repository.head().await.unwrap();
            let roots: Vec<_> = head.state.snapshots.keys().copied().map(Root::Snapshot).collect();
            session.abandon().await.unwrap();
            begin(&repository, &roots).await.commit(&manifest(2)).await.unwrap();
        }
    }
}

#[tokio::test]
async fn an_upload_that_was_condemned_makes_a_session_start_over() {
    let (repository, inner) = fresh_repository(1).await;
    let session = begin(&repository, &[]).await;
    let stored = session.put(Kind::Piece, "content".into(), None).await.unwrap().reference;
    let other = reopen(&inner, 2).await.unwrap();
    condemn(&other, &[stored.name]).await;
    assert_starts_over(&session, 2, "took what it had stored for garbage").await;
    let error = session.checkpoint(&manifest(3)).await.unwrap_err();
    assert!(matches!(error, Error::StartOver { .. }), "{error}");
}

#[tokio::test]
async fn what_others_lose_is_no_concern_of_a_session() {
    let (repository, inner) = fresh_repository(1).await;
    let other = reopen(&inner, 2).await.unwrap();
    let theirs = begin(&other, &[]).await;
    let garbage = theirs.put(Kind::Piece, "content".into(), None).await.unwrap().reference;
    let session = begin(&repository, &[]).await;
    session.put(Kind::Piece, "content".into(), None).await.unwrap();
    condemn(&other, &[garbage.name]).await;
    session.commit(&manifest(2)).await.unwrap();
}

/// The nodes and the manifest of a checkpoint are garbage once the next one has its own.
#[tokio::test]
async fn a_checkpoint_that_was_replaced_may_be_condemned() {
    let (repository, inner) = fresh_repository(1).await;
    let session = begin(&repository, &[]).await;
    let piece = session.put(Kind::Piece, "content".into(), None).await.unwrap().reference;
    let interim = session.put_interim(Kind::Node, "half a tree".into()).await.unwrap().reference;
    session.checkpoint(&manifest(7)).await.unwrap();
    let other = reopen(&inner, 2).await.unwrap();
    let first = other.head().await.unwrap().state.pins.values().next().unwrap().manifest;
    session.checkpoint(&manifest(8)).await.unwrap();
    condemn(&other, &[interim.name, first.name]).await;
    session.put(Kind::Piece, "more".into(), None).await.unwrap();
    session.checkpoint(&manifest(9)).await.unwrap();
    // But not what the snapshot needs.
    condemn(&other, &[piece.name]).await;
    assert_starts_over(&session, 2, "for garbage").await;
}

/// An upload whose answer was lost is stored under another name; the first copy is garbage.
#[tokio::test]
async fn a_name_that_was_given_up_may_be_condemned() {
    let (_, inner) = fresh_repository(1).await;
    let put = AtomicU64::new(0);
    let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| match request {
        Request::Put(path) if path.starts_with("objects/") => {
            match put.fetch_add(1, Ordering::Relaxed) {
                0 => Fault::LoseAnswer,
                _ => Fault::None,
            }
        }
        _ => Fault::None,
    });
    let repository = reopen(&faulty, 2).await.unwrap();
    let session = begin(&repository, &[]).await;
    let kept = session.put(Kind::Piece, "content".into(), None).await.unwrap().reference;
    let other = reopen(&inner, 3).await.unwrap();
    let there = other.objects().list(&backup_core::progress::Context::default()).await.unwrap();
    assert_eq!(there.len(), 2);
    let garbage: Vec<_> = there.into_keys().filter(|name| *name != kept.name).collect();
    condemn(&other, &garbage).await;
    session.commit(&manifest(2)).await.unwrap();
}

#[tokio::test]
async fn a_condemned_list_that_cannot_be_read_makes_a_session_start_over() {
    let (repository, inner) = fresh_repository(1).await;
    let session = begin(&repository, &[]).await;
    let other = reopen(&inner, 2).await.unwrap();
    let list = store_names(&other, Vec::new()).await;
    overwrite(&inner, &list.name.path(), "x").await;
    commit(&other, vec![Change::Condemn(list)]).await;
    assert_starts_over(&session, 2, "cannot be read").await;
}

#[tokio::test]
async fn damaged_objects_are_stored_anew() {
    let (repository, inner) = fresh_repository(1).await;
    let bad = snapshot(&repository, 1, "bad").await;
    let good = snapshot(&repository, 2, "good").await;
    let list = store_names(&repository, vec![bad.name]).await;
    commit(&repository, vec![Change::Damaged(list)]).await;
    let session = begin(&repository, &[root(1), root(2)]).await;
    assert!(session.put(Kind::Piece, "good".into(), Some(good)).await.unwrap().reused);
    assert!(session.reuse(&good));
    assert!(!session.reuse(&bad));
    let anew = session.put(Kind::Piece, "bad".into(), Some(bad)).await.unwrap();
    assert!(!anew.reused);
    assert_ne!(anew.reference.name, bad.name);

    // Where the list itself is unreadable, anything may be damaged.
    inner.delete(&list.name.path().as_str().into()).await.unwrap();
    let session = begin(&repository, &[root(2)]).await;
    assert!(!session.put(Kind::Piece, "good".into(), Some(good)).await.unwrap().reused);
}

#[tokio::test]
async fn a_snapshot_is_given_a_proof() {
    let (repository, _) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let proved = Manifest { description: Some("proved".to_owned()), ..manifest(1) };
    let session = begin(&repository, &[root(1)]).await;
    session.replace(&proved).await.unwrap();
    let head = repository.head().await.unwrap();
    assert_eq!((head.state.snapshots.len(), head.state.pins.len()), (1, 0));
    let entry = &head.state.snapshots[&SnapshotId([1; 16])];
    assert_eq!(repository.manifest(&entry.manifest).await.unwrap(), proved);
}

#[tokio::test]
async fn a_snapshot_that_is_gone_or_changed_is_given_no_proof() {
    let (repository, inner) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let other = reopen(&inner, 2).await.unwrap();

    let session = begin(&repository, &[root(1)]).await;
    begin(&other, &[root(1)]).await.replace(&manifest(1)).await.unwrap();
    let error = session.replace(&manifest(1)).await.unwrap_err();
    assert!(matches!(error, Error::StartOver { .. }), "{error}");

    let session = begin(&repository, &[root(1)]).await;
    commit(&other, vec![Change::Forget(SnapshotId([1; 16]))]).await;
    let error = session.replace(&manifest(1)).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(repository.head().await.unwrap().state.snapshots.is_empty());
}

#[tokio::test]
async fn a_snapshot_is_committed_once() {
    let (repository, _) = fresh_repository(1).await;
    let session = begin(&repository, &[]).await;
    session.commit(&manifest(1)).await.unwrap();
    let error = session.commit(&manifest(1)).await.unwrap_err();
    assert!(matches!(error, Error::Core(_)), "{error}");
    assert_eq!(repository.head().await.unwrap().number, 1);
}

#[tokio::test]
async fn damage_met_in_a_snapshot_that_was_removed_is_explained() {
    let (repository, inner) = fresh_repository(1).await;
    let piece = snapshot(&repository, 1, "content").await;
    let id = SnapshotId([1; 16]);
    inner.delete(&piece.name.path().as_str().into()).await.unwrap();
    let error = repository.objects().read(Kind::Piece, &piece).await.unwrap_err();
    let error = repository.explain(id, error).await;
    assert!(matches!(error, Error::Missing { .. }), "it is live: {error}");
    commit(&reopen(&inner, 2).await.unwrap(), vec![Change::Forget(id)]).await;
    let error = repository.explain(id, error).await;
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    assert!(error.to_string().contains("removed while it was being read"), "{error}");
}

#[tokio::test]
async fn pins_of_others_are_left_alone() {
    let (repository, inner) = fresh_repository(1).await;
    snapshot(&repository, 1, "content").await;
    let other = begin(&reopen(&inner, 2).await.unwrap(), &[root(1)]).await;
    let theirs: Vec<PinId> = repository.head().await.unwrap().state.pins.keys().copied().collect();
    let session = begin(&repository, &[root(1)]).await;
    session.commit(&manifest(2)).await.unwrap();
    let left: Vec<PinId> = repository.head().await.unwrap().state.pins.keys().copied().collect();
    assert_eq!(left, theirs);
    other.abandon().await.unwrap();
}

/// What only a checkpoint reaches is in danger until its pin is committed, too. Lost: the nodes of a
/// checkpoint that a collector had listed before; the pin was committed over them, every collection
/// after it failed, and so did each backup that went on from it.
#[tokio::test]
async fn a_checkpoint_is_not_committed_over_what_a_collection_took() {
    let (repository, inner) = fresh_repository(1).await;
    let other = reopen(&inner, 2).await.unwrap();
    let session = begin(&repository, &[]).await;
    let node = session.put_interim(Kind::Node, "half a tree".into()).await.unwrap().reference;
    condemn(&other, &[node.name]).await;
    let error = session.checkpoint(&manifest(7)).await.unwrap_err();
    assert!(matches!(error, Error::StartOver { .. }), "{error}");
    assert!(repository.head().await.unwrap().state.pins.is_empty());
}

/// A store whose next entry of the catalog is stored, and says nothing but that it failed, to reads of
/// that entry as well, until it is mended.
struct Unanswered(Arc<AtomicU64>);

const WELL: u64 = 0;
const ARMED: u64 = 1;
const CUT: u64 = 2;

impl Unanswered {
    fn over(inner: &Arc<dyn ObjectStore>) -> (Self, Arc<dyn ObjectStore>) {
        let state = Arc::new(AtomicU64::new(WELL));
        let shared = Arc::clone(&state);
        let faulty = Faulty::new(inner, move |request| {
            let cut = shared.load(Ordering::Relaxed);
            match request {
                Request::Put(path) if path.starts_with("catalog/") && cut != WELL => {
                    shared.store(CUT, Ordering::Relaxed);
                    Fault::LoseAnswer
                }
                Request::Get(path) if path.starts_with("catalog/") && cut == CUT => Fault::Fail,
                _ => Fault::None,
            }
        });
        (Self(state), faulty)
    }

    fn set(&self, state: u64) {
        self.0.store(state, Ordering::Relaxed);
    }
}

/// Lost: the pin of a checkpoint whose commit landed unanswered. The session did not know of it, and
/// left it when it committed, so that what it kept was never collected.
#[tokio::test]
async fn a_checkpoint_that_landed_unanswered_ends_with_its_session() {
    for commits in [true, false] {
        let (_, inner) = fresh_repository(1).await;
        let (line, faulty) = Unanswered::over(&inner);
        let repository = reopen(&faulty, 2).await.unwrap();
        let session = begin(&repository, &[]).await;
        line.set(ARMED);
        let error = session.checkpoint(&manifest(7)).await.unwrap_err();
        assert!(matches!(error, Error::Store { .. }), "{error}");
        assert!(!session.has_checkpoint().await, "nothing is known to go on from");
        line.set(WELL);
        assert_eq!(repository.head().await.unwrap().state.pins.len(), 1, "it landed");
        if commits {
            session.commit(&manifest(2)).await.unwrap();
        } else {
            session.abandon().await.unwrap();
        }
        let state = repository.head().await.unwrap().state;
        assert!(state.pins.is_empty());
        assert_eq!(state.snapshots.len(), usize::from(commits));
    }
}

/// Lost: the news that a snapshot is there. A commit that had landed unanswered and was asked for again
/// failed, with words of damage to the caller's own snapshot.
#[tokio::test]
async fn a_commit_that_landed_unanswered_can_be_asked_for_again() {
    let (_, inner) = fresh_repository(1).await;
    let (line, faulty) = Unanswered::over(&inner);
    let repository = reopen(&faulty, 2).await.unwrap();
    let session = begin(&repository, &[]).await;
    session.checkpoint(&manifest(7)).await.unwrap();
    line.set(ARMED);
    let error = session.commit(&manifest(2)).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    line.set(WELL);
    let before = repository.head().await.unwrap();
    let again = session.commit(&manifest(2)).await.unwrap();
    assert_eq!(again.head, before, "nothing was left to do");
    assert_eq!((before.state.snapshots.len(), before.state.pins.len()), (1, 0));
}

/// The order of snapshots is the catalog's: `prove` gives one another manifest and leaves it in its place.
#[tokio::test]
async fn another_manifest_leaves_a_snapshot_in_its_place() {
    let (repository, _) = fresh_repository(1).await;
    snapshot(&repository, 1, "one").await;
    snapshot(&repository, 2, "two").await;
    let of = |head: &Head, id: u8| head.state.snapshots[&SnapshotId([id; 16])].clone();
    let before = repository.head().await.unwrap();
    assert!(of(&before, 1).entry < of(&before, 2).entry);

    let session = begin(&repository, &[root(1)]).await;
    let mut proved = repository.manifest(&of(&before, 1).manifest).await.unwrap();
    proved.description = Some("proved".into());
    session.put(Kind::Piece, "more that is sent".into(), None).await.unwrap();
    let after = session.replace(&proved).await.unwrap().head;
    let expected =
        archive::catalog::SnapshotEntry { manifest: of(&after, 1).manifest, ..of(&before, 1) };
    assert_ne!(expected.manifest, of(&before, 1).manifest);
    assert_eq!(of(&after, 1), expected);
}

/// Containers of one name go on from each other's work, and end no pin of one that may be at work still.
#[tokio::test]
async fn a_session_ends_the_pins_of_its_own_host_alone() {
    let (repository, _) = fresh_repository(1).await;
    let first = begin(&repository, &[]).await;
    let piece = first.put(Kind::Piece, "content".into(), None).await.unwrap().reference;
    first.checkpoint(&manifest(1)).await.unwrap();
    drop(first);
    for (number, host, left) in [(2, "another-host", 1), (3, "test-host", 0)] {
        let head = repository.head().await.unwrap();
        let roots: Vec<Root> = head.state.pins.keys().map(|pin| Root::Pin(*pin)).collect();
        let of = archive::catalog::SourceId { host: host.into(), ..source() };
        let session = Session::begin(&repository, &head, &of, &roots).await.unwrap();
        let again = session.put(Kind::Piece, "content".into(), Some(piece)).await.unwrap();
        assert!(again.reused, "{host}");
        let done = session.commit(&manifest(number)).await.unwrap();
        assert_eq!(done.head.state.pins.len(), left, "{host}");
    }
}
