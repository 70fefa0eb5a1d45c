//! Sorting the records of a database that do not fit memory.
//!
//! A restore into an engine of another order, and the portable file, need records in an order their
//! source does not give. A [`Sorter`] takes them in any order, sorts as many at a time as its memory
//! allows, and spills them as *runs*; [`Sorted`] merges the runs. Records that come nearly sorted
//! make few runs: what begins after the last run's end goes on in that run.
//!
//! Spill files have no name: the system frees them when they are closed, whatever happens. Values
//! above 64 KiB are written beside the runs once, and neither buffered nor moved again. What is kept
//! of a sort is on disk, so the result can be read several times.
//!
//! ```
//! use archive::sort::{SortOrder, Sorter};
//! use backup_core::progress::Context;
//! use backup_core::record::{Record, RecordBatch};
//!
//! let folder = tempfile::tempdir()?;
//! let mut sorter = Sorter::new(folder.path(), 64 << 20, SortOrder::Key, &Context::default());
//! let mut batch = RecordBatch::new();
//! batch.push(Record::whole(b"", b"b", b"2"))?;
//! batch.push(Record::whole(b"", b"a", b"1"))?;
//! sorter.push(&batch)?;
//!
//! let sorted = sorter.finish()?;
//! let first = sorted.batches()?.next().expect("there are records")?;
//! assert_eq!(first.iter().next().expect("two of them").key, b"a");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod buffer;
mod heap;
mod merge;
mod order;
mod run;
mod sorted;
mod spill;
#[cfg(test)]
mod tests;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::progress::Context;
use backup_core::record::{MAX_WHOLE_VALUE, Record, RecordBatch, RecordKey};
use backup_core::{Error, Result};

use self::buffer::Buffer;
use self::merge::Merge;
use self::run::{Entry, Run, RunWriter, Value};
use self::spill::Spill;

pub use self::order::SortOrder;
pub(crate) use self::order::{compare_encoded, shown};
pub use self::sorted::{Batches, Partitions, Sorted};

/// The memory a sort uses where nobody says otherwise, in bytes.
pub const SORT_MEMORY: usize = 64 << 20;

/// Longer values are spilled beside the runs, in bytes.
const INLINE_VALUE: usize = 64 << 10;

/// The most runs that are merged at once; each has a descriptor and a read buffer.
const MAX_FAN_IN: usize = 64;

/// The read buffer of a run, in bytes, at least and at most.
const WINDOW: std::ops::RangeInclusive<usize> = 4 << 10..=512 << 10;

/// Sorts the records of one database with bounded memory.
///
/// Blocking: async code runs it through [`backup_core::thread`]. After an error it is of no more
/// use; dropped, it leaves nothing behind.
pub struct Sorter {
    folder: PathBuf,
    memory: usize,
    order: SortOrder,
    context: Context,
    buffer: Buffer,
    runs: Vec<Run>,
    values: Option<LongValues>,
    open: Option<OpenValue>,
    records: u64,
    /// The longest entry so far, in bytes: each run that is merged holds one.
    longest: usize,
}

/// The file of the values that are not in runs.
struct LongValues {
    spill: Arc<Spill>,
    bytes: u64,
}

/// A value whose parts are still coming.
struct OpenValue {
    at: RecordKey,
    place: u64,
    next: u64,
    total: u64,
}

impl Sorter {
    /// A sorter that spills into files without names in `folder`.
    ///
    /// It holds about `memory` bytes of records (see [`SORT_MEMORY`]), and half as much in buffers
    /// while it merges, but at least what two records with their keys need; values above 64 KiB do
    /// not count, however long. `context` stops it.
    pub fn new(folder: &Path, memory: usize, order: SortOrder, context: &Context) -> Self {
        Self {
            folder: folder.to_owned(),
            memory,
            order,
            context: context.clone(),
            buffer: Buffer::default(),
            runs: Vec::new(),
            values: None,
            open: None,
            records: 0,
            longest: 0,
        }
    }

    /// Takes the records of a batch.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the parts of a long value are not consecutive, or a key comes twice
    /// (it may be found only by [`finish`](Self::finish), or while reading what is sorted);
    /// [`Error::Io`] where the spill folder cannot be written; [`Error::Cancelled`].
    pub fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        self.context.check()?;
        batch.iter().try_for_each(|record| self.push_record(&record))
    }

    /// Sorts what is left in memory, and merges until the runs that remain can be read together.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn finish(mut self) -> Result<Sorted> {
        if self.open.is_some() {
            return Err(out_of_order("the last value ended early"));
        }
        self.spill_buffer()?;
        self.buffer = Buffer::default();
        let fan_in = self.fan_in();
        self.runs.sort_by_key(|run| std::cmp::Reverse(run.bytes));
        while self.runs.len() > fan_in {
            // The shortest are merged first: their bytes are moved once more than those of others.
            let excess = self.runs.len() - fan_in + 1;
            self.merge_last(excess.min(fan_in))?;
            self.runs.sort_by_key(|run| std::cmp::Reverse(run.bytes));
        }
        Ok(Sorted {
            order: self.order,
            runs: self.runs,
            values: self.values.map(|values| values.spill),
            records: self.records,
            window: window(self.memory),
            context: self.context,
        })
    }

    fn push_record(&mut self, record: &Record<'_>) -> Result<()> {
        if self.open.is_some() || !record.is_whole() {
            return self.push_part(record);
        }
        if record.value.len() <= INLINE_VALUE {
            let value = Value::Inline(record.value);
            return self.push_entry(&Entry { root_key: record.root_key, key: record.key, value });
        }
        let place = self.append_value(record.value)?;
        let value = Value::Spilled { place, total: record.total };
        self.push_entry(&Entry { root_key: record.root_key, key: record.key, value })
    }

    fn push_part(&mut self, record: &Record<'_>) -> Result<()> {
        let place = self.append_value(record.value)?;
        if record.starts_value() {
            if self.open.is_some() {
                return Err(out_of_order("a value ended early"));
            }
            let at = RecordKey::new(record.root_key, record.key);
            self.open = Some(OpenValue { at, place, next: 0, total: record.total });
        }
        let Some(open) = &mut self.open else {
            return Err(out_of_order("a part without its beginning"));
        };
        let continues = open.next == record.offset
            && open.total == record.total
            && open.at.compare(record.root_key, record.key).is_eq();
        if !continues {
            return Err(out_of_order("a part of another value"));
        }
        open.next += record.value.len() as u64;
        if record.ends_value() {
            let value = Value::Spilled { place: open.place, total: open.total };
            self.open = None;
            self.push_entry(&Entry { root_key: record.root_key, key: record.key, value })?;
        }
        Ok(())
    }

    /// Writes a value, or the next part of one, to the file of long values; returns where.
    fn append_value(&mut self, bytes: &[u8]) -> Result<u64> {
        let values = match &mut self.values {
            Some(values) => values,
            none => {
                let spill = Arc::new(Spill::create(&self.folder)?);
                none.insert(LongValues { spill, bytes: 0 })
            }
        };
        let place = values.bytes;
        values.spill.write_at(place, bytes)?;
        values.bytes += bytes.len() as u64;
        Ok(place)
    }

    fn push_entry(&mut self, entry: &Entry<'_>) -> Result<()> {
        self.buffer.push(self.order, entry);
        self.records += 1;
        self.longest = self.longest.max(entry.stored_bytes());
        if self.buffer.memory() >= self.memory {
            self.spill_buffer()?;
            self.merge_level()?;
        }
        Ok(())
    }

    /// Sorts the buffer and writes it, to the last run where it begins after that one's end.
    fn spill_buffer(&mut self) -> Result<()> {
        self.buffer.sort(self.order);
        let Some(first) = self.buffer.first() else { return Ok(()) };
        let order = self.order;
        let goes_on = |run: &Run| {
            let last = (run.last.root_key.as_slice(), run.last.key.as_slice());
            order.compare(last, (first.root_key, first.key)).is_lt()
        };
        let mut writer = match self.runs.pop() {
            Some(run) if goes_on(&run) => RunWriter::go_on(run),
            run => {
                self.runs.extend(run);
                RunWriter::create(&self.folder, 0)?
            }
        };
        for entry in self.buffer.iter() {
            writer.push(&entry)?;
        }
        self.runs.extend(writer.finish()?);
        self.buffer.clear();
        Ok(())
    }

    /// Merges the newest runs of one level once there are as many as can be merged at once, so that
    /// descriptors stay few and each byte is moved only once a level.
    fn merge_level(&mut self) -> Result<()> {
        loop {
            let Some(level) = self.runs.last().map(|run| run.level) else { return Ok(()) };
            let same = self.runs.iter().rev().take_while(|run| run.level == level).count();
            if same < self.fan_in() {
                return Ok(());
            }
            self.merge_last(same)?;
        }
    }

    /// Merges the last `count` runs into one of the next level.
    fn merge_last(&mut self, count: usize) -> Result<()> {
        let runs = self.runs.split_off(self.runs.len() - count);
        let level = runs.iter().map(|run| run.level).max().unwrap_or(0) + 1;
        let mut merge = Merge::new(self.order, &runs, window(self.memory))?;
        let mut writer = RunWriter::create(&self.folder, level)?;
        let mut since_check = 0;
        while let Some(entry) = merge.next()? {
            writer.push(&entry)?;
            since_check += entry.stored_bytes();
            if since_check > MAX_WHOLE_VALUE {
                self.context.check()?;
                since_check = 0;
            }
        }
        self.runs.extend(writer.finish()?);
        Ok(())
    }

    /// How many runs are merged at once: as many as have room for a buffer, or for a record.
    fn fan_in(&self) -> usize {
        (self.memory / self.longest.max(window(self.memory))).clamp(2, MAX_FAN_IN)
    }
}

impl fmt::Debug for Sorter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sorter")
            .field("order", &self.order)
            .field("records", &self.records)
            .field("runs", &self.runs.len())
            .finish_non_exhaustive()
    }
}

/// The read buffer of each run, in bytes: all of them have half of the memory.
fn window(memory: usize) -> usize {
    (memory / (2 * MAX_FAN_IN)).clamp(*WINDOW.start(), *WINDOW.end())
}

fn out_of_order(detail: &str) -> Error {
    Error::invalid("the parts of a long value are out of order", detail)
}
