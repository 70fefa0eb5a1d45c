//! What can still be read of a tree that is damaged, and what is lost.
//!
//! A node or leaf that cannot be read takes with it what its reference says is below: a range of keys, a
//! number of records and their bytes. A piece takes one value. What is left of files is next door
//! ([`super::salvage_files`]).

use archive::directory::{Content, Directory};
use archive::leaf::Leaf;
use archive::node::{Child, Tree};
use backup_core::record::{RecordBatch, RecordKey};
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::databases::{StoredDatabase, read_leaf};
use super::read::{examine_leaf, read_node};
use crate::objects::Objects;
use crate::{Error, Result};

/// Records that are lost.
#[derive(Debug)]
pub struct Loss {
    /// The place of the first of them.
    pub first: RecordKey,
    /// The place of the last of them.
    pub last: RecordKey,
    /// How many they are.
    pub records: u64,
    /// The bytes of their keys and values.
    pub bytes: u64,
    /// What is damaged or missing.
    pub why: Error,
}

/// What comes next of a tree of records.
#[derive(Debug)]
pub enum Salvaged {
    /// Records whose leaves and values are whole.
    Records(RecordBatch),
    /// Records that are lost.
    Lost(Loss),
}

/// What comes next of a snapshot's databases.
#[derive(Debug)]
pub enum SalvagedDatabase {
    /// One that is known; its records may be whole or not.
    Known(StoredDatabase),
    /// Databases of which nothing is known but that they are lost: the keys are their names, the records
    /// they themselves.
    Lost(Loss),
}

/// All databases of a snapshot that can be found, and all that cannot, in the order of their names.
pub fn salvage_databases(
    objects: &Objects,
    directory: Directory<'_>,
) -> BoxStream<'static, Result<SalvagedDatabase>> {
    let Some(tree) = directory.tree else { return stream::empty().boxed() };
    let (read, holding) = (objects.clone(), directory.holding);
    reachable(objects, tree)
        .and_then(move |part| {
            let objects = read.clone();
            async move {
                let leaf = match part {
                    Part::Lost(loss) => return Ok(one(SalvagedDatabase::Lost(loss))),
                    Part::Leaf(leaf) => leaf,
                };
                match read_leaf(&objects, &leaf, holding).await {
                    Ok(databases) => {
                        let known = databases.into_iter().map(SalvagedDatabase::Known);
                        Ok(stream::iter(known.map(Ok)).boxed())
                    }
                    Err(why) if why.is_damage() => {
                        Ok(one(SalvagedDatabase::Lost(Loss::below(&leaf, why))))
                    }
                    Err(error) => Err(error),
                }
            }
        })
        .try_flatten()
        .boxed()
}

/// All that is whole of a database and all that is not, in order. A leaf whose records have another sum
/// than it says is not whole, nor is a small database.
pub fn salvage_records(
    objects: &Objects,
    stored: &StoredDatabase,
) -> BoxStream<'static, Result<Salvaged>> {
    let tag = stored.database.described.tag.clone();
    let Content::Tree(tree) = &stored.database.content else { return salvage_small(stored) };
    let read = objects.clone();
    reachable(objects, tree)
        .and_then(move |part| {
            let (objects, tag) = (read.clone(), tag.clone());
            async move {
                match part {
                    Part::Lost(loss) => Ok(one(Salvaged::Lost(loss))),
                    Part::Leaf(leaf) => salvage_leaf(&objects, &leaf, &tag).await,
                }
            }
        })
        .try_flatten()
        .boxed()
}

fn salvage_small(stored: &StoredDatabase) -> BoxStream<'static, Result<Salvaged>> {
    match stored.read_small() {
        Ok((batch, _)) => one(Salvaged::Records(batch)),
        Err(why) if why.is_damage() => match stored.database.inline() {
            Ok(Some(leaf)) => {
                let Leaf { first, last, records, bytes, .. } = leaf;
                one(Salvaged::Lost(Loss { first, last, records, bytes, why }))
            }
            _ => stream::iter([Err(why)]).boxed(),
        },
        Err(error) => stream::iter([Err(error)]).boxed(),
    }
}

async fn salvage_leaf(
    objects: &Objects,
    leaf: &Child,
    tag: &[u8],
) -> Result<BoxStream<'static, Result<Salvaged>>> {
    let examined = match examine_leaf(objects, leaf, tag).await {
        Ok(examined) => examined,
        Err(why) if why.is_damage() => return Ok(one(Salvaged::Lost(Loss::below(leaf, why)))),
        Err(error) => return Err(error),
    };
    let (whole, broken) = examined.into_whole(objects);
    let lost = broken.into_iter().filter_map(|value| {
        let bytes = (value.at.root_key.len() + value.at.key.len()) as u64;
        let why = value.errors.into_iter().next()?;
        let (first, last) = (value.at.clone(), value.at);
        let bytes = bytes.saturating_add(value.total);
        Some(Ok(Salvaged::Lost(Loss { first, last, records: 1, bytes, why })))
    });
    let lost = stream::iter(lost.collect::<Vec<_>>());
    Ok(lost.chain(whole.map_ok(Salvaged::Records)).boxed())
}

impl Loss {
    /// All that is below a reference.
    pub(super) fn below(child: &Child, why: Error) -> Self {
        Self {
            first: child.first.clone(),
            last: child.last.clone(),
            records: child.records,
            bytes: child.bytes,
            why,
        }
    }
}

pub(super) fn one<T: Send + 'static>(item: T) -> BoxStream<'static, Result<T>> {
    stream::iter([Ok(item)]).boxed()
}

/// What a walk finds: a leaf that may be read, or what is lost with a node.
pub(super) enum Part {
    Leaf(Child),
    Lost(Loss),
}

/// The leaves of a tree in order, and what nodes that cannot be read took with them.
pub(super) fn reachable(objects: &Objects, tree: &Tree) -> BoxStream<'static, Result<Part>> {
    let pending = vec![(tree.levels, tree.root.clone())];
    stream::try_unfold((objects.clone(), pending), |(objects, mut pending)| async move {
        while let Some((level, child)) = pending.pop() {
            if level == 0 {
                return Ok(Some((Part::Leaf(child), (objects, pending))));
            }
            match read_node(&objects, &child, level).await {
                Ok(node) => {
                    let below = node.children.into_iter().rev();
                    pending.extend(below.map(|child| (level - 1, child)));
                }
                Err(why) if why.is_damage() => {
                    let lost = Part::Lost(Loss::below(&child, why));
                    return Ok(Some((lost, (objects, pending))));
                }
                Err(error) => return Err(error),
            }
        }
        Ok(None)
    })
    .boxed()
}

/// An error with what caused it, on one line.
pub(super) fn describe_error(error: &Error) -> String {
    match error {
        Error::Damaged { what, source } => format!("{what} is damaged: {source}"),
        other => other.to_string(),
    }
}

impl Loss {
    /// What is damaged or missing, and how, on one line.
    pub fn explain(&self) -> String {
        describe_error(&self.why)
    }
}
