//! Nodes.

use archive::leaf::Leaf;
use archive::node::{Child, Node, NodeBuilder};
use archive::object::ObjectRef;
use archive::wire::{MAX_SEQUENCE, Writer};
use backup_core::record::RecordKey;
use lthash::LtHash;

use super::{limit, malformed, mismatch, newer, refused};
use crate::samples::{leaf_of, reference, small_node, small_records, sum_of};

fn child(seed: u8, first: &[u8], last: &[u8]) -> Child {
    Child {
        object: reference(seed, 500, 50),
        first: RecordKey::new(b"", first),
        last: RecordKey::new(b"", last),
        records: 2,
        bytes: 10,
        pieces: 0,
        checksum: None,
    }
}

fn node(children: Vec<Child>) -> Node {
    Node { level: 1, sum: None, children }
}

#[test]
fn children_that_overlap_or_are_out_of_order() {
    let wrong = [
        [child(1, b"a", b"c"), child(2, b"b", b"d")],
        [child(1, b"a", b"c"), child(2, b"c", b"d")],
        [child(1, b"c", b"d"), child(2, b"a", b"b")],
        [child(1, b"a", b"b"), child(1, b"a", b"b")],
        [child(1, b"a", b"b"), child(2, b"d", b"c")],
    ];
    for children in wrong {
        let [one, other] = children.clone();
        refused(Node::parse(&node(children.to_vec()).encode(), 1), malformed);
        let mut builder = NodeBuilder::new(1, false);
        builder.push(one, None).unwrap();
        refused(builder.push(other, None), malformed);
    }
    let right = node(vec![child(1, b"a", b"b"), child(2, b"c", b"c")]);
    assert_eq!(Node::parse(&right.encode(), 1).unwrap(), right);
}

#[test]
fn no_children_empty_children_and_too_many() {
    refused(Node::parse(&node(Vec::new()).encode(), 1), malformed);
    let empty = Child { records: 0, ..child(1, b"a", b"b") };
    refused(Node::parse(&node(vec![empty]).encode(), 1), malformed);
    let many = (0_u32..513).map(|key| child(1, &key.to_be_bytes(), &key.to_be_bytes()));
    refused(Node::parse(&node(many.collect()).encode(), 1), malformed);
    let mut claims = vec![1, 1, 0];
    claims.put_uleb128(MAX_SEQUENCE);
    refused(Node::parse(&claims, 1), malformed);
    claims.truncate(3);
    claims.put_uleb128(512);
    refused(Node::parse(&claims, 1), malformed);
}

/// Each step down asks for one level less, so no chain of references can come back to itself.
#[test]
fn another_level_than_asked_for() {
    let content = small_node().encode();
    for level in [0, 2, 12, 13, 255] {
        refused(Node::parse(&content, level), mismatch);
    }
    let deep = Node { level: 13, ..small_node() };
    refused(Node::parse(&deep.encode(), 13), mismatch);
    let mut builder = NodeBuilder::new(13, false);
    refused(builder.push(child(1, b"a", b"b"), None), limit);
}

#[test]
fn sums_that_do_not_add_up() {
    let node = small_node();
    let right = Child::of_node(reference(1, 900, 10), &node);
    right.check_node(&node).unwrap();
    let other = RecordKey::new(b"", b"other");
    let wrong = [
        Child { records: 4, ..right.clone() },
        Child { bytes: 1 << 60, ..right.clone() },
        Child { pieces: 1, ..right.clone() },
        Child { first: other.clone(), ..right.clone() },
        Child { last: other, ..right.clone() },
        Child { checksum: None, ..right.clone() },
        Child { checksum: Some(LtHash::identity().checksum()), ..right },
    ];
    for child in wrong {
        refused(child.check_node(&node), mismatch);
    }
    let records = small_records();
    let sum = sum_of(&records).lthash;
    let finished = leaf_of(&records, Some(&sum));
    let leaf = Leaf::parse(&finished.content).unwrap();
    let right = Child::of_leaf(reference(1, 900, 10), &finished, Some(&sum));
    right.check_leaf(&leaf).unwrap();
    refused(Child { records: 2, ..right.clone() }.check_leaf(&leaf), mismatch);
    refused(Child { checksum: None, ..right }.check_leaf(&leaf), mismatch);
}

#[test]
fn totals_that_overflow() {
    let huge = |seed, key: &[u8]| Child { records: u64::MAX, ..child(seed, key, key) };
    refused(Node::parse(&node(vec![huge(1, b"a"), huge(2, b"b")]).encode(), 1), malformed);
    let bytes = |seed, key: &[u8]| Child { bytes: 1 << 63, ..child(seed, key, key) };
    refused(Node::parse(&node(vec![bytes(1, b"a"), bytes(2, b"b")]).encode(), 1), malformed);
}

#[test]
fn sums_on_one_side_only() {
    let sum = LtHash::identity();
    let summed = Child { checksum: Some(sum.checksum()), ..child(1, b"a", b"b") };
    let mixed = Node { sum: Some(sum.clone()), ..node(vec![child(1, b"a", b"b")]) };
    refused(Node::parse(&mixed.encode(), 1), malformed);
    refused(Node::parse(&node(vec![summed.clone()]).encode(), 1), malformed);
    let other = small_node().sum;
    refused(NodeBuilder::new(1, true).push(child(1, b"a", b"b"), None), mismatch);
    refused(NodeBuilder::new(1, false).push(summed.clone(), Some(&sum)), mismatch);
    refused(NodeBuilder::new(1, true).push(summed.clone(), other.as_ref()), mismatch);
    assert!(NodeBuilder::new(1, true).push(summed, Some(&sum)).is_ok());
}

#[test]
fn references_of_impossible_lengths() {
    let lengths = [(33 << 20, 34 << 20), (500, 10), (500, u32::MAX), (0, 33), (u32::MAX, u32::MAX)];
    for (plain, stored) in lengths {
        let object = ObjectRef { plain, stored, ..reference(1, 500, 50) };
        let node = node(vec![Child { object, ..child(1, b"a", b"b") }]);
        refused(Node::parse(&node.encode(), 1), malformed);
    }
}

#[test]
fn a_newer_node() {
    let mut content = small_node().encode();
    content[0] = 2;
    refused(Node::parse(&content, 1), newer);
}
