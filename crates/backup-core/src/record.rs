//! Records and the batches they travel in.

use crate::{Error, Result};

/// The size in bytes a [`RecordBatch`] is filled to before it is handed on.
pub const BATCH_BYTES: usize = 1 << 20;

/// The longest value, in bytes, that travels in one piece. A longer one travels as parts of at
/// most [`PART_BYTES`], so that memory stays bounded.
pub const MAX_WHOLE_VALUE: usize = 8 << 20;

/// The longest part of a value above [`MAX_WHOLE_VALUE`], in bytes.
pub const PART_BYTES: usize = 1 << 20;

/// The longest root key and the longest key, each, in bytes.
pub const MAX_KEY_BYTES: usize = 1 << 20;

/// One record of a database, or a part of one with a long value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<'a> {
    /// The partition; empty where the engine has none.
    pub root_key: &'a [u8],
    /// The key, unique under its root key.
    pub key: &'a [u8],
    /// The value, or the part of it that starts at `offset`.
    pub value: &'a [u8],
    /// Where `value` starts in the whole value, in bytes.
    pub offset: u64,
    /// The length of the whole value, in bytes.
    pub total: u64,
}

impl<'a> Record<'a> {
    /// A record in one piece.
    pub fn whole(root_key: &'a [u8], key: &'a [u8], value: &'a [u8]) -> Self {
        Self { root_key, key, value, offset: 0, total: value.len() as u64 }
    }

    /// Whether the value is here in one piece.
    pub fn is_whole(&self) -> bool {
        self.offset == 0 && self.ends_value()
    }

    /// Whether this is the first part, or the whole.
    pub fn starts_value(&self) -> bool {
        self.offset == 0
    }

    /// Whether this is the last part, or the whole.
    pub fn ends_value(&self) -> bool {
        self.offset + self.value.len() as u64 == self.total
    }

    /// The logical size that is counted for this part: both keys with the first part, and the value.
    pub fn counted_bytes(&self) -> u64 {
        let keys = if self.starts_value() { self.root_key.len() + self.key.len() } else { 0 };
        (keys + self.value.len()) as u64
    }
}

/// Room for the record that fills a batch, in bytes, unless it is long.
const LAST_BYTES: usize = 16 << 10;

/// Where a record stands: root key, then key, compared bytewise.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct RecordKey {
    /// The partition.
    pub root_key: Vec<u8>,
    /// The key under it.
    pub key: Vec<u8>,
}

impl RecordKey {
    /// The place of (`root_key`, `key`).
    pub fn new(root_key: &[u8], key: &[u8]) -> Self {
        Self { root_key: root_key.to_vec(), key: key.to_vec() }
    }

    /// Compares with a record's place without copying it.
    pub fn compare(&self, root_key: &[u8], key: &[u8]) -> std::cmp::Ordering {
        (self.root_key.as_slice(), self.key.as_slice()).cmp(&(root_key, key))
    }
}

/// Records in one arena, about [`BATCH_BYTES`] long: how record traffic moves.
///
/// The parts of a long value are consecutive, in order and without gaps; they may spread over
/// several batches, with nothing between them.
#[derive(Debug, Clone, Default)]
pub struct RecordBatch {
    arena: Vec<u8>,
    entries: Vec<Entry>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    root_key: u32,
    key: u32,
    value: u32,
    offset: u64,
    total: u64,
}

impl RecordBatch {
    /// An empty batch with room for [`BATCH_BYTES`].
    pub fn new() -> Self {
        Self { arena: Vec::with_capacity(BATCH_BYTES + LAST_BYTES), entries: Vec::new() }
    }

    /// All that the batch holds; it is empty again, with room for as much.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let entries = Vec::with_capacity(self.entries.len());
        std::mem::replace(self, Self { entries, ..Self::new() })
    }

    /// Adds a record, or a part of one.
    ///
    /// # Errors
    /// [`Error::Limit`] for a key above [`MAX_KEY_BYTES`] or a piece of a value above
    /// [`MAX_WHOLE_VALUE`] (use [`parts`] for longer values); the batch is then as it was.
    pub fn push(&mut self, record: Record<'_>) -> Result<()> {
        let checked = |what: &str, len: usize, limit: usize| match u32::try_from(len) {
            Ok(short) if len <= limit => Ok(short),
            _ => Err(Error::Limit { what: what.into(), found: len as u64, limit: limit as u64 }),
        };
        let entry = Entry {
            start: self.arena.len(),
            root_key: checked("a root key", record.root_key.len(), MAX_KEY_BYTES)?,
            key: checked("a key", record.key.len(), MAX_KEY_BYTES)?,
            value: checked("a value in one piece", record.value.len(), MAX_WHOLE_VALUE)?,
            offset: record.offset,
            total: record.total,
        };
        self.arena.extend_from_slice(record.root_key);
        self.arena.extend_from_slice(record.key);
        self.arena.extend_from_slice(record.value);
        self.entries.push(entry);
        Ok(())
    }

    /// The number of records and parts.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the batch holds nothing.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The bytes of all keys and values.
    pub fn bytes(&self) -> usize {
        self.arena.len()
    }

    /// Whether the batch should be handed on.
    pub fn is_full(&self) -> bool {
        self.arena.len() >= BATCH_BYTES
    }

    /// The records in the order they were added.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = Record<'_>> {
        self.entries.iter().map(|entry| {
            let key = entry.start + entry.root_key as usize;
            let value = key + entry.key as usize;
            Record {
                root_key: &self.arena[entry.start..key],
                key: &self.arena[key..value],
                value: &self.arena[value..value + entry.value as usize],
                offset: entry.offset,
                total: entry.total,
            }
        })
    }
}

/// How a value travels: whole up to [`MAX_WHOLE_VALUE`], else as parts of [`PART_BYTES`].
///
/// ```
/// use backup_core::record::{parts, MAX_WHOLE_VALUE};
/// assert_eq!(parts(b"", b"key", b"short").count(), 1);
/// let long = vec![7; MAX_WHOLE_VALUE + 1];
/// let parts: Vec<_> = parts(b"", b"key", &long).collect();
/// assert_eq!(parts.len(), 9);
/// assert!(parts[8].ends_value());
/// ```
pub fn parts<'a>(
    root_key: &'a [u8],
    key: &'a [u8],
    value: &'a [u8],
) -> impl Iterator<Item = Record<'a>> {
    let step = if value.len() > MAX_WHOLE_VALUE { PART_BYTES } else { value.len().max(1) };
    let pieces = value.len().div_ceil(step).max(1);
    (0..pieces).map(move |piece| {
        let start = piece * step;
        let end = (start + step).min(value.len());
        Record {
            root_key,
            key,
            value: &value[start..end],
            offset: start as u64,
            total: value.len() as u64,
        }
    })
}

/// Checks that the parts of each long value follow each other, and that no value begins before the one
/// before it is whole.
#[derive(Debug, Default)]
pub struct PartOrder {
    /// The value that is not whole yet: of which record, where its next part begins, and its length.
    open: Option<(RecordKey, u64, u64)>,
}

impl PartOrder {
    /// Checks the next record.
    ///
    /// # Errors
    /// [`Error::Invalid`] for one that is out of order.
    pub fn check(&mut self, record: &Record<'_>) -> Result<()> {
        let Some((at, next, total)) = &mut self.open else {
            if !record.starts_value() {
                return Err(out_of_order("a part without its beginning"));
            }
            if !record.ends_value() {
                let at = RecordKey::new(record.root_key, record.key);
                self.open = Some((at, record.value.len() as u64, record.total));
            }
            return Ok(());
        };
        if record.starts_value() {
            return Err(out_of_order("a value ended early"));
        }
        let continues = *next == record.offset
            && *total == record.total
            && at.compare(record.root_key, record.key).is_eq();
        if !continues {
            return Err(out_of_order("a part of another value"));
        }
        *next += record.value.len() as u64;
        if record.ends_value() {
            self.open = None;
        }
        Ok(())
    }

    /// Checks that the last value is whole.
    ///
    /// # Errors
    /// [`Error::Invalid`] where it is not.
    pub fn finish(&self) -> Result<()> {
        match &self.open {
            None => Ok(()),
            Some(_) => Err(out_of_order("the last value ended early")),
        }
    }
}

/// Puts the parts of long values together again, for engines that take a value only whole.
#[derive(Debug, Default)]
pub struct Assembler {
    order: PartOrder,
    /// What is here of the value that is not whole yet.
    value: Vec<u8>,
}

impl Assembler {
    /// An assembler with nothing begun.
    pub fn new() -> Self {
        Self::default()
    }

    /// Calls `sink(root_key, key, value)` for each value that `batch` completes, in order.
    ///
    /// `limit` is the longest value the engine takes, in bytes: a longer one is refused before
    /// anything is allocated for it.
    ///
    /// # Errors
    /// [`Error::Limit`] for a value above `limit`, [`Error::Invalid`] for parts out of order, and
    /// whatever `sink` returns.
    pub fn feed(
        &mut self,
        batch: &RecordBatch,
        limit: u64,
        mut sink: impl FnMut(&[u8], &[u8], &[u8]) -> Result<()>,
    ) -> Result<()> {
        for record in batch.iter() {
            check_length(&record, limit)?;
            self.order.check(&record)?;
            if record.is_whole() {
                sink(record.root_key, record.key, record.value)?;
                continue;
            }
            self.value.extend_from_slice(record.value);
            if record.ends_value() {
                let value = std::mem::take(&mut self.value);
                sink(record.root_key, record.key, &value)?;
            }
        }
        Ok(())
    }

    /// Checks that no value is left half assembled.
    ///
    /// # Errors
    /// [`Error::Invalid`] if one is.
    pub fn finish(&self) -> Result<()> {
        self.order.finish()
    }
}

/// Checks that the value a record is of is at most so long, in bytes.
///
/// # Errors
/// [`Error::Limit`].
pub fn check_length(record: &Record<'_>, limit: u64) -> Result<()> {
    if record.total > limit {
        return Err(Error::Limit { what: "a value".into(), found: record.total, limit });
    }
    Ok(())
}

fn out_of_order(detail: &str) -> Error {
    Error::invalid("the parts of a long value are out of order", detail)
}
