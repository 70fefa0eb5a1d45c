//! Where leaves and nodes are cut, and what a change moves.

use std::collections::BTreeSet;

use archive::boundary::{self, Target};
use archive::leaf::{FinishedLeaf, Leaf, LeafBuilder, LeafRecord, LeafValue};
use archive::limits::{FULL_LEAF_BYTES, FULL_NODE_CHILDREN, NODE_CHILDREN};
use archive::node::{Child, Node, NodeBuilder, Tree};
use archive::object::Kind;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::record::Record;
use lthash::LtHash;

use crate::samples::stored;

/// A small record made from a number: keys in order, values of 50 to 177 bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Small {
    key: [u8; 12],
    value: Vec<u8>,
}

fn small(number: u64) -> Small {
    let mut key = *b"key.\0\0\0\0\0\0\0\0";
    key[4..].copy_from_slice(&number.to_be_bytes());
    let length = 50 + usize::from(testkit::noise(number, 1)[0]) / 2;
    Small { key, value: testkit::noise(number, length) }
}

fn sequence(count: u64) -> Vec<Small> {
    (0..count).map(|number| small(number * 10)).collect()
}

/// Cuts records into leaves as a writer does, and says which cuts are natural.
fn cut<'a>(
    target: Target,
    records: impl IntoIterator<Item = &'a Small>,
) -> Vec<(FinishedLeaf, bool)> {
    let mut leaves = Vec::new();
    let mut builder = LeafBuilder::new();
    for Small { key, value } in records {
        let record = LeafRecord { root_key: b"", key, value: LeafValue::Inline(value) };
        builder.push(&record).unwrap();
        let natural = target.ends_leaf(b"", key, value.len() as u64);
        if natural || builder.len() >= FULL_LEAF_BYTES {
            leaves.push((builder.finish(None), natural));
        }
    }
    if !builder.is_empty() {
        leaves.push((builder.finish(None), false));
    }
    leaves
}

fn ends(leaves: &[(FinishedLeaf, bool)]) -> Vec<Vec<u8>> {
    leaves.iter().map(|(leaf, _)| leaf.last.key.clone()).collect()
}

fn average(leaves: &[(FinishedLeaf, bool)]) -> f64 {
    let sizes = leaves.iter().map(|(leaf, _)| u32::try_from(leaf.content.len()).unwrap());
    let (count, total) =
        sizes.fold((0_u32, 0.0), |(count, total), size| (count + 1, total + f64::from(size)));
    total / f64::from(count)
}

#[test]
fn leaves_have_the_target_size_on_average() {
    let records = sequence(1_000_000);
    for (target, bytes, within) in
        [(Target::Files, 64.0 * 1024.0, 0.10), (Target::Records, 1024.0 * 1024.0, 0.25)]
    {
        let leaves = cut(target, &records);
        let ratio = average(&leaves) / bytes;
        assert!((ratio - 1.0).abs() < within, "{target:?}: {} leaves, {ratio}", leaves.len());
        let natural = leaves.iter().filter(|(_, natural)| *natural).count();
        assert!(natural * 100 >= leaves.len() * 97, "{natural} of {}", leaves.len());
        assert!(leaves.iter().all(|(leaf, _)| leaf.content.len() < FULL_LEAF_BYTES + 4096));
    }
}

/// The size of a leaf does not depend on the size of its records.
#[test]
fn large_records_make_leaves_of_the_target_size_too() {
    let large = |number| Small { value: vec![7; 20_000], ..small(number) };
    let records: Vec<_> = (0..10_000).map(large).collect();
    let ratio = average(&cut(Target::Records, &records)) / (1024.0 * 1024.0);
    assert!((0.8..1.25).contains(&ratio), "{ratio}");
    // A record as long as a leaf is one.
    let huge: Vec<_> = (0..8).map(|n| Small { value: vec![7; 1 << 20], ..small(n) }).collect();
    assert_eq!(cut(Target::Records, &huge).len(), 8);
}

#[test]
fn boundaries_do_not_depend_on_where_a_reader_began() {
    let records = sequence(100_000);
    let whole = cut(Target::Files, &records);
    let all: BTreeSet<_> = ends(&whole).into_iter().collect();
    for start in [1, 2, 999, 12_345, 50_000, 99_000] {
        let leaves = cut(Target::Files, &records[start..]);
        let natural = leaves.iter().position(|(_, natural)| *natural).unwrap();
        let after = ends(&leaves).split_off(natural);
        assert!(after.iter().all(|end| all.contains(end)), "from {start}");
        // And not one is missing.
        let expected = all.range(after[0].clone()..).count();
        assert_eq!(after.len(), expected, "from {start}");
        assert_eq!(leaves[natural + 1..], whole[whole.len() - expected + 1..], "from {start}");
    }
}

#[test]
fn one_record_changes_few_leaves() {
    let records = sequence(100_000);
    let whole = cut(Target::Files, &records);
    let before: BTreeSet<_> = whole.iter().map(|(leaf, _)| leaf.content.clone()).collect();
    let new_leaves = |records: &[&Small]| {
        let after = cut(Target::Files, records.iter().copied());
        let moved: Vec<_> =
            after.iter().filter(|(leaf, _)| !before.contains(&leaf.content)).collect();
        assert!(
            moved
                .iter()
                .all(|(leaf, natural)| *natural || leaf.last.key == ends(&after).pop().unwrap())
        );
        moved.len()
    };
    let mut most = 0;
    for place in (0..40).map(|step| step * 2499) {
        let number = place as u64 * 10 + 5;
        let inserted = small(number);
        let changed = Small { value: b"changed".to_vec(), ..records[place].clone() };
        let (head, tail) = records.split_at(place);
        let with = |record: Option<&'_ Small>, rest: &'_ [Small]| -> usize {
            let all: Vec<&Small> = head.iter().chain(record).chain(rest).collect();
            new_leaves(&all)
        };
        // Before the record at `place` in order, so that the sequence stays sorted.
        let earlier = Small { key: small(number.saturating_sub(10)).key, ..inserted };
        let counts = [
            with((place > 0).then_some(&earlier), tail),
            with(Some(&changed), &tail[1..]),
            with(None, &tail[1..]),
        ];
        most = counts.into_iter().fold(most, usize::max);
    }
    assert!((1..=3).contains(&most), "{most} leaves");
}

/// A leaf that finds no boundary is cut where it is full, and the next natural one mends it.
#[test]
fn full_leaves_are_cut_and_forgotten() {
    let dull = |number: u64| {
        // Keys that end no leaf, until a natural one comes.
        (0..100)
            .map(|salt| Small { key: small(number * 1000 + salt).key, value: vec![1; 4000] })
            .find(|record| !Target::Records.ends_leaf(b"", &record.key, 4000))
            .unwrap()
    };
    let natural = (5_000_000..6_000_000)
        .map(|number| Small { key: small(number).key, value: vec![1; 4000] })
        .find(|record| Target::Records.ends_leaf(b"", &record.key, 4000))
        .unwrap();
    let mut records: Vec<_> = (0..5000).map(dull).collect();
    records.push(natural);
    records.extend((6000..6100).map(dull));
    let whole = cut(Target::Records, &records);
    let shifted = cut(Target::Records, &records[1000..]);
    assert_eq!(
        whole.iter().map(|(_, natural)| *natural).collect::<Vec<_>>(),
        [false, false, true, false]
    );
    assert!(whole[..2].iter().all(|(leaf, _)| leaf.content.len() >= FULL_LEAF_BYTES));
    assert_ne!(ends(&whole)[0], ends(&shifted)[0]);
    assert_eq!(whole.last(), shifted.last());
}

#[test]
fn a_long_value_counts_as_its_references() {
    let ends = |total| {
        (0_u32..20_000)
            .filter(|number| Target::Records.ends_leaf(b"", &number.to_be_bytes(), total))
            .count()
    };
    // 1 GiB is 128 references of 48 bytes: a leaf has about 170 such records.
    let long = ends(1 << 30);
    assert!((60..180).contains(&long), "{long}");
    assert!(ends(100) < 10);
    assert_eq!(ends(8 << 20), 20_000);
}

#[test]
fn root_key_and_key_do_not_run_into_each_other() {
    let differ = (0_u32..100_000).any(|number| {
        let key = number.to_be_bytes();
        Target::Files.ends_leaf(b"", &key, 500)
            != Target::Files.ends_leaf(&key[..2], &key[2..], 500)
    });
    assert!(differ);
}

/// A tree in memory: what it stores, by content.
#[derive(Default)]
struct Stored {
    leaves: BTreeSet<Vec<u8>>,
    nodes: BTreeSet<Vec<u8>>,
}

impl Stored {
    fn leaf(&mut self, leaf: &FinishedLeaf, sum: &LtHash) -> Child {
        let (_, reference) = stored(Kind::Leaf, &leaf.content);
        self.leaves.insert(leaf.content.to_vec());
        Child::of_leaf(reference, leaf, Some(sum))
    }

    fn node(&mut self, node: &Node) -> Child {
        let content = node.encode();
        let (_, reference) = stored(Kind::Node, &content);
        let child = Child::of_node(reference, node);
        child.check_node(&Node::parse(&content, node.level).unwrap()).unwrap();
        self.nodes.insert(content);
        child
    }
}

fn sum_of(leaf: &FinishedLeaf) -> DatabaseSum {
    let mut summer = Summer::new(b"default");
    for record in Leaf::parse(&leaf.content).unwrap().iter() {
        let LeafValue::Inline(value) = record.value else { panic!("only inline values here") };
        summer.add_record(&Record::whole(record.root_key, record.key, value)).unwrap();
    }
    summer.finish().unwrap()
}

/// Builds a tree with leaves of the files' target, so that it has levels.
fn tree<'a>(records: impl IntoIterator<Item = &'a Small>) -> (Tree, DatabaseSum, Stored) {
    let mut stored = Stored::default();
    let mut total = DatabaseSum::default();
    let mut children: Vec<(Child, LtHash)> = Vec::new();
    for (leaf, _) in cut(Target::Files, records) {
        let sum = sum_of(&leaf);
        total.add(&sum);
        children.push((stored.leaf(&leaf, &sum.lthash), sum.lthash));
    }
    let mut levels = 0;
    while children.len() > 1 {
        levels += 1;
        let mut builder = NodeBuilder::new(levels, true);
        let mut above = Vec::new();
        for (child, sum) in children {
            above.extend(builder.push(child, Some(&sum)).unwrap());
        }
        above.extend(builder.take());
        children = above.into_iter().map(|node| (stored.node(&node), node.sum.unwrap())).collect();
    }
    (Tree { levels, root: children.remove(0).0 }, total, stored)
}

#[test]
fn a_tree_adds_up_to_its_root() {
    let records = sequence(60_000);
    let (tree, total, stored) = tree(&records);
    assert_eq!((tree.root.records, tree.root.bytes), (total.records, total.bytes));
    assert_eq!(total.records, 60_000);
    assert_eq!(tree.root.checksum, Some(total.lthash.checksum()));
    assert_eq!(tree.root.first.key, records[0].key);
    assert_eq!(tree.root.last.key, records.last().unwrap().key);
    assert!(tree.levels >= 1 && stored.nodes.len() < stored.leaves.len() / 8);
}

#[test]
fn one_record_stores_three_leaves_and_their_path() {
    let records = sequence(60_000);
    let (_, _, before) = tree(&records);
    for place in [0, 1, 7777, 30_000, 59_999] {
        let changed = Small { value: b"changed".to_vec(), ..records[place].clone() };
        let (head, tail) = records.split_at(place);
        let (tree, total, after) = tree(head.iter().chain([&changed]).chain(&tail[1..]));
        assert_eq!(tree.root.checksum, Some(total.lthash.checksum()));
        let leaves = after.leaves.difference(&before.leaves).count();
        let nodes = after.nodes.difference(&before.nodes).count();
        assert!((1..=3).contains(&leaves), "{leaves} leaves at {place}");
        assert!((1..=3 * usize::from(tree.levels)).contains(&nodes), "{nodes} nodes at {place}");
    }
}

#[test]
fn nodes_have_about_64_children_and_never_more_than_512() {
    let place = |number: u64| number.to_be_bytes();
    for level in 1..=3 {
        let ends = (0..200_000).filter(|number| boundary::ends_node(level, b"", &place(*number)));
        let children = 200_000 / ends.count() as u64;
        assert!(children.abs_diff(NODE_CHILDREN) < 6, "{children} at level {level}");
    }
    let mut builder = NodeBuilder::new(1, false);
    let mut nodes = Vec::new();
    let dull = (0..).map(place).filter(|key| !boundary::ends_node(1, b"", key)).take(1000);
    let leaf = |key: &[u8]| {
        let mut leaf = LeafBuilder::new();
        leaf.push(&LeafRecord { root_key: b"", key, value: LeafValue::Inline(b"") }).unwrap();
        leaf.finish(None)
    };
    for key in dull {
        let leaf = leaf(&key);
        let child = Child::of_leaf(stored(Kind::Leaf, &leaf.content).1, &leaf, None);
        nodes.extend(builder.push(child, None).unwrap());
    }
    nodes.extend(builder.take());
    let sizes: Vec<_> = nodes.iter().map(|node| node.children.len()).collect();
    assert_eq!(sizes, [FULL_NODE_CHILDREN, 1000 - FULL_NODE_CHILDREN]);
}

/// A cut at each level is another one: a tree of few records would else be as deep as it is long.
#[test]
fn levels_are_cut_independently() {
    let ends = |level| {
        (0_u64..100_000)
            .filter(move |number| boundary::ends_node(level, b"", &number.to_be_bytes()))
            .collect::<BTreeSet<_>>()
    };
    let both = ends(1).intersection(&ends(2)).count();
    assert!(both < 100, "{both}");
}

#[test]
fn children_with_long_keys_fill_a_node_early() {
    let mut builder = NodeBuilder::new(1, false);
    let mut node = None;
    let mut pushed = 0;
    while node.is_none() {
        pushed += 1;
        let mut key = vec![7; 1 << 20];
        key.push(pushed);
        let mut leaf = LeafBuilder::new();
        let record =
            LeafRecord { root_key: &key[1..], key: &key[1..], value: LeafValue::Inline(b"") };
        leaf.push(&record).unwrap();
        let leaf = leaf.finish(None);
        let child = Child::of_leaf(stored(Kind::Leaf, b"").1, &leaf, None);
        node = builder.push(child, None).unwrap();
    }
    assert_eq!(pushed, 2, "one child is no node, and two of 4 MiB are enough");
    let content = node.unwrap().encode();
    assert!(content.len() < 16 << 20);
    assert_eq!(Node::parse(&content, 1).unwrap().children.len(), 2);
}
