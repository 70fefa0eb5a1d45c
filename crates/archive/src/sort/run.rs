//! Runs: sorted records in a spill file, in groups of one root key.
//!
//! ```text
//! group   root key length u32, records u64, bytes of the entries u64, root key, entries
//! entry   key length u32, value length u64, place u64, key, value unless it has a place
//! ```
//!
//! A group's head says how many records it has, so that counting the records of each partition
//! passes over the entries without reading them. A partition may be spread over several groups.

use std::path::Path;
use std::sync::Arc;

use backup_core::record::{MAX_KEY_BYTES, RecordKey};
use backup_core::{Error, Result};

use super::INLINE_VALUE;
use super::spill::{Spill, Window};

const HEAD: usize = 20;

/// The place of a value that is in the run itself.
const INLINE: u64 = u64::MAX;

/// A group is written once it has this many bytes.
const GROUP_BYTES: usize = 256 << 10;

/// A record, whose value may lie in the file of long values.
#[derive(Debug, Clone, Copy)]
pub(super) struct Entry<'a> {
    pub(super) root_key: &'a [u8],
    pub(super) key: &'a [u8],
    pub(super) value: Value<'a>,
}

#[derive(Debug, Clone, Copy)]
pub(super) enum Value<'a> {
    Inline(&'a [u8]),
    Spilled { place: u64, total: u64 },
}

impl Entry<'_> {
    /// The bytes it takes in a run, its root key counted.
    pub(super) fn stored_bytes(&self) -> usize {
        let inline = match self.value {
            Value::Inline(bytes) => bytes.len(),
            Value::Spilled { .. } => 0,
        };
        HEAD + self.root_key.len() + self.key.len() + inline
    }
}

/// A sorted file.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) spill: Arc<Spill>,
    pub(super) bytes: u64,
    pub(super) last: RecordKey,
    /// How often its records were merged.
    pub(super) level: u32,
}

/// Writes a run, group by group.
#[derive(Debug)]
pub(super) struct RunWriter {
    spill: Arc<Spill>,
    bytes: u64,
    level: u32,
    root_key: Vec<u8>,
    last: Vec<u8>,
    records: u64,
    /// Room for the head, the root key, then the entries of the group.
    group: Vec<u8>,
}

impl RunWriter {
    pub(super) fn create(folder: &Path, level: u32) -> Result<Self> {
        let spill = Arc::new(Spill::create(folder)?);
        Ok(Self::at_end(Run { spill, bytes: 0, last: RecordKey::default(), level }))
    }

    /// Goes on with a run, with records after its last one.
    pub(super) fn go_on(run: Run) -> Self {
        Self::at_end(run)
    }

    fn at_end(run: Run) -> Self {
        Self {
            spill: run.spill,
            bytes: run.bytes,
            level: run.level,
            root_key: run.last.root_key,
            last: run.last.key,
            records: 0,
            group: Vec::new(),
        }
    }

    /// Adds a record, which must come after the last one.
    pub(super) fn push(&mut self, entry: &Entry<'_>) -> Result<()> {
        if entry.root_key != self.root_key || self.group.len() >= GROUP_BYTES {
            self.write_group()?;
        }
        if self.group.is_empty() {
            self.root_key.clear();
            self.root_key.extend_from_slice(entry.root_key);
            self.group.resize(HEAD, 0);
            self.group.extend_from_slice(entry.root_key);
        }
        let (inline, total, place) = match entry.value {
            Value::Inline(bytes) => (bytes, bytes.len() as u64, INLINE),
            Value::Spilled { place, total } => (&[][..], total, place),
        };
        self.group.extend_from_slice(&head(entry.key, total, place));
        self.group.extend_from_slice(entry.key);
        self.group.extend_from_slice(inline);
        self.last.clear();
        self.last.extend_from_slice(entry.key);
        self.records += 1;
        Ok(())
    }

    /// The run, or nothing where it has no records.
    pub(super) fn finish(mut self) -> Result<Option<Run>> {
        self.write_group()?;
        let last = RecordKey { root_key: self.root_key, key: self.last };
        let run = Run { spill: self.spill, bytes: self.bytes, last, level: self.level };
        Ok((run.bytes > 0).then_some(run))
    }

    fn write_group(&mut self) -> Result<()> {
        if self.group.is_empty() {
            return Ok(());
        }
        let entries = (self.group.len() - HEAD - self.root_key.len()) as u64;
        self.group[..HEAD].copy_from_slice(&head(&self.root_key, self.records, entries));
        self.spill.write_at(self.bytes, &self.group)?;
        self.bytes += self.group.len() as u64;
        self.group.clear();
        self.records = 0;
        Ok(())
    }
}

/// The head of a group or an entry.
fn head(key: &[u8], one: u64, other: u64) -> [u8; HEAD] {
    let length = u32::try_from(key.len()).expect("batches bound their keys");
    let mut head = [0; HEAD];
    head[..4].copy_from_slice(&length.to_le_bytes());
    head[4..12].copy_from_slice(&one.to_le_bytes());
    head[12..].copy_from_slice(&other.to_le_bytes());
    head
}

/// Reads a run: its groups, and the entries of those that are not passed over.
#[derive(Debug)]
pub(super) struct RunReader {
    window: Window,
    root_key: Vec<u8>,
    records: u64,
    /// Entries and bytes of the group that were not passed yet; its current entry was not.
    entries_left: u64,
    bytes_left: u64,
    current: Shape,
}

/// The lengths of the current entry, and where its value is. Without one, all zero.
#[derive(Debug, Clone, Copy, Default)]
struct Shape {
    key: usize,
    inline: usize,
    place: u64,
    total: u64,
    stored: u64,
}

impl RunReader {
    pub(super) fn new(run: &Run, window: usize) -> Self {
        Self {
            window: Window::new(run.spill.clone(), run.bytes, window),
            root_key: Vec::new(),
            records: 0,
            entries_left: 0,
            bytes_left: 0,
            current: Shape::default(),
        }
    }

    /// Goes to the next group, past what is left of the current one; false at the end.
    pub(super) fn next_group(&mut self) -> Result<bool> {
        self.window.pass(self.bytes_left)?;
        self.current = Shape::default();
        self.bytes_left = 0;
        if self.window.left() == 0 {
            return Ok(false);
        }
        let (root_key, records, bytes) = parse_head(self.window.peek(HEAD)?);
        self.window.pass(HEAD as u64)?;
        let possible = (1..=bytes / HEAD as u64).contains(&records);
        if root_key > MAX_KEY_BYTES || bytes > self.window.left() || !possible {
            return Err(self.window.damaged());
        }
        self.root_key.clear();
        self.root_key.extend_from_slice(self.window.peek(root_key)?);
        self.window.pass(root_key as u64)?;
        (self.records, self.entries_left, self.bytes_left) = (records, records, bytes);
        Ok(true)
    }

    /// The root key of the current group, and how many records the group has.
    pub(super) fn group(&self) -> (&[u8], u64) {
        (&self.root_key, self.records)
    }

    /// Goes to the next entry; false at the end.
    pub(super) fn next_entry(&mut self) -> Result<bool> {
        self.window.pass(self.current.stored)?;
        self.bytes_left -= self.current.stored;
        self.current = Shape::default();
        while self.entries_left == 0 {
            if self.bytes_left > 0 {
                return Err(self.window.damaged());
            }
            if !self.next_group()? {
                return Ok(false);
            }
        }
        let (key, total, place) = parse_head(self.window.peek(HEAD)?);
        let inline = if place == INLINE { usize::try_from(total).unwrap_or(usize::MAX) } else { 0 };
        if key > MAX_KEY_BYTES || inline > INLINE_VALUE {
            return Err(self.window.damaged());
        }
        let stored = HEAD + key + inline;
        if stored as u64 > self.bytes_left {
            return Err(self.window.damaged());
        }
        self.window.peek(stored)?;
        self.entries_left -= 1;
        self.current = Shape { key, inline, place, total, stored: stored as u64 };
        Ok(true)
    }

    /// The error of a run that does not hold what was written to it.
    pub(super) fn damaged(&self) -> Error {
        self.window.damaged()
    }

    /// The current entry.
    pub(super) fn entry(&self) -> Entry<'_> {
        let Shape { key, inline, place, total, .. } = self.current;
        let bytes = self.window.peeked(HEAD + key + inline);
        let value = match place {
            INLINE => Value::Inline(&bytes[HEAD + key..]),
            place => Value::Spilled { place, total },
        };
        Entry { root_key: &self.root_key, key: &bytes[HEAD..HEAD + key], value }
    }
}

fn parse_head(bytes: &[u8]) -> (usize, u64, u64) {
    let (length, numbers) = bytes.split_at(4);
    let (one, other) = numbers.split_at(8);
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().expect("a head has 20 bytes"));
    let length = u32::from_le_bytes(length.try_into().expect("a head has 20 bytes"));
    (length as usize, number(one), number(other))
}
