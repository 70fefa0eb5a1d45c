//! What is reached against what is there: two sets of names, sorted with bounded memory, and merged.

use std::cmp::Ordering;
use std::path::Path;

use archive::object::{ObjectHash, ObjectName, ObjectRef};
use archive::sort::{SortOrder, Sorted, Sorter};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};

use super::report::Leftovers;
use crate::{Error, Result, blocking};

const NAME_BYTES: usize = 40;

/// The memory of each of the two sorts, in bytes: names of about 100,000 objects; more are spilled.
const MEMORY: usize = 8 << 20;

/// Objects that were seen, each with its stored length and a note.
pub(super) struct Inventory {
    /// Away only while it sorts.
    sorter: Option<Sorter>,
    batch: RecordBatch,
    /// How many so far. It tells apart what is seen twice: a sorter takes each key once.
    seen: u64,
}

/// An object that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    pub(super) name: ObjectName,
    /// Its stored length, in bytes.
    pub(super) stored: u64,
    /// What the caller noted with it.
    pub(super) note: u32,
}

impl Inventory {
    /// An empty one, which spills into files without names in `folder`.
    pub(super) fn new(folder: &Path, context: &Context) -> Self {
        let sorter = Sorter::new(folder, MEMORY, SortOrder::Key, context);
        Self { sorter: Some(sorter), batch: RecordBatch::default(), seen: 0 }
    }

    /// Takes an object.
    pub(super) async fn push(&mut self, seen: Seen) -> Result<()> {
        let mut key = Vec::with_capacity(NAME_BYTES + 8);
        key.extend_from_slice(&seen.name.hash.0);
        key.extend_from_slice(&seen.name.nonce);
        key.extend_from_slice(&self.seen.to_be_bytes());
        let mut value = seen.stored.to_le_bytes().to_vec();
        value.extend_from_slice(&seen.note.to_le_bytes());
        self.batch.push(Record::whole(b"", &key, &value))?;
        self.seen += 1;
        if self.batch.is_full() { self.sort().await } else { Ok(()) }
    }

    async fn sort(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let Some(mut sorter) = self.sorter.take() else { return Ok(()) };
        let pushed = blocking::run("sort names", move || {
            sorter.push(&batch)?;
            Ok::<_, Error>(sorter)
        });
        self.sorter = Some(pushed.await?);
        Ok(())
    }

    /// What was seen, sorted; nothing where a sort failed before.
    async fn finish(mut self) -> Result<Option<Sorted>> {
        self.sort().await?;
        let Some(sorter) = self.sorter else { return Ok(None) };
        blocking::run("sort names", move || Ok(Some(sorter.finish()?))).await
    }
}

impl Seen {
    pub(super) fn reached(object: &ObjectRef, note: u32) -> Self {
        Self { name: object.name, stored: u64::from(object.stored), note }
    }
}

/// What two inventories have in common, or not.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Compared {
    /// What is reached and not there, or with another length than is found: once for each name.
    pub(super) wrong: Vec<(Seen, Option<u64>)>,
    /// What is there and not reached.
    pub(super) unreached: Leftovers,
}

/// Compares what is reached with what is there.
pub(super) async fn compare(reached: Inventory, there: Inventory) -> Result<Compared> {
    let (reached, there) = (reached.finish().await?, there.finish().await?);
    let Some((reached, there)) = reached.zip(there) else { return Ok(Compared::default()) };
    blocking::run("compare names", move || merge(Names::of(&reached)?, Names::of(&there)?)).await
}

fn merge(mut reached: Names, mut there: Names) -> Result<Compared> {
    let mut compared = Compared::default();
    let (mut one, mut other) = (reached.next_name()?, there.next_name()?);
    loop {
        let order = match (&one, &other) {
            (None, None) => return Ok(compared),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some(wanted), Some(found)) => wanted.name.cmp(&found.name),
        };
        match (order, one, other) {
            (Ordering::Less, Some(wanted), _) => compared.wrong.push((wanted, None)),
            (Ordering::Greater, _, Some(found)) => {
                compared.unreached.objects += 1;
                compared.unreached.bytes += found.stored;
            }
            (_, Some(wanted), Some(found)) if wanted.stored != found.stored => {
                compared.wrong.push((wanted, Some(found.stored)));
            }
            _ => {}
        }
        if order.is_le() {
            one = reached.next_name()?;
        }
        if order.is_ge() {
            other = there.next_name()?;
        }
    }
}

/// The names of a sorted inventory, each once.
struct Names {
    batches: archive::sort::Batches,
    ready: std::vec::IntoIter<Seen>,
    last: Option<ObjectName>,
}

impl Names {
    fn of(sorted: &Sorted) -> Result<Self> {
        Ok(Self { batches: sorted.batches()?, ready: Vec::new().into_iter(), last: None })
    }

    fn next_name(&mut self) -> Result<Option<Seen>> {
        loop {
            for seen in self.ready.by_ref() {
                if self.last.replace(seen.name) != Some(seen.name) {
                    return Ok(Some(seen));
                }
            }
            let Some(batch) = self.batches.next().transpose()? else { return Ok(None) };
            let ready: Vec<Seen> = batch.iter().filter_map(|record| parse(&record)).collect();
            self.ready = ready.into_iter();
        }
    }
}

/// What [`Inventory::push`] wrote.
fn parse(record: &Record<'_>) -> Option<Seen> {
    let (hash, rest) = record.key.split_first_chunk::<32>()?;
    let name = ObjectName { hash: ObjectHash(*hash), nonce: *rest.first_chunk::<8>()? };
    let (stored, note) = record.value.split_first_chunk::<8>()?;
    let note = u32::from_le_bytes(*note.first_chunk::<4>()?);
    Some(Seen { name, stored: u64::from_le_bytes(*stored), note })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(first: u8, stored: u64) -> Seen {
        let name = ObjectName { hash: ObjectHash([first; 32]), nonce: [0; 8] };
        Seen { name, stored, note: u32::from(first) }
    }

    async fn inventory(of: &[Seen]) -> Inventory {
        let mut inventory = Inventory::new(&std::env::temp_dir(), &Context::default());
        for seen in of {
            inventory.push(*seen).await.unwrap();
        }
        inventory
    }

    #[tokio::test]
    async fn what_is_missing_short_or_unreached_is_told_apart() {
        // Out of order, and one that is reached twice.
        let reached = [seen(9, 1), seen(3, 1), seen(5, 1), seen(3, 1), seen(7, 1)];
        let there = [seen(1, 10), seen(3, 1), seen(5, 2), seen(8, 30), seen(9, 1), seen(10, 2)];
        let found = compare(inventory(&reached).await, inventory(&there).await).await.unwrap();
        assert_eq!(found.wrong, [(seen(5, 1), Some(2)), (seen(7, 1), None)]);
        assert_eq!(found.unreached, Leftovers { objects: 3, bytes: 42 });
        let nothing = compare(inventory(&[]).await, inventory(&[]).await).await.unwrap();
        assert_eq!(nothing, Compared::default());
        let all = compare(inventory(&[]).await, inventory(&there).await).await.unwrap();
        assert_eq!(all.unreached, Leftovers { objects: 6, bytes: 46 });
        let none = compare(inventory(&reached).await, inventory(&[]).await).await.unwrap();
        assert_eq!(none.wrong.len(), 4);
    }

    /// More than fits the memory of the sorts: nothing is kept but what differs.
    #[tokio::test]
    async fn sets_that_are_spilled_compare_alike() {
        let name = |number: u32| Seen {
            name: ObjectName {
                hash: ObjectHash(*blake3::hash(&number.to_le_bytes()).as_bytes()),
                nonce: [1; 8],
            },
            stored: u64::from(number),
            note: number,
        };
        let reached: Vec<Seen> = (0..200_000).map(name).collect();
        let there: Vec<Seen> = (10..200_010).rev().map(name).collect();
        let found = compare(inventory(&reached).await, inventory(&there).await).await.unwrap();
        let mut missing: Vec<u32> = found.wrong.iter().map(|(seen, _)| seen.note).collect();
        missing.sort_unstable();
        assert_eq!(missing, (0..10).collect::<Vec<_>>());
        assert_eq!(found.unreached.objects, 10);
    }
}
