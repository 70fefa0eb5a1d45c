//! Directories: the databases of a snapshot, as the records of a tree of their own.
//!
//! A record of a directory has no root key, its key is the name of a database, and its value says
//! what the database is and where its records are:
//!
//! ```text
//! tag        uleb128 length, bytes
//! order      u8        0 by key, 1 by token
//! settings   0, or 1 and text: uleb128 length, bytes
//! content    0  nothing: the snapshot has no logical proof
//!            1  the sum of its records: LtHash 2048 bytes, records u64, bytes u64
//!            2  its records: checksum of their LtHash 32 bytes; uleb128 length, a leaf without a
//!               sum, or nothing where there are no records
//!            3  the tree of its records: levels u8, the root as a child in a node
//! ```
//!
//! So a hundred thousand small databases are a few hundred leaves, and each can be read alone. The
//! sum of a leaf is that of all records of its databases, so the root's is that of the whole store.

use backup_core::integrity::DatabaseSum;
use backup_core::source::Order;
use bytes::Bytes;
use lthash::{Checksum, LtHash};

use crate::leaf::{Leaf, LeafBuilder, LeafRecord, LeafValue};
use crate::limits::{INLINE_DATABASE_BYTES, MAX_NAME_BYTES, MAX_SETTINGS_BYTES, check_limit};
use crate::node::{Tree, put_child, read_child};
use crate::wire::{Reader, Writer};
use crate::{Error, Result};

const WHAT: &str = "a database of a snapshot";

/// What a leaf without a sum has before its records, in bytes at most: version, no sum, bytes, count.
const HEAD_BYTES: usize = 1 + 1 + 8 + 5;

/// The most bytes of the leaf of a small database.
const MAX_INLINE_BYTES: usize = INLINE_DATABASE_BYTES + HEAD_BYTES;

/// The proof of a database's records: their LtHash, by its checksum, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proof {
    /// How many records there are.
    pub records: u64,
    /// The bytes of their root keys, keys and values.
    pub bytes: u64,
    /// The checksum of their LtHash.
    pub checksum: Checksum,
}

impl Proof {
    /// The proof that a sum makes.
    pub fn of(sum: &DatabaseSum) -> Self {
        Self { records: sum.records, bytes: sum.bytes, checksum: sum.lthash.checksum() }
    }
}

/// What a directory holds of the databases that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holding {
    /// Their records.
    Records,
    /// The sums of their records, beside files.
    Sums,
    /// Their names alone, beside files.
    Names,
}

impl Holding {
    /// Whether its databases have a logical proof, and so its leaves and nodes sums.
    pub fn is_summed(self) -> bool {
        self != Self::Names
    }
}

/// Where a snapshot's databases are described.
#[derive(Debug, Clone, Copy)]
pub struct Directory<'a> {
    /// The tree of which each record is a database; none where there are none.
    pub tree: Option<&'a Tree>,
    /// What it holds of them.
    pub holding: Holding,
}

/// A database of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Described {
    /// Its name.
    pub name: String,
    /// What binds its records' hashes to it; the name, unless it was backed up under another.
    pub tag: Vec<u8>,
    /// The order of its records.
    pub order: Order,
    /// What an engine of the same kind needs to make it again.
    pub settings: Option<String>,
    /// The proof of its records, where the snapshot has a logical one.
    pub proof: Option<Proof>,
}

/// A database of a snapshot, and where its records are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Database {
    /// What it is.
    pub described: Described,
    /// Its records, or their sum.
    pub content: Content,
}

/// What a directory holds of one database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Content {
    /// Nothing: the snapshot has no logical proof.
    Nothing,
    /// The LtHash of its records, beside files.
    Sum(LtHash),
    /// Its few records: a leaf without a sum; empty where there are none.
    Inline(Bytes),
    /// A tree of its records.
    Tree(Box<Tree>),
}

impl Database {
    /// The value of its record.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse): what could not be read is not written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        let Described { name, tag, order, settings, proof } = &self.described;
        check_names(name, tag)?;
        check_settings(settings.as_ref().map_or(0, String::len))?;
        self.check()?;
        let mut value = Vec::new();
        value.put_bytes(tag);
        value.put_u8(order_byte(*order)?);
        match settings {
            None => value.put_u8(0),
            Some(settings) => {
                value.put_u8(1);
                value.put_bytes(settings.as_bytes());
            }
        }
        let proof = || proof.as_ref().ok_or_else(|| mismatch(name, "it has no proof"));
        match &self.content {
            Content::Nothing => value.put_u8(0),
            Content::Sum(lthash) => {
                value.put_u8(1);
                value.extend_from_slice(&lthash.to_bytes());
                value.put_u64(proof()?.records);
                value.put_u64(proof()?.bytes);
            }
            Content::Inline(leaf) => {
                value.put_u8(2);
                value.extend_from_slice(proof()?.checksum.as_bytes());
                value.put_bytes(leaf);
            }
            Content::Tree(tree) => {
                value.put_u8(3);
                value.put_u8(tree.levels);
                put_child(&mut value, &tree.root);
            }
        }
        Ok(value)
    }

    /// Reads a record of a directory that has `holding`. The records of a small database are a part
    /// of `leaf`, the content of the directory's leaf.
    ///
    /// Does not check the sum: the caller does.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Mismatch`], [`Error::Limit`].
    pub fn parse(record: &LeafRecord<'_>, holding: Holding, leaf: &Bytes) -> Result<Self> {
        let LeafValue::Inline(value) = &record.value else {
            return Err(Error::malformed(WHAT, 0, "its description is stored in pieces"));
        };
        let mut reader = Reader::new(WHAT, value);
        let name = std::str::from_utf8(record.key);
        let (Ok(name), true) = (name, record.root_key.is_empty()) else {
            return Err(Error::malformed(WHAT, 0, "its name is not UTF-8, or has a root key"));
        };
        let tag = reader.bytes(MAX_NAME_BYTES)?.to_vec();
        check_names(name, &tag)?;
        let order = match reader.u8()? {
            0 => Order::Key,
            1 => Order::Token,
            other => return Err(unknown(&reader, "order of records", other)),
        };
        let settings = match reader.u8()? {
            0 => None,
            1 => {
                let text = reader.bytes(MAX_SETTINGS_BYTES)?;
                let text = std::str::from_utf8(text).map_err(|error| {
                    Error::unreadable(WHAT, reader.offset(), "settings in UTF-8", error)
                })?;
                Some(text.to_owned())
            }
            other => return Err(unknown(&reader, "form of settings", other)),
        };
        let (content, proof) = read_content(&mut reader, leaf)?;
        reader.finish()?;
        let described = Described { name: name.to_owned(), tag, order, settings, proof };
        let database = Self { described, content };
        let is_held = match (&database.content, holding) {
            (Content::Inline(_) | Content::Tree(_), holding) => holding == Holding::Records,
            (Content::Sum(_), holding) => holding == Holding::Sums,
            (Content::Nothing, holding) => holding == Holding::Names,
        };
        if !is_held {
            let detail = "its form does not fit the shape and proof of its snapshot";
            return Err(mismatch(&database.described.name, detail));
        }
        database.check()?;
        Ok(database)
    }

    /// The records of a small database; none where it has none, or they are not here.
    ///
    /// # Errors
    /// Those of [`Leaf::parse`].
    pub fn inline(&self) -> Result<Option<Leaf<'_>>> {
        match &self.content {
            Content::Inline(leaf) if !leaf.is_empty() => Leaf::parse(leaf).map(Some),
            _ => Ok(None),
        }
    }

    /// Whether its parts agree with each other.
    fn check(&self) -> Result<()> {
        let name = &self.described.name;
        let (found, what) = match &self.content {
            Content::Nothing => (None, "proof"),
            Content::Sum(lthash) => {
                let proof = self.described.proof;
                let counted = proof.map(|proof| Proof { checksum: lthash.checksum(), ..proof });
                (counted.filter(agrees_on_nothing), "sum")
            }
            Content::Inline(leaf) if leaf.is_empty() => {
                (Some(Proof::of(&DatabaseSum::default())), "sum")
            }
            Content::Inline(_) => (self.check_inline()?, "records"),
            Content::Tree(tree) => {
                tree.check()?;
                (proof_of_tree(tree), "tree")
            }
        };
        if found == self.described.proof {
            return Ok(());
        }
        Err(mismatch(name, &format!("its proof and its {what} do not agree")))
    }

    /// The proof that the records of a small database make, with the checksum that is claimed.
    fn check_inline(&self) -> Result<Option<Proof>> {
        let Content::Inline(content) = &self.content else { return Ok(None) };
        check_inline_length(content.len())?;
        let leaf = Leaf::parse(content)?;
        if leaf.sum.is_some() || leaf.pieces > 0 {
            let detail = "its records have a sum of their own, or pieces";
            return Err(mismatch(&self.described.name, detail));
        }
        let claimed = self.described.proof;
        Ok(claimed.map(|proof| Proof { records: leaf.records, bytes: leaf.bytes, ..proof }))
    }
}

/// The records of a small database, as a directory holds them.
#[derive(Debug, Clone, Default)]
pub struct InlineBuilder(LeafBuilder);

impl InlineBuilder {
    /// Adds a record. False where there is no room for it: such a database has a tree of its own.
    ///
    /// # Errors
    /// Those of [`LeafBuilder::push`].
    pub fn push(&mut self, record: &LeafRecord<'_>) -> Result<bool> {
        // What it takes beside keys and value is at least four bytes.
        let least = record.root_key.len() + record.key.len() + 4;
        let least = record.value.total().saturating_add(least as u64);
        if least > INLINE_DATABASE_BYTES as u64 {
            return Ok(false);
        }
        self.0.push(record)?;
        Ok(self.0.len() <= INLINE_DATABASE_BYTES)
    }

    /// The records so far, in order.
    pub fn iter(&self) -> impl Iterator<Item = LeafRecord<'_>> {
        self.0.iter()
    }

    /// The content of a database that has these records.
    pub fn finish(mut self) -> Content {
        if self.0.is_empty() {
            return Content::Inline(Bytes::new());
        }
        Content::Inline(self.0.finish(None).content)
    }
}

fn read_content(reader: &mut Reader<'_>, leaf: &Bytes) -> Result<(Content, Option<Proof>)> {
    match reader.u8()? {
        0 => Ok((Content::Nothing, None)),
        1 => {
            let lthash = LtHash::from_bytes(&reader.array()?);
            let (records, bytes) = (reader.u64()?, reader.u64()?);
            let proof = Proof { records, bytes, checksum: lthash.checksum() };
            Ok((Content::Sum(lthash), Some(proof)))
        }
        2 => {
            let checksum = Checksum::from(reader.array::<32>()?);
            let content = reader.bytes(MAX_INLINE_BYTES)?;
            let (records, bytes) = match content {
                [] => (0, 0),
                content => {
                    let leaf = Leaf::parse(content)?;
                    (leaf.records, leaf.bytes)
                }
            };
            let proof = Proof { records, bytes, checksum };
            Ok((Content::Inline(part_of(leaf, content)), Some(proof)))
        }
        3 => {
            let levels = reader.u8()?;
            let tree = Tree { levels, root: read_child(reader)? };
            tree.check()?;
            let proof = proof_of_tree(&tree);
            Ok((Content::Tree(Box::new(tree)), proof))
        }
        other => Err(unknown(reader, "form of content", other)),
    }
}

/// A part of a leaf, without a copy where it is one.
fn part_of(leaf: &Bytes, part: &[u8]) -> Bytes {
    let (whole, of) = (leaf.as_ptr_range(), part.as_ptr_range());
    if !part.is_empty() && whole.start <= of.start && of.end <= whole.end {
        return leaf.slice_ref(part);
    }
    Bytes::copy_from_slice(part)
}

fn proof_of_tree(tree: &Tree) -> Option<Proof> {
    let root = &tree.root;
    let proof = |checksum| Proof { records: root.records, bytes: root.bytes, checksum };
    root.checksum.map(proof)
}

/// No records have no bytes, and the sum of nothing.
fn agrees_on_nothing(proof: &Proof) -> bool {
    proof.records > 0 || *proof == Proof::of(&DatabaseSum::default())
}

fn check_names(name: &str, tag: &[u8]) -> Result<()> {
    for (what, length) in
        [("a database's name in bytes", name.len()), ("a database's tag in bytes", tag.len())]
    {
        check_limit(what, length as u64, MAX_NAME_BYTES as u64)?;
    }
    Ok(())
}

fn check_settings(length: usize) -> Result<()> {
    check_limit("a database's settings in bytes", length as u64, MAX_SETTINGS_BYTES as u64)
}

fn check_inline_length(length: usize) -> Result<()> {
    check_limit("a small database in bytes", length as u64, MAX_INLINE_BYTES as u64)
}

fn order_byte(order: Order) -> Result<u8> {
    match order {
        Order::Key => Ok(0),
        Order::Token => Ok(1),
        _ => Err(Error::malformed(WHAT, 0, "its records have an order that is not known")),
    }
}

fn unknown(reader: &Reader<'_>, what: &str, found: u8) -> Error {
    Error::malformed(WHAT, reader.offset(), format!("unknown {what} {found}"))
}

fn mismatch(name: &str, detail: &str) -> Error {
    Error::mismatch(WHAT, format!("database {name:?}: {detail}"))
}
