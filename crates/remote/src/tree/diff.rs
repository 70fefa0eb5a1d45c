//! Comparing two trees by walking only where range, count and checksum differ.

use archive::directory::Content;
use archive::leaf::{Leaf, LeafValue};
use archive::node::Child;
use archive::object::{Kind, ObjectHash};
use backup_core::progress::Context;
use backup_core::record::RecordKey;

use super::read::{checked_leaf, read_node};
use crate::objects::Objects;
use crate::{Error, Result};

/// How a record differs between an old tree and a new one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Difference {
    /// Only the new tree has it.
    Added,
    /// Only the old tree has it.
    Removed,
    /// Its value is another.
    Changed,
}

/// How many records differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct DiffTotals {
    /// Only the new tree has them.
    pub added: u64,
    /// Only the old tree has them.
    pub removed: u64,
    /// Their values are others.
    pub changed: u64,
}

impl DiffTotals {
    /// Counts `records` differences of one kind.
    pub fn count(&mut self, difference: Difference, records: u64) {
        match difference {
            Difference::Added => self.added += records,
            Difference::Removed => self.removed += records,
            Difference::Changed => self.changed += records,
        }
    }
}

/// Is told each record that differs, in key order.
pub type EachDifference<'a> = &'a mut (dyn FnMut(Difference, &RecordKey) + Send);

/// Compares one database in two snapshots of a repository.
///
/// With `each`, every record that differs is named; without it, what lies outside the other tree's
/// ranges is counted and not read.
pub async fn compare(
    objects: &Objects,
    old: Option<&Content>,
    new: Option<&Content>,
    mut each: Option<EachDifference<'_>>,
    context: &Context,
) -> Result<DiffTotals> {
    let mut old = Side::new(objects, old)?;
    let mut new = Side::new(objects, new)?;
    let mut totals = DiffTotals::default();
    loop {
        context.check()?;
        match next_step(old.pending.last(), new.pending.last()) {
            Step::Done => return Ok(totals),
            Step::Same => {
                old.pending.pop();
                new.pending.pop();
            }
            Step::Changed => {
                new.pending.pop();
                old.report(Difference::Changed, &mut totals, &mut each).await?;
            }
            Step::OnlyOld => old.report(Difference::Removed, &mut totals, &mut each).await?,
            Step::OnlyNew => new.report(Difference::Added, &mut totals, &mut each).await?,
            Step::OpenOld => old.open().await?,
            Step::OpenNew => new.open().await?,
        }
    }
}

/// What to do with the two items that come next.
enum Step {
    Done,
    Same,
    Changed,
    OnlyOld,
    OnlyNew,
    OpenOld,
    OpenNew,
}

fn next_step(old: Option<&Item>, new: Option<&Item>) -> Step {
    let (old, new) = match (old, new) {
        (None, None) => return Step::Done,
        (Some(_), None) => return Step::OnlyOld,
        (None, Some(_)) => return Step::OnlyNew,
        (Some(old), Some(new)) => (old, new),
    };
    if old.last() < new.first() {
        return Step::OnlyOld;
    }
    if new.last() < old.first() {
        return Step::OnlyNew;
    }
    match (old, new) {
        (Item::Record { value: one, .. }, Item::Record { value: other, .. }) if one == other => {
            Step::Same
        }
        (Item::Record { .. }, Item::Record { .. }) => Step::Changed,
        (Item::Below(_, one), Item::Below(_, other)) if same(one, other) => Step::Same,
        (Item::Below(one, _), Item::Below(other, _)) if one < other => Step::OpenNew,
        (Item::Record { .. }, Item::Below(..)) => Step::OpenNew,
        (Item::Below(..), _) => Step::OpenOld,
    }
}

/// Whether two references lead to the same records: one object, or one sum over one range.
fn same(one: &Child, other: &Child) -> bool {
    let shape = |child: &Child| (child.records, child.bytes, child.checksum);
    let ends = (&one.first, &one.last) == (&other.first, &other.last);
    one.object.name == other.object.name
        || (one.checksum.is_some() && ends && shape(one) == shape(other))
}

/// A part of a tree that is still to be compared.
enum Item {
    Below(u8, Child),
    Record { at: RecordKey, value: Value },
}

/// A value as far as equality goes: long ones by the hashes of their pieces, which are cut alike.
#[derive(PartialEq, Eq)]
enum Value {
    Inline(Vec<u8>),
    Pieces(Vec<ObjectHash>),
}

impl Item {
    fn first(&self) -> &RecordKey {
        match self {
            Self::Below(_, child) => &child.first,
            Self::Record { at, .. } => at,
        }
    }

    fn last(&self) -> &RecordKey {
        match self {
            Self::Below(_, child) => &child.last,
            Self::Record { at, .. } => at,
        }
    }
}

/// One of the two trees: what is still to be compared, the next on top.
struct Side<'a> {
    objects: &'a Objects,
    pending: Vec<Item>,
}

impl<'a> Side<'a> {
    fn new(objects: &'a Objects, content: Option<&Content>) -> Result<Self> {
        let mut side = Self { objects, pending: Vec::new() };
        match content {
            Some(Content::Tree(tree)) => {
                side.pending.push(Item::Below(tree.levels, tree.root.clone()));
            }
            Some(Content::Inline(leaf)) if !leaf.is_empty() => {
                // Whoever found the database has parsed it.
                let format = |source| Error::Format { what: "a small database", source };
                side.put(&Leaf::parse(leaf).map_err(format)?);
            }
            _ => {}
        }
        Ok(side)
    }

    /// Puts the records of a leaf in front of what is to be compared.
    fn put(&mut self, leaf: &Leaf<'_>) {
        let records = leaf.iter().map(|record| Item::Record {
            at: RecordKey::new(record.root_key, record.key),
            value: match record.value {
                LeafValue::Inline(value) => Value::Inline(value.to_vec()),
                LeafValue::Pieces { pieces, .. } => {
                    Value::Pieces(pieces.iter().map(|piece| piece.name.hash).collect())
                }
            },
        });
        let start = self.pending.len();
        self.pending.extend(records);
        self.pending[start..].reverse();
    }

    /// Counts the next item, or opens it where its records are to be named one by one.
    async fn report(
        &mut self,
        difference: Difference,
        totals: &mut DiffTotals,
        each: &mut Option<EachDifference<'_>>,
    ) -> Result<()> {
        match (self.pending.last(), each) {
            (Some(Item::Below(..)), Some(_)) => return self.open().await,
            (Some(Item::Below(_, child)), None) => totals.count(difference, child.records),
            (Some(Item::Record { at, .. }), each) => {
                totals.count(difference, 1);
                if let Some(each) = each {
                    each(difference, at);
                }
            }
            (None, _) => {}
        }
        self.pending.pop();
        Ok(())
    }

    /// Replaces the next item by what is below it.
    async fn open(&mut self) -> Result<()> {
        match self.pending.pop() {
            Some(Item::Below(0, child)) => {
                let content = self.objects.read(Kind::Leaf, &child.object).await?;
                let leaf = checked_leaf(&child, &content)?;
                self.put(&leaf);
            }
            Some(Item::Below(level, child)) => {
                let node = read_node(self.objects, &child, level).await?;
                let below = node.children.into_iter().rev();
                self.pending.extend(below.map(|child| Item::Below(level - 1, child)));
            }
            // A record has nothing below it: next_step opens none.
            record => self.pending.extend(record),
        }
        Ok(())
    }
}
