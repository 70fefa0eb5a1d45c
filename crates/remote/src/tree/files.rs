//! Trees of files: a description and pieces for each.
//!
//! A file is the records of one root key, its path: under the empty key its description
//! ([`FileMeta`]), under each offset (u64, big-endian) the piece that begins there, inline where it
//! is short.

use std::sync::Arc;

use archive::leaf::{LeafRecord, LeafValue};
use archive::manifest::{FileMeta, Shape};
use archive::node::Tree;
use archive::object::{Kind, ObjectRef};
use backup_core::path::FilePath;
use backup_core::source::{FileInfo, Files};
use backup_core::staging::SIDECAR;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::read::{Found, checked_leaf, leaves};
use super::write_files::PIECES_AT_ONCE;
use crate::objects::Objects;
use crate::task::Task;
use crate::{Error, Result};

/// One entry of a tree of files, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
enum FileEntry {
    File(FileInfo),
    Content { offset: u64, value: Found },
}

/// How much of its last file a tree has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LastFile {
    /// All of it, as every tree of a snapshot.
    Whole,
    /// Perhaps only the beginning, as a tree of a checkpoint.
    Begun,
}

/// The entries of a tree of files in order; that each file is whole is checked on the way.
fn entries(
    objects: &Objects,
    tree: &Tree,
    last: LastFile,
) -> BoxStream<'static, Result<FileEntry>> {
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
    stream::try_unfold(state, move |(mut records, mut leaf, mut name, mut whole)| async move {
        loop {
            if let Some(record) = leaf.next() {
                let entry = whole.check(record).map_err(Error::damaged(&name))?;
                return Ok(Some((entry, (records, leaf, name, whole))));
            }
            let Some((path, next)) = records.try_next().await? else {
                if last == LastFile::Whole {
                    whole.end().map_err(Error::damaged(&name))?;
                }
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
    entries(objects, tree, LastFile::Whole)
        .try_filter_map(async |entry| match entry {
            FileEntry::File(info) => Ok(Some(info)),
            FileEntry::Content { .. } => Ok(None),
        })
        .try_collect()
        .await
}

/// Checks that a tree of files holds whole files, `count` of them with `bytes` in all, without a list of
/// them in memory. Where the last file may be only begun, `bytes` are those that are there.
///
/// # Errors
/// [`Error::Damaged`], as [`list_files`] and for another number or length.
pub(crate) async fn check_files(
    objects: &Objects,
    tree: &Tree,
    (count, bytes): (u64, u64),
    last: LastFile,
) -> Result<()> {
    let mut entries = entries(objects, tree, last);
    let mut found = (0_u64, 0_u64);
    while let Some(entry) = entries.try_next().await? {
        match entry {
            FileEntry::File(_) => found.0 += 1,
            FileEntry::Content { value, .. } => found.1 = found.1.saturating_add(value.total()),
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
    entries(objects, tree, LastFile::Whole)
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
