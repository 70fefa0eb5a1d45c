//! Writing a database's records: read in parallel ranges, cut by content, summed on the way.
//!
//! A range that one reader begins in the middle of a leaf must be cut as if one reader had read it
//! all. So a reader that does not begin at the first record passes over everything up to and
//! including the first natural boundary, and the reader before it reads on to that same boundary.

use std::collections::VecDeque;
use std::sync::Arc;

use archive::boundary::Target;
use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::limits::{FULL_LEAF_BYTES, LARGE_PIECE_BYTES};
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordKey};
use backup_core::source::{BatchStream, DatabaseInfo, Records, ranges_between};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use lthash::LtHash;
use tokio::sync::Mutex;

use super::checkpoint::{Checkpoints, SoFar};
use super::read::Found;
use super::write::{Parents, TreeWriter, store_leaf};
use crate::objects::Stored;
use crate::session::Session;
use crate::task::Task;
use crate::{Error, Result};

/// About how many bytes one reader reads in one go.
const RANGE_BYTES: u64 = 256 << 20;

/// The most ranges of a database.
const MAX_RANGES: usize = 4096;

/// How many leaves of one reader are summed, compressed and stored at the same time.
const LEAVES_AT_ONCE: usize = 3;

/// How many pieces of one long value are compressed and stored at the same time.
const PIECES_AT_ONCE: usize = 3;

/// A database as it was stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordsWritten {
    /// Its tree; none where it has no records.
    pub tree: Option<Tree>,
    /// The sum of its records.
    pub sum: DatabaseSum,
}

/// What is read, and how.
#[derive(Clone, Copy)]
pub struct Reading<'a> {
    /// The records of the snapshot.
    pub records: &'a dyn Records,
    /// The number of the database in it.
    pub number: usize,
    /// The database; its name is its integrity tag.
    pub database: &'a DatabaseInfo,
    /// How many ranges are read at the same time.
    pub readers: usize,
}

/// Stores the records of one database of a snapshot. `parents` are the database's trees in live
/// snapshots and pins, whose leaves are reused where they are the same.
pub async fn write_records(
    session: &Arc<Session>,
    reading: Reading<'_>,
    parents: &[Tree],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<RecordsWritten> {
    let writing = Arc::new(Writing {
        session: Arc::clone(session),
        parents: parents.to_vec(),
        tag: reading.database.name.clone().into_bytes(),
        context: context.clone(),
    });
    let readers = reading.readers.max(1);
    let ranges = reading.database.estimated_bytes.unwrap_or(0).div_ceil(RANGE_BYTES);
    let ranges = usize::try_from(ranges).unwrap_or(usize::MAX).clamp(readers, MAX_RANGES);
    let cuts = reading.records.splits(reading.number, ranges).await?;
    let mut ranges = stream::iter(ranges_between(cuts))
        .map(|(start, end)| {
            let writing = Arc::clone(&writing);
            let batches = reading.records.scan(reading.number, start.as_ref());
            let range = Range { writing, batches, start, end };
            Task::spawn(range.read()).join("read a range of records")
        })
        .buffered(readers);
    let mut tree = TreeWriter::new(session, parents, true);
    let mut sum = DatabaseSum::default();
    while let Some(leaves) = ranges.try_next().await? {
        for (leaf, lthash) in leaves {
            let (records, bytes) = (leaf.records, leaf.bytes);
            tree.push(leaf, Some(&lthash)).await?;
            sum.add(&DatabaseSum { lthash, records, bytes });
        }
        if checkpoints.is_due() {
            let tree = tree.so_far().finish().await?;
            let so_far = RecordsWritten { tree, sum: sum.clone() };
            checkpoints.save(SoFar::Records(so_far)).await?;
        }
    }
    Ok(RecordsWritten { tree: tree.finish().await?, sum })
}

/// What every range of one database shares.
#[derive(Debug)]
struct Writing {
    session: Arc<Session>,
    parents: Vec<Tree>,
    /// The integrity tag.
    tag: Vec<u8>,
    context: Context,
}

/// A range of a database, to be read from the first natural boundary after `start` to the one
/// after `end`.
struct Range {
    writing: Arc<Writing>,
    batches: BatchStream,
    start: Option<RecordKey>,
    end: Option<RecordKey>,
}

impl Range {
    async fn read(self) -> Result<Vec<(Child, LtHash)>> {
        let Self { writing, mut batches, start, end } = self;
        let mut leaves = Leaves::new(&writing);
        let mut skipping = start.is_some();
        while let Some(batch) = batches.try_next().await? {
            writing.context.check()?;
            let mut advanced = (0, 0);
            for record in batch.iter() {
                let natural = record.ends_value()
                    && Target::Records.ends_leaf(record.root_key, record.key, record.total);
                let past = |end: &RecordKey| end.compare(record.root_key, record.key).is_le();
                let last = natural && end.as_ref().is_some_and(past);
                if !skipping {
                    advanced.0 += record.counted_bytes();
                    advanced.1 += u64::from(record.starts_value());
                    leaves.push(&record, natural).await?;
                }
                skipping &= !natural;
                if last {
                    writing.context.advance(advanced.0, advanced.1);
                    return leaves.finish().await;
                }
            }
            writing.context.advance(advanced.0, advanced.1);
        }
        leaves.finish().await
    }
}

/// The leaves of one range. Each is summed, compressed and stored beside the reading.
struct Leaves {
    writing: Arc<Writing>,
    parents: Arc<Mutex<Parents>>,
    piece_parents: Parents,
    building: Building,
    storing: VecDeque<Task<(Child, LtHash)>>,
    done: Vec<(Child, LtHash)>,
}

/// The leaf that is being filled.
struct Building {
    leaf: LeafBuilder,
    /// Sums the long values, whose bytes are not in the leaf.
    long: Summer,
    open: Option<OpenValue>,
}

/// A long value whose parts are still coming.
struct OpenValue {
    at: RecordKey,
    pieces: Vec<ObjectRef>,
    storing: VecDeque<Task<Stored>>,
    known: Vec<ObjectRef>,
    buffer: Vec<u8>,
}

impl OpenValue {
    /// Begins to store what was gathered of the next piece, and waits where too many are under way.
    async fn cut(&mut self, session: &Arc<Session>) -> Result<()> {
        let rest = self.buffer.split_off(self.buffer.len().min(LARGE_PIECE_BYTES));
        let piece = std::mem::replace(&mut self.buffer, rest);
        let known = self.known.get(self.pieces.len() + self.storing.len()).copied();
        let session = Arc::clone(session);
        let put = async move { session.put(Kind::Piece, piece.into(), known).await };
        self.storing.push_back(Task::spawn(put));
        self.wait(PIECES_AT_ONCE - 1).await
    }

    /// Waits until at most `left` pieces are still being stored.
    async fn wait(&mut self, left: usize) -> Result<()> {
        while self.storing.len() > left
            && let Some(task) = self.storing.pop_front()
        {
            self.pieces.push(task.join("store a piece of a value").await?.reference);
        }
        Ok(())
    }
}

impl Building {
    fn new(tag: &[u8]) -> Self {
        Self { leaf: LeafBuilder::new(), long: Summer::new(tag), open: None }
    }
}

impl Leaves {
    fn new(writing: &Arc<Writing>) -> Self {
        let parents = || Parents::new(writing.session.repository().objects(), &writing.parents);
        Self {
            writing: Arc::clone(writing),
            parents: Arc::new(Mutex::new(parents())),
            piece_parents: parents(),
            building: Building::new(&writing.tag),
            storing: VecDeque::new(),
            done: Vec::new(),
        }
    }

    async fn push(&mut self, record: &Record<'_>, natural: bool) -> Result<()> {
        if record.total > Target::Records.inline_bytes() as u64 {
            self.push_part(record).await?;
        } else {
            let value = LeafValue::Inline(record.value);
            let inline = LeafRecord { root_key: record.root_key, key: record.key, value };
            self.building.leaf.push(&inline).map_err(unsorted)?;
        }
        if natural || self.building.leaf.len() >= FULL_LEAF_BYTES {
            self.cut();
            self.wait(LEAVES_AT_ONCE).await?;
        }
        Ok(())
    }

    /// Takes a part of a long value, storing its pieces as they fill.
    async fn push_part(&mut self, record: &Record<'_>) -> Result<()> {
        self.building.long.add_record(record)?;
        if record.starts_value() {
            let at = RecordKey::new(record.root_key, record.key);
            let known = match self.piece_parents.value(&at).await? {
                Some(Found::Pieces(pieces)) => pieces,
                _ => Vec::new(),
            };
            let (pieces, storing) = (Vec::new(), VecDeque::new());
            let open = OpenValue { at, pieces, storing, known, buffer: Vec::new() };
            self.building.open = Some(open);
        }
        let Some(open) = &mut self.building.open else { return Ok(()) };
        open.buffer.extend_from_slice(record.value);
        while open.buffer.len() >= LARGE_PIECE_BYTES
            || (record.ends_value() && !open.buffer.is_empty())
        {
            open.cut(&self.writing.session).await?;
        }
        if record.ends_value()
            && let Some(mut open) = self.building.open.take()
        {
            open.wait(0).await?;
            let value = LeafValue::Pieces { total: record.total, pieces: open.pieces };
            let long = LeafRecord { root_key: &open.at.root_key, key: &open.at.key, value };
            self.building.leaf.push(&long).map_err(unsorted)?;
        }
        Ok(())
    }

    /// Ends the leaf, and begins to store it.
    fn cut(&mut self) {
        let empty = Building::new(&self.writing.tag);
        let Building { leaf, long, .. } = std::mem::replace(&mut self.building, empty);
        if !leaf.is_empty() {
            let (writing, parents) = (Arc::clone(&self.writing), Arc::clone(&self.parents));
            self.storing.push_back(Task::spawn(store(writing, parents, leaf, long)));
        }
    }

    /// Waits until at most `left` leaves are still being stored.
    async fn wait(&mut self, left: usize) -> Result<()> {
        while self.storing.len() > left
            && let Some(task) = self.storing.pop_front()
        {
            self.done.push(task.join("store a leaf").await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<(Child, LtHash)>> {
        self.cut();
        self.wait(0).await?;
        Ok(self.done)
    }
}

/// Sums a leaf and stores it, unless a parent has it.
async fn store(
    writing: Arc<Writing>,
    parents: Arc<Mutex<Parents>>,
    leaf: LeafBuilder,
    long: Summer,
) -> Result<(Child, LtHash)> {
    let tag = writing.tag.clone();
    let summed = crate::blocking::run("sum a leaf", move || sum_leaf(leaf, long, &tag)).await;
    let (leaf, lthash) = summed?;
    let checksum = Some(lthash.checksum());
    let alike = |child: &Child| child.checksum == checksum;
    let known = parents.lock().await.candidate(0, &leaf.first, alike).await?;
    let child = store_leaf(&writing.session, leaf, Some(&lthash), known).await?;
    Ok((child, lthash))
}

/// What a leaf refused: above all, records that a source gave out of order or twice.
pub(super) fn unsorted(source: archive::Error) -> Error {
    Error::Format { what: "the source's records", source }
}

/// Sums a leaf's records and ends it.
fn sum_leaf(
    mut leaf: LeafBuilder,
    long: Summer,
    tag: &[u8],
) -> Result<(archive::leaf::FinishedLeaf, LtHash)> {
    let mut summer = Summer::new(tag);
    for record in leaf.iter() {
        if let LeafValue::Inline(value) = record.value {
            summer.add_record(&Record::whole(record.root_key, record.key, value))?;
        }
    }
    summer.add_sum(&long.finish()?);
    let sum = summer.finish()?.lthash;
    let finished = leaf.finish(Some(&sum));
    Ok((finished, sum))
}
