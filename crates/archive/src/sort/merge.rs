//! Merging runs into one order.

use std::cmp::Ordering;

use backup_core::record::RecordKey;
use backup_core::{Error, Result};

use super::heap::Heap;
use super::order::{SortOrder, shown};
use super::run::{Entry, Run, RunReader};

/// The records of several runs in one order. A key that comes twice is an error here, wherever the
/// two came from.
#[derive(Debug)]
pub(super) struct Merge {
    order: SortOrder,
    readers: Vec<RunReader>,
    heap: Heap,
    /// The place of the entry that was handed out, which its reader still stands at.
    last: RecordKey,
    begun: bool,
}

impl Merge {
    pub(super) fn new(order: SortOrder, runs: &[Run], window: usize) -> Result<Self> {
        let mut readers: Vec<_> = runs.iter().map(|run| RunReader::new(run, window)).collect();
        let mut filled = Vec::new();
        for (index, reader) in readers.iter_mut().enumerate() {
            if reader.next_entry()? {
                filled.push(index);
            }
        }
        let heap = Heap::new(filled, |one, other| less(order, &readers, one, other));
        Ok(Self { order, readers, heap, last: RecordKey::default(), begun: false })
    }

    /// The next record.
    pub(super) fn next(&mut self) -> Result<Option<Entry<'_>>> {
        if self.begun {
            self.go_on()?;
        }
        let Some(top) = self.heap.top() else { return Ok(None) };
        let entry = self.readers[top].entry();
        if self.begun {
            let last = (self.last.root_key.as_slice(), self.last.key.as_slice());
            match self.order.compare(last, (entry.root_key, entry.key)) {
                Ordering::Less => {}
                Ordering::Equal => return Err(twice(&entry)),
                Ordering::Greater => return Err(self.readers[top].damaged()),
            }
        }
        self.begun = true;
        self.last.root_key.clear();
        self.last.root_key.extend_from_slice(entry.root_key);
        self.last.key.clear();
        self.last.key.extend_from_slice(entry.key);
        Ok(Some(entry))
    }

    fn go_on(&mut self) -> Result<()> {
        let Some(top) = self.heap.top() else { return Ok(()) };
        let more = self.readers[top].next_entry()?;
        let (order, readers) = (self.order, &self.readers);
        let less = |one, other| less(order, readers, one, other);
        if more {
            self.heap.settle(less);
        } else {
            self.heap.remove_top(less);
        }
        Ok(())
    }
}

fn twice(entry: &Entry<'_>) -> Error {
    let detail = "comes twice, and a database has each key once; its source is damaged";
    Error::invalid(shown(entry.root_key, entry.key), detail)
}

fn less(order: SortOrder, readers: &[RunReader], one: usize, other: usize) -> bool {
    let (one, other) = (readers[one].entry(), readers[other].entry());
    order.compare((one.root_key, one.key), (other.root_key, other.key)).is_lt()
}

/// The partitions of several runs in one order, with the number of their records.
#[derive(Debug)]
pub(super) struct PartitionMerge {
    order: SortOrder,
    readers: Vec<RunReader>,
    heap: Heap,
}

impl PartitionMerge {
    pub(super) fn new(order: SortOrder, runs: &[Run], window: usize) -> Result<Self> {
        let mut readers: Vec<_> = runs.iter().map(|run| RunReader::new(run, window)).collect();
        let mut filled = Vec::new();
        for (index, reader) in readers.iter_mut().enumerate() {
            if reader.next_group()? {
                filled.push(index);
            }
        }
        let heap = Heap::new(filled, |one, other| group_less(order, &readers, one, other));
        Ok(Self { order, readers, heap })
    }

    /// The next partition: its root key and the number of its records.
    pub(super) fn next(&mut self) -> Result<Option<(Vec<u8>, u64)>> {
        let Some(top) = self.heap.top() else { return Ok(None) };
        let root_key = self.readers[top].group().0.to_vec();
        let mut records = 0;
        while let Some(top) = self.heap.top() {
            let group = self.readers[top].group();
            if group.0 != root_key {
                break;
            }
            records += group.1;
            let more = self.readers[top].next_group()?;
            let (order, readers) = (self.order, &self.readers);
            let less = |one, other| group_less(order, readers, one, other);
            if more { self.heap.settle(less) } else { self.heap.remove_top(less) }
        }
        Ok(Some((root_key, records)))
    }
}

fn group_less(order: SortOrder, readers: &[RunReader], one: usize, other: usize) -> bool {
    order.compare((readers[one].group().0, b""), (readers[other].group().0, b"")).is_lt()
}
