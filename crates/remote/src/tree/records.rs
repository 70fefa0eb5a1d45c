//! Writing a database's records: read in parallel ranges, cut by content, summed on the way.
//!
//! A range that one reader begins in the middle of a leaf must be cut as if one reader had read it
//! all. So a reader that does not begin at the first record passes over everything up to and
//! including the first natural boundary, and the reader before it reads on to that same boundary.

use archive::boundary::Target;
use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::limits::{FULL_LEAF_BYTES, LARGE_PIECE_BYTES};
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordKey};
use backup_core::source::{DatabaseInfo, Records};
use futures_util::stream::{self, FuturesOrdered, StreamExt, TryStreamExt};
use lthash::LtHash;

use super::checkpoint::{Checkpoints, SoFar};
use super::read::Found;
use super::write::{Parents, TreeWriter, store_leaf};
use crate::session::Session;
use crate::{Error, Result};

/// About how many bytes one reader reads in one go.
const RANGE_BYTES: u64 = 256 << 20;

/// The most ranges of a database.
const MAX_RANGES: usize = 4096;

/// How many leaves of one reader are summed, compressed and stored at the same time.
const LEAVES_AT_ONCE: usize = 3;

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
    session: &Session,
    reading: Reading<'_>,
    parents: &[Tree],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<RecordsWritten> {
    let writing = Writing { session, reading, parents, context };
    let readers = reading.readers.max(1);
    let ranges = reading.database.estimated_bytes.unwrap_or(0).div_ceil(RANGE_BYTES);
    let ranges = usize::try_from(ranges).unwrap_or(usize::MAX).clamp(readers, MAX_RANGES);
    let cuts = reading.records.splits(reading.number, ranges).await?;
    let starts = std::iter::once(None).chain(cuts.iter().map(Some));
    let ends = cuts.iter().map(Some).chain(std::iter::once(None));
    let mut ranges = stream::iter(starts.zip(ends))
        .map(|(start, end)| read_range(writing, start, end))
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
#[derive(Clone, Copy)]
struct Writing<'a> {
    session: &'a Session,
    reading: Reading<'a>,
    parents: &'a [Tree],
    context: &'a Context,
}

impl Writing<'_> {
    fn tag(&self) -> &[u8] {
        self.reading.database.name.as_bytes()
    }
}

/// Reads one range, from the first natural boundary after `start` to the one after `end`.
async fn read_range(
    writing: Writing<'_>,
    start: Option<&RecordKey>,
    end: Option<&RecordKey>,
) -> Result<Vec<(Child, LtHash)>> {
    let objects = writing.session.repository().objects();
    let mut leaves = Leaves {
        writing,
        parents: Parents::new(objects, writing.parents),
        piece_parents: Parents::new(objects, writing.parents),
        building: Building::new(writing.tag()),
        storing: FuturesOrdered::new(),
        done: Vec::new(),
    };
    let mut batches = writing.reading.records.scan(writing.reading.number, start);
    let mut skipping = start.is_some();
    while let Some(batch) = batches.try_next().await? {
        writing.context.check()?;
        let mut advanced = (0, 0);
        for record in batch.iter() {
            let starts = record.starts_value();
            let natural = record.ends_value()
                && Target::Records.ends_leaf(record.root_key, record.key, record.total);
            let past_end = end.is_some_and(|end| end.compare(record.root_key, record.key).is_le());
            if skipping {
                skipping = !natural;
                if natural && past_end {
                    return leaves.finish().await;
                }
                continue;
            }
            advanced.0 += record.counted_bytes();
            advanced.1 += u64::from(starts);
            leaves.push(&record, natural).await?;
            if natural && past_end {
                writing.context.advance(advanced.0, advanced.1);
                return leaves.finish().await;
            }
        }
        writing.context.advance(advanced.0, advanced.1);
    }
    leaves.finish().await
}

/// The leaves of one range.
struct Leaves<'a> {
    writing: Writing<'a>,
    parents: Parents,
    piece_parents: Parents,
    building: Building,
    storing: FuturesOrdered<futures_util::future::BoxFuture<'a, Result<(Child, LtHash)>>>,
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
    known: Vec<ObjectRef>,
    buffer: Vec<u8>,
}

impl Building {
    fn new(tag: &[u8]) -> Self {
        Self { leaf: LeafBuilder::new(), long: Summer::new(tag), open: None }
    }
}

impl Leaves<'_> {
    async fn push(&mut self, record: &Record<'_>, natural: bool) -> Result<()> {
        if record.total > Target::Records.inline_bytes() as u64 {
            self.push_part(record).await?;
        } else {
            let value = LeafValue::Inline(record.value);
            let inline = LeafRecord { root_key: record.root_key, key: record.key, value };
            self.building.leaf.push(&inline).map_err(unsorted)?;
        }
        if natural || self.building.leaf.len() >= FULL_LEAF_BYTES {
            self.cut().await?;
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
            let open = OpenValue { at, pieces: Vec::new(), known, buffer: Vec::new() };
            self.building.open = Some(open);
        }
        let Some(open) = &mut self.building.open else { return Ok(()) };
        open.buffer.extend_from_slice(record.value);
        while open.buffer.len() >= LARGE_PIECE_BYTES
            || (record.ends_value() && !open.buffer.is_empty())
        {
            let rest = open.buffer.split_off(open.buffer.len().min(LARGE_PIECE_BYTES));
            let piece = std::mem::replace(&mut open.buffer, rest);
            let known = open.known.get(open.pieces.len()).copied();
            let stored = self.writing.session.put(Kind::Piece, piece.into(), known).await?;
            open.pieces.push(stored.reference);
        }
        if record.ends_value()
            && let Some(OpenValue { at, pieces, .. }) = self.building.open.take()
        {
            let value = LeafValue::Pieces { total: record.total, pieces };
            let long = LeafRecord { root_key: &at.root_key, key: &at.key, value };
            self.building.leaf.push(&long).map_err(unsorted)?;
        }
        Ok(())
    }

    /// Ends the leaf, and waits where too many are being stored.
    async fn cut(&mut self) -> Result<()> {
        let empty = Building::new(self.writing.tag());
        let Building { leaf, long, .. } = std::mem::replace(&mut self.building, empty);
        if leaf.is_empty() {
            return Ok(());
        }
        let session = self.writing.session;
        let tag = self.writing.tag().to_vec();
        let first = leaf.iter().next().map(|r| RecordKey::new(r.root_key, r.key));
        let summed = crate::blocking::run("sum a leaf", move || sum_leaf(leaf, long, &tag)).await;
        let (leaf, lthash) = summed?;
        let checksum = Some(lthash.checksum());
        let known = match first {
            Some(first) => {
                let alike = |child: &Child| child.checksum == checksum;
                self.parents.candidate(0, &first, alike).await?
            }
            None => None,
        };
        self.storing.push_back(Box::pin(async move {
            let child = store_leaf(session, leaf, Some(&lthash), known).await?;
            Ok((child, lthash))
        }));
        while self.storing.len() >= LEAVES_AT_ONCE {
            self.done.extend(self.storing.try_next().await?);
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Vec<(Child, LtHash)>> {
        self.cut().await?;
        while let Some(stored) = self.storing.try_next().await? {
            self.done.push(stored);
        }
        Ok(self.done)
    }
}

/// What a leaf refused: above all, records that a source gave out of order or twice.
fn unsorted(source: archive::Error) -> Error {
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
