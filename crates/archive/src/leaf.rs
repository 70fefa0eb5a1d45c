//! Leaves: runs of records, sorted, with their sum.
//!
//! ```text
//! version   u8        1
//! sum       u8        1: an LtHash follows, 2048 bytes; 0: none (a tree of files)
//! bytes     u64       of the records: keys and values, the pieces' content included
//! records   uleb128   how many
//! each:     root key, key   uleb128 length, bytes
//!           0, value        uleb128 length, bytes
//!       or  1, total u64, uleb128 number of pieces, each an object reference of 48 bytes
//! ```
//! Integers are little-endian, as in BCS.

use bytes::Bytes;
use lthash::LtHash;

use crate::limits::{MAX_VALUE_PIECES, check_limit};
use crate::object::{ObjectHash, ObjectName, ObjectRef};
use crate::wire::{Reader, Writer, check_version};
use crate::{Error, Result};
use backup_core::record::{MAX_KEY_BYTES, MAX_WHOLE_VALUE, RecordKey};

const WHAT: &str = "a leaf";
const VERSION: u8 = 1;

/// One record of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeafRecord<'a> {
    /// The partition.
    pub root_key: &'a [u8],
    /// The key.
    pub key: &'a [u8],
    /// The value, or where it is.
    pub value: LeafValue<'a>,
}

/// The value of a record of a leaf.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeafValue<'a> {
    /// In the leaf.
    Inline(&'a [u8]),
    /// In objects of its own, one after the other.
    Pieces {
        /// The length of the value, in bytes.
        total: u64,
        /// The objects.
        pieces: Vec<ObjectRef>,
    },
}

impl LeafValue<'_> {
    /// The length of the value, in bytes.
    pub fn total(&self) -> u64 {
        match self {
            Self::Inline(value) => value.len() as u64,
            Self::Pieces { total, .. } => *total,
        }
    }
}

/// The longest beginning of a leaf, up to its records, in bytes.
const MAX_HEAD_BYTES: usize = 1 + (1 + LtHash::BYTES) + 8 + 5;

/// What a leaf gets room for at first, in bytes. Many hold a small database and need no more.
const FIRST_BYTES: usize = 4 << 10;

/// A leaf that has grown to this gets all the room that most leaves need, in bytes.
const OUTGROWN_BYTES: usize = 32 << 10;
const ROOM_BYTES: usize = 2 << 20;

/// A leaf under construction.
#[derive(Debug, Clone, Default)]
pub struct LeafBuilder {
    /// Room for the longest head, then the records; nothing at all before the first.
    content: Vec<u8>,
    count: u32,
    bytes: u64,
    pieces: u64,
    first: RecordKey,
    last: RecordKey,
}

/// A leaf's content with what its reference says of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FinishedLeaf {
    /// The content of the object.
    pub content: Bytes,
    /// The place of its first record.
    pub first: RecordKey,
    /// The place of its last record.
    pub last: RecordKey,
    /// How many records it has.
    pub records: u64,
    /// Their bytes.
    pub bytes: u64,
    /// How many pieces they name.
    pub pieces: u64,
}

impl LeafBuilder {
    /// A leaf with no records.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record, and returns its size in the leaf, in bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] if it does not come after the last one, [`Error::Limit`] for a key that
    /// is too long, or a value too long to be inline or of too many pieces, and
    /// [`Error::Mismatch`] for pieces that are not as long as the value. The leaf is then as it was.
    pub fn push(&mut self, record: &LeafRecord<'_>) -> Result<usize> {
        if self.count > 0 && self.last.compare(record.root_key, record.key).is_ge() {
            let detail = "records must be sorted by root key and key, each once";
            return Err(Error::malformed(WHAT, self.len(), detail));
        }
        for (what, key) in
            [("a root key in bytes", record.root_key), ("a key in bytes", record.key)]
        {
            check_limit(what, key.len() as u64, MAX_KEY_BYTES as u64)?;
        }
        check_value(&record.value)?;
        if self.content.is_empty() {
            self.content.reserve(FIRST_BYTES);
            self.content.resize(MAX_HEAD_BYTES, 0);
        }
        let content = &mut self.content;
        let before = content.len();
        if before >= OUTGROWN_BYTES && content.capacity() < ROOM_BYTES {
            content.reserve(ROOM_BYTES);
        }
        content.put_bytes(record.root_key);
        content.put_bytes(record.key);
        match &record.value {
            LeafValue::Inline(value) => {
                content.put_u8(0);
                content.put_bytes(value);
            }
            LeafValue::Pieces { total, pieces } => {
                content.put_u8(1);
                content.put_u64(*total);
                content.put_count(pieces.len());
                for piece in pieces {
                    put_reference(content, piece);
                }
                self.pieces += pieces.len() as u64;
            }
        }
        if self.count == 0 {
            self.first = RecordKey::new(record.root_key, record.key);
        }
        self.last.root_key.clear();
        self.last.root_key.extend_from_slice(record.root_key);
        self.last.key.clear();
        self.last.key.extend_from_slice(record.key);
        self.count += 1;
        self.bytes += (record.root_key.len() + record.key.len()) as u64 + record.value.total();
        Ok(self.content.len() - before)
    }

    /// The bytes of its records so far.
    pub fn len(&self) -> usize {
        self.content.len().saturating_sub(MAX_HEAD_BYTES)
    }

    /// Whether it has no records.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// The records so far, in order.
    pub fn iter(&self) -> impl Iterator<Item = LeafRecord<'_>> {
        let records = self.content.get(MAX_HEAD_BYTES..).unwrap_or_default();
        let mut reader = Reader::new(WHAT, records);
        // `push` wrote each of them, so that none fails here.
        (0..self.count).map_while(move |_| read_record(&mut reader).ok())
    }

    /// The leaf, with the sum of its records; the builder is empty again.
    pub fn finish(&mut self, sum: Option<&LtHash>) -> FinishedLeaf {
        let done = std::mem::take(self);
        let mut head = Vec::with_capacity(MAX_HEAD_BYTES);
        head.put_u8(VERSION);
        put_sum(&mut head, sum);
        head.put_u64(done.bytes);
        head.put_uleb128(done.count);
        // Right before the records, so that they need not be moved.
        let mut content = done.content;
        content.resize(content.len().max(MAX_HEAD_BYTES), 0);
        let start = MAX_HEAD_BYTES - head.len();
        content[start..MAX_HEAD_BYTES].copy_from_slice(&head);
        let content = Bytes::from(content).slice(start..);
        FinishedLeaf {
            content,
            first: done.first,
            last: done.last,
            records: u64::from(done.count),
            bytes: done.bytes,
            pieces: done.pieces,
        }
    }
}

/// A leaf that was read and whose structure was checked.
#[derive(Debug)]
pub struct Leaf<'a> {
    /// The sum that it claims for its records.
    pub sum: Option<LtHash>,
    /// The bytes of its records.
    pub bytes: u64,
    /// How many records it has.
    pub records: u64,
    /// How many pieces they name.
    pub pieces: u64,
    /// The place of its first record.
    pub first: RecordKey,
    /// The place of its last record.
    pub last: RecordKey,
    body: Reader<'a>,
}

impl<'a> Leaf<'a> {
    /// Reads a leaf: every length, the order of the records, their number and bytes are checked.
    /// Whether the sum is right is for who recomputes it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Newer`].
    pub fn parse(content: &'a [u8]) -> Result<Self> {
        let mut reader = Reader::new(WHAT, content);
        check_version(WHAT, reader.u8()?, VERSION)?;
        let sum = read_sum(&mut reader)?;
        let bytes = reader.u64()?;
        let count = reader.uleb128()?;
        if count == 0 {
            return Err(Error::malformed(WHAT, reader.offset(), "it has no records"));
        }
        let body = reader.clone();
        let (mut found_bytes, mut found_pieces, mut first, mut last) = (0_u64, 0, None, None);
        for _ in 0..count {
            let record = read_record(&mut reader)?;
            let place = (record.root_key, record.key);
            if last.is_some_and(|last| last >= place) {
                let detail = "its records are not sorted, or one is there twice";
                return Err(Error::malformed(WHAT, reader.offset(), detail));
            }
            first.get_or_insert(place);
            last = Some(place);
            let keys = (record.root_key.len() + record.key.len()) as u64;
            if let LeafValue::Pieces { pieces, .. } = &record.value {
                found_pieces += pieces.len() as u64;
            }
            found_bytes = found_bytes.saturating_add(keys).saturating_add(record.value.total());
        }
        reader.finish()?;
        if found_bytes != bytes {
            let detail = format!("its records have {found_bytes} bytes, not {bytes}");
            return Err(Error::mismatch(WHAT, detail));
        }
        let place = |found: Option<(&[u8], &[u8])>| {
            found.map(|(root_key, key)| RecordKey::new(root_key, key)).unwrap_or_default()
        };
        Ok(Self {
            sum,
            bytes,
            records: u64::from(count),
            pieces: found_pieces,
            first: place(first),
            last: place(last),
            body,
        })
    }

    /// The records, in order.
    pub fn iter(&self) -> impl Iterator<Item = LeafRecord<'a>> + use<'a> {
        let mut reader = self.body.clone();
        // `parse` has read each of them, so that none fails here.
        (0..self.records).map_while(move |_| read_record(&mut reader).ok())
    }

    /// Where each record begins in the leaf's content, in order: for [`record_at`].
    pub fn offsets(&self) -> Vec<u32> {
        let mut reader = self.body.clone();
        let next = |_| {
            let at = u32::try_from(reader.offset()).ok()?;
            read_record(&mut reader).ok().map(|_| at)
        };
        // As in `iter`; and a leaf is far shorter than 4 GiB.
        (0..self.records).map_while(next).collect()
    }
}

/// The record that begins at one of the [`offsets`](Leaf::offsets) of a leaf with this content.
///
/// # Errors
/// [`Error::Malformed`] where none begins.
pub fn record_at(content: &[u8], offset: u32) -> Result<LeafRecord<'_>> {
    let rest = content.get(offset as usize..);
    read_record(&mut Reader::new(WHAT, rest.unwrap_or_default()))
}

fn read_record<'a>(reader: &mut Reader<'a>) -> Result<LeafRecord<'a>> {
    let root_key = reader.bytes(MAX_KEY_BYTES)?;
    let key = reader.bytes(MAX_KEY_BYTES)?;
    let value = match reader.u8()? {
        0 => LeafValue::Inline(reader.bytes(MAX_WHOLE_VALUE)?),
        1 => {
            let total = reader.u64()?;
            let count = reader.uleb128()? as usize;
            // Before any is read: memory for a number that is only claimed is never reserved.
            check_limit("a value in pieces", count as u64, MAX_VALUE_PIECES as u64)?;
            let pieces = (0..count).map(|_| read_reference(reader)).collect::<Result<_>>()?;
            LeafValue::Pieces { total, pieces }
        }
        other => {
            let detail = format!("unknown form of value {other}");
            return Err(Error::malformed(WHAT, reader.offset(), detail));
        }
    };
    check_value(&value)?;
    Ok(LeafRecord { root_key, key, value })
}

fn check_value(value: &LeafValue<'_>) -> Result<()> {
    match value {
        LeafValue::Inline(value) => {
            check_limit("a value in a leaf in bytes", value.len() as u64, MAX_WHOLE_VALUE as u64)
        }
        LeafValue::Pieces { total, pieces } => {
            check_limit("a value in pieces", pieces.len() as u64, MAX_VALUE_PIECES as u64)?;
            let found: u64 = pieces.iter().map(|piece| u64::from(piece.plain)).sum();
            if found != *total || pieces.is_empty() || pieces.iter().any(|piece| piece.plain == 0) {
                let number = pieces.len();
                let detail = format!("a value of {total} bytes has {number} pieces of {found}");
                return Err(Error::mismatch(WHAT, detail));
            }
            Ok(())
        }
    }
}

/// Puts an object reference, 48 bytes.
pub(crate) fn put_reference(to: &mut Vec<u8>, reference: &ObjectRef) {
    to.extend_from_slice(&reference.name.hash.0);
    to.extend_from_slice(&reference.name.nonce);
    to.put_u32(reference.plain);
    to.put_u32(reference.stored);
}

pub(crate) fn read_reference(reader: &mut Reader<'_>) -> Result<ObjectRef> {
    let name = ObjectName { hash: ObjectHash(reader.array()?), nonce: reader.array()? };
    let reference = ObjectRef { name, plain: reader.u32()?, stored: reader.u32()? };
    reference.check()?;
    Ok(reference)
}

pub(crate) fn put_sum(to: &mut Vec<u8>, sum: Option<&LtHash>) {
    match sum {
        None => to.put_u8(0),
        Some(sum) => {
            to.put_u8(1);
            to.extend_from_slice(&sum.to_bytes());
        }
    }
}

pub(crate) fn read_sum(reader: &mut Reader<'_>) -> Result<Option<LtHash>> {
    match reader.u8()? {
        0 => Ok(None),
        1 => Ok(Some(LtHash::from_bytes(&reader.array()?))),
        other => {
            let detail = format!("unknown form of sum {other}");
            Err(Error::malformed("a sum", reader.offset(), detail))
        }
    }
}
