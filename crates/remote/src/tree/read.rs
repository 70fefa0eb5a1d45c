//! Reading a tree: one record, a range of records, or the shape itself.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use archive::leaf::{Leaf, LeafValue, record_at};
use archive::node::{Child, Node, Tree};
use archive::object::{Kind, ObjectName, ObjectRef};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::record::{PART_BYTES, Record, RecordBatch, RecordKey, parts};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};
use lthash::LtHash;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::objects::Objects;
use crate::task::Task;
use crate::{Error, Result};

/// How many leaves or pieces a scan fetches ahead.
const AHEAD: usize = 4;

/// The plain bytes of leaves that may be in memory at the same time, in [`UNIT`]s, but always one leaf:
/// four of ordinary size, and one of the largest.
const BUDGET: u32 = 16;

/// What a budget counts in, in bytes.
const UNIT: u32 = 1 << 20;

/// How much of leaves is in memory at the same time. Leaves are admitted in the order in which they ask,
/// so the one that is needed next is never kept out by those after it.
#[derive(Debug, Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

impl Budget {
    pub(crate) fn new() -> Self {
        Self(Arc::new(Semaphore::new(BUDGET as usize)))
    }

    /// Waits until there is room for a leaf, which has it as long as what is returned lives.
    pub(crate) async fn admit(&self, leaf: &Child) -> OwnedSemaphorePermit {
        let units = leaf.object.plain.div_ceil(UNIT).clamp(1, BUDGET);
        let admitted = Arc::clone(&self.0).acquire_many_owned(units).await;
        admitted.expect("the semaphore is never closed")
    }
}

/// How many nodes and leaves a reader remembers.
const REMEMBERED: usize = 16;

/// Reads one tree.
#[derive(Debug)]
pub struct TreeReader {
    objects: Objects,
    tree: Tree,
    nodes: HashMap<ObjectRef, Arc<Node>>,
    leaf: Option<KeptLeaf>,
    /// What was found damaged: it is not read again for each record below.
    damaged: HashSet<ObjectRef>,
}

/// A leaf that was read and checked, for many looks at it.
#[derive(Debug)]
struct KeptLeaf {
    object: ObjectRef,
    content: Bytes,
    /// Where its records begin.
    offsets: Vec<u32>,
}

impl KeptLeaf {
    fn new(child: &Child, content: Bytes) -> Result<Self> {
        let offsets = checked_leaf(child, &content)?.offsets();
        Ok(Self { object: child.object, content, offsets })
    }

    fn find(&self, place: &RecordKey) -> Option<Found> {
        let record = |at: &u32| record_at(&self.content, *at).expect("its records were checked");
        let compared = |at: &u32| {
            let record = record(at);
            place.compare(record.root_key, record.key).reverse()
        };
        let number = self.offsets.binary_search_by(compared).ok()?;
        Some(match record(&self.offsets[number]).value {
            LeafValue::Inline(value) => Found::Inline(value.to_vec()),
            LeafValue::Pieces { pieces, .. } => Found::Pieces(pieces),
        })
    }
}

/// A value as [`TreeReader::get`] finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found {
    /// In the leaf.
    Inline(Vec<u8>),
    /// In these pieces.
    Pieces(Vec<ObjectRef>),
}

impl Found {
    /// The length of the value, in bytes.
    pub fn total(&self) -> u64 {
        match self {
            Self::Inline(value) => value.len() as u64,
            Self::Pieces(pieces) => pieces.iter().map(|piece| u64::from(piece.plain)).sum(),
        }
    }
}

impl TreeReader {
    /// A reader of `tree`.
    pub fn new(objects: Objects, tree: Tree) -> Self {
        Self { objects, tree, nodes: HashMap::new(), leaf: None, damaged: HashSet::new() }
    }

    /// The leaf (level 0) or node whose first record is at `first`, if the tree has one.
    pub async fn find(&mut self, level: u8, first: &RecordKey) -> Result<Option<Child>> {
        let mut at = (self.tree.levels, self.tree.root.clone());
        while at.0 > level {
            let node = self.node(&at.1, at.0).await?;
            let Some(child) = child_at(&node, first) else { return Ok(None) };
            at = (at.0 - 1, child.clone());
        }
        Ok((at.0 == level && at.1.first == *first).then_some(at.1))
    }

    /// The value at `place`, if the tree has it.
    pub async fn get(&mut self, place: &RecordKey) -> Result<Option<Found>> {
        Ok(self.get_in(place).await?.map(|(found, _)| found))
    }

    /// The value at `place`, if the tree has it, and the leaf that it stands in.
    pub(crate) async fn get_in(
        &mut self,
        place: &RecordKey,
    ) -> Result<Option<(Found, ObjectName)>> {
        let mut at = (self.tree.levels, self.tree.root.clone());
        while at.0 > 0 {
            let node = self.node(&at.1, at.0).await?;
            let Some(child) = child_at(&node, place) else { return Ok(None) };
            at = (at.0 - 1, child.clone());
        }
        if at.1.first > *place || at.1.last < *place {
            return Ok(None);
        }
        if self.leaf.as_ref().is_none_or(|kept| kept.object != at.1.object) {
            self.check_damaged(&at.1)?;
            let read = self.objects.read(Kind::Leaf, &at.1.object).await;
            let kept = read.and_then(|content| KeptLeaf::new(&at.1, content));
            self.leaf = Some(self.remember_damage(&at.1, kept)?);
        }
        let found = self.leaf.as_ref().and_then(|kept| kept.find(place));
        Ok(found.map(|found| (found, at.1.object.name)))
    }

    async fn node(&mut self, child: &Child, level: u8) -> Result<Arc<Node>> {
        if let Some(node) = self.nodes.get(&child.object) {
            return Ok(Arc::clone(node));
        }
        self.check_damaged(child)?;
        let read = read_node(&self.objects, child, level).await;
        let node = Arc::new(self.remember_damage(child, read)?);
        if self.nodes.len() >= REMEMBERED {
            self.nodes.clear();
        }
        self.nodes.insert(child.object, Arc::clone(&node));
        Ok(node)
    }

    fn remember_damage<T>(&mut self, child: &Child, read: Result<T>) -> Result<T> {
        if read.as_ref().is_err_and(Error::is_damage) {
            self.damaged.insert(child.object);
        }
        read
    }

    fn check_damaged(&self, child: &Child) -> Result<()> {
        if !self.damaged.contains(&child.object) {
            return Ok(());
        }
        let source = archive::Error::mismatch("a part of a tree", "it was found damaged before");
        Err(Error::damaged(child.object.name.path())(source))
    }
}

/// The last child that begins at or before `place`.
fn child_at<'a>(node: &'a Node, place: &RecordKey) -> Option<&'a Child> {
    let after = node.children.partition_point(|child| child.first <= *place);
    node.children.get(after.checked_sub(1)?)
}

/// Reads a node and checks it against what refers to it.
pub(crate) async fn read_node(objects: &Objects, child: &Child, level: u8) -> Result<Node> {
    let content = objects.read(Kind::Node, &child.object).await?;
    let check = || {
        let node = Node::parse(&content, level)?;
        child.check_node(&node)?;
        Ok(node)
    };
    check().map_err(Error::damaged(child.object.name.path()))
}

/// Parses a leaf and checks it against what refers to it.
pub(crate) fn checked_leaf<'a>(child: &Child, content: &'a [u8]) -> Result<Leaf<'a>> {
    let check = || {
        let leaf = Leaf::parse(content)?;
        child.check_leaf(&leaf)?;
        Ok(leaf)
    };
    check().map_err(Error::damaged(child.object.name.path()))
}

/// The leaves of a tree, in order; those that end before `from` are left out.
pub(crate) fn leaves(
    objects: &Objects,
    tree: &Tree,
    from: Option<&RecordKey>,
) -> BoxStream<'static, Result<Child>> {
    let from = from.cloned();
    let walk =
        Walk { objects: objects.clone(), from, pending: vec![(tree.levels, tree.root.clone())] };
    stream::try_unfold(walk, Walk::next).boxed()
}

/// A depth-first walk: what is still to be visited, the next on top.
struct Walk {
    objects: Objects,
    from: Option<RecordKey>,
    pending: Vec<(u8, Child)>,
}

impl Walk {
    async fn next(mut self) -> Result<Option<(Child, Self)>> {
        while let Some((level, child)) = self.pending.pop() {
            if self.from.as_ref().is_some_and(|from| child.last < *from) {
                continue;
            }
            if level == 0 {
                return Ok(Some((child, self)));
            }
            let node = read_node(&self.objects, &child, level).await?;
            self.pending.extend(node.children.into_iter().rev().map(|below| (level - 1, below)));
        }
        Ok(None)
    }
}

/// What a database's tree holds, as batches of records that were checked against their leaves'
/// sums, with the sum of each batch.
pub type SummedBatches = BoxStream<'static, Result<(RecordBatch, DatabaseSum)>>;

/// The records of a database's tree from `from` on, in order.
///
/// Leaves are fetched and checked ahead, in parallel; the sum of each leaf is recomputed under
/// `tag` and compared. The last batch of a leaf carries the sum of the leaf's records; the batches
/// before it carry none.
pub fn scan(objects: &Objects, tree: &Tree, tag: &[u8], from: Option<&RecordKey>) -> SummedBatches {
    let (objects, from, tag) = (objects.clone(), from.cloned(), Arc::<[u8]>::from(tag));
    let (fetch, budget) = (objects.clone(), Budget::new());
    leaves(&objects, tree, from.as_ref())
        .map(move |child| {
            let (objects, tag) = (fetch.clone(), Arc::clone(&tag));
            let budget = budget.clone();
            async move {
                let child = child?;
                let room = Some(budget.admit(&child).await);
                // A task goes on while the reader is busy with what it has.
                let leaf = Task::spawn(async move { open_leaf(&objects, &child, &tag).await });
                let leaf = leaf.join("read a leaf").await?;
                Ok::<_, Error>(OpenLeaf { room, ..leaf })
            }
        })
        .buffered(AHEAD)
        .map_ok(move |leaf| leaf.into_batches(&objects, from.clone()))
        .try_flatten()
        .boxed()
}

/// A leaf of records whose every byte was read.
pub(crate) struct Examined {
    leaf: OpenLeaf,
    /// The sum of its records, recomputed; none where a value is not whole.
    pub(crate) sum: Option<LtHash>,
    /// The pieces that its records name.
    pub(crate) pieces: Vec<ObjectRef>,
    /// The values that are not whole, in order.
    pub(crate) broken: Vec<BrokenValue>,
}

/// A long value of which a piece is missing or damaged.
#[derive(Debug)]
pub(crate) struct BrokenValue {
    pub(crate) at: RecordKey,
    /// Its length, in bytes.
    pub(crate) total: u64,
    /// What is wrong with each of the pieces that are not whole.
    pub(crate) errors: Vec<Error>,
}

/// Reads a leaf of records and the pieces that it names, and recomputes its sum under `tag`.
///
/// # Errors
/// [`Error::Missing`] or [`Error::Damaged`] where the leaf itself is not what refers to it. A piece that
/// is not whole is no error: it breaks one value and not the others.
pub(crate) async fn examine_leaf(objects: &Objects, child: &Child, tag: &[u8]) -> Result<Examined> {
    let leaf = open_leaf(objects, child, &Arc::from(tag)).await?;
    let (mut pieces, mut broken) = (Vec::new(), Vec::new());
    let mut sum = leaf.sum.clone();
    for segment in &leaf.segments {
        let Segment::Long { at, total, pieces: named } = segment else { continue };
        pieces.extend_from_slice(named);
        match sum_value(objects, at, *total, named, tag).await? {
            Ok(value) => sum.add(&value),
            Err(errors) => broken.push(BrokenValue { at: at.clone(), total: *total, errors }),
        }
    }
    if !broken.is_empty() {
        return Ok(Examined { leaf, sum: None, pieces, broken });
    }
    check_sum(child, &sum)?;
    Ok(Examined { leaf, sum: Some(sum.lthash), pieces, broken })
}

impl Examined {
    /// The records that are whole, and the values that are not.
    pub(crate) fn into_whole(
        self,
        objects: &Objects,
    ) -> (BoxStream<'static, Result<RecordBatch>>, Vec<BrokenValue>) {
        let Self { leaf, broken, .. } = self;
        let is_whole = |segment: &Segment| match segment {
            Segment::Batch(_) => true,
            Segment::Long { at, .. } => !broken.iter().any(|value| value.at == *at),
        };
        let whole: Vec<Segment> = leaf.segments.into_iter().filter(is_whole).collect();
        let objects = objects.clone();
        let batches = stream::iter(whole).flat_map(move |segment| segment.into_batches(&objects));
        (batches.map_ok(|(batch, _)| batch).boxed(), broken)
    }
}

/// The sum of a long value, or what is wrong with its pieces that are not whole.
async fn sum_value(
    objects: &Objects,
    at: &RecordKey,
    total: u64,
    pieces: &[ObjectRef],
    tag: &[u8],
) -> Result<Result<DatabaseSum, Vec<Error>>> {
    let mut sum = Summer::new(tag);
    let mut batches = value_batches(objects, at, total, pieces);
    loop {
        match batches.try_next().await {
            Ok(Some((batch, _))) => sum.add(&batch)?,
            Ok(None) => return Ok(Ok(sum.finish()?)),
            Err(error) if error.is_damage() => break,
            Err(error) => return Err(error),
        }
    }
    // Now each of them, to name all that are not whole.
    let mut errors = Vec::new();
    for piece in pieces {
        match objects.read(Kind::Piece, piece).await {
            Err(error) if error.is_damage() => errors.push(error),
            read => drop(read?),
        }
    }
    Ok(Err(errors))
}

/// Compares the recomputed sum of a leaf with the one that refers to it.
fn check_sum(child: &Child, sum: &DatabaseSum) -> Result<()> {
    if Some(sum.lthash.checksum()) == child.checksum {
        return Ok(());
    }
    let detail = "its records have another LtHash than it says";
    let source = archive::Error::mismatch("a leaf", detail);
    Err(Error::damaged(child.object.name.path())(source))
}

/// A leaf that was read, with its long values still in their pieces.
struct OpenLeaf {
    child: Child,
    tag: Arc<[u8]>,
    segments: Vec<Segment>,
    sum: DatabaseSum,
    /// The room that it has in a budget, until all of it is handed on.
    room: Option<OwnedSemaphorePermit>,
}

enum Segment {
    Batch(RecordBatch),
    Long { at: RecordKey, total: u64, pieces: Vec<ObjectRef> },
}

async fn open_leaf(objects: &Objects, child: &Child, tag: &Arc<[u8]>) -> Result<OpenLeaf> {
    let content = objects.read(Kind::Leaf, &child.object).await?;
    let (child, tag) = (child.clone(), Arc::clone(tag));
    crate::blocking::run("sum a leaf", move || {
        let leaf = checked_leaf(&child, &content)?;
        let mut summer = Summer::new(&tag);
        let mut segments = Vec::new();
        let mut batch = RecordBatch::new();
        for record in leaf.iter() {
            match record.value {
                LeafValue::Inline(value) => {
                    for part in parts(record.root_key, record.key, value) {
                        summer.add_record(&part)?;
                        batch.push(part)?;
                    }
                    if batch.is_full() {
                        segments.push(Segment::Batch(batch.take()));
                    }
                }
                LeafValue::Pieces { total, pieces } => {
                    // However many long values there are, what lies between them takes its own room only.
                    if !batch.is_empty() {
                        segments.push(Segment::Batch(std::mem::take(&mut batch)));
                    }
                    let at = RecordKey::new(record.root_key, record.key);
                    segments.push(Segment::Long { at, total, pieces });
                }
            }
        }
        segments.push(Segment::Batch(batch));
        let sum = summer.finish()?;
        Ok(OpenLeaf { child, tag, segments, sum, room: None })
    })
    .await
}

impl OpenLeaf {
    fn into_batches(self, objects: &Objects, from: Option<RecordKey>) -> SummedBatches {
        let Self { child, tag, segments, sum, room } = self;
        let long = segments.iter().any(|segment| matches!(segment, Segment::Long { .. }));
        let objects = objects.clone();
        let state = (segments.into_iter(), Summer::new(&tag), Some(sum));
        let batches =
            stream::iter(state.0).flat_map(move |segment| segment.into_batches(&objects)).boxed();
        let summed = Summed {
            batches,
            long: long.then_some(state.1),
            inline: state.2,
            child,
            from,
            _room: room,
        };
        stream::try_unfold(summed, Summed::next).boxed()
    }
}

impl Segment {
    fn into_batches(self, objects: &Objects) -> BoxStream<'static, Result<(RecordBatch, bool)>> {
        match self {
            Self::Batch(batch) => stream::iter([Ok((batch, false))]).boxed(),
            Self::Long { at, total, pieces } => value_batches(objects, &at, total, &pieces),
        }
    }
}

/// A long value as parts, a batch each, from its pieces.
fn value_batches(
    objects: &Objects,
    at: &RecordKey,
    total: u64,
    pieces: &[ObjectRef],
) -> BoxStream<'static, Result<(RecordBatch, bool)>> {
    let (objects, at) = (objects.clone(), at.clone());
    let offsets = pieces.iter().scan(0_u64, |offset, piece| {
        let start = *offset;
        *offset += u64::from(piece.plain);
        Some((start, *piece))
    });
    stream::iter(offsets.collect::<Vec<_>>())
        .map(move |(start, piece)| {
            let objects = objects.clone();
            async move {
                let content = objects.read(Kind::Piece, &piece).await?;
                Ok::<_, Error>((start, content))
            }
        })
        .buffered(2)
        .map_ok(move |(start, content)| piece_batches(&at, total, start, &content))
        .try_flatten()
        .boxed()
}

/// A piece of a long value as parts, a batch each.
fn piece_batches(
    at: &RecordKey,
    total: u64,
    start: u64,
    content: &Bytes,
) -> BoxStream<'static, Result<(RecordBatch, bool)>> {
    let at = at.clone();
    let offsets: Vec<_> = (0..content.len()).step_by(PART_BYTES).collect();
    let content = content.clone();
    stream::iter(offsets)
        .map(move |offset| {
            let value = &content[offset..content.len().min(offset + PART_BYTES)];
            let offset = start + offset as u64;
            let part = Record { root_key: &at.root_key, key: &at.key, value, offset, total };
            let mut batch = RecordBatch::new();
            batch.push(part)?;
            Ok((batch, true))
        })
        .boxed()
}

/// The batches of a leaf, its sum checked at the end.
struct Summed {
    batches: BoxStream<'static, Result<(RecordBatch, bool)>>,
    /// Sums the long values, where there are any.
    long: Option<Summer>,
    /// The sum of the others; taken at the end.
    inline: Option<DatabaseSum>,
    child: Child,
    from: Option<RecordKey>,
    _room: Option<OwnedSemaphorePermit>,
}

impl Summed {
    async fn next(mut self) -> Result<Option<((RecordBatch, DatabaseSum), Self)>> {
        if let Some((batch, is_long)) = self.batches.try_next().await? {
            if let (true, Some(long)) = (is_long, &mut self.long) {
                long.add(&batch)?;
            }
            let batch = from_on(batch, self.from.as_ref())?;
            return Ok(Some(((batch, DatabaseSum::default()), self)));
        }
        let Some(mut sum) = self.inline.take() else { return Ok(None) };
        if let Some(long) = self.long.take() {
            sum.add(&long.finish()?);
        }
        check_sum(&self.child, &sum)?;
        Ok(Some(((RecordBatch::default(), sum), self)))
    }
}

/// The records of a batch that are at or after `from`.
fn from_on(batch: RecordBatch, from: Option<&RecordKey>) -> Result<RecordBatch> {
    let before =
        |record: &Record<'_>| from.is_some_and(|f| f.compare(record.root_key, record.key).is_gt());
    if !batch.iter().next().is_some_and(|first| before(&first)) {
        return Ok(batch);
    }
    let mut rest = RecordBatch::new();
    for record in batch.iter().filter(|record| !before(record)) {
        rest.push(record)?;
    }
    Ok(rest)
}
