//! Reading a snapshot's databases: all of them in order, or one by its name.

use archive::directory::{Content, Database, Described, Directory, Holding, Proof};
use archive::leaf::{Leaf, LeafRecord, LeafValue};
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectName};
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::record::{Record, RecordBatch, RecordKey};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::read::{Budget, Found, SummedBatches, TreeReader, checked_leaf, leaves, scan};
use crate::objects::Objects;
use crate::task::Task;
use crate::{Error, Result};

/// How many leaves of a directory are fetched ahead.
const AHEAD: usize = 4;

/// How many small databases are summed in one go.
const TOGETHER: usize = 32;

/// A database as a snapshot's directory has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredDatabase {
    /// What it is, and where its records are.
    pub database: Database,
    /// The leaf of the directory that it stands in.
    leaf: ObjectName,
}

/// A database that is ready to be read.
#[derive(Debug)]
pub struct OpenDatabase {
    /// What it is.
    pub described: Described,
    /// Its records.
    pub records: OpenRecords,
}

/// The records of a database that is ready to be read.
#[derive(Debug)]
pub enum OpenRecords {
    /// All of a small database's, whose sum was checked.
    Here(RecordBatch, DatabaseSum),
    /// The tree that has them.
    Tree(Box<Tree>),
}

impl StoredDatabase {
    /// Its records from the first on, checked against its proof as those of [`scan`] are.
    pub fn scan(&self, objects: &Objects) -> SummedBatches {
        match &self.database.content {
            Content::Tree(tree) => scan(objects, tree, &self.database.described.tag, None),
            _ => stream::iter([self.read_small()]).boxed(),
        }
    }

    /// The records of a small database and their sum, which must be the one that it says.
    pub(crate) fn read_small(&self) -> Result<(RecordBatch, DatabaseSum)> {
        let damaged = || Error::damaged(self.leaf.path());
        let leaf = self.database.inline().map_err(damaged())?;
        let (mut batch, mut summer) =
            (RecordBatch::default(), Summer::new(&self.database.described.tag));
        for record in leaf.iter().flat_map(Leaf::iter) {
            // It names no pieces: that was checked as it was parsed.
            let LeafValue::Inline(value) = record.value else { continue };
            let record = Record::whole(record.root_key, record.key, value);
            summer.add_record(&record)?;
            batch.push(record)?;
        }
        let sum = summer.finish()?;
        if self.database.described.proof == Some(Proof::of(&sum)) {
            return Ok((batch, sum));
        }
        let name = &self.database.described.name;
        let detail = format!("the records of database {name:?} have another LtHash than it says");
        Err(damaged()(archive::Error::mismatch("a directory", detail)))
    }
}

/// Parses a leaf of a directory that has `holding`, and checks it against what refers to it.
pub(crate) fn parse_leaf(
    child: &Child,
    content: &Bytes,
    holding: Holding,
) -> Result<Vec<StoredDatabase>> {
    let leaf = checked_leaf(child, content)?;
    let parse = || {
        if leaf.sum.is_some() != holding.is_summed() {
            let detail = if holding.is_summed() {
                "it has no sum, and its snapshot has a logical proof"
            } else {
                "it has a sum, and its snapshot has no logical proof"
            };
            return Err(archive::Error::mismatch("a directory", detail));
        }
        let parsed = leaf.iter().map(|record| Database::parse(&record, holding, content));
        parsed.collect::<archive::Result<Vec<_>>>()
    };
    let databases = parse().map_err(Error::damaged(child.object.name.path()))?;
    let leaf = child.object.name;
    Ok(databases.into_iter().map(|database| StoredDatabase { database, leaf }).collect())
}

/// Reads a leaf of a directory.
pub(crate) async fn read_leaf(
    objects: &Objects,
    child: &Child,
    holding: Holding,
) -> Result<Vec<StoredDatabase>> {
    let content = objects.read(Kind::Leaf, &child.object).await?;
    let child = child.clone();
    crate::blocking::run("read a directory", move || parse_leaf(&child, &content, holding)).await
}

/// The databases of a snapshot, in the order of their names. Leaves of the directory are fetched ahead.
pub fn databases(
    objects: &Objects,
    directory: Directory<'_>,
) -> BoxStream<'static, Result<StoredDatabase>> {
    let Some(tree) = directory.tree else { return stream::empty().boxed() };
    let (fetch, budget, holding) = (objects.clone(), Budget::new(), directory.holding);
    leaves(objects, tree, None)
        .map(move |child| {
            let (objects, budget) = (fetch.clone(), budget.clone());
            async move {
                let child = child?;
                let room = budget.admit(&child).await;
                let read = async move { read_leaf(&objects, &child, holding).await };
                let databases = Task::spawn(read).join("read a directory").await?;
                Ok::<_, Error>((databases, room))
            }
        })
        .buffered(AHEAD)
        .map_ok(|(databases, room)| {
            // The leaf has its room until all of it is handed on.
            stream::iter(databases).map(move |database| {
                let _held = &room;
                Ok(database)
            })
        })
        .try_flatten()
        .boxed()
}

/// What the databases of a snapshot are, in the order of their names, without their records. With
/// `total`, what they have together is compared with it.
pub async fn describe_databases(
    objects: &Objects,
    directory: Directory<'_>,
    total: Option<&DatabaseSum>,
) -> Result<Vec<Described>> {
    let described = databases(objects, directory).map_ok(|stored| stored.database.described);
    let described: Vec<Described> = described.try_collect().await?;
    let (Some(total), Some(tree)) = (total, directory.tree) else { return Ok(described) };
    let proofs = || described.iter().filter_map(|database| database.proof);
    let records = proofs().map(|proof| proof.records).fold(0, u64::saturating_add);
    let bytes = proofs().map(|proof| proof.bytes).fold(0, u64::saturating_add);
    if (records, bytes) == (total.records, total.bytes) {
        return Ok(described);
    }
    let detail = format!(
        "its databases have {records} records of {bytes} bytes, and the manifest says {} of {}",
        total.records, total.bytes
    );
    let source = archive::Error::mismatch("a directory", detail);
    Err(Error::damaged(tree.root.object.name.path())(source))
}

/// The databases of a snapshot, in the order of their names, ready to be read: small ones with their
/// records.
pub fn open_databases(
    objects: &Objects,
    directory: Directory<'_>,
) -> BoxStream<'static, Result<OpenDatabase>> {
    databases(objects, directory)
        .try_ready_chunks(TOGETHER)
        .map_err(|stopped| stopped.1)
        .and_then(|some| crate::blocking::run("sum small databases", move || open_all(some)))
        .map_ok(|opened| stream::iter(opened).map(Ok))
        .try_flatten()
        .boxed()
}

/// The database of this name, ready to be read, if there is one.
pub async fn open_database(
    objects: &Objects,
    directory: Directory<'_>,
    name: &str,
) -> Result<Option<OpenDatabase>> {
    let found = DirectoryReader::new(objects, directory).find(name).await?;
    let opened = open_all(found.into_iter().collect())?;
    Ok(opened.into_iter().next())
}

fn open_all(databases: Vec<StoredDatabase>) -> Result<Vec<OpenDatabase>> {
    let open = |stored: StoredDatabase| {
        let small = match &stored.database.content {
            Content::Tree(_) => None,
            _ => Some(stored.read_small()?),
        };
        let Database { described, content } = stored.database;
        let records = match (content, small) {
            (Content::Tree(tree), _) => OpenRecords::Tree(tree),
            (_, small) => {
                let (batch, sum) = small.unwrap_or_default();
                OpenRecords::Here(batch, sum)
            }
        };
        Ok(OpenDatabase { described, records })
    };
    databases.into_iter().map(open).collect()
}

/// Finds databases by their names; quickest in the order of the names.
#[derive(Debug)]
pub struct DirectoryReader {
    reader: Option<TreeReader>,
    holding: Holding,
}

impl DirectoryReader {
    /// A reader of a snapshot's directory.
    pub fn new(objects: &Objects, directory: Directory<'_>) -> Self {
        let reader = directory.tree.map(|tree| TreeReader::new(objects.clone(), tree.clone()));
        Self { reader, holding: directory.holding }
    }

    /// The database of this name, if there is one.
    pub async fn find(&mut self, name: &str) -> Result<Option<StoredDatabase>> {
        let Some(reader) = &mut self.reader else { return Ok(None) };
        let at = RecordKey::new(b"", name.as_bytes());
        let Some((found, leaf)) = reader.get_in(&at).await? else { return Ok(None) };
        let Found::Inline(value) = found else { return Ok(None) };
        let value = Bytes::from(value);
        let inline = LeafValue::Inline(&value);
        let record = LeafRecord { root_key: b"", key: name.as_bytes(), value: inline };
        let database = Database::parse(&record, self.holding, &value);
        let database = database.map_err(Error::damaged(leaf.path()))?;
        Ok(Some(StoredDatabase { database, leaf }))
    }
}
