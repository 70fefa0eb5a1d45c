//! Trees of files: a description and pieces for each, unchanged ones taken over from the parent.
//!
//! A file is the records of one root key, its path: under the empty key its description
//! ([`FileMeta`]), under each offset (u64, big-endian) the piece that begins there, inline where it
//! is short.

use std::ops::Range;
use std::sync::Arc;

use archive::boundary::Target;
use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::limits::{FULL_LEAF_BYTES, INLINE_FILE_BYTES, LARGE_PIECE_BYTES, SMALL_PIECE_BYTES};
use archive::manifest::{FileMeta, Shape};
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{FileInfo, FileNature, Files};
use backup_core::staging::SIDECAR;
use bytes::Bytes;
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::{self, BoxStream, FuturesOrdered, StreamExt, TryStreamExt};

use super::checkpoint::{Checkpoints, SoFar};
use super::read::{Found, checked_leaf, leaves};
use super::write::{Parents, TreeWriter, store_leaf};
use crate::objects::Objects;
use crate::session::Session;
use crate::task::Task;
use crate::{Error, Result};

/// How many pieces are read, compressed and stored at the same time.
const PIECES_AT_ONCE: usize = 4;

/// A store's files as they were stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesWritten {
    /// Their tree; none where there are no files.
    pub tree: Option<Tree>,
    /// How many there are.
    pub count: u64,
    /// Their length in all, in bytes.
    pub bytes: u64,
}

/// A record of the tree, owned.
struct FileRecord {
    path: Vec<u8>,
    key: Vec<u8>,
    value: Found,
}

/// Stores the files of a snapshot. A file that a parent has under the same path with the same
/// identity and length is neither read nor sent; of others, the pieces that are the same are reused.
pub async fn write_files(
    session: &Session,
    files: &dyn Files,
    parents: &[Tree],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<FilesWritten> {
    let mut writer = FilesWriter {
        session,
        tree: TreeWriter::new(session, parents, false),
        parents: Parents::new(session.repository().objects(), parents),
        leaf_parents: Parents::new(session.repository().objects(), parents),
        leaf: LeafBuilder::new(),
        pending: FuturesOrdered::new(),
    };
    let mut written = FilesWritten { tree: None, count: 0, bytes: 0 };
    for (number, info) in files.list().iter().enumerate() {
        context.check()?;
        writer.file(files, number, info, context).await?;
        written.count += 1;
        written.bytes += info.bytes;
        if checkpoints.is_due() {
            let tree = writer.so_far().await?;
            checkpoints.save(SoFar::Files(FilesWritten { tree, ..written.clone() })).await?;
        }
    }
    written.tree = writer.finish().await?;
    Ok(written)
}

struct FilesWriter<'a> {
    session: &'a Session,
    tree: TreeWriter<'a>,
    parents: Parents,
    leaf_parents: Parents,
    leaf: LeafBuilder,
    pending: FuturesOrdered<BoxFuture<'a, Result<FileRecord>>>,
}

impl<'a> FilesWriter<'a> {
    async fn file(
        &mut self,
        files: &'a dyn Files,
        number: usize,
        info: &FileInfo,
        context: &'a Context,
    ) -> Result<()> {
        let path = info.path.as_str().as_bytes().to_vec();
        let meta = FileMeta {
            bytes: info.bytes,
            mode: info.mode,
            nature: info.nature,
            identity: info.identity.clone(),
            owner: info.owner.clone(),
        };
        let described = meta.encode().map_err(Error::damaged(info.path.as_str()))?;
        let unchanged = self.parent_with(&path, &meta).await?;
        let record = FileRecord { path, key: Vec::new(), value: Found::Inline(described) };
        let path = record.path.clone();
        self.push(ready(Ok(record)).boxed()).await?;
        for range in pieces(info) {
            let at = RecordKey::new(&path, &range.start.to_be_bytes());
            let session = self.session;
            if let Some(parent) = unchanged
                && let Some(value) = self.parents.value_in(parent, &at).await?
                && value.total() == range.end - range.start
                && may_reuse(session, &value)
            {
                context.advance(range.end - range.start, 0);
                let record = FileRecord { path: at.root_key, key: at.key, value };
                self.push(ready(Ok(record)).boxed()).await?;
                continue;
            }
            let known = match self.parents.value(&at).await? {
                Some(Found::Pieces(pieces)) if pieces.len() == 1 => pieces.first().copied(),
                _ => None,
            };
            let part = FilePart { number, range, at, known };
            self.push(store_part(session, files, part, context)).await?;
        }
        Ok(())
    }

    /// The parent that has this file with the same content, by the engine's own word.
    async fn parent_with(&mut self, path: &[u8], meta: &FileMeta) -> Result<Option<usize>> {
        if meta.identity.is_none() {
            return Ok(None);
        }
        let at = RecordKey::new(path, b"");
        for parent in 0..self.parents.len() {
            let Some(Found::Inline(kept)) = self.parents.value_in(parent, &at).await? else {
                continue;
            };
            let kept =
                FileMeta::parse(&kept).map_err(Error::damaged(String::from_utf8_lossy(path)))?;
            let same = |file: &FileMeta| (file.identity.clone(), file.bytes, file.nature);
            if same(&kept) == same(meta) {
                return Ok(Some(parent));
            }
        }
        Ok(None)
    }

    async fn push(&mut self, record: BoxFuture<'a, Result<FileRecord>>) -> Result<()> {
        self.pending.push_back(record);
        while self.pending.len() >= PIECES_AT_ONCE {
            if let Some(record) = self.pending.try_next().await? {
                self.place(&record).await?;
            }
        }
        Ok(())
    }

    /// Puts a record into the leaf, and the leaf into the tree where it ends.
    async fn place(&mut self, record: &FileRecord) -> Result<()> {
        let value = match &record.value {
            Found::Inline(value) => LeafValue::Inline(value),
            Found::Pieces(pieces) => {
                LeafValue::Pieces { total: record.value.total(), pieces: pieces.clone() }
            }
        };
        let total = value.total();
        let entry = LeafRecord { root_key: &record.path, key: &record.key, value };
        self.leaf.push(&entry).map_err(|source| Error::Format { what: "a leaf", source })?;
        let natural = Target::Files.ends_leaf(&record.path, &record.key, total);
        if natural || self.leaf.len() >= FULL_LEAF_BYTES {
            self.cut().await?;
        }
        Ok(())
    }

    async fn cut(&mut self) -> Result<()> {
        if self.leaf.is_empty() {
            return Ok(());
        }
        let leaf = self.leaf.finish(None);
        let known =
            self.leaf_parents.candidate(0, &leaf.first, |child| child.last == leaf.last).await?;
        let child = store_leaf(self.session, leaf, None, known).await?;
        self.tree.push(child, None).await
    }

    /// The tree of the files so far, for a checkpoint.
    async fn so_far(&mut self) -> Result<Option<Tree>> {
        self.settle().await?;
        let mut tree = self.tree.so_far();
        if !self.leaf.is_empty() {
            let leaf = self.leaf.clone().finish(None);
            let stored = self.session.put_interim(Kind::Leaf, leaf.content.clone()).await?;
            tree.push(Child::of_leaf(stored.reference, &leaf, None), None).await?;
        }
        tree.finish().await
    }

    /// Waits for what is being stored.
    async fn settle(&mut self) -> Result<()> {
        while let Some(record) = self.pending.try_next().await? {
            self.place(&record).await?;
        }
        Ok(())
    }

    async fn finish(mut self) -> Result<Option<Tree>> {
        self.settle().await?;
        self.cut().await?;
        self.tree.finish().await
    }
}

/// A part of a file that is to be read.
struct FilePart {
    number: usize,
    range: Range<u64>,
    at: RecordKey,
    known: Option<ObjectRef>,
}

/// Reads a part of a file and stores it, unless it is short or known.
fn store_part<'a>(
    session: &'a Session,
    files: &'a dyn Files,
    part: FilePart,
    context: &'a Context,
) -> BoxFuture<'a, Result<FileRecord>> {
    async move {
        let length = part.range.end - part.range.start;
        let read = files.read(part.number, part.range).await?;
        let value = if read.len() <= INLINE_FILE_BYTES {
            Found::Inline(read.to_vec())
        } else {
            let stored = session.put(Kind::Piece, read, part.known).await?;
            Found::Pieces(vec![stored.reference])
        };
        context.advance(length, 0);
        Ok(FileRecord { path: part.at.root_key, key: part.at.key, value })
    }
    .boxed()
}

/// Whether all pieces of a value may be taken over; counts them as reused.
fn may_reuse(session: &Session, value: &Found) -> bool {
    match value {
        Found::Inline(_) => true,
        Found::Pieces(pieces) => pieces.iter().all(|piece| session.reuse(piece)),
    }
}

/// Where a file is cut.
fn pieces(info: &FileInfo) -> impl Iterator<Item = Range<u64>> + use<> {
    let step = match info.nature {
        FileNature::Immutable => LARGE_PIECE_BYTES,
        _ => SMALL_PIECE_BYTES,
    };
    let (length, step) = (info.bytes, step as u64);
    (0..length.div_ceil(step)).map(move |number| {
        let start = number * step;
        start..(start + step).min(length)
    })
}

/// One entry of a tree of files, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FileEntry {
    File(FileInfo),
    Content { offset: u64, value: Found },
}

/// The entries of a tree of files in order; that each file is whole is checked on the way.
fn entries(objects: &Objects, tree: &Tree) -> BoxStream<'static, Result<FileEntry>> {
    let read = objects.clone();
    let records = leaves(objects, tree, None)
        .map(move |child| {
            let objects = read.clone();
            async move {
                let child = child?;
                let content = objects.read(Kind::Leaf, &child.object).await?;
                let leaf = checked_leaf(&child, &content)?;
                let name = child.object.name.path();
                let owned = |record: LeafRecord<'_>| {
                    let value = match record.value {
                        LeafValue::Inline(value) => Found::Inline(value.to_vec()),
                        LeafValue::Pieces { pieces, .. } => Found::Pieces(pieces),
                    };
                    (record.root_key.to_vec(), record.key.to_vec(), value)
                };
                Ok::<_, Error>((name, leaf.iter().map(owned).collect::<Vec<_>>()))
            }
        })
        .buffered(2);
    let state = (records, Vec::new().into_iter(), String::new(), Whole::default());
    stream::try_unfold(state, |(mut records, mut leaf, mut name, mut whole)| async move {
        loop {
            if let Some(record) = leaf.next() {
                let entry = whole.check(record).map_err(Error::damaged(&name))?;
                return Ok(Some((entry, (records, leaf, name, whole))));
            }
            let Some((path, next)) = records.try_next().await? else {
                whole.end().map_err(Error::damaged(&name))?;
                return Ok(None);
            };
            (name, leaf) = (path, next.into_iter());
        }
    })
    .boxed()
}

/// Checks that the records of each file are a description and then its content, without gaps, and that
/// all files can lie in one folder.
#[derive(Default)]
struct Whole {
    path: Vec<u8>,
    missing: u64,
    next: u64,
    /// The files whose paths the current one begins with, the shortest first. What sorts between a
    /// path and one below it begins with it too, so none is forgotten too early.
    beginnings: Vec<Vec<u8>>,
}

impl Whole {
    fn check(&mut self, record: (Vec<u8>, Vec<u8>, Found)) -> archive::Result<FileEntry> {
        let (path, key, value) = record;
        let broken = |detail: &str| archive::Error::mismatch("a tree of files", detail);
        if key.is_empty() {
            self.end()?;
            let Found::Inline(described) = &value else {
                return Err(broken("a file's description is in pieces"));
            };
            let meta = FileMeta::parse(described)?;
            let text =
                String::from_utf8(path.clone()).map_err(|_| broken("a path is not UTF-8"))?;
            self.check_place(&path)?;
            (self.path, self.missing, self.next) = (path, meta.bytes, 0);
            return Ok(FileEntry::File(FileInfo {
                path: FilePath::new(text)?,
                bytes: meta.bytes,
                identity: meta.identity,
                mode: meta.mode & 0o777,
                nature: meta.nature,
                owner: meta.owner,
            }));
        }
        let offset = <[u8; 8]>::try_from(key.as_slice()).ok().map(u64::from_be_bytes);
        if path != self.path || offset != Some(self.next) {
            return Err(broken("a file's content has a gap, or no description"));
        }
        let length = value.total();
        if length == 0 || length > self.missing {
            return Err(broken("a file's content is longer than its description says"));
        }
        let offset = self.next;
        self.next += length;
        self.missing -= length;
        Ok(FileEntry::Content { offset, value })
    }

    /// Checks that no file is a folder of the next one.
    fn check_place(&mut self, path: &[u8]) -> archive::Result<()> {
        self.beginnings.retain(|beginning| path.starts_with(beginning));
        let above = |beginning: &Vec<u8>| path.get(beginning.len()) == Some(&b'/');
        if self.beginnings.iter().any(above) {
            let path = String::from_utf8_lossy(path);
            let detail = format!("{path} lies below another file, where only a folder can be");
            return Err(archive::Error::mismatch("a tree of files", detail));
        }
        if path == SIDECAR.as_bytes() {
            let detail = format!("{SIDECAR} is keepsum's own mark of a restored store");
            return Err(archive::Error::mismatch("a tree of files", detail));
        }
        self.beginnings.push(path.to_vec());
        Ok(())
    }

    fn end(&self) -> archive::Result<()> {
        if self.missing == 0 {
            return Ok(());
        }
        let detail =
            format!("{} ends {} bytes early", String::from_utf8_lossy(&self.path), self.missing);
        Err(archive::Error::mismatch("a tree of files", detail))
    }
}

/// The files of a tree, sorted by path.
///
/// # Errors
/// [`Error::Damaged`] for a tree that is damaged or hostile: a path out of the folder, content
/// with gaps.
pub async fn list_files(objects: &Objects, tree: &Tree) -> Result<Vec<FileInfo>> {
    entries(objects, tree)
        .try_filter_map(async |entry| match entry {
            FileEntry::File(info) => Ok(Some(info)),
            FileEntry::Content { .. } => Ok(None),
        })
        .try_collect()
        .await
}

/// Checks that a tree of files holds whole files, `count` of them with `bytes` in all, without a list of
/// them in memory.
///
/// # Errors
/// [`Error::Damaged`], as [`list_files`] and for another number or length.
pub(crate) async fn check_files(
    objects: &Objects,
    tree: &Tree,
    count: u64,
    bytes: u64,
) -> Result<()> {
    let mut entries = entries(objects, tree);
    let mut found = (0_u64, 0_u64);
    while let Some(entry) = entries.try_next().await? {
        if let FileEntry::File(info) = entry {
            found = (found.0 + 1, found.1.saturating_add(info.bytes));
        }
    }
    check_amount(tree, found, (count, bytes))
}

/// The files of a snapshot of this shape, sorted by path: as many as it says, and none in the records
/// shape.
///
/// # Errors
/// As [`list_files`], and [`Error::Damaged`] for another number or length than the shape has.
pub async fn files_of(objects: &Objects, shape: &Shape) -> Result<Vec<FileInfo>> {
    let Shape::Files { tree: Some(tree), count, bytes } = shape else { return Ok(Vec::new()) };
    let files = list_files(objects, tree).await?;
    let total = files.iter().fold(0_u64, |total, file| total.saturating_add(file.bytes));
    check_amount(tree, (files.len() as u64, total), (*count, *bytes))?;
    Ok(files)
}

/// Compares the number and the bytes of a tree's files with what a manifest says.
fn check_amount(tree: &Tree, found: (u64, u64), expected: (u64, u64)) -> Result<()> {
    if found == expected {
        return Ok(());
    }
    let detail = format!(
        "it has {} files of {} bytes, not {} of {}",
        found.0, found.1, expected.0, expected.1
    );
    let source = archive::Error::mismatch("a tree of files", detail);
    Err(Error::damaged(tree.root.object.name.path())(source))
}

/// A stretch of a file's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileContent {
    /// The file's number in the list.
    pub file: usize,
    /// Where the stretch begins in it, in bytes.
    pub offset: u64,
    /// The content.
    pub bytes: Bytes,
    /// Whether it was found in what an earlier attempt left, and not fetched.
    pub was_there: bool,
}

/// The content of all files of a tree, file by file in the order of [`list_files`], each in rising
/// order without gaps; pieces are fetched ahead.
///
/// `left_over` is what an earlier attempt left of the same files, in the same order, which may be damaged:
/// a piece that is there as it was stored is not fetched.
pub fn file_contents(
    objects: &Objects,
    tree: &Tree,
    left_over: Option<Arc<dyn Files>>,
) -> BoxStream<'static, Result<FileContent>> {
    let read = objects.clone();
    entries(objects, tree)
        .map_ok(numbered())
        .map_ok(|content| stream::iter(content.map(stretches).unwrap_or_default()).map(Ok))
        .try_flatten()
        .map(move |stretch: Result<(usize, u64, Stretch)>| {
            let (objects, left_over) = (read.clone(), left_over.clone());
            async move {
                let (file, offset, value) = stretch?;
                let piece = match value {
                    Stretch::Inline(content) => {
                        return Ok(FileContent {
                            file,
                            offset,
                            bytes: content.into(),
                            was_there: false,
                        });
                    }
                    Stretch::Piece(piece) => piece,
                };
                // A task goes on while the reader is busy with what it has.
                let read = async move {
                    if let Some(left_over) = left_over
                        && let Some(bytes) =
                            piece_in(left_over.as_ref(), file, offset, &piece, &objects).await?
                    {
                        return Ok(FileContent { file, offset, bytes, was_there: true });
                    }
                    let bytes = objects.read(Kind::Piece, &piece).await?;
                    Ok(FileContent { file, offset, bytes, was_there: false })
                };
                Task::spawn(read).join("read a piece").await
            }
        })
        .buffered(PIECES_AT_ONCE)
        .boxed()
}

/// A piece as it is in what an earlier attempt left, if it is.
async fn piece_in(
    left_over: &dyn Files,
    file: usize,
    offset: u64,
    piece: &ObjectRef,
    objects: &Objects,
) -> Result<Option<Bytes>> {
    let end = offset + u64::from(piece.plain);
    if left_over.list().get(file).is_none_or(|there| end > there.bytes) {
        return Ok(None);
    }
    // What cannot be read is fetched.
    let Ok(bytes) = left_over.read(file, offset..end).await else { return Ok(None) };
    let same = objects.is_content(Kind::Piece, piece, bytes.clone()).await?;
    Ok(same.then_some(bytes))
}

/// Numbers the files as their entries come by.
fn numbered() -> impl FnMut(FileEntry) -> Option<(usize, u64, Found)> {
    let mut files = 0;
    move |entry| match entry {
        FileEntry::File(_) => {
            files += 1;
            None
        }
        FileEntry::Content { offset, value } => Some((files - 1, offset, value)),
    }
}

enum Stretch {
    Inline(Vec<u8>),
    Piece(ObjectRef),
}

fn stretches((file, offset, value): (usize, u64, Found)) -> Vec<(usize, u64, Stretch)> {
    match value {
        Found::Inline(content) => vec![(file, offset, Stretch::Inline(content))],
        Found::Pieces(pieces) => {
            let mut at = offset;
            let place = |piece: ObjectRef| {
                let start = at;
                at += u64::from(piece.plain);
                (file, start, Stretch::Piece(piece))
            };
            pieces.into_iter().map(place).collect()
        }
    }
}
