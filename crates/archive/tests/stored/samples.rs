//! Small leaves, nodes, manifests and entries, and generators of any.

use std::collections::{BTreeMap, BTreeSet};

use archive::catalog::{
    Change, Entry, EntryHash, Pin, PinId, RepositoryId, SnapshotEntry, SourceId, State,
};
use archive::leaf::{FinishedLeaf, LeafBuilder, LeafRecord, LeafValue};
use archive::manifest::{Manifest, PageProof, ProvedFrom, Shape, SnapshotId};
use archive::node::{Child, Node, NodeBuilder, Tree};
use archive::object::{Hashed, Kind, ObjectHash, ObjectKey, ObjectName, ObjectRef};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::ownership::{Account, Owner, Ownership};
use backup_core::position::{Consistency, Position};
use backup_core::record::{Record, RecordKey};
use backup_core::source::{Layout, StoreDescription};
use lthash::LtHash;
use proptest::collection::{btree_map, btree_set, vec};
use proptest::prelude::*;

/// A value, owned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Inline(Vec<u8>),
    Pieces(Vec<ObjectRef>),
}

/// The records of a leaf by (root key, key).
pub(crate) type Records = BTreeMap<(Vec<u8>, Vec<u8>), Value>;

impl Value {
    pub(crate) fn as_leaf_value(&self) -> LeafValue<'_> {
        match self {
            Self::Inline(value) => LeafValue::Inline(value),
            Self::Pieces(pieces) => {
                let total = pieces.iter().map(|piece| u64::from(piece.plain)).sum();
                LeafValue::Pieces { total, pieces: pieces.clone() }
            }
        }
    }
}

pub(crate) fn key() -> ObjectKey {
    ObjectKey::derive(b"a repository")
}

/// A content as the object that stores it, and its reference.
pub(crate) fn stored(kind: Kind, content: &[u8]) -> (Vec<u8>, ObjectRef) {
    let hashed = Hashed::new(kind, content, &key()).unwrap();
    let stored = hashed.seal(3).unwrap();
    let name = ObjectName { hash: hashed.hash, nonce: *b"nonce 64" };
    let reference =
        ObjectRef { name, plain: hashed.plain(), stored: u32::try_from(stored.len()).unwrap() };
    (stored, reference)
}

/// A reference with possible lengths: `packed` percent of the plain bytes are stored.
pub(crate) fn reference(seed: u8, plain: u32, packed: u32) -> ObjectRef {
    let around = 8 + plain.div_ceil(256 << 10) * 41 + 24;
    let stored = around + u32::try_from(u64::from(plain) * u64::from(packed) / 100).unwrap();
    let name = ObjectName { hash: ObjectHash([seed; 32]), nonce: [seed; 8] };
    ObjectRef { name, plain, stored }
}

pub(crate) fn leaf_of(records: &Records, sum: Option<&LtHash>) -> FinishedLeaf {
    let mut builder = LeafBuilder::new();
    for ((root_key, key), value) in records {
        builder.push(&LeafRecord { root_key, key, value: value.as_leaf_value() }).unwrap();
    }
    builder.finish(sum)
}

/// The sum of records whose values are all inline.
pub(crate) fn sum_of(records: &Records) -> DatabaseSum {
    let mut summer = Summer::new(b"default");
    for ((root_key, key), value) in records {
        let Value::Inline(value) = value else { panic!("only inline values are summed here") };
        summer.add_record(&Record::whole(root_key, key, value)).unwrap();
    }
    summer.finish().unwrap()
}

pub(crate) fn small_records() -> Records {
    let mut records = Records::new();
    for (key, value) in [("alice", "100"), ("bob", "")] {
        records.insert((Vec::new(), key.into()), Value::Inline(value.into()));
    }
    records.insert((b"eu".to_vec(), b"carol".to_vec()), Value::Inline(b"7".to_vec()));
    records
}

/// A leaf with inline values, an empty one, a root key, and a value in two pieces.
pub(crate) fn small_leaf() -> FinishedLeaf {
    let sum = sum_of(&small_records()).lthash;
    let mut records = small_records();
    let pieces = vec![reference(1, 8 << 20, 100), reference(2, 5, 100)];
    records.insert((b"eu".to_vec(), b"long".to_vec()), Value::Pieces(pieces));
    leaf_of(&records, Some(&sum))
}

/// A node of three leaves of one record each, with sums.
pub(crate) fn small_node() -> Node {
    let mut builder = NodeBuilder::new(1, true);
    for (number, (at, value)) in small_records().into_iter().enumerate() {
        let records = Records::from([(at, value)]);
        let sum = sum_of(&records).lthash;
        let leaf = leaf_of(&records, Some(&sum));
        let seed = u8::try_from(number).unwrap();
        let child = Child::of_leaf(reference(seed, 2100, 50), &leaf, Some(&sum));
        assert_eq!(builder.push(child, Some(&sum)).unwrap(), None);
    }
    builder.take().unwrap()
}

pub(crate) fn tree_of(root_key: &[u8], sum: Option<&DatabaseSum>) -> Tree {
    let place = |key: &[u8]| RecordKey::new(root_key, key);
    Tree {
        levels: 2,
        root: Child {
            object: reference(9, 2500, 40),
            first: place(b"alice"),
            last: place(b"carol"),
            records: sum.map_or(12, |sum| sum.records),
            bytes: sum.map_or(123_456, |sum| sum.bytes),
            pieces: 3,
            checksum: sum.map(|sum| sum.lthash.checksum()),
        },
    }
}

fn described() -> Manifest {
    Manifest {
        id: SnapshotId([0xab; 16]),
        created_ms: 1_700_000_000_123,
        name: Some("app".into()),
        host: "host".into(),
        source: StoreDescription {
            engine: "rocksdb".into(),
            location: "rocksdb:/srv/db".into(),
            identity: Some("identity".into()),
        },
        label: Some("nightly".into()),
        description: None,
        position: Position::RocksDb { sequence: 77 },
        consistency: Consistency::PointInTime,
        layout: Layout::Partitioned,
        ownership: Some(ownership(0o640)),
        databases: None,
        sum: Some(DatabaseSum::default()),
        shape: Shape::Records,
        proved_from: Some(ProvedFrom::Source),
        notes: vec!["a note".into()],
        unusual: vec!["a collation".into()],
        pages: None,
    }
}

/// Whose a store is, and who may read it.
pub(crate) fn ownership(mode: u32) -> Ownership {
    let account = |number, name: &str| Account { number, name: Some(name.into()) };
    let owner = Owner { user: account(1000, "app"), group: Account { number: 1001, name: None } };
    Ownership { owner, mode, files_mode: Some(mode) }
}

/// Whose a single file is.
pub(crate) fn any_owner() -> impl Strategy<Value = Option<Owner>> {
    let account = || (any::<u32>(), proptest::option::of(".{0,60}"));
    proptest::option::of((account(), account())).prop_map(|owner| {
        owner.map(|(user, group)| Owner {
            user: Account { number: user.0, name: user.1 },
            group: Account { number: group.0, name: group.1 },
        })
    })
}

/// A manifest in the records shape, of two databases.
pub(crate) fn records_manifest() -> Manifest {
    let sum = sum_of(&small_records());
    Manifest { databases: Some(directory_of(Some(&sum))), sum: Some(sum), ..described() }
}

/// The tree of two databases whose records have a sum.
pub(crate) fn directory_of(sum: Option<&DatabaseSum>) -> Tree {
    let mut tree = tree_of(b"", sum);
    (tree.levels, tree.root.records) = (0, 2);
    tree
}

/// A manifest in the files shape, without a logical proof.
pub(crate) fn files_manifest() -> Manifest {
    Manifest {
        position: Position::Named("checkpoint 4".into()),
        consistency: Consistency::Window { from_ms: 5, to_ms: 9 },
        databases: Some(directory_of(None)),
        sum: None,
        shape: Shape::Files { tree: Some(tree_of(b"CURRENT", None)), count: 4, bytes: 123_000 },
        proved_from: None,
        ..described()
    }
}

/// A manifest of one file that is made of pages.
pub(crate) fn paged_manifest() -> Manifest {
    let file = tree_of(b"database.sqlite", None);
    let sum = DatabaseSum { records: 3, bytes: 3 * (4096 + 4), ..sum_of(&small_records()) };
    Manifest {
        position: Position::Sqlite { salts: [1, 2], frame: 3 },
        shape: Shape::Files { tree: Some(file), count: 1, bytes: 3 * 4096 },
        pages: Some(PageProof { page_bytes: 4096, sum, generation: [7; 16] }),
        ..files_manifest()
    }
}

pub(crate) fn snapshot_entry(seed: u8) -> SnapshotEntry {
    SnapshotEntry {
        id: SnapshotId([seed; 16]),
        manifest: reference(seed, 300, 90),
        created_ms: u64::from(seed) * 1000,
        source: source_id("rocksdb", "/srv/db"),
        label: seed.is_multiple_of(2).then(|| "nightly".into()),
        shape: archive::manifest::ShapeKind::Records,
        bytes: 123_456,
        added: 4711,
        entry: u64::from(seed),
    }
}

pub(crate) fn pin(seed: u8) -> Pin {
    Pin {
        id: PinId([seed; 16]),
        manifest: reference(seed, 300, 90),
        source: source_id("memory", "FILE.bcs"),
        created_ms: 12,
        entry: 3,
    }
}

fn source_id(engine: &str, place: &str) -> SourceId {
    SourceId {
        name: (engine == "rocksdb").then(|| "app".into()),
        host: "host".into(),
        location: format!("{engine}:{place}"),
        engine: engine.into(),
    }
}

/// An entry with each kind of change, and the state.
pub(crate) fn entry() -> Entry {
    let changes = vec![
        Change::Snapshot(snapshot_entry(2)),
        Change::Forget(SnapshotId([3; 16])),
        Change::Pin(pin(4)),
        Change::Unpin(PinId([5; 16])),
        Change::Condemn(reference(6, 900, 10)),
        Change::Damaged(reference(7, 40, 100)),
    ];
    let mut state = State::default();
    for change in &changes {
        state.apply(change);
    }
    Entry {
        repository: RepositoryId([0x11; 16]),
        number: 128,
        previous: EntryHash::of(b"the one before"),
        floor: 64,
        commit: [0x22; 16],
        written_ms: 1_700_000_000_456,
        changes,
        state: Some(state),
    }
}

/// Keys of every kind: empty, short, long, runs of 0xFF, and ones that begin alike.
pub(crate) fn any_key() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        1 => Just(Vec::new()),
        4 => vec(any::<u8>(), 0..20),
        2 => vec(Just(0xff), 1..10),
        2 => vec(0_u8..2, 0..5),
        1 => vec(any::<u8>(), 120..400),
    ]
}

pub(crate) fn any_reference() -> impl Strategy<Value = ObjectRef> {
    (any::<u8>(), 1_u32..=32 << 20, 0_u32..=100)
        .prop_map(|(seed, plain, packed)| reference(seed, plain, packed))
}

pub(crate) fn any_value() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => vec(any::<u8>(), 0..300).prop_map(Value::Inline),
        1 => vec(any_reference(), 1..5).prop_map(Value::Pieces),
    ]
}

pub(crate) fn any_records() -> impl Strategy<Value = Records> {
    btree_map((any_key(), any_key()), any_value(), 1..40)
}

pub(crate) fn any_sum() -> impl Strategy<Value = Option<LtHash>> {
    let lanes = any::<u64>().prop_map(|seed| testkit::noise(seed, LtHash::BYTES));
    proptest::option::of(lanes.prop_map(|lanes| LtHash::try_from(lanes.as_slice()).unwrap()))
}

/// Nodes of any level, their children between sorted places.
pub(crate) fn any_node() -> impl Strategy<Value = Node> {
    let places = btree_set((any_key(), any_key()), 1..40);
    let counts = (1..u64::MAX / 64, any::<u32>(), any::<u32>());
    (places, 1_u8..=12, any_sum(), any_reference(), counts).prop_map(
        |(places, level, sum, object, (records, bytes, pieces))| {
            let children = pairs(places)
                .map(|(first, last)| Child {
                    object,
                    first,
                    last,
                    records,
                    bytes: bytes.into(),
                    pieces: pieces.into(),
                    checksum: sum.as_ref().map(LtHash::checksum),
                })
                .collect();
            Node { level, sum, children }
        },
    )
}

/// First and last places: neighbours, the last of an odd number alone.
fn pairs(places: BTreeSet<(Vec<u8>, Vec<u8>)>) -> impl Iterator<Item = (RecordKey, RecordKey)> {
    let mut places = places.into_iter().map(|(root_key, key)| RecordKey { root_key, key });
    std::iter::from_fn(move || {
        let first = places.next()?;
        let last = places.next().unwrap_or_else(|| first.clone());
        Some((first, last))
    })
}

fn any_position() -> impl Strategy<Value = Position> {
    prop_oneof![
        Just(Position::Unknown),
        any::<u64>().prop_map(Position::Version),
        any::<u64>().prop_map(|sequence| Position::RocksDb { sequence }),
        (any::<[u32; 2]>(), any::<u32>())
            .prop_map(|(salts, frame)| Position::Sqlite { salts, frame }),
        any::<u64>().prop_map(Position::Log),
        ".*".prop_map(Position::Named),
    ]
}

fn any_consistency() -> impl Strategy<Value = Consistency> {
    prop_oneof![
        Just(Consistency::PointInTime),
        Just(Consistency::Crash),
        any::<(u64, u64)>().prop_map(|(from_ms, to_ms)| Consistency::Window { from_ms, to_ms }),
    ]
}

/// Manifests of both shapes, with sums and without.
pub(crate) fn any_manifest() -> impl Strategy<Value = Manifest> {
    let texts = (".*", any::<[Option<String>; 3]>(), vec(".*", 0..4));
    let history = (any_position(), any_consistency(), any::<bool>());
    let databases = (0_u64..4, any_sum(), any::<u32>());
    (any::<[u8; 16]>(), any::<u64>(), texts, history, databases, any::<(bool, bool)>()).prop_map(
        |(id, created_ms, texts, (position, consistency, plain), databases, (files, proved))| {
            let (host, [identity, label, description], notes) = texts;
            let (count, lthash, records) = databases;
            let sum = DatabaseSum {
                lthash: if count > 0 { lthash.unwrap_or_default() } else { LtHash::identity() },
                records: if count > 0 { records.into() } else { 0 },
                bytes: if count > 0 { u64::from(records) * 3 } else { 0 },
            };
            let sum = (proved || !files).then_some(sum);
            let databases = (count > 0).then(|| {
                let mut tree = directory_of(sum.as_ref());
                tree.root.records = count;
                tree
            });
            let tree = proved.then(|| tree_of(b"CURRENT", None));
            let (count, bytes) = if proved { (3, 1000) } else { (0, 0) };
            let source = StoreDescription { identity, ..described().source };
            Manifest {
                id: SnapshotId(id),
                created_ms,
                name: proved.then(|| format!("name of {host}")),
                host,
                source,
                label,
                description,
                position,
                consistency,
                layout: if plain { Layout::Plain } else { Layout::Partitioned },
                ownership: plain.then(|| ownership(u32::from(id[0]))),
                databases,
                sum,
                shape: if files { Shape::Files { tree, count, bytes } } else { Shape::Records },
                proved_from: (proved || !files).then_some(ProvedFrom::Repository),
                notes,
                unusual: Vec::new(),
                pages: None,
            }
        },
    )
}

fn any_change() -> impl Strategy<Value = Change> {
    prop_oneof![
        any::<u8>().prop_map(|seed| Change::Snapshot(snapshot_entry(seed))),
        any::<[u8; 16]>().prop_map(|id| Change::Forget(SnapshotId(id))),
        any::<u8>().prop_map(|seed| Change::Pin(pin(seed))),
        any::<[u8; 16]>().prop_map(|id| Change::Unpin(PinId(id))),
        any_reference().prop_map(Change::Condemn),
        any_reference().prop_map(Change::Damaged),
    ]
}

pub(crate) fn any_entry() -> impl Strategy<Value = Entry> {
    let numbers = (any::<u64>(), any::<u64>(), any::<u64>());
    let ids = any::<([u8; 16], [u8; 32], [u8; 16])>();
    (numbers, ids, vec(any_change(), 0..8), any::<bool>()).prop_map(
        |((number, below, written_ms), (repository, previous, commit), changes, state)| {
            let number = if state { number / 64 * 64 } else { number }.max(1);
            let mut after = State::default();
            for change in &changes {
                after.apply(change);
            }
            Entry {
                repository: RepositoryId(repository),
                number,
                previous: EntryHash(previous),
                floor: below % number,
                commit,
                written_ms,
                changes,
                state: number.is_multiple_of(64).then_some(after),
            }
        },
    )
}
