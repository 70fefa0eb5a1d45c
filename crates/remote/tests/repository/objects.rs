//! Objects: what is stored comes back whole or not at all, and no name is stored twice.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::limits::MAX_OBJECT_BYTES;
use archive::object::{Kind, ObjectHash, ObjectRef};
use backup_core::progress::Context;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use object_store::{GetOptions, ObjectStore, ObjectStoreExt};
use proptest::prelude::*;
use remote::objects::ListedObject;
use remote::{Error, Repository, RepositoryLocation};

use crate::ground::stride;
use crate::support::{
    Fault, Faulty, Request, Seeded, contents, fresh_repository, host, overwrite, reopen,
};

/// Bytes that shrink by half.
fn content(seed: u64, length: usize) -> Vec<u8> {
    let dice = Seeded::new(seed);
    let mut bytes = vec![0; length];
    for chunk in bytes.chunks_mut(16) {
        let random = dice.next().to_le_bytes();
        let kept = chunk.len().min(8);
        chunk[..kept].copy_from_slice(&random[..kept]);
    }
    bytes
}

#[tokio::test]
async fn what_is_stored_comes_back() {
    let (repository, inner) = fresh_repository(1).await;
    let others = reopen(&inner, 2).await.unwrap();
    for length in [0, 1, 1000, 262_144, 262_145, 3_000_000, MAX_OBJECT_BYTES] {
        let content = content(length as u64, length);
        let objects = repository.objects();
        let stored = objects.put(Kind::Names, content.clone().into(), None).await.unwrap();
        assert!(!stored.reused);
        assert_eq!(stored.reference.plain as usize, length);
        let read = others.objects().read(Kind::Names, &stored.reference).await.unwrap();
        assert!(read == content, "{length} bytes");
        let error = others.objects().read(Kind::Manifest, &stored.reference).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "names are no manifest: {error}");
    }
}

#[tokio::test]
async fn content_above_the_limit_is_refused() {
    let (repository, inner) = fresh_repository(1).await;
    let before = contents(&inner).await.len();
    for kind in [Kind::Piece, Kind::Leaf, Kind::Node, Kind::Manifest] {
        let content = vec![0; kind.max_bytes() + 1];
        let error = repository.objects().put(kind, content.into(), None).await.unwrap_err();
        assert!(matches!(error, Error::Format { .. }), "{kind:?}: {error}");
    }
    assert_eq!(contents(&inner).await.len(), before);
}

#[tokio::test]
async fn known_content_is_reused_and_other_content_is_not() {
    let (repository, inner) = fresh_repository(1).await;
    let objects = repository.objects();
    let known = objects.put(Kind::Leaf, "one".into(), None).await.unwrap().reference;
    let files = contents(&inner).await.len();
    let again = objects.put(Kind::Leaf, "one".into(), Some(known)).await.unwrap();
    assert!(again.reused);
    assert_eq!(again.reference, known);
    assert_eq!(contents(&inner).await.len(), files);

    for (kind, content) in [(Kind::Leaf, "two"), (Kind::Node, "one")] {
        let other = objects.put(kind, content.into(), Some(known)).await.unwrap();
        assert!(!other.reused);
        assert_ne!(other.reference.name.hash, known.name.hash);
        assert_eq!(objects.read(kind, &other.reference).await.unwrap(), content.as_bytes());
    }
    // Without a reference from something live, what is there already is stored anew.
    let anew = objects.put(Kind::Leaf, "one".into(), None).await.unwrap();
    assert!(!anew.reused);
    assert_eq!(anew.reference.name.hash, known.name.hash);
    assert_ne!(anew.reference.name, known.name);
}

/// A name that is taken may be condemned, half-deleted, or somebody else's: it is not adopted, even
/// where its bytes are right.
#[tokio::test]
async fn a_taken_name_is_never_adopted() {
    let (repository, inner) = fresh_repository(1).await;
    // The same randomness draws the same nonces, so this process stores under the same names.
    let twin = |seed| {
        let inner = Arc::clone(&inner);
        async move { reopen(&inner, seed).await.unwrap() }
    };
    let (one, other) = (twin(5).await, twin(5).await);
    let first = one.objects().put(Kind::Piece, "same".into(), None).await.unwrap().reference;
    overwrite(&inner, &first.name.path(), "something else entirely").await;
    let second = other.objects().put(Kind::Piece, "same".into(), None).await.unwrap();
    assert!(!second.reused);
    assert_ne!(second.reference.name, first.name);
    let read = repository.objects().read(Kind::Piece, &second.reference).await.unwrap();
    assert_eq!(*read, *b"same");
    let there = inner.get(&first.name.path().as_str().into()).await.unwrap();
    assert_eq!(&there.bytes().await.unwrap()[..], b"something else entirely");
}

#[tokio::test]
async fn a_lost_answer_costs_a_copy_and_no_more() {
    for fault in [Fault::LoseAnswer, Fault::SayExists, Fault::Fail, Fault::Hang] {
        let (_, inner) = fresh_repository(1).await;
        let seen = AtomicU64::new(0);
        let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| match request {
            Request::Put(_) if seen.fetch_add(1, Ordering::Relaxed) == 0 => fault,
            _ => Fault::None,
        });
        let repository = reopen(&faulty, 2).await.unwrap();
        let stored = repository.objects().put(Kind::Piece, "x".into(), None).await.unwrap();
        let read = repository.objects().read(Kind::Piece, &stored.reference).await.unwrap();
        assert_eq!(*read, *b"x", "{fault:?}");
    }
}

#[tokio::test]
async fn a_store_that_calls_every_name_taken_is_given_up() {
    let (_, inner) = fresh_repository(1).await;
    let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, |request| match request {
        Request::Put(_) => Fault::SayExists,
        _ => Fault::None,
    });
    let repository = reopen(&faulty, 2).await.unwrap();
    let error = repository.objects().put(Kind::Piece, "x".into(), None).await.unwrap_err();
    assert!(matches!(error, Error::Unfit { .. }), "{error}");
}

/// Whole reads and range reads of a damaged object: an error, or, for a range, bytes that the damage
/// did not touch.
async fn assert_found(repository: &Repository, reference: &ObjectRef, plain: &[u8], what: &str) {
    let objects = repository.objects();
    let error = objects.read(Kind::Piece, reference).await.unwrap_err();
    assert!(error.is_damage(), "{what}: {error}");
    assert!(error.to_string().contains(&reference.name.path()), "{what}: {error}");
    let (from, to) = (plain.len() / 3, plain.len() / 2);
    match objects.read_range(Kind::Piece, reference, from as u64..to as u64).await {
        Ok(part) => assert_eq!(part, &plain[from..to], "{what}"),
        Err(error) => assert!(error.is_damage(), "{what}: {error}"),
    }
}

#[tokio::test]
async fn every_flipped_byte_of_an_object_is_found() {
    let (repository, inner) = fresh_repository(1).await;
    let mut tried = 0;
    for length in [0, 1, 300, 2000] {
        let plain = content(3, length);
        let stored = repository.objects().put(Kind::Piece, plain.clone().into(), None).await;
        let reference = stored.unwrap().reference;
        let path = reference.name.path();
        let good = inner.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap();
        for at in (0..good.len()).step_by(stride(97)) {
            for flip in [0x01, 0x80, 0xff] {
                let mut bad = good.to_vec();
                bad[at] ^= flip;
                overwrite(&inner, &path, bad).await;
                let what = format!("{length} bytes, byte {at} ^ {flip}");
                assert_found(&repository, &reference, &plain, &what).await;
                tried += 1;
            }
            overwrite(&inner, &path, good.slice(..at)).await;
            assert_found(&repository, &reference, &plain, &format!("cut at {at}")).await;
        }
        overwrite(&inner, &path, [&good[..], b"x"].concat()).await;
        assert_found(&repository, &reference, &plain, "longer by one").await;
        overwrite(&inner, &path, [&good[..], &good[..]].concat()).await;
        assert_found(&repository, &reference, &plain, "doubled").await;
        inner.delete(&path.as_str().into()).await.unwrap();
        let error = repository.objects().read(Kind::Piece, &reference).await.unwrap_err();
        assert!(matches!(error, Error::Missing { .. }), "{error}");
        overwrite(&inner, &path, good).await;
        repository.objects().read(Kind::Piece, &reference).await.unwrap();
    }
    assert!(tried > 3000 / stride(97), "only {tried}");
}

#[tokio::test]
async fn swapped_objects_are_found() {
    let (repository, inner) = fresh_repository(1).await;
    let put = async |text: &'static str| {
        repository.objects().put(Kind::Piece, text.into(), None).await.unwrap().reference
    };
    let (one, other) = (put("one").await, put("two").await);
    let bytes = async |reference: &ObjectRef| {
        let path = reference.name.path();
        inner.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap()
    };
    let (first, second) = (bytes(&one).await, bytes(&other).await);
    overwrite(&inner, &one.name.path(), second).await;
    overwrite(&inner, &other.name.path(), first).await;
    for reference in [one, other] {
        let error = repository.objects().read(Kind::Piece, &reference).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}

/// An object that is read by range: larger than what is read whole, of several frames.
async fn large() -> (Repository, Arc<dyn ObjectStore>, ObjectRef, Vec<u8>) {
    let (repository, inner) = fresh_repository(1).await;
    let plain = content(9, 1_900_001);
    let stored = repository.objects().put(Kind::Piece, plain.clone().into(), None).await.unwrap();
    assert!(stored.reference.stored > 700_000, "it must not be read whole");
    (repository, inner, stored.reference, plain)
}

#[tokio::test]
async fn a_range_read_fetches_only_the_frames_it_needs() {
    let (_, inner, reference, plain) = large().await;
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |request| {
        if matches!(request, Request::Get(path) if path.starts_with("objects/")) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        Fault::None
    });
    let repository = reopen(&faulty, 2).await.unwrap();
    // Frames that are not asked for may be damaged.
    let path = reference.name.path();
    let mut bytes = inner.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap().to_vec();
    bytes[100] ^= 1;
    overwrite(&inner, &path, bytes).await;
    let range = 1_000_000..1_000_100;
    let part = repository.objects().read_range(Kind::Piece, &reference, range).await.unwrap();
    assert_eq!(part, &plain[1_000_000..1_000_100]);
    assert_eq!(seen.load(Ordering::Relaxed), 2);
    let error = repository.objects().read_range(Kind::Piece, &reference, 0..10).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn damage_that_a_range_read_meets_is_found() {
    let (repository, inner, reference, plain) = large().await;
    let path = reference.name.path();
    let good = inner.get(&path.as_str().into()).await.unwrap().bytes().await.unwrap();
    let range = 1_000_000..1_300_000;
    let read =
        async || repository.objects().read_range(Kind::Piece, &reference, range.clone()).await;
    let mut found = 0;
    for at in (0..good.len())
        .step_by(19_997 * stride(20))
        .chain(good.len() - 500..good.len())
        .step_by(stride(9))
    {
        let mut bad = good.to_vec();
        bad[at] ^= 0x10;
        overwrite(&inner, &path, bad).await;
        match read().await {
            Ok(part) => assert_eq!(part, &plain[1_000_000..1_300_000], "byte {at}"),
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {error}");
                found += 1;
            }
        }
    }
    assert!(found > 300 / stride(20), "{found}");
    for length in [0, 1, 1000, good.len() / 2, good.len() - 1] {
        overwrite(&inner, &path, good.slice(..length)).await;
        let error = read().await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{length}: {error}");
    }
    overwrite(&inner, &path, [&good[..], b"x"].concat()).await;
    assert!(matches!(read().await, Err(Error::Damaged { .. })));
    inner.delete(&path.as_str().into()).await.unwrap();
    assert!(matches!(read().await, Err(Error::Missing { .. })));
}

#[tokio::test]
async fn references_with_impossible_lengths_are_refused_unread() {
    let (repository, inner) = fresh_repository(1).await;
    let good = repository.objects().put(Kind::Piece, "x".into(), None).await.unwrap().reference;
    let requests = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&requests);
    let watched: Arc<dyn ObjectStore> = Faulty::new(&inner, move |_| {
        counter.fetch_add(1, Ordering::Relaxed);
        Fault::None
    });
    let repository = reopen(&watched, 2).await.unwrap();
    let before = requests.load(Ordering::Relaxed);
    for bad in [
        ObjectRef { plain: u32::MAX, ..good },
        ObjectRef { stored: u32::MAX, ..good },
        ObjectRef { plain: (32 << 20) + 1, ..good },
    ] {
        let error = repository.objects().read(Kind::Piece, &bad).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
        let range = 0..u64::MAX;
        let error = repository.objects().read_range(Kind::Piece, &bad, range).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
    assert_eq!(requests.load(Ordering::Relaxed), before);
    for bad in [
        ObjectRef { plain: 0, ..good },
        ObjectRef { plain: 2, ..good },
        ObjectRef { stored: 0, ..good },
        ObjectRef { stored: good.stored + 1, ..good },
    ] {
        let error = repository.objects().read(Kind::Piece, &bad).await.unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{error}");
    }
}

#[tokio::test]
async fn an_object_of_absurd_size_is_refused_unread() {
    let folder = tempfile::tempdir().unwrap();
    let location = RepositoryLocation::folder(folder.path()).unwrap();
    let repository = Repository::init(&location, &host(1), &Context::default()).await.unwrap();
    let stored = repository.objects().put(Kind::Piece, "x".into(), None).await.unwrap();
    let path: PathBuf = folder.path().join(stored.reference.name.path());
    fs::OpenOptions::new().write(true).open(path).unwrap().set_len(1 << 42).unwrap();
    let error = repository.objects().read(Kind::Piece, &stored.reference).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
}

#[tokio::test]
async fn listings_tell_objects_from_other_files() {
    let (repository, inner) = fresh_repository(1).await;
    let stored = repository.objects().put(Kind::Piece, "x".into(), None).await.unwrap().reference;
    let name = stored.name.to_string();
    let upper = name.to_uppercase();
    let foreign = [
        "objects/notes.txt".to_owned(),
        format!("objects/zz/{name}"),
        format!("objects/{}/{upper}", &name[..2]),
        format!("objects/{}/deep/{name}", &name[..2]),
    ];
    for path in &foreign {
        overwrite(&inner, path, "x").await;
    }
    let listed: Vec<ListedObject> = repository.objects().files().try_collect().await.unwrap();
    assert_eq!(listed.len(), 5);
    for file in listed {
        match file {
            ListedObject::Object { name, stored: length } => {
                assert_eq!((name, length), (stored.name, u64::from(stored.stored)));
            }
            ListedObject::Foreign(file) => assert!(foreign.contains(&file.path), "{}", file.path),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_writers_of_the_same_content_store_each_their_own() {
    let (repository, inner) = fresh_repository(1).await;
    let tasks = (0..16).map(|_| {
        let objects = repository.objects().clone();
        tokio::spawn(async move { objects.put(Kind::Leaf, "same".into(), None).await })
    });
    let mut names = Vec::new();
    for stored in join_all(tasks).await {
        names.push(stored.unwrap().unwrap().reference.name);
    }
    assert!(
        names.iter().all(|name| name.hash == names[0].hash && name.hash != ObjectHash([0; 32]))
    );
    names.sort();
    names.dedup();
    assert_eq!(names.len(), 16);
    for name in names {
        let path = name.path();
        inner.get_opts(&path.as_str().into(), GetOptions::default()).await.unwrap();
    }
}

/// Objects of several sizes, read by any range, a little beyond their end, too.
async fn check_ranges(repository: &Repository, lengths: &[usize], ranges: &[(usize, usize)]) {
    let objects = repository.objects();
    for &length in lengths {
        let plain = content(length as u64, length);
        let stored = objects.put(Kind::Piece, plain.clone().into(), None).await.unwrap();
        let whole = objects.read(Kind::Piece, &stored.reference).await.unwrap();
        assert!(whole == plain);
        for (from, to) in ranges {
            let (from, to) = (from % (length + 10), to % (length + 10));
            let range = from as u64..to as u64;
            let part = objects.read_range(Kind::Piece, &stored.reference, range).await.unwrap();
            let end = to.min(length);
            assert!(part == plain[from.min(end)..end], "{from}..{to} of {length}");
        }
    }
}

#[test]
fn a_range_read_is_that_part_of_the_whole() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let location = RepositoryLocation::folder(folder.path()).unwrap();
    let (host, context) = (host(1), Context::default());
    let repository = runtime.block_on(Repository::init(&location, &host, &context)).unwrap();
    let length = prop_oneof![0_usize..3000, 500_000_usize..2_500_000];
    let lengths = prop::collection::vec(length, 1..4);
    let ranges = prop::collection::vec((0_usize..1 << 40, 0_usize..1 << 40), 1..8);
    let config = ProptestConfig { cases: 24, ..ProptestConfig::default() };
    proptest!(config, |(lengths in lengths, ranges in ranges)| {
        runtime.block_on(check_ranges(&repository, &lengths, &ranges));
    });
}
