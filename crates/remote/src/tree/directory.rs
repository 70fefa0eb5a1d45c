//! Writing a snapshot's databases: the records of small ones stand in the directory itself, others
//! have trees of their own.

use std::collections::VecDeque;
use std::sync::Arc;

use archive::boundary::Target;
use archive::directory::{Content, Database, Described, Directory, Holding, InlineBuilder, Proof};
use archive::leaf::{FinishedLeaf, LeafBuilder, LeafRecord, LeafValue};
use archive::limits::FULL_LEAF_BYTES;
use archive::node::{Child, Tree};
use archive::object::Kind;
use async_trait::async_trait;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::record::Record;
use backup_core::source::{DatabaseInfo, Records};
use futures_util::stream::{self, StreamExt, TryStreamExt};
use lthash::LtHash;
use tokio::sync::Mutex;

use super::checkpoint::{Checkpoints, SoFar, keep_after};
use super::databases::DirectoryReader;
use super::records::{Reading, RecordsWritten, unsorted, write_records};
use super::write::{Parents, TreeWriter, or_nothing, store_leaf};
use crate::session::Session;
use crate::task::Task;
use crate::{Error, Result};

/// How many databases are looked at by one reader, and summed in one go where they are small.
const TOGETHER: usize = 16;

/// How many leaves of a directory are compressed and stored at the same time.
const LEAVES_AT_ONCE: usize = 8;

/// The databases of a snapshot as they were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DirectoryWritten {
    /// The directory's tree; none where there are no databases.
    pub tree: Option<Tree>,
    /// The sum of all their records, where they have a logical proof.
    pub sum: Option<DatabaseSum>,
    /// The databases with their proofs, in the order of their names; none in a checkpoint.
    pub databases: Vec<(String, Option<Proof>)>,
}

/// What is read, and how.
#[derive(Clone, Copy)]
pub struct ReadingAll<'a> {
    /// The records of the snapshot.
    pub records: &'a dyn Records,
    /// Its databases; the name of each is its integrity tag.
    pub databases: &'a [DatabaseInfo],
    /// How many are read at the same time, and how many ranges of a large one.
    pub readers: usize,
}

/// Stores the records of all databases of a snapshot, in the order of their names. `parents` are the
/// directories of live snapshots and pins, of which is reused what is the same.
///
/// Checkpoints are made between databases and within large ones, and one more where the writing ends early.
pub async fn write_databases(
    session: &Arc<Session>,
    reading: ReadingAll<'_>,
    parents: &[Directory<'_>],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<DirectoryWritten> {
    let writer = Mutex::new(DirectoryWriter::new(session, parents, Holding::Records));
    let writing = write_each(&writer, session, reading, parents, checkpoints, context);
    match Box::pin(writing).await {
        Ok(()) => writer.into_inner().finish().await,
        Err(error) => {
            let writer = &mut *writer.lock().await;
            keep_after(&error, session, checkpoints, writer.rest()).await;
            Err(error)
        }
    }
}

/// Reads each database and hands it to `writer`.
async fn write_each(
    writer: &Mutex<DirectoryWriter<'_>>,
    session: &Arc<Session>,
    reading: ReadingAll<'_>,
    parents: &[Directory<'_>],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<()> {
    let databases = reading.databases;
    let mut order: Vec<usize> = (0..databases.len()).collect();
    order.sort_by(|one, other| databases[*one].name.cmp(&databases[*other].name));
    let objects = session.repository().objects();
    let readers = parents.iter().map(|parent| DirectoryReader::new(objects, *parent));
    let mut before: Vec<DirectoryReader> = readers.collect();
    let mut looked = stream::iter(order.chunks(TOGETHER))
        .map(|some| look_at_some(&reading, some, context))
        .buffered(reading.readers.max(1));
    while let Some(some) = looked.try_next().await? {
        for Looked { number, small } in some {
            let database = &databases[number];
            let (held, sum) = if let Some((held, sum)) = small {
                context.advance(sum.bytes, sum.records);
                (held, sum)
            } else {
                let trees = trees_before(&mut before, &database.name).await?;
                let within = Within { writer, database, outer: checkpoints };
                let reading = Reading {
                    records: reading.records,
                    number,
                    database,
                    readers: reading.readers,
                };
                let written = write_records(session, reading, &trees, &within, context).await?;
                (content_of(written.tree), written.sum)
            };
            let described = described(database, Some(&sum));
            let database = Database { described, content: held };
            writer.lock().await.push(&database, Some(&sum.lthash)).await?;
        }
        if checkpoints.is_due() {
            let so_far = writer.lock().await.so_far(None).await?;
            checkpoints.save(SoFar::Databases(so_far)).await?;
        }
    }
    Ok(())
}

/// A database of a source, as a snapshot has it.
pub fn described(database: &DatabaseInfo, sum: Option<&DatabaseSum>) -> Described {
    Described {
        name: database.name.clone(),
        tag: database.name.clone().into_bytes(),
        order: database.order,
        settings: database.settings.clone(),
        proof: sum.map(Proof::of),
    }
}

fn content_of(tree: Option<Tree>) -> Content {
    match tree {
        Some(tree) => Content::Tree(Box::new(tree)),
        None => InlineBuilder::default().finish(),
    }
}

/// The trees that a database has in snapshots before. Where one is damaged there is nothing to reuse.
async fn trees_before(before: &mut [DirectoryReader], name: &str) -> Result<Vec<Tree>> {
    let mut trees = Vec::new();
    for reader in before {
        if let Some(found) = or_nothing(reader.find(name).await)?
            && let Content::Tree(tree) = found.database.content
        {
            trees.push(*tree);
        }
    }
    Ok(trees)
}

/// What came of a first look at a database.
struct Looked {
    number: usize,
    /// All of it, where it is small.
    small: Option<(Content, DatabaseSum)>,
}

/// Reads the beginnings of databases, and all of those that are small.
async fn look_at_some(
    reading: &ReadingAll<'_>,
    numbers: &[usize],
    context: &Context,
) -> Result<Vec<Looked>> {
    let mut read = Vec::with_capacity(numbers.len());
    for &number in numbers {
        context.check()?;
        let small = read_small(reading.records, number).await?;
        let tag = reading.databases[number].name.clone().into_bytes();
        read.push((number, tag, small));
    }
    crate::blocking::run("sum small databases", move || {
        let sum = |(number, tag, small): (usize, Vec<u8>, Option<InlineBuilder>)| {
            let small = small.map(|small| Ok::<_, Error>((sum_small(&small, &tag)?, small)));
            let small = small.transpose()?.map(|(sum, small)| (small.finish(), sum));
            Ok(Looked { number, small })
        };
        read.into_iter().map(sum).collect()
    })
    .await
}

/// The records of a database, if they are few.
async fn read_small(records: &dyn Records, number: usize) -> Result<Option<InlineBuilder>> {
    let mut batches = records.scan(number, None);
    let mut small = InlineBuilder::default();
    while let Some(batch) = batches.try_next().await? {
        for record in batch.iter() {
            if !record.is_whole() {
                return Ok(None);
            }
            let value = LeafValue::Inline(record.value);
            let record = LeafRecord { root_key: record.root_key, key: record.key, value };
            if !small.push(&record).map_err(unsorted)? {
                return Ok(None);
            }
        }
    }
    Ok(Some(small))
}

fn sum_small(small: &InlineBuilder, tag: &[u8]) -> Result<DatabaseSum> {
    let mut summer = Summer::new(tag);
    for record in small.iter() {
        if let LeafValue::Inline(value) = record.value {
            summer.add_record(&Record::whole(record.root_key, record.key, value))?;
        }
    }
    Ok(summer.finish()?)
}

/// Checkpoints of a database that is being written: with them goes the directory of those before it.
struct Within<'a, 'w> {
    writer: &'a Mutex<DirectoryWriter<'w>>,
    database: &'a DatabaseInfo,
    outer: &'a dyn Checkpoints,
}

#[async_trait]
impl Checkpoints for Within<'_, '_> {
    fn is_due(&self) -> bool {
        self.outer.is_due()
    }

    fn is_worth_it(&self) -> bool {
        self.outer.is_worth_it()
    }

    async fn save(&self, so_far: SoFar) -> Result<()> {
        let SoFar::Records(RecordsWritten { tree, sum }) = so_far else {
            return self.outer.save(so_far).await;
        };
        let described = described(self.database, Some(&sum));
        let database = Database { described, content: content_of(tree) };
        let so_far = self.writer.lock().await.so_far(Some((&database, &sum.lthash))).await?;
        self.outer.save(SoFar::Databases(so_far)).await
    }
}

/// Builds a directory of databases that come in the order of their names, and stores it.
#[derive(Debug)]
pub struct DirectoryWriter<'a> {
    session: &'a Arc<Session>,
    holding: Holding,
    parents: Arc<Mutex<Parents>>,
    tree: TreeWriter<'a>,
    open: OpenLeaf,
    storing: VecDeque<Task<(Child, Option<LtHash>)>>,
    /// The sum of all that came.
    sum: DatabaseSum,
    databases: Vec<(String, Option<Proof>)>,
    /// Whether a leaf or node was not stored: the tree is of no use then.
    lost: bool,
}

/// The leaf that is being filled, and the sum of its databases.
#[derive(Debug, Clone, Default)]
struct OpenLeaf {
    leaf: LeafBuilder,
    sum: LtHash,
}

impl OpenLeaf {
    /// Adds a database; whether the leaf ends with it.
    fn push(&mut self, database: &Database, lthash: Option<&LtHash>) -> Result<bool> {
        let failed = |source| Error::Format { what: "a database of the snapshot", source };
        let value = database.encode().map_err(failed)?;
        let name = database.described.name.as_bytes();
        let record = LeafRecord { root_key: b"", key: name, value: LeafValue::Inline(&value) };
        self.leaf.push(&record).map_err(failed)?;
        if let Some(lthash) = lthash {
            self.sum += lthash;
        }
        let natural = Target::Directory.ends_leaf(b"", name, value.len() as u64);
        Ok(natural || self.leaf.len() >= FULL_LEAF_BYTES)
    }

    fn finish(mut self, holding: Holding) -> (FinishedLeaf, Option<LtHash>) {
        let sum = holding.is_summed().then_some(self.sum);
        (self.leaf.finish(sum.as_ref()), sum)
    }
}

impl<'a> DirectoryWriter<'a> {
    /// A directory with no databases, which is to have `holding`.
    pub fn new(session: &'a Arc<Session>, parents: &[Directory<'_>], holding: Holding) -> Self {
        let parents: Vec<Tree> = parents.iter().filter_map(|parent| parent.tree.cloned()).collect();
        let tree = TreeWriter::new(session, &parents, holding.is_summed());
        let parents = Parents::new(session.repository().objects(), &parents);
        Self {
            session,
            holding,
            parents: Arc::new(Mutex::new(parents)),
            tree,
            open: OpenLeaf::default(),
            storing: VecDeque::new(),
            sum: DatabaseSum::default(),
            databases: Vec::new(),
            lost: false,
        }
    }

    /// Adds the next database, with the LtHash of its records where the directory has sums.
    ///
    /// # Errors
    /// [`Error::Format`] where it does not come after the last one, or cannot be described.
    pub async fn push(&mut self, database: &Database, lthash: Option<&LtHash>) -> Result<()> {
        let is_full = self.open.push(database, lthash)?;
        add(&mut self.sum, database, lthash);
        let Described { name, proof, .. } = &database.described;
        self.databases.push((name.clone(), *proof));
        if is_full {
            self.cut();
            self.wait(LEAVES_AT_ONCE - 1).await?;
        }
        Ok(())
    }

    /// What the directory would be if it ended here, or after one more database; for a checkpoint.
    pub(crate) async fn so_far(
        &mut self,
        next: Option<(&Database, &LtHash)>,
    ) -> Result<DirectoryWritten> {
        self.wait(0).await?;
        let (mut open, mut sum, mut tree) =
            (self.open.clone(), self.sum.clone(), self.tree.so_far());
        if let Some((database, lthash)) = next {
            open.push(database, Some(lthash))?;
            add(&mut sum, database, Some(lthash));
        }
        if !open.leaf.is_empty() {
            let (mut leaf, lthash) = open.finish(self.holding);
            let content = std::mem::take(&mut leaf.content);
            let stored = self.session.put_interim(Kind::Leaf, content).await?;
            let child = Child::of_leaf(stored.reference, &leaf, lthash.as_ref());
            tree.push(child, lthash.as_ref()).await?;
        }
        let sum = self.holding.is_summed().then_some(sum);
        Ok(DirectoryWritten { tree: tree.finish().await?, sum, databases: Vec::new() })
    }

    /// What can be kept where the writing ends early.
    async fn rest(&mut self) -> Result<Option<SoFar>> {
        if self.lost {
            return Ok(None);
        }
        Ok(Some(SoFar::Databases(self.so_far(None).await?)))
    }

    /// Stores what is left of it.
    pub async fn finish(mut self) -> Result<DirectoryWritten> {
        self.cut();
        self.wait(0).await?;
        let sum = self.holding.is_summed().then_some(self.sum);
        Ok(DirectoryWritten { tree: self.tree.finish().await?, sum, databases: self.databases })
    }

    /// Ends the leaf, and begins to store it.
    fn cut(&mut self) {
        if self.open.leaf.is_empty() {
            return;
        }
        let (leaf, lthash) = std::mem::take(&mut self.open).finish(self.holding);
        let (session, parents) = (Arc::clone(self.session), Arc::clone(&self.parents));
        self.storing.push_back(Task::spawn(store(session, parents, leaf, lthash)));
    }

    /// Waits until at most `left` leaves are still being stored.
    async fn wait(&mut self, left: usize) -> Result<()> {
        while self.storing.len() > left
            && let Some(task) = self.storing.pop_front()
        {
            self.lost = true;
            let (child, lthash) = task.join("store a directory").await?;
            self.tree.push(child, lthash.as_ref()).await?;
            self.lost = false;
        }
        Ok(())
    }
}

fn add(sum: &mut DatabaseSum, database: &Database, lthash: Option<&LtHash>) {
    if let (Some(proof), Some(lthash)) = (database.described.proof, lthash) {
        sum.lthash += lthash;
        sum.records += proof.records;
        sum.bytes += proof.bytes;
    }
}

/// Stores a leaf of a directory, unless a parent has it.
async fn store(
    session: Arc<Session>,
    parents: Arc<Mutex<Parents>>,
    leaf: FinishedLeaf,
    lthash: Option<LtHash>,
) -> Result<(Child, Option<LtHash>)> {
    let checksum = lthash.as_ref().map(LtHash::checksum);
    let alike = |child: &Child| child.checksum == checksum;
    let known = parents.lock().await.candidate(0, &leaf.first, alike).await?;
    let child = store_leaf(&session, leaf, lthash.as_ref(), known).await?;
    Ok((child, lthash))
}
