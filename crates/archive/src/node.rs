//! Inner nodes: lists of children, with sums that are checked level by level.
//!
//! ```text
//! version    u8        1
//! level      u8        1 above leaves, 2 above those, …
//! sum        as in a leaf: the sum of the children's
//! children   uleb128   how many
//! each:      object reference, 48 bytes
//!            first root key, first key, last root key, last key   uleb128 length, bytes
//!            records u64, bytes u64, pieces u64
//!            0, or 1 and the checksum of its LtHash, 32 bytes
//! ```

use lthash::{Checksum, LtHash};

use crate::leaf::{FinishedLeaf, Leaf, put_reference, put_sum, read_reference, read_sum};
use crate::limits::{FULL_NODE_BYTES, FULL_NODE_CHILDREN, MAX_TREE_LEVELS, check_limit};
use crate::object::ObjectRef;
use crate::wire::{Reader, Writer, check_version};
use crate::{Error, Result, boundary};
use backup_core::record::{MAX_KEY_BYTES, RecordKey};
use serde::{Deserialize, Serialize};

const WHAT: &str = "a node";
const VERSION: u8 = 1;

/// A reference to a leaf or node, with what it must turn out to hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Child {
    /// The object.
    pub object: ObjectRef,
    /// The place of the first record below.
    #[serde(with = "place")]
    pub first: RecordKey,
    /// The place of the last record below.
    #[serde(with = "place")]
    pub last: RecordKey,
    /// How many records are below.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many pieces they name: where there are none, no leaf need be read to know its objects.
    pub pieces: u64,
    /// The checksum of their LtHash; none in a tree of files.
    pub checksum: Option<Checksum>,
}

/// A tree: its root, and how many levels of nodes are above its leaves.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// 0 where the root is a leaf.
    pub levels: u8,
    /// The root.
    pub root: Child,
}

impl Tree {
    /// Checks what a manifest says of a tree before anything of it is read.
    pub(crate) fn check(&self) -> Result<()> {
        check_limit("a tree in levels", self.levels.into(), MAX_TREE_LEVELS.into())?;
        self.root.object.check()?;
        for place in [&self.root.first, &self.root.last] {
            check_limit("a root key in bytes", place.root_key.len() as u64, MAX_KEY_BYTES as u64)?;
            check_limit("a key in bytes", place.key.len() as u64, MAX_KEY_BYTES as u64)?;
        }
        if self.root.is_sound() {
            return Ok(());
        }
        Err(Error::malformed("a tree", 0, "it is empty, or ends before it begins"))
    }
}

impl Child {
    /// The reference to a leaf that was stored as `object`.
    pub fn of_leaf(object: ObjectRef, leaf: &FinishedLeaf, sum: Option<&LtHash>) -> Self {
        Self {
            object,
            first: leaf.first.clone(),
            last: leaf.last.clone(),
            records: leaf.records,
            bytes: leaf.bytes,
            pieces: leaf.pieces,
            checksum: sum.map(LtHash::checksum),
        }
    }

    /// The reference to a node that was stored as `object`.
    pub fn of_node(object: ObjectRef, node: &Node) -> Self {
        let (first, last) = node.ends();
        Self {
            object,
            first: first.clone(),
            last: last.clone(),
            records: node.records(),
            bytes: node.bytes(),
            pieces: node.pieces(),
            checksum: node.sum.as_ref().map(LtHash::checksum),
        }
    }

    /// Whether there is something below, and its last record is not before its first.
    fn is_sound(&self) -> bool {
        self.records > 0 && self.first <= self.last
    }

    /// Checks that a leaf is the one this refers to: range, number, bytes and sum.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check_leaf(&self, leaf: &Leaf<'_>) -> Result<()> {
        self.check(
            "a leaf",
            (&leaf.first, &leaf.last),
            (leaf.records, leaf.bytes, leaf.pieces),
            leaf.sum.as_ref(),
        )
    }

    /// Checks that a node is the one this refers to.
    ///
    /// # Errors
    /// [`Error::Mismatch`].
    pub fn check_node(&self, node: &Node) -> Result<()> {
        self.check(
            WHAT,
            node.ends(),
            (node.records(), node.bytes(), node.pieces()),
            node.sum.as_ref(),
        )
    }

    fn check(
        &self,
        what: &'static str,
        ends: (&RecordKey, &RecordKey),
        counts: (u64, u64, u64),
        sum: Option<&LtHash>,
    ) -> Result<()> {
        if ends != (&self.first, &self.last) {
            return Err(Error::mismatch(what, "its range of keys is another"));
        }
        if counts != (self.records, self.bytes, self.pieces) {
            let detail = format!(
                "it has {} records of {} bytes in {} pieces, not {} of {} in {}",
                counts.0, counts.1, counts.2, self.records, self.bytes, self.pieces
            );
            return Err(Error::mismatch(what, detail));
        }
        if sum.map(LtHash::checksum) != self.checksum {
            return Err(Error::mismatch(what, "its LtHash is another"));
        }
        Ok(())
    }
}

/// An inner node. It has at least one child; children are sorted and do not overlap.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// How many levels it is above the leaves, at least 1.
    pub level: u8,
    /// The sum of all records below.
    pub sum: Option<LtHash>,
    /// The children, in order.
    pub children: Vec<Child>,
}

impl Node {
    /// The content of the object.
    pub fn encode(&self) -> Vec<u8> {
        let mut content = Vec::with_capacity(2048 + 32 + self.children.len() * 160);
        content.put_u8(VERSION);
        content.put_u8(self.level);
        put_sum(&mut content, self.sum.as_ref());
        content.put_count(self.children.len());
        for child in &self.children {
            put_child(&mut content, child);
        }
        content
    }

    /// Reads a node that is `level` above the leaves, and checks its structure.
    ///
    /// Asking for the level makes cycles impossible: each step down asks for one less.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Mismatch`], [`Error::Newer`].
    pub fn parse(content: &[u8], level: u8) -> Result<Self> {
        let mut reader = Reader::new(WHAT, content);
        check_version(WHAT, reader.u8()?, VERSION)?;
        let found = reader.u8()?;
        if found != level || level == 0 || level > MAX_TREE_LEVELS {
            let detail = format!("it says level {found} where level {level} must be");
            return Err(Error::mismatch(WHAT, detail));
        }
        let sum = read_sum(&mut reader)?;
        let count = reader.uleb128()? as usize;
        if count == 0 || count > FULL_NODE_CHILDREN {
            let detail = format!("it has {count} children");
            return Err(Error::malformed(WHAT, reader.offset(), detail));
        }
        let mut children: Vec<Child> = Vec::new();
        for _ in 0..count {
            let child = read_child(&mut reader)?;
            check_follows(children.last(), &child, reader.offset())?;
            if child.checksum.is_some() != sum.is_some() {
                let detail = "a child has a sum and the node none, or the other way round";
                return Err(Error::malformed(WHAT, reader.offset(), detail));
            }
            children.push(child);
        }
        reader.finish()?;
        let node = Self { level, sum, children };
        if [node.records(), node.bytes(), node.pieces()].contains(&u64::MAX) {
            return Err(Error::malformed(WHAT, 0, "its children have more than any store can"));
        }
        Ok(node)
    }

    /// The number of records below; a node of children that claim 2^64 or more is not read.
    pub fn records(&self) -> u64 {
        self.total(|child| child.records)
    }

    /// The bytes of the records below.
    pub fn bytes(&self) -> u64 {
        self.total(|child| child.bytes)
    }

    /// The number of pieces that the records below name.
    pub fn pieces(&self) -> u64 {
        self.total(|child| child.pieces)
    }

    fn total(&self, of: impl Fn(&Child) -> u64) -> u64 {
        self.children.iter().map(of).fold(0, u64::saturating_add)
    }

    fn ends(&self) -> (&RecordKey, &RecordKey) {
        let ends = self.children.first().zip(self.children.last());
        let (first, last) = ends.expect("a node has at least one child");
        (&first.first, &last.last)
    }
}

/// Children of one level on their way into nodes.
#[derive(Debug, Clone)]
pub struct NodeBuilder {
    level: u8,
    sum: Option<LtHash>,
    children: Vec<Child>,
    bytes: usize,
}

impl NodeBuilder {
    /// An empty node of `level`; `summed` says whether its children have sums.
    pub fn new(level: u8, summed: bool) -> Self {
        let sum = summed.then(LtHash::identity);
        Self { level, sum, children: Vec::new(), bytes: 0 }
    }

    /// Adds a child with its sum, and returns the node if the child ends it.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it does not come after the last one (its source gave records out of
    /// order), [`Error::Mismatch`] if it has a sum and the node none, or the other way round,
    /// [`Error::Limit`] for a node above the highest level: what could not be read is not written.
    pub fn push(&mut self, child: Child, sum: Option<&LtHash>) -> Result<Option<Node>> {
        check_limit("a tree in levels", self.level.into(), MAX_TREE_LEVELS.into())?;
        check_follows(self.children.last(), &child, self.children.len())?;
        if child.checksum != sum.map(LtHash::checksum) || sum.is_some() != self.sum.is_some() {
            return Err(Error::mismatch(
                "a child of a node",
                "its sum is not the one it came with",
            ));
        }
        if let (Some(total), Some(sum)) = (&mut self.sum, sum) {
            *total += sum;
        }
        let keys = [&child.first, &child.last].map(|k| k.root_key.len() + k.key.len());
        self.bytes += keys.iter().sum::<usize>() + 128;
        let natural = boundary::ends_node(self.level, &child.last.root_key, &child.last.key);
        self.children.push(child);
        // One child is no node: the level above would have the same, and the tree no end.
        let enough = self.children.len() > 1;
        let full = self.children.len() >= FULL_NODE_CHILDREN || self.bytes >= FULL_NODE_BYTES;
        Ok(if enough && (natural || full) { self.take() } else { None })
    }

    /// The children that are not in a node yet.
    pub fn children(&self) -> &[Child] {
        &self.children
    }

    /// The node of the children left, if there are any.
    pub fn take(&mut self) -> Option<Node> {
        if self.children.is_empty() {
            return None;
        }
        let empty = Self::new(self.level, self.sum.is_some());
        let done = std::mem::replace(self, empty);
        Some(Node { level: done.level, sum: done.sum, children: done.children })
    }
}

/// Checks that a child has records, in order, and comes after the one before it.
fn check_follows(before: Option<&Child>, child: &Child, offset: usize) -> Result<()> {
    if child.is_sound() && before.is_none_or(|before| before.last < child.first) {
        return Ok(());
    }
    Err(Error::malformed(WHAT, offset, "its children are empty, overlap or are not sorted"))
}

/// Puts a reference to what is below.
pub(crate) fn put_child(to: &mut Vec<u8>, child: &Child) {
    put_reference(to, &child.object);
    for place in [&child.first, &child.last] {
        to.put_bytes(&place.root_key);
        to.put_bytes(&place.key);
    }
    to.put_u64(child.records);
    to.put_u64(child.bytes);
    to.put_u64(child.pieces);
    match &child.checksum {
        None => to.put_u8(0),
        Some(checksum) => {
            to.put_u8(1);
            to.extend_from_slice(checksum.as_bytes());
        }
    }
}

pub(crate) fn read_child(reader: &mut Reader<'_>) -> Result<Child> {
    let object = read_reference(reader)?;
    let mut place = || -> Result<RecordKey> {
        let root_key = reader.bytes(MAX_KEY_BYTES)?;
        Ok(RecordKey::new(root_key, reader.bytes(MAX_KEY_BYTES)?))
    };
    let (first, last) = (place()?, place()?);
    let (records, bytes, pieces) = (reader.u64()?, reader.u64()?, reader.u64()?);
    let checksum = match reader.u8()? {
        0 => None,
        1 => Some(Checksum::from(reader.array::<32>()?)),
        other => {
            let detail = format!("unknown form of checksum {other}");
            return Err(Error::malformed(WHAT, reader.offset(), detail));
        }
    };
    Ok(Child { object, first, last, records, bytes, pieces, checksum })
}

/// A record's place in a manifest: a pair of byte strings.
mod place {
    use backup_core::record::RecordKey;
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(place: &RecordKey, to: S) -> Result<S::Ok, S::Error> {
        (&place.root_key, &place.key).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<RecordKey, D::Error> {
        let (root_key, key) = Deserialize::deserialize(from)?;
        Ok(RecordKey { root_key, key })
    }
}
