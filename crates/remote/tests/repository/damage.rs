//! The lists of damaged objects, and the sums of nodes.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use archive::catalog::Change;
use archive::directory::{Content, Database, Described, Holding, Proof};
use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::manifest::{Manifest, ProvedFrom, Shape};
use archive::node::{Child, Node, Tree};
use archive::object::{Kind, ObjectHash, ObjectName};
use backup_core::integrity::Summer;
use backup_core::progress::Context;
use backup_core::record::Record;
use backup_core::source::Order;
use lthash::LtHash;
use object_store::ObjectStore;
use remote::damage::mark;
use remote::tree::DirectoryWriter;
use remote::verify::{Level, verify};
use remote::{Decision, Error, Repository, Root, Session, names};

use crate::support::{
    Fault, Faulty, Request, fresh_repository, manifest, overwrite, reopen, source,
};

const TAG: &[u8] = b"data";

/// Stores a leaf of one record.
async fn leaf(repository: &Repository, key: u32, value: &[u8]) -> (Child, LtHash) {
    let key = key.to_be_bytes();
    let mut summer = Summer::new(TAG);
    summer.add_record(&Record::whole(b"", &key, value)).unwrap();
    let sum = summer.finish().unwrap().lthash;
    let mut builder = LeafBuilder::new();
    let value = LeafValue::Inline(value);
    builder.push(&LeafRecord { root_key: b"", key: &key, value }).unwrap();
    let leaf = builder.finish(Some(&sum));
    let content = leaf.content.clone();
    let object = repository.objects().put(Kind::Leaf, content, None).await.unwrap().reference;
    (Child::of_leaf(object, &leaf, Some(&sum)), sum)
}

/// Commits a snapshot of one node, which says that `sum` is that of its leaves.
async fn snapshot(repository: &Repository, id: u8, leaves: &[Child], sum: &LtHash) {
    let node = Node { level: 1, sum: Some(sum.clone()), children: leaves.to_vec() };
    let content = node.encode().into();
    let object = repository.objects().put(Kind::Node, content, None).await.unwrap().reference;
    let root = Child::of_node(object, &node);
    let (records, bytes) = (root.records, root.bytes);
    let described = Described {
        name: "data".to_owned(),
        tag: TAG.to_vec(),
        order: Order::Key,
        settings: None,
        proof: Some(Proof { records, bytes, checksum: sum.checksum() }),
    };
    let content = Content::Tree(Box::new(Tree { levels: 1, root }));
    let head = repository.head().await.unwrap();
    let session = Session::begin(repository, &head, &source(), &[]).await.unwrap();
    let session = Arc::new(session);
    let mut directory = DirectoryWriter::new(&session, &[], Holding::Records);
    directory.push(&Database { described, content }, Some(sum)).await.unwrap();
    let directory = directory.finish().await.unwrap();
    let manifest = Manifest {
        created_ms: u64::from(id),
        shape: Shape::Records,
        proved_from: Some(ProvedFrom::Source),
        databases: directory.tree,
        sum: directory.sum,
        ..manifest(id)
    };
    session.commit(&manifest).await.unwrap();
}

/// How many objects `verify` reads.
async fn reads(inner: &Arc<dyn ObjectStore>) -> u64 {
    let count = Arc::new(AtomicU64::new(0));
    let counted = Arc::clone(&count);
    let counting: Arc<dyn ObjectStore> = Faulty::new(inner, move |request| {
        if matches!(request, Request::Get(path) if path.starts_with("objects/")) {
            counted.fetch_add(1, Ordering::Relaxed);
        }
        Fault::None
    });
    let repository = reopen(&counting, 2).await.unwrap();
    let report = verify(&repository, Level::Full, &Context::default()).await.unwrap();
    assert_eq!(report.findings, []);
    count.load(Ordering::Relaxed)
}

/// Where a node replaces an earlier one, the sums of the children that both have cancel out: they are
/// not read to check it.
#[tokio::test]
async fn a_changed_node_is_checked_without_reading_what_it_shares() {
    let (repository, inner) = fresh_repository(1).await;
    let mut leaves = Vec::new();
    let mut sum = LtHash::identity();
    for key in 0..40 {
        let (child, of) = leaf(&repository, key, b"first").await;
        leaves.push(child);
        sum += &of;
    }
    snapshot(&repository, 1, &leaves, &sum).await;
    let alone = reads(&inner).await;
    let (child, of) = leaf(&repository, 7, b"second").await;
    let (_, old) = leaf(&repository, 7, b"first").await;
    leaves[7] = child;
    sum -= &old;
    sum += &of;
    snapshot(&repository, 2, &leaves, &sum).await;
    let both = reads(&inner).await;
    // The manifest, two nodes, the new leaf and the one it replaced; some of them twice.
    assert!(both - alone <= 10, "{alone} and then {both}");

    // The same with a wrong sum, as somebody may write who makes all hashes right.
    sum += &old;
    let wrong = leaf(&repository, 7, b"third").await.0;
    leaves[7] = wrong;
    snapshot(&repository, 3, &leaves, &sum).await;
    let report = verify(&repository, Level::Full, &Context::default()).await.unwrap();
    let found: Vec<_> = report.findings.iter().map(|finding| &finding.detail).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("not the sum of its children's"), "{found:?}");
}

/// A repository that cannot be written keeps its lists as they are, and says so.
#[tokio::test]
async fn what_cannot_be_committed_is_an_error_and_changes_nothing() {
    let (repository, inner) = fresh_repository(1).await;
    let (child, sum) = leaf(&repository, 1, b"value").await;
    snapshot(&repository, 1, std::slice::from_ref(&child), &sum).await;
    overwrite(&inner, &child.object.name.path(), "damaged").await;
    let read_only: Arc<dyn ObjectStore> = Faulty::new(&inner, |request| match request {
        Request::Put(_) => Fault::Deny,
        _ => Fault::None,
    });
    let reader = reopen(&read_only, 2).await.unwrap();
    let report = verify(&reader, Level::Full, &Context::default()).await.unwrap();
    assert_eq!(report.damaged.iter().collect::<Vec<_>>(), [&child.object.name]);
    let error = mark(&reader, &report, Level::Full).await.unwrap_err();
    assert!(matches!(error, Error::Store { .. }), "{error}");
    let state = reopen(&inner, 3).await.unwrap().head().await.unwrap().state;
    assert!(state.damaged.is_empty());
    let writer = reopen(&inner, 4).await.unwrap();
    let marked = mark(&writer, &report, Level::Full).await.unwrap();
    assert_eq!((marked.listed, marked.committed), (1, true));
    let again = mark(&writer, &report, Level::Full).await.unwrap();
    assert_eq!((again.listed, again.committed), (1, false));
}

/// What became live after `verify` looked may reach what is on a list: the list stays.
#[tokio::test]
async fn no_list_ends_while_something_is_live_that_was_not_looked_at() {
    let (repository, _) = fresh_repository(1).await;
    let (child, sum) = leaf(&repository, 1, b"value").await;
    snapshot(&repository, 1, std::slice::from_ref(&child), &sum).await;
    list(&repository, vec![child.object.name]).await;
    let report = verify(&repository, Level::Full, &Context::default()).await.unwrap();
    assert_eq!(report.findings, []);
    snapshot(&repository, 2, &[child], &sum).await;
    let marked = mark(&repository, &report, Level::Full).await.unwrap();
    assert_eq!((marked.listed, marked.committed), (1, false));
    let report = verify(&repository, Level::Full, &Context::default()).await.unwrap();
    let marked = mark(&repository, &report, Level::Full).await.unwrap();
    assert_eq!((marked.listed, marked.committed), (0, true));
}

/// Commits a list of damaged objects.
async fn list(repository: &Repository, mut listed: Vec<ObjectName>) {
    listed.sort();
    let content = names::encode(&listed).unwrap().into();
    let stored = repository.objects().put(Kind::Names, content, None).await.unwrap();
    let changes = vec![Change::Damaged(stored.reference)];
    let head = repository.head().await.unwrap();
    let decide = move |_: &_, _: &[_]| Ok(Decision::Commit(changes.clone()));
    repository.catalog().commit(&head, decide).await.unwrap();
}

/// With more damaged objects than a session remembers, it reuses nothing: all is stored anew.
#[tokio::test]
async fn too_many_damaged_objects_to_remember_are_all_objects() {
    let (repository, _) = fresh_repository(1).await;
    let (child, sum) = leaf(&repository, 1, b"value").await;
    snapshot(&repository, 1, std::slice::from_ref(&child), &sum).await;
    let roots = [Root::Snapshot(manifest(1).id)];
    for half in [0, 1] {
        let head = repository.head().await.unwrap();
        let session = Session::begin(&repository, &head, &source(), &roots).await.unwrap();
        assert!(session.may_reuse(&child.object), "{half}");
        session.abandon().await.unwrap();
        let name = |number: u32| {
            let mut hash = [half; 32];
            hash[..4].copy_from_slice(&number.to_be_bytes());
            ObjectName { hash: ObjectHash(hash), nonce: [0; 8] }
        };
        list(&repository, (0..500_001).map(name).collect()).await;
    }
    let head = repository.head().await.unwrap();
    let session = Session::begin(&repository, &head, &source(), &roots).await.unwrap();
    assert!(!session.may_reuse(&child.object));
    session.abandon().await.unwrap();
}
