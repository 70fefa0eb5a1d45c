//! What can still be read of a tree that is damaged, and what is lost.
//!
//! A node or leaf that cannot be read takes with it what its reference says is below: a range of keys, a
//! number of records and their bytes. A piece takes one value, or a stretch of one file.

use std::ops::Range;

use archive::directory::{Content, Directory};
use archive::leaf::{Leaf, LeafRecord, LeafValue};
use archive::manifest::FileMeta;
use archive::node::{Child, Tree};
use archive::object::Kind;
use backup_core::path::FilePath;
use backup_core::record::{RecordBatch, RecordKey};
use backup_core::source::FileInfo;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::databases::{StoredDatabase, read_leaf};
use super::read::{Found, checked_leaf, examine_leaf, read_node};
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
    fn below(child: &Child, why: Error) -> Self {
        Self {
            first: child.first.clone(),
            last: child.last.clone(),
            records: child.records,
            bytes: child.bytes,
            why,
        }
    }
}

fn one<T: Send + 'static>(item: T) -> BoxStream<'static, Result<T>> {
    stream::iter([Ok(item)]).boxed()
}

/// What a walk finds: a leaf that may be read, or what is lost with a node.
enum Part {
    Leaf(Child),
    Lost(Loss),
}

/// The leaves of a tree in order, and what nodes that cannot be read took with them.
fn reachable(objects: &Objects, tree: &Tree) -> BoxStream<'static, Result<Part>> {
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

/// A stretch of a file, or a whole file, that is lost.
#[derive(Debug)]
pub struct FileLoss {
    /// The file's path.
    pub path: String,
    /// The bytes of it that are lost.
    pub range: Range<u64>,
    /// What is damaged or missing.
    pub why: String,
}

/// What of a tree of files is whole.
#[derive(Debug, Default)]
pub struct FileSurvey {
    /// The files that are whole, sorted by path.
    pub whole: Vec<FileInfo>,
    /// What is lost of the others whose paths are known.
    pub lost: Vec<FileLoss>,
    /// What is lost without being known by path: the descriptions of files, above all. The root key
    /// of a place is a path.
    pub unnamed: Vec<Loss>,
}

/// Reads all that a tree of files has, and says which of them are whole.
pub async fn survey_files(objects: &Objects, tree: &Tree) -> Result<FileSurvey> {
    let mut survey = Surveying::default();
    let mut parts = file_records(objects, tree);
    while let Some(part) = parts.try_next().await? {
        match part {
            FilePart::Lost(loss) => survey.found.unnamed.push(loss),
            FilePart::Record { path, key, value } if key.is_empty() => survey.begin(&path, &value),
            FilePart::Record { path, key, value } => {
                let broken = broken_pieces(objects, &value).await?;
                survey.content(&path, &key, &value, broken);
            }
        }
    }
    survey.end();
    Ok(survey.found)
}

/// The content of the files of [`FileSurvey::whole`], as
/// [`file_contents`](super::file_contents) gives it.
pub fn whole_contents(
    objects: &Objects,
    tree: &Tree,
    whole: &[FileInfo],
) -> BoxStream<'static, Result<(usize, u64, Bytes)>> {
    let paths: Vec<String> = whole.iter().map(|file| file.path.as_str().to_owned()).collect();
    let read = objects.clone();
    file_records(objects, tree)
        .try_filter_map(move |part| {
            let stretch = match part {
                FilePart::Record { path, key, value } => {
                    let file = paths.binary_search_by(|known| known.as_bytes().cmp(&path)).ok();
                    file.zip(offset_of(&key)).map(|(file, offset)| (file, offset, value))
                }
                FilePart::Lost(_) => None,
            };
            async move { Ok(stretch) }
        })
        .and_then(move |(file, offset, value)| {
            let objects = read.clone();
            async move {
                let mut content = Vec::new();
                match value {
                    Found::Inline(value) => content = value,
                    // A file's record has one piece; more would be as good.
                    Found::Pieces(pieces) => {
                        for piece in pieces {
                            content.extend_from_slice(&objects.read(Kind::Piece, &piece).await?);
                        }
                    }
                }
                Ok((file, offset, Bytes::from(content)))
            }
        })
        .boxed()
}

enum FilePart {
    Record { path: Vec<u8>, key: Vec<u8>, value: Found },
    Lost(Loss),
}

/// The records of a tree of files that can be read, and what cannot.
fn file_records(objects: &Objects, tree: &Tree) -> BoxStream<'static, Result<FilePart>> {
    let read = objects.clone();
    reachable(objects, tree)
        .and_then(move |part| {
            let objects = read.clone();
            async move {
                let leaf = match part {
                    Part::Lost(loss) => return Ok(one(FilePart::Lost(loss))),
                    Part::Leaf(leaf) => leaf,
                };
                let records = async {
                    let content = objects.read(Kind::Leaf, &leaf.object).await?;
                    let parsed = checked_leaf(&leaf, &content)?;
                    Ok(parsed.iter().map(owned).map(Ok).collect::<Vec<_>>())
                };
                match records.await {
                    Ok(records) => Ok(stream::iter(records).boxed()),
                    Err(why) if Error::is_damage(&why) => {
                        Ok(one(FilePart::Lost(Loss::below(&leaf, why))))
                    }
                    Err(error) => Err(error),
                }
            }
        })
        .try_flatten()
        .boxed()
}

fn owned(record: LeafRecord<'_>) -> FilePart {
    let value = match record.value {
        LeafValue::Inline(value) => Found::Inline(value.to_vec()),
        LeafValue::Pieces { pieces, .. } => Found::Pieces(pieces),
    };
    FilePart::Record { path: record.root_key.to_vec(), key: record.key.to_vec(), value }
}

fn offset_of(key: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(key).ok().map(u64::from_be_bytes)
}

/// Where a value's pieces are not whole, from its beginning, and why.
async fn broken_pieces(objects: &Objects, value: &Found) -> Result<Vec<(Range<u64>, Error)>> {
    let Found::Pieces(pieces) = value else { return Ok(Vec::new()) };
    let mut broken = Vec::new();
    let mut start = 0;
    for piece in pieces {
        let end = start + u64::from(piece.plain);
        match objects.read(Kind::Piece, piece).await {
            Err(why) if why.is_damage() => broken.push((start..end, why)),
            read => drop(read?),
        }
        start = end;
    }
    Ok(broken)
}

/// Puts records of files together again.
#[derive(Default)]
struct Surveying {
    found: FileSurvey,
    open: Option<OpenFile>,
    /// The last path of which content came without a description.
    orphan: Option<Vec<u8>>,
}

struct OpenFile {
    info: FileInfo,
    /// How far its content was seen.
    next: u64,
    whole: bool,
}

impl Surveying {
    fn begin(&mut self, path: &[u8], described: &Found) {
        self.end();
        let info = match described {
            Found::Inline(described) => describe(path, described),
            Found::Pieces(_) => None,
        };
        match info {
            Some(info) => self.open = Some(OpenFile { info, next: 0, whole: true }),
            None => self.orphan(path, "its description is no description, or its path none"),
        }
    }

    fn content(
        &mut self,
        path: &[u8],
        key: &[u8],
        value: &Found,
        broken: Vec<(Range<u64>, Error)>,
    ) {
        let offset = offset_of(key);
        let open = self.open.as_mut().filter(|open| open.info.path.as_str().as_bytes() == path);
        let (Some(open), Some(offset)) = (open, offset) else {
            self.orphan(path, "its description is lost");
            return;
        };
        let end = offset.saturating_add(value.total());
        if offset < open.next || end > open.info.bytes {
            open.whole = false;
            return;
        }
        let gap = open.next..offset;
        open.next = end;
        if !gap.is_empty() {
            open.whole = false;
            self.found.lost.push(lost(&open.info, gap, BELOW_A_LEAF));
        }
        for (range, why) in broken {
            open.whole = false;
            let range = offset + range.start..offset + range.end;
            self.found.lost.push(lost(&open.info, range, &describe_error(&why)));
        }
    }

    fn end(&mut self) {
        let Some(open) = self.open.take() else { return };
        let rest = open.next..open.info.bytes;
        if !rest.is_empty() {
            self.found.lost.push(lost(&open.info, rest, BELOW_A_LEAF));
        } else if open.whole {
            self.found.whole.push(open.info);
        }
    }

    /// A file that cannot be given back because nothing says what it is.
    fn orphan(&mut self, path: &[u8], why: &str) {
        if self.orphan.as_deref() == Some(path) {
            return;
        }
        self.orphan = Some(path.to_vec());
        let path = String::from_utf8_lossy(path).into_owned();
        self.found.lost.push(FileLoss { path, range: 0..u64::MAX, why: why.to_owned() });
    }
}

const BELOW_A_LEAF: &str = "what named this part of it is damaged or missing";

fn lost(file: &FileInfo, range: Range<u64>, why: &str) -> FileLoss {
    FileLoss { path: file.path.as_str().to_owned(), range, why: why.to_owned() }
}

fn describe(path: &[u8], described: &[u8]) -> Option<FileInfo> {
    let meta = FileMeta::parse(described).ok()?;
    let path = FilePath::new(String::from_utf8(path.to_vec()).ok()?).ok()?;
    let FileMeta { bytes, mode, nature, identity, owner } = meta;
    Some(FileInfo { path, bytes, identity, mode: mode & 0o777, owner, nature })
}

/// An error with what caused it, on one line.
fn describe_error(error: &Error) -> String {
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
