//! Hostile trees of records, and hostile manifests.

use archive::catalog::SnapshotEntry;
use archive::manifest::Manifest;
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectRef};
use archive::wire::{MAX_SEQUENCE, Writer};
use backup_core::integrity::DatabaseSum;
use backup_core::record::RecordKey;
use lthash::LtHash;

use crate::Hostile;
use crate::forge::{Forge, ForgedLeaf, inline_value};

const TAG: &[u8] = b"data";

pub(crate) async fn all() -> Vec<Hostile> {
    let mut all = Vec::new();
    leaves(&mut all).await;
    nodes(&mut all).await;
    sums(&mut all).await;
    bombs(&mut all).await;
    directories(&mut all).await;
    manifests(&mut all).await;
    all
}

/// Adds a repository, made by `make`, with a sound manifest.
async fn add(
    all: &mut Vec<Hostile>,
    name: &'static str,
    make: impl AsyncFnOnce(&Forge) -> Manifest,
) {
    let forge = Forge::new("memory").await;
    let manifest = make(&forge).await;
    let shows = forge.shows(&manifest).await;
    forge.commit(&manifest).await;
    all.push(Hostile { name, forge, shows });
}

/// A snapshot of one leaf.
async fn leaf(all: &mut Vec<Hostile>, name: &'static str, leaf: ForgedLeaf) {
    add(all, name, async move |forge: &Forge| {
        let root = forge.leaf(&leaf);
        forge.of_tree(0, root, leaf.sum.unwrap())
    })
    .await;
}

fn good(records: &[(&[u8], &[u8])]) -> ForgedLeaf {
    ForgedLeaf::of(TAG, records)
}

async fn leaves(all: &mut Vec<Hostile>) {
    let twice = good(&[(b"a", b"1"), (b"a", b"2")]);
    leaf(all, "a key twice", twice).await;
    let mut unsorted = good(&[(b"b", b"1"), (b"a", b"2")]);
    unsorted.first = Some(RecordKey::new(b"", b"a"));
    unsorted.last = RecordKey::new(b"", b"b");
    leaf(all, "unsorted keys", unsorted).await;
    let many = ForgedLeaf { count: u32::MAX >> 1, ..good(&[(b"a", b"1")]) };
    leaf(all, "2^31 records", many).await;
    let long = ForgedLeaf { bytes: 1 << 60, ..good(&[(b"a", b"1")]) };
    leaf(all, "2^60 bytes of records", long).await;
    let key = vec![7; (1 << 20) + 1];
    leaf(all, "a key that is too long", good(&[(&key, b"1")])).await;
    let other_sum = ForgedLeaf { sum: Some(LtHash::identity()), ..good(&[(b"a", b"1")]) };
    leaf(all, "a leaf with another sum", other_sum).await;
    let foreign = ForgedLeaf::of(b"another", &[(b"a", b"1")]);
    leaf(all, "records of another database", foreign).await;
    add(all, "pieces that are shorter than their value", async |forge: &Forge| {
        let piece = forge.object(Kind::Piece, &[1; 100]);
        let mut leaf = good(&[]);
        leaf.push_pieces(b"", b"a", 1 << 60, &[piece]);
        let root = forge.leaf(&leaf);
        forge.of_tree(0, root, LtHash::identity())
    })
    .await;
    add(all, "a piece that is said to have 4 GiB", async |forge: &Forge| {
        let mut piece = forge.object(Kind::Piece, &[1; 100]);
        (piece.plain, piece.stored) = (u32::MAX, u32::MAX);
        let mut leaf = good(&[]);
        leaf.push_pieces(b"", b"a", u64::from(u32::MAX), &[piece]);
        let root = forge.leaf(&leaf);
        forge.of_tree(0, root, LtHash::identity())
    })
    .await;
    add(all, "700,000 pieces", async |forge: &Forge| {
        let piece = forge.object(Kind::Piece, &[1; 100]);
        let mut leaf = good(&[]);
        leaf.push_pieces(b"", b"a", 69_000_000, &vec![piece; 690_000]);
        let root = forge.leaf(&leaf);
        forge.of_tree(0, root, LtHash::identity())
    })
    .await;
    add(all, "long values and short ones in turn", async |forge: &Forge| {
        let mut missing = forge.object(Kind::Piece, &[1; 100]);
        missing.name.nonce = [9; 8];
        let mut leaf = good(&[]);
        for number in 0..20_000_u32 {
            leaf.push(b"", &[&number.to_be_bytes()[..], b"a"].concat(), b"1");
            leaf.push_pieces(b"", &[&number.to_be_bytes()[..], b"b"].concat(), 100, &[missing]);
        }
        let root = forge.leaf(&leaf);
        forge.of_tree(0, root, LtHash::identity())
    })
    .await;
    add(all, "a leaf that is another snapshot's", async |forge: &Forge| {
        let mut root = forge.leaf(&good(&[(b"a", b"1")]));
        root.last = RecordKey::new(b"", b"z");
        forge.of_tree(0, root, good(&[(b"a", b"1")]).sum.unwrap())
    })
    .await;
}

/// Two leaves with what refers to them, and their sum.
fn two(forge: &Forge) -> (Vec<Child>, LtHash) {
    let leaves = [good(&[(b"a", b"1"), (b"c", b"2")]), good(&[(b"e", b"3"), (b"g", b"4")])];
    let mut children = Vec::new();
    let mut sum = LtHash::identity();
    for leaf in &leaves {
        children.push(forge.leaf(leaf));
        sum += leaf.sum.as_ref().unwrap();
    }
    (children, sum)
}

/// A snapshot of one node, of two leaves whose references `change` changes.
async fn node(
    all: &mut Vec<Hostile>,
    name: &'static str,
    change: impl FnOnce(&mut Vec<Child>, &mut LtHash),
) {
    add(all, name, async move |forge: &Forge| {
        let (mut children, mut sum) = two(forge);
        change(&mut children, &mut sum);
        let root = forge.node(1, Some(sum.clone()), children);
        forge.of_tree(1, root, sum)
    })
    .await;
}

async fn nodes(all: &mut Vec<Hostile>) {
    node(all, "children that overlap", |children, _| {
        children[1].first = RecordKey::new(b"", b"b");
    })
    .await;
    node(all, "children out of order", |children, _| children.reverse()).await;
    node(all, "a child twice", |children, _| children[1] = children[0].clone()).await;
    node(all, "a child of 2^60 records", |children, _| children[0].records = 1 << 60).await;
    node(all, "children of 2^64 records", |children, _| {
        for child in children {
            child.records = u64::MAX;
        }
    })
    .await;
    node(all, "a child with no records", |children, _| children[0].records = 0).await;
    node(all, "a child with another checksum", |children, _| {
        children[0].checksum = Some(LtHash::identity().checksum());
    })
    .await;
    node(all, "a node that names one leaf 512 times", |children, _| {
        let leaf = children[0].clone();
        *children = (0..512_u16)
            .map(|number| {
                let place = RecordKey::new(b"", &number.to_be_bytes());
                Child { first: place.clone(), last: place, ..leaf.clone() }
            })
            .collect();
    })
    .await;
    add(all, "a leaf in place of a node", async |forge: &Forge| {
        let leaf = good(&[(b"a", b"1")]);
        let root = forge.leaf(&leaf);
        forge.of_tree(7, root, leaf.sum.unwrap())
    })
    .await;
    add(all, "a node of another level", async |forge: &Forge| {
        let (children, sum) = two(forge);
        let below = forge.node(2, Some(sum.clone()), children);
        let root = forge.node(3, Some(sum.clone()), vec![below]);
        forge.of_tree(3, root, sum)
    })
    .await;
    add(all, "a tree that is its own child", async |forge: &Forge| {
        // A node cannot name itself: its name is its hash. It can name one that says it is higher.
        let (children, sum) = two(forge);
        let mut root = forge.node(1, Some(sum.clone()), children);
        for _ in 0..20 {
            root = forge.node(1, Some(sum.clone()), vec![root]);
        }
        forge.of_tree(1, root, sum)
    })
    .await;
    for levels in [13, 200, u8::MAX] {
        add(all, "a tree of too many levels", async move |forge: &Forge| {
            let (children, sum) = two(forge);
            let mut root = forge.node(1, Some(sum.clone()), children);
            for level in 2..=levels {
                root = forge.node(level, Some(sum.clone()), vec![root]);
            }
            forge.of_tree(levels, root, sum)
        })
        .await;
    }
}

async fn sums(all: &mut Vec<Hostile>) {
    node(all, "a node's sum that does not add up", |_, sum| {
        *sum += good(&[(b"x", b"9")]).sum.as_ref().unwrap();
    })
    .await;
    add(all, "a sum that does not add up two levels above leaves", async |forge: &Forge| {
        let (children, mut sum) = two(forge);
        let below = forge.node(1, Some(sum.clone()), children);
        sum += good(&[(b"x", b"9")]).sum.as_ref().unwrap();
        let root = forge.node(2, Some(sum.clone()), vec![below]);
        forge.of_tree(2, root, sum)
    })
    .await;
    add(all, "a database with another sum than its tree", async |forge: &Forge| {
        let leaf = good(&[(b"a", b"1")]);
        let root = forge.leaf(&leaf);
        forge.of_tree(0, root, good(&[(b"b", b"1")]).sum.unwrap())
    })
    .await;
}

async fn bombs(all: &mut Vec<Hostile>) {
    let zeros = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
    let frame = zeros.repeat(4096);
    for plain in [1000, 256 << 10] {
        let frame = frame[..frame.len().min(plain as usize - 1)].to_vec();
        add(all, "4 GiB in a leaf", async move |forge: &Forge| {
            let object = forge.bomb(Kind::Leaf, plain, &frame);
            let root = good(&[(b"a", b"1")]).child(object);
            forge.of_tree(0, root, good(&[(b"a", b"1")]).sum.unwrap())
        })
        .await;
    }
    add(all, "four leaves of 32 MiB of zeros", async |forge: &Forge| {
        let object = forge.object(Kind::Leaf, &vec![0; 32 << 20]);
        let sum = good(&[(b"a", b"1")]).sum.unwrap();
        let child = good(&[(b"a", b"1")]).child(object);
        let children = (0..4_u8).map(|number| {
            let place = RecordKey::new(b"", &[number]);
            Child { first: place.clone(), last: place, ..child.clone() }
        });
        let mut total = LtHash::identity();
        (0..4).for_each(|_| total += &sum);
        let root = forge.node(1, Some(total.clone()), children.collect());
        forge.of_tree(1, root, total)
    })
    .await;
    add(all, "four leaves as large as any, and with another sum", async |forge: &Forge| {
        let (almost, full) = (vec![0; (8 << 20) - 100], vec![0; 8 << 20]);
        let mut children = Vec::new();
        for number in 0..4_u8 {
            let mut leaf = good(&[]);
            leaf.push(b"", &[number, 0], &almost);
            leaf.push(b"", &[number, 1], &full);
            children.push(forge.leaf(&leaf));
        }
        let root = forge.node(1, Some(LtHash::identity()), children);
        forge.of_tree(1, root, LtHash::identity())
    })
    .await;
    let forge = Forge::new("memory").await;
    let manifest = forge.manifest();
    let object = forge.object(Kind::Manifest, &vec![0; 32 << 20]);
    forge.commit_object(&manifest, object).await;
    all.push(Hostile { name: "a manifest of 32 MiB of zeros", forge, shows: false });
}

/// A snapshot of one small database, whose checksum and leaf `change` changes.
async fn small(
    all: &mut Vec<Hostile>,
    name: &'static str,
    change: impl FnOnce(&mut [u8; 32], &mut Vec<u8>),
) {
    add(all, name, async move |forge: &Forge| {
        let sum = good(&[(b"a", b"1")]).sum.unwrap();
        let leaf = ForgedLeaf { sum: None, ..good(&[(b"a", b"1")]) };
        let (mut checksum, mut leaf) = (sum.checksum().0, leaf.content());
        change(&mut checksum, &mut leaf);
        let sum = DatabaseSum { lthash: sum, records: 1, bytes: 2 };
        forge.of_databases(&[(b"data", inline_value(&checksum, &leaf))], sum)
    })
    .await;
}

async fn directories(all: &mut Vec<Hostile>) {
    add(all, "1,000,001 databases", async |forge: &Forge| {
        let mut manifest = forge.manifest();
        manifest.databases.as_mut().unwrap().root.records = 1_000_001;
        manifest
    })
    .await;
    add(all, "more databases than there are", async |forge: &Forge| {
        let mut manifest = forge.manifest();
        manifest.databases.as_mut().unwrap().root.records = 1_000_000;
        manifest
    })
    .await;
    add(all, "more records than the databases have", async |forge: &Forge| {
        let mut manifest = forge.manifest();
        manifest.sum.as_mut().unwrap().records += 1;
        manifest
    })
    .await;
    add(all, "a database twice", async |forge: &Forge| {
        let sum = good(&[(b"a", b"1")]).sum.unwrap();
        let leaf = ForgedLeaf { sum: None, ..good(&[(b"a", b"1")]) };
        let value = inline_value(&sum.checksum().0, &leaf.content());
        let twice = DatabaseSum { lthash: sum.clone() + &sum, records: 2, bytes: 4 };
        forge.of_databases(&[(b"data", value.clone()), (b"data", value)], twice)
    })
    .await;
    small(all, "a small database with another checksum", |checksum, _| checksum[0] ^= 1).await;
    small(all, "a small database with a byte changed", |_, leaf| leaf[14] ^= 1).await;
    small(all, "a small database that is cut off", |_, leaf| leaf.truncate(13)).await;
    small(all, "a small database of 2^31 records", |_, leaf| {
        leaf.truncate(10);
        leaf.put_uleb128(MAX_SEQUENCE);
    })
    .await;
    add(all, "a directory whose sum is not that of its databases", async |forge: &Forge| {
        let sum = good(&[(b"a", b"1")]).sum.unwrap();
        let leaf = ForgedLeaf { sum: None, ..good(&[(b"a", b"1")]) };
        let value = inline_value(&sum.checksum().0, &leaf.content());
        let claimed = DatabaseSum { lthash: sum.clone() + &sum, records: 1, bytes: 2 };
        forge.of_databases(&[(b"data", value)], claimed)
    })
    .await;
    add(all, "leaves of a directory as large as any, of nothing", async |forge: &Forge| {
        let mut leaf = ForgedLeaf { sum: Some(LtHash::identity()), ..ForgedLeaf::default() };
        let nothing = inline_value(&LtHash::identity().checksum().0, &[]);
        for number in 0..120_000_u32 {
            leaf.push(b"", format!("{number:010}").as_bytes(), &nothing);
        }
        leaf.push(b"", b"z", b"no database");
        let root = forge.leaf(&leaf);
        let databases = Some(Tree { levels: 0, root });
        Manifest { databases, sum: Some(DatabaseSum::default()), ..forge.manifest() }
    })
    .await;
}

async fn manifests(all: &mut Vec<Hostile>) {
    add(all, "a tree whose root has impossible lengths", async |forge: &Forge| {
        let leaf = good(&[(b"a", b"1")]);
        let mut root = forge.leaf(&leaf);
        root.object = ObjectRef { plain: u32::MAX, stored: u32::MAX, ..root.object };
        forge.of_tree(0, root, leaf.sum.unwrap())
    })
    .await;
    for (name, other) in [
        ("a manifest of another snapshot", "id"),
        ("a manifest of another source", "source"),
        ("a manifest of another time", "time"),
        ("a manifest of another host", "host"),
        ("a manifest of another name", "name"),
        ("a manifest of another shape", "shape"),
        ("a manifest of another size", "size"),
    ] {
        let forge = Forge::new("memory").await;
        let manifest = forge.manifest();
        let object = forge.object(Kind::Manifest, &manifest.encode().unwrap());
        let mut entry = SnapshotEntry {
            id: manifest.id,
            manifest: object,
            created_ms: manifest.created_ms,
            source: manifest.source_id(),
            label: manifest.label.clone(),
            shape: manifest.shape.kind(),
            bytes: manifest.bytes(),
            added: 0,
            entry: 0,
        };
        match other {
            "id" => entry.id.0[0] ^= 1,
            "source" => entry.source.location.push('x'),
            "time" => entry.created_ms += 1,
            "name" => entry.source.name = Some("x".into()),
            "shape" => entry.shape = archive::manifest::ShapeKind::Files,
            "size" => entry.bytes += 1,
            _ => entry.source.host.push('x'),
        }
        forge.commit_entry(entry).await;
        all.push(Hostile { name, forge, shows: false });
    }
    let forge = Forge::new("memory").await;
    let manifest = forge.manifest();
    let object = forge.object(Kind::Piece, &manifest.encode().unwrap());
    forge.commit_object(&manifest, object).await;
    all.push(Hostile { name: "a piece in place of a manifest", forge, shows: false });
}
