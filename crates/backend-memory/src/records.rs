//! The records of one database, as a map whose copies share what they have in common.

use std::iter;
use std::ops::Bound;

use backup_core::Result;
use backup_core::kv::Operation;
use backup_core::record::{RecordBatch, RecordKey, parts};
use rpds::RedBlackTreeMapSync;

/// Records in the order of (root key, key).
///
/// A clone costs nothing and never changes: a change to one of two clones copies the path from the
/// tree's root to the record, some twenty small nodes for a million records, and shares the rest. The
/// whole database is one map, and a partition a range of it, so that a thousand tiny partitions cost
/// no more than one, and a scan is a walk.
#[derive(Clone, Default)]
pub(crate) struct Records(RedBlackTreeMapSync<RecordKey, Vec<u8>>);

/// Where a scan goes on: at this record, with so many parts of its value already sent.
#[derive(Debug, Default)]
pub(crate) struct Cursor {
    at: RecordKey,
    sent: usize,
}

impl Cursor {
    /// The first record at or after `from`.
    pub(crate) fn new(from: Option<&RecordKey>) -> Self {
        Self { at: from.cloned().unwrap_or_default(), sent: 0 }
    }
}

impl Records {
    /// The number of records.
    pub(crate) fn len(&self) -> usize {
        self.0.size()
    }

    /// The value of a record.
    pub(crate) fn get(&self, at: &RecordKey) -> Option<&Vec<u8>> {
        self.0.get(at)
    }

    /// The last record's place.
    pub(crate) fn last(&self) -> Option<&RecordKey> {
        self.0.last().map(|(at, _)| at)
    }

    /// Whether any root key is not empty.
    pub(crate) fn is_partitioned(&self) -> bool {
        self.last().is_some_and(|at| !at.root_key.is_empty())
    }

    /// The root keys that have records.
    pub(crate) fn root_keys(&self) -> Vec<Vec<u8>> {
        let mut next = RecordKey::default();
        let found = iter::from_fn(|| {
            let (at, _) = self.0.range(&next..).next()?;
            // The smallest root key above this one is the same with a zero byte.
            next.root_key.clone_from(&at.root_key);
            next.root_key.push(0);
            Some(at.root_key.clone())
        });
        found.collect()
    }

    /// The keys of a partition that start with `prefix`, with their values.
    pub(crate) fn into_pairs(
        self,
        root_key: &[u8],
        prefix: &[u8],
    ) -> impl Iterator<Item = (Vec<u8>, Vec<u8>)> + Send + use<> {
        let start = RecordKey::new(root_key, prefix);
        let mut from = Bound::Included(start.clone());
        iter::from_fn(move || {
            let (at, value) = self.0.range((from.as_ref(), Bound::Unbounded)).next()?;
            if at.root_key != start.root_key || !at.key.starts_with(&start.key) {
                return None;
            }
            from = Bound::Excluded(at.clone());
            Some((at.key.clone(), value.clone()))
        })
    }

    /// The next batch, and where the one after it begins, if there may be one.
    pub(crate) fn next_batch(&self, cursor: &Cursor) -> Result<(RecordBatch, Option<Cursor>)> {
        let mut batch = RecordBatch::new();
        for (at, value) in self.0.range(&cursor.at..) {
            let sent = if *at == cursor.at { cursor.sent } else { 0 };
            for (index, part) in parts(&at.root_key, &at.key, value).enumerate().skip(sent) {
                batch.push(part)?;
                if batch.is_full() {
                    let next = Cursor { at: at.clone(), sent: index + 1 };
                    return Ok((batch, Some(next)));
                }
            }
        }
        Ok((batch, None))
    }

    /// Keys that cut the records into at most `parts` ranges of as many records each.
    pub(crate) fn splits(&self, parts: usize) -> Vec<RecordKey> {
        let step = self.len().div_ceil(parts.max(1)).max(1);
        self.0.keys().step_by(step).skip(1).cloned().collect()
    }

    /// Puts a record in.
    pub(crate) fn insert(&mut self, at: RecordKey, value: Vec<u8>) {
        self.0.insert_mut(at, value);
    }

    /// Applies one operation to a partition.
    pub(crate) fn apply(&mut self, root_key: &[u8], operation: Operation) {
        let at = |key| RecordKey { root_key: root_key.to_vec(), key };
        match operation {
            Operation::Put { key, value } => self.insert(at(key), value),
            Operation::Delete { key } => {
                self.0.remove_mut(&at(key));
            }
            Operation::DeletePrefix { prefix } => {
                let start = at(prefix);
                let doomed: Vec<_> = self
                    .0
                    .range(&start..)
                    .map(|(at, _)| at)
                    .take_while(|at| at.root_key == root_key && at.key.starts_with(&start.key))
                    .cloned()
                    .collect();
                for at in doomed {
                    self.0.remove_mut(&at);
                }
            }
        }
    }
}
