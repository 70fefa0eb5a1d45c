//! The records in memory that become the next run.

use super::order::{Prefix, SortOrder};
use super::run::{Entry, Value};

/// Records in one arena, and their places in it, which are what is sorted.
#[derive(Debug, Default)]
pub(super) struct Buffer {
    arena: Vec<u8>,
    slots: Vec<Slot>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    prefix: Prefix,
    start: usize,
    root_key: u32,
    key: u32,
    value: SlotValue,
}

#[derive(Debug, Clone, Copy)]
enum SlotValue {
    Inline(u32),
    Spilled { place: u64, total: u64 },
}

impl Buffer {
    pub(super) fn push(&mut self, order: SortOrder, entry: &Entry<'_>) {
        let length =
            |bytes: &[u8]| u32::try_from(bytes.len()).expect("batches bound their records");
        let start = self.arena.len();
        let (root_key, key) = (length(entry.root_key), length(entry.key));
        self.arena.extend_from_slice(entry.root_key);
        self.arena.extend_from_slice(entry.key);
        let value = match entry.value {
            Value::Inline(bytes) => {
                self.arena.extend_from_slice(bytes);
                SlotValue::Inline(length(bytes))
            }
            Value::Spilled { place, total } => SlotValue::Spilled { place, total },
        };
        let prefix = Prefix::of(order, entry.root_key, entry.key);
        self.slots.push(Slot { prefix, start, root_key, key, value });
    }

    /// The bytes in use, with those that a stable sort of the slots needs beside them.
    pub(super) fn memory(&self) -> usize {
        self.arena.len() + self.slots.len() * size_of::<Slot>() * 3 / 2
    }

    /// Sorts the records, in the order they were pushed for; those that are nearly sorted take
    /// little time.
    pub(super) fn sort(&mut self, order: SortOrder) {
        let arena = &self.arena;
        self.slots.sort_by(|one, other| {
            let by_prefix = one.prefix.cmp(&other.prefix);
            by_prefix.then_with(|| order.compare(one.at(arena), other.at(arena)))
        });
    }

    pub(super) fn first(&self) -> Option<Entry<'_>> {
        self.iter().next()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = Entry<'_>> {
        self.slots.iter().map(|slot| {
            let (root_key, key) = slot.at(&self.arena);
            let value = match slot.value {
                SlotValue::Spilled { place, total } => Value::Spilled { place, total },
                SlotValue::Inline(length) => {
                    let start = slot.start + root_key.len() + key.len();
                    Value::Inline(&self.arena[start..start + length as usize])
                }
            };
            Entry { root_key, key, value }
        })
    }

    /// Forgets the records and keeps the memory.
    pub(super) fn clear(&mut self) {
        self.arena.clear();
        self.slots.clear();
    }
}

impl Slot {
    fn at<'a>(&self, arena: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let key = self.start + self.root_key as usize;
        (&arena[self.start..key], &arena[key..key + self.key as usize])
    }
}
