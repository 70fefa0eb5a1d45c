//! Writing a database's records: read in parallel ranges, cut by content, summed on the way.
//!
//! A range that one reader begins in the middle of a leaf must be cut as if one reader had read it
//! all. So a reader that does not begin at the first record passes over everything up to and
//! including the first natural boundary, and the reader before it reads on to that same boundary.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
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
use tokio::sync::{Mutex, mpsc};

use super::checkpoint::{Checkpoints, SoFar, keep_after};
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

/// How many leaves that are stored may wait to get into the tree, while a checkpoint is made.
const LEAVES_AHEAD: usize = 64;

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
///
/// Checkpoints are made between any two leaves, of all ranges that are being read, and one more where the
/// writing ends early.
pub async fn write_records(
    session: &Arc<Session>,
    reading: Reading<'_>,
    parents: &[Tree],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<RecordsWritten> {
    let (sender, mut leaves) = mpsc::channel(LEAVES_AHEAD);
    let writing = Arc::new(Writing {
        session: Arc::clone(session),
        parents: parents.to_vec(),
        tag: reading.database.name.clone().into_bytes(),
        context: context.clone(),
        leaves: sender,
    });
    let mut gathered = Gathered::new(TreeWriter::new(session, parents, true));
    // Whatever ends it, the readers have ended before the leaves that they stored are counted.
    let read = read_ranges(writing, reading, &mut leaves, &mut gathered, checkpoints);
    match Box::pin(read).await {
        Ok(()) => gathered.finish().await,
        Err(error) => {
            keep_after(&error, session, checkpoints, gathered.rest(&mut leaves)).await;
            Err(error)
        }
    }
}

/// Reads a database in ranges, some at the same time, and gathers their leaves as they are stored.
async fn read_ranges(
    writing: Arc<Writing>,
    reading: Reading<'_>,
    leaves: &mut mpsc::Receiver<Read>,
    gathered: &mut Gathered<'_>,
    checkpoints: &dyn Checkpoints,
) -> Result<()> {
    let readers = reading.readers.max(1);
    let ranges = reading.database.estimated_bytes.unwrap_or(0).div_ceil(RANGE_BYTES);
    let ranges = usize::try_from(ranges).unwrap_or(usize::MAX).clamp(readers, MAX_RANGES);
    let cuts = reading.records.splits(reading.number, ranges).await?;
    let mut ranges = stream::iter(ranges_between(cuts).enumerate())
        .map(|(number, (start, end))| {
            let batches = reading.records.scan(reading.number, start.as_ref());
            let range = Range { writing: Arc::clone(&writing), number, batches, start, end };
            Task::spawn(range.read()).join("read a range of records")
        })
        .buffered(readers);
    loop {
        tokio::select! {
            biased;
            Some(read) = leaves.recv() => gathered.add(read).await?,
            ended = ranges.try_next() => if ended?.is_none() { break },
        }
        if checkpoints.is_due() {
            let so_far = gathered.so_far().await?;
            checkpoints.save(so_far).await?;
        }
    }
    // A range says all that it stored before it ends.
    while let Ok(read) = leaves.try_recv() {
        gathered.add(read).await?;
    }
    Ok(())
}

/// What a reader of a range says.
#[derive(Debug)]
enum Read {
    /// The range of this number has one more leaf, which is stored.
    Leaf(usize, Box<(Child, LtHash)>),
    /// It has no more.
    End(usize),
}

/// The leaves that are stored, in the order of the database: those up to the first range that is still being
/// read in the tree, those of later ranges beside it.
struct Gathered<'a> {
    tree: TreeWriter<'a>,
    sum: DatabaseSum,
    /// The range whose leaves come next in the tree.
    next: usize,
    ahead: BTreeMap<usize, Vec<(Child, LtHash)>>,
    ended: BTreeSet<usize>,
    /// Whether a node was not stored: the tree is of no use then.
    lost: bool,
}

impl<'a> Gathered<'a> {
    fn new(tree: TreeWriter<'a>) -> Self {
        let (ahead, ended) = (BTreeMap::new(), BTreeSet::new());
        Self { tree, sum: DatabaseSum::default(), next: 0, ahead, ended, lost: false }
    }

    async fn add(&mut self, read: Read) -> Result<()> {
        match read {
            Read::Leaf(range, leaf) if range == self.next => self.push(*leaf).await?,
            Read::Leaf(range, leaf) => self.ahead.entry(range).or_default().push(*leaf),
            Read::End(range) => {
                self.ended.insert(range);
            }
        }
        while self.ended.remove(&self.next) {
            self.next += 1;
            for leaf in self.ahead.remove(&self.next).unwrap_or_default() {
                self.push(leaf).await?;
            }
        }
        Ok(())
    }

    async fn push(&mut self, (leaf, lthash): (Child, LtHash)) -> Result<()> {
        let (records, bytes) = (leaf.records, leaf.bytes);
        self.lost = true;
        self.tree.push(leaf, Some(&lthash)).await?;
        self.lost = false;
        self.sum.add(&DatabaseSum { lthash, records, bytes });
        Ok(())
    }

    /// The records of all leaves so far, for a checkpoint.
    async fn so_far(&self) -> Result<SoFar> {
        let (mut tree, mut sum) = (self.tree.so_far(), self.sum.clone());
        for (leaf, lthash) in self.ahead.values().flatten() {
            tree.push(leaf.clone(), Some(lthash)).await?;
            let (lthash, records, bytes) = (lthash.clone(), leaf.records, leaf.bytes);
            sum.add(&DatabaseSum { lthash, records, bytes });
        }
        Ok(SoFar::Records(RecordsWritten { tree: tree.finish().await?, sum }))
    }

    /// What can be kept where the writing ends early.
    async fn rest(&mut self, leaves: &mut mpsc::Receiver<Read>) -> Result<Option<SoFar>> {
        while let (false, Ok(read)) = (self.lost, leaves.try_recv()) {
            self.add(read).await?;
        }
        if self.lost { Ok(None) } else { self.so_far().await.map(Some) }
    }

    async fn finish(self) -> Result<RecordsWritten> {
        Ok(RecordsWritten { tree: self.tree.finish().await?, sum: self.sum })
    }
}

/// What every range of one database shares.
#[derive(Debug)]
struct Writing {
    session: Arc<Session>,
    parents: Vec<Tree>,
    /// The integrity tag.
    tag: Vec<u8>,
    context: Context,
    /// Where leaves go once they are stored.
    leaves: mpsc::Sender<Read>,
}

/// A range of a database, to be read from the first natural boundary after `start` to the one
/// after `end`.
struct Range {
    writing: Arc<Writing>,
    number: usize,
    batches: BatchStream,
    start: Option<RecordKey>,
    end: Option<RecordKey>,
}

impl Range {
    async fn read(self) -> Result<()> {
        let mut leaves = Leaves::new(&self.writing, self.number);
        match self.read_into(&mut leaves).await {
            Ok(()) => leaves.finish().await,
            Err(error) => {
                // The leaves that are whole are worth keeping. The first error is the one to tell.
                drop(leaves.wait(0).await);
                Err(error)
            }
        }
    }

    async fn read_into(self, leaves: &mut Leaves) -> Result<()> {
        let Self { writing, mut batches, start, end, .. } = self;
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
                    return Ok(());
                }
            }
            writing.context.advance(advanced.0, advanced.1);
        }
        Ok(())
    }
}

/// The leaves of one range. Each is summed, compressed and stored beside the reading.
struct Leaves {
    writing: Arc<Writing>,
    /// The number of the range.
    range: usize,
    parents: Arc<Mutex<Parents>>,
    piece_parents: Parents,
    building: Building,
    storing: VecDeque<Task<(Child, LtHash)>>,
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
    fn new(writing: &Arc<Writing>, range: usize) -> Self {
        let parents = || Parents::new(writing.session.repository().objects(), &writing.parents);
        Self {
            writing: Arc::clone(writing),
            range,
            parents: Arc::new(Mutex::new(parents())),
            piece_parents: parents(),
            building: Building::new(&writing.tag),
            storing: VecDeque::new(),
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
            let leaf = task.join("store a leaf").await?;
            self.say(Read::Leaf(self.range, Box::new(leaf))).await;
        }
        Ok(())
    }

    /// Says what was stored; where nobody listens any more, the reading is about to be stopped.
    async fn say(&self, read: Read) {
        drop(self.writing.leaves.send(read).await);
    }

    async fn finish(mut self) -> Result<()> {
        self.cut();
        self.wait(0).await?;
        self.say(Read::End(self.range)).await;
        Ok(())
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
