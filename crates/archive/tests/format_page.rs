//! The worked example of `docs/FORMAT.md`, read out of the page and checked against the code.
//!
//! A block of the page that begins with three backticks and `hex NAME` holds bytes: in each line hex
//! digits, and after two spaces what they mean. `LTHASH` stands for the 2048 bytes of an LtHash that
//! the test computes, `CHECKSUM` for its checksum.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs;
use std::path::Path;

use archive::boundary::{Target, ends_node};
use archive::catalog::{Change, Entry, EntryHash, RepositoryId, SnapshotEntry, SourceId, State};
use archive::directory::{Database, Described, InlineBuilder, Proof};
use archive::leaf::{Leaf, LeafBuilder, LeafRecord, LeafValue};
use archive::manifest::{FileMeta, Manifest, Shape, ShapeKind, SnapshotId};
use archive::node::{Child, Node, NodeBuilder, Tree};
use archive::object::{self, Hashed, Kind, ObjectHash, ObjectKey, ObjectName, ObjectRef};
use archive::portable::{PortableReader, PortableWriter};
use archive::sort::SORT_MEMORY;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};
use backup_core::source::{FileNature, Layout, Order, StoreDescription};
use lthash::LtHash;

const REPOSITORY: RepositoryId = RepositoryId(*b"keepsum example!");
const CREATED_MS: u64 = 1_767_225_600_000;
/// The two objects that the backup stored: 145 bytes of the leaf, 280 of the manifest.
const ADDED: u64 = 145 + 280;
const SNAPSHOT: SnapshotId = SnapshotId([
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
]);

/// The page, or none where the crate stands without its workspace.
fn page() -> Option<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/FORMAT.md");
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../Cargo.toml");
    if !path.exists() && !workspace.exists() {
        println!("skipped: the crate was packaged, docs/FORMAT.md is not there");
        return None;
    }
    Some(fs::read_to_string(path).unwrap())
}

/// The text of the block that opens with `opening`.
fn block<'a>(page: &'a str, opening: &str) -> &'a str {
    let opening = format!("\n```{opening}\n");
    let (_, rest) = page.split_once(&opening).unwrap_or_else(|| panic!("no block {opening}"));
    assert!(!rest.contains(&opening), "two blocks {opening}");
    rest.split_once("```").unwrap().0
}

/// The bytes of the block `hex NAME`.
fn bytes(page: &str, name: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    for line in block(page, &format!("hex {name}")).lines() {
        let digits = line.split("  ").next().unwrap();
        match digits {
            "LTHASH" => bytes.extend_from_slice(&lthash().to_bytes()),
            "CHECKSUM" => bytes.extend_from_slice(lthash().checksum().as_bytes()),
            digits => bytes.extend(hex::decode(digits.replace(' ', "")).expect(line)),
        }
    }
    bytes
}

const RECORDS: [(&[u8], &[u8], &[u8]); 3] =
    [(b"", b"alice", b"100"), (b"", b"bob", b""), (b"eu", b"carol", b"7")];

fn batch() -> RecordBatch {
    let mut batch = RecordBatch::new();
    for (root_key, key, value) in RECORDS {
        batch.push(Record::whole(root_key, key, value)).unwrap();
    }
    batch
}

/// The LtHash of the database `default` of docs/INTEGRITY.md.
fn lthash() -> LtHash {
    let mut summer = Summer::new(b"default");
    summer.add(&batch()).unwrap();
    summer.finish().unwrap().lthash
}

/// Content of one frame as an object that is stored plain, made by the page's rules alone, and whose
/// nonce ends in `last`.
fn store(kind: Kind, content: &[u8], last: u8) -> (Vec<u8>, ObjectRef) {
    let length = u32::try_from(content.len()).unwrap();
    let frame_key = blake3::derive_key("keepsum frame v1", &REPOSITORY.0);
    let object_key = blake3::derive_key("keepsum object v1", &REPOSITORY.0);
    let frame = blake3::keyed_hash(&frame_key, content);
    let mut stored = [b"KSOB\x01", &[kind as u8, 0, 0][..], content].concat();
    for part in [&length.to_le_bytes()[..], &length.to_le_bytes(), &[0], frame.as_bytes()] {
        stored.extend_from_slice(part);
    }
    stored.extend_from_slice(b"\x01\0\0\0KSOE");
    let checksum = xxhash_rust::xxh3::xxh3_128(&stored);
    stored.extend_from_slice(&checksum.to_le_bytes());

    let named = [&[kind as u8], &length.to_le_bytes()[..], frame.as_bytes()].concat();
    let hash = ObjectHash(*blake3::keyed_hash(&object_key, &named).as_bytes());
    let name = ObjectName { hash, nonce: [1, 2, 3, 4, 5, 0, 0, last] };
    let reference = ObjectRef { name, plain: length, stored: stored.len().try_into().unwrap() };
    let opened = object::open(&stored, &reference, kind, &ObjectKey::derive(&REPOSITORY.0));
    assert_eq!(opened.unwrap(), content);
    (stored, reference)
}

fn file_leaf() -> archive::leaf::FinishedLeaf {
    let nature = FileNature::Changing;
    let file = FileMeta { bytes: 16, mode: 0o644, nature, identity: None, owner: None };
    let described = file.encode().unwrap();
    let mut leaf = LeafBuilder::new();
    for (key, value) in [(&b""[..], described.as_slice()), (&[0; 8], b"MANIFEST-000004\n")] {
        let value = LeafValue::Inline(value);
        leaf.push(&LeafRecord { root_key: b"CURRENT", key, value }).unwrap();
    }
    leaf.finish(None)
}

fn manifest() -> Manifest {
    let leaf = file_leaf();
    let (_, object) = store(Kind::Leaf, &leaf.content, 1);
    let tree = Some(Tree { levels: 0, root: Child::of_leaf(object, &leaf, None) });
    Manifest {
        id: SNAPSHOT,
        created_ms: CREATED_MS,
        name: Some("app".into()),
        host: "host".into(),
        source: StoreDescription {
            engine: "files".into(),
            location: "files:/srv/app".into(),
            identity: None,
        },
        label: Some("first".into()),
        description: None,
        position: Position::Named("checkpoint 4".into()),
        consistency: Consistency::PointInTime,
        layout: Layout::Plain,
        ownership: None,
        databases: None,
        sum: None,
        shape: Shape::Files { tree, count: 1, bytes: 16 },
        proved_from: None,
        notes: Vec::new(),
        unusual: Vec::new(),
        pages: None,
    }
}

/// The two entries of the example's catalog.
fn entries() -> [Entry; 2] {
    let first = Entry {
        repository: REPOSITORY,
        number: 0,
        previous: EntryHash::default(),
        floor: 0,
        commit: [0xc0; 16],
        written_ms: CREATED_MS,
        changes: Vec::new(),
        state: Some(State::default()),
    };
    let (_, stored) = store(Kind::Manifest, &manifest().encode().unwrap(), 2);
    let snapshot = SnapshotEntry {
        id: SNAPSHOT,
        manifest: stored,
        created_ms: CREATED_MS,
        source: SourceId {
            name: Some("app".into()),
            host: "host".into(),
            location: "files:/srv/app".into(),
            engine: "files".into(),
        },
        label: Some("first".into()),
        shape: ShapeKind::Files,
        bytes: 16,
        added: ADDED,
        entry: 1,
    };
    let second = Entry {
        number: 1,
        previous: EntryHash::of(&first.encode().unwrap()),
        commit: [0xc1; 16],
        changes: vec![Change::Snapshot(snapshot)],
        state: None,
        ..first.clone()
    };
    [first, second]
}

#[test]
fn keepsum_json() {
    let Some(page) = page() else { return };
    let text = block(&page, "json keepsum.json");
    let at = text.find("  \"checksum\": ").unwrap();
    let checksum = blake3::hash(&text.as_bytes()[..at]).to_hex();
    assert_eq!(&text[at..], format!("  \"checksum\": \"{checksum}\"\n}}\n"));
    let id = hex::encode(REPOSITORY.0);
    assert!(text.contains(&format!("\"id\": \"{id}\"")), "{id}");
    assert!(text.contains(&format!("\"created_ms\": {CREATED_MS}")));
}

#[test]
fn the_leaf_of_a_file() {
    let Some(page) = page() else { return };
    let leaf = file_leaf();
    assert_eq!(hex::encode(bytes(&page, "file-leaf")), hex::encode(&leaf.content));
    assert_eq!(Leaf::parse(&leaf.content).unwrap().records, 2);
    let (stored, reference) = store(Kind::Leaf, &leaf.content, 1);
    assert_eq!(hex::encode(bytes(&page, "object")), hex::encode(&stored));
    assert!(page.contains(&format!("`{}`", reference.name.path())), "{}", reference.name.path());
    let hashed = Hashed::new(Kind::Leaf, &leaf.content, &ObjectKey::derive(&REPOSITORY.0)).unwrap();
    assert_eq!(hashed.seal(1).unwrap(), stored);
    assert_eq!(hashed.hash, reference.name.hash);
}

#[test]
fn the_keys_of_the_repository() {
    let Some(page) = page() else { return };
    for context in ["keepsum frame v1", "keepsum object v1"] {
        let key = hex::encode(blake3::derive_key(context, &REPOSITORY.0));
        assert!(page.contains(&format!("`{context}`")) && page.contains(&key), "{key}");
    }
}

#[test]
fn the_manifest() {
    let Some(page) = page() else { return };
    let content = manifest().encode().unwrap();
    assert_eq!(hex::encode(bytes(&page, "manifest")), hex::encode(&content));
    assert_eq!(Manifest::parse(&bytes(&page, "manifest")).unwrap(), manifest());
    let (_, reference) = store(Kind::Manifest, &content, 2);
    assert!(page.contains(&format!("`{}`", reference.name.path())), "{}", reference.name.path());
}

#[test]
fn the_catalog() {
    let Some(page) = page() else { return };
    for (name, entry) in ["entry-0", "entry-1"].iter().zip(entries()) {
        assert_eq!(hex::encode(bytes(&page, name)), hex::encode(entry.encode().unwrap()));
        assert_eq!(Entry::parse(&bytes(&page, name)).unwrap(), entry);
    }
}

#[test]
fn the_leaf_of_records() {
    let Some(page) = page() else { return };
    let mut leaf = LeafBuilder::new();
    for (root_key, key, value) in RECORDS {
        leaf.push(&LeafRecord { root_key, key, value: LeafValue::Inline(value) }).unwrap();
    }
    let content = leaf.finish(Some(&lthash())).content;
    assert_eq!(hex::encode(bytes(&page, "record-leaf")), hex::encode(content));
}

#[test]
fn the_small_database() {
    let Some(page) = page() else { return };
    let mut small = InlineBuilder::default();
    for (root_key, key, value) in RECORDS {
        let record = LeafRecord { root_key, key, value: LeafValue::Inline(value) };
        assert!(small.push(&record).unwrap());
    }
    let sum = DatabaseSum { lthash: lthash(), records: 3, bytes: 19 };
    let described = Described {
        name: "default".into(),
        tag: b"default".to_vec(),
        order: Order::Key,
        settings: None,
        proof: Some(Proof::of(&sum)),
    };
    let database = Database { described, content: small.finish() };
    assert_eq!(
        hex::encode(bytes(&page, "small-database")),
        hex::encode(database.encode().unwrap())
    );
}

#[test]
fn the_node() {
    let Some(page) = page() else { return };
    let mut builder = NodeBuilder::new(1, false);
    for (path, last) in [(&b"A"[..], 3), (b"B", 4)] {
        let mut leaf = LeafBuilder::new();
        let value = LeafValue::Inline(b"v");
        leaf.push(&LeafRecord { root_key: path, key: b"", value }).unwrap();
        let leaf = leaf.finish(None);
        let (_, object) = store(Kind::Leaf, &leaf.content, last);
        assert_eq!(builder.push(Child::of_leaf(object, &leaf, None), None).unwrap(), None);
    }
    let node = builder.take().unwrap();
    assert_eq!(hex::encode(bytes(&page, "node")), hex::encode(node.encode()));
    assert_eq!(Node::parse(&bytes(&page, "node"), 1).unwrap(), node);
}

#[test]
fn the_portable_file() {
    let Some(page) = page() else { return };
    let spill = tempfile::tempdir().unwrap();
    let mut writer = PortableWriter::new(spill.path(), SORT_MEMORY, &Context::default());
    writer.push(&batch()).unwrap();
    let mut file = Vec::new();
    writer.finish(&mut file, "example.bcs").unwrap();
    let written = bytes(&page, "portable");
    assert_eq!(hex::encode(&written), hex::encode(&file));
    let mut reader = PortableReader::new(&written[..], "example.bcs");
    let read = reader.next().unwrap().unwrap();
    assert!(reader.next().is_none());
    // Its order is another one: by the encoded key.
    let mut records: Vec<_> = read.iter().map(|r| (r.root_key, r.key, r.value)).collect();
    assert_ne!(records, RECORDS);
    records.sort_unstable();
    assert_eq!(records, RECORDS);
}

/// The table of hashes: the rows that the page has, each computed again.
#[test]
fn the_boundaries() {
    let Some(page) = page() else { return };
    let rows = [(0, &b""[..], &b"alice"[..]), (2, b"eu", b"carol"), (1 << 56, b"", b"alice")];
    for (seed, root_key, key) in rows {
        let joined = [root_key, key].concat();
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(&joined, seed);
        assert!(page.contains(&format!("`{hash:016x}`")), "{hash:016x}");
    }
    // The rules in the page's words, for records of every size.
    for number in 0_u32..5000 {
        let key = number.to_be_bytes();
        let hash = |seed| xxhash_rust::xxh3::xxh3_64_with_seed(&[b"eu", &key[..]].concat(), seed);
        for (target, bytes) in [(Target::Records, 1 << 20), (Target::Files, 1 << 16)] {
            let weight = u64::from(number) * 40 + 6;
            let threshold = (u64::MAX / bytes).saturating_mul(weight);
            // Longer values are pieces in a tree of files, and weigh as their references.
            if target == Target::Records || number * 40 <= 16 << 10 {
                let total = u64::from(number) * 40;
                assert_eq!(target.ends_leaf(b"eu", &key, total), hash(2) < threshold);
            }
        }
        let node = hash((3 << 56) + 2) < u64::MAX / 64;
        assert_eq!(ends_node(3, b"eu", &key), node);
    }
}
