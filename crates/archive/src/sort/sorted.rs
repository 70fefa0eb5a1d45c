//! What a sorter gives back.

use std::sync::Arc;

use backup_core::progress::Context;
use backup_core::record::{MAX_WHOLE_VALUE, PART_BYTES, Record, RecordBatch, RecordKey};
use backup_core::{Error, Result};

use super::merge::{Merge, PartitionMerge};
use super::order::SortOrder;
use super::run::{Run, Value};
use super::spill::Spill;

/// The read buffer for the heads of groups, in bytes: what lies between them is passed over.
const HEAD_WINDOW: usize = 4 << 10;

/// Sorted records in spill files, which may be read several times, also at once.
#[derive(Debug)]
pub struct Sorted {
    pub(super) order: SortOrder,
    pub(super) runs: Vec<Run>,
    pub(super) values: Option<Arc<Spill>>,
    pub(super) records: u64,
    pub(super) window: usize,
    pub(super) context: Context,
}

impl Sorted {
    /// The number of records.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The records in order, in batches, long values in parts.
    ///
    /// # Errors
    /// As the items of the iterator: [`Io`](backup_core::Error::Io) where a spill file cannot be
    /// read, [`Invalid`](backup_core::Error::Invalid) for a key that comes twice,
    /// [`Cancelled`](backup_core::Error::Cancelled). An error is the last item.
    pub fn batches(&self) -> Result<Batches> {
        Ok(Batches {
            merge: Merge::new(self.order, &self.runs, self.window)?,
            values: self.values.clone(),
            open: None,
            scratch: Vec::new(),
            done: false,
            context: self.context.clone(),
        })
    }

    /// Each root key, in order, with the number of its records; the records themselves are not read.
    ///
    /// # Errors
    /// As [`batches`](Self::batches).
    pub fn partitions(&self) -> Result<Partitions> {
        let merge = PartitionMerge::new(self.order, &self.runs, HEAD_WINDOW)?;
        Ok(Partitions { merge, done: false, context: self.context.clone() })
    }
}

/// The batches of [`Sorted::batches`].
#[derive(Debug)]
pub struct Batches {
    merge: Merge,
    values: Option<Arc<Spill>>,
    open: Option<LongValue>,
    scratch: Vec<u8>,
    done: bool,
    context: Context,
}

/// A value of which parts are still to be given.
#[derive(Debug)]
struct LongValue {
    at: RecordKey,
    place: u64,
    offset: u64,
    total: u64,
}

impl Iterator for Batches {
    type Item = Result<RecordBatch>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let mut batch = RecordBatch::new();
        if let Err(error) = self.context.check().and_then(|()| self.fill(&mut batch)) {
            self.done = true;
            return Some(Err(error));
        }
        self.done = batch.is_empty();
        (!self.done).then_some(Ok(batch))
    }
}

impl Batches {
    fn fill(&mut self, batch: &mut RecordBatch) -> Result<()> {
        while !batch.is_full() {
            if let Some(open) = self.open.take() {
                self.push_part(batch, open)?;
                continue;
            }
            let Some(entry) = self.merge.next()? else { return Ok(()) };
            match entry.value {
                Value::Inline(value) => {
                    batch.push(Record::whole(entry.root_key, entry.key, value))?;
                }
                Value::Spilled { place, total } if total <= MAX_WHOLE_VALUE as u64 => {
                    read_value(self.values.as_ref(), place, total, &mut self.scratch)?;
                    batch.push(Record::whole(entry.root_key, entry.key, &self.scratch))?;
                }
                Value::Spilled { place, total } => {
                    let at = RecordKey::new(entry.root_key, entry.key);
                    self.open = Some(LongValue { at, place, offset: 0, total });
                }
            }
        }
        Ok(())
    }

    fn push_part(&mut self, batch: &mut RecordBatch, mut open: LongValue) -> Result<()> {
        let length = (open.total - open.offset).min(PART_BYTES as u64);
        read_value(self.values.as_ref(), open.place + open.offset, length, &mut self.scratch)?;
        batch.push(Record {
            root_key: &open.at.root_key,
            key: &open.at.key,
            value: &self.scratch,
            offset: open.offset,
            total: open.total,
        })?;
        open.offset += length;
        if open.offset < open.total {
            self.open = Some(open);
        }
        Ok(())
    }
}

/// Reads `length` bytes of the file of long values into `into`.
fn read_value(
    values: Option<&Arc<Spill>>,
    place: u64,
    length: u64,
    into: &mut Vec<u8>,
) -> Result<()> {
    let Some(values) = values else {
        let detail = "it names a value that was never spilled; check the disk";
        return Err(Error::damaged("a spill file", detail));
    };
    into.resize(usize::try_from(length).unwrap_or(0), 0);
    values.read_at(place, into)
}

/// The partitions of [`Sorted::partitions`].
#[derive(Debug)]
pub struct Partitions {
    merge: PartitionMerge,
    done: bool,
    context: Context,
}

impl Iterator for Partitions {
    type Item = Result<(Vec<u8>, u64)>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let next = self.context.check().and_then(|()| self.merge.next());
        self.done = !matches!(next, Ok(Some(_)));
        next.transpose()
    }
}
