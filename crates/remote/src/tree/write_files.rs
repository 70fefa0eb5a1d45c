//! Writing a tree of files: a description and pieces for each, unchanged ones taken over from a parent.

use std::ops::Range;

use archive::boundary::Target;
use archive::leaf::{LeafBuilder, LeafRecord, LeafValue};
use archive::limits::{FULL_LEAF_BYTES, INLINE_FILE_BYTES, LARGE_PIECE_BYTES, SMALL_PIECE_BYTES};
use archive::manifest::FileMeta;
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{FileInfo, FileNature, Files};
use futures_util::future::{BoxFuture, FutureExt, ready};
use futures_util::stream::{FuturesOrdered, StreamExt};

use super::checkpoint::{Checkpoints, SoFar, keep_after};
use super::read::Found;
use super::write::{Parents, TreeWriter, store_leaf};
use crate::session::Session;
use crate::{Error, Result};

/// How many pieces are read, compressed and stored at the same time.
pub(super) const PIECES_AT_ONCE: usize = 4;

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
///
/// Checkpoints are made between any two pieces, and one more where the writing ends early.
pub async fn write_files(
    session: &Session,
    files: &dyn Files,
    parents: &[Tree],
    checkpoints: &dyn Checkpoints,
    context: &Context,
) -> Result<FilesWritten> {
    let trees = parents;
    let parents = || Parents::new(session.repository().objects(), trees);
    let mut writer = FilesWriter {
        session,
        checkpoints,
        tree: TreeWriter::new(session, trees, false),
        parents: parents(),
        leaf_parents: parents(),
        leaf: LeafBuilder::new(),
        pending: FuturesOrdered::new(),
        placed: FilesWritten { tree: None, count: 0, bytes: 0 },
        lost: false,
    };
    match Box::pin(writer.files(files, context)).await {
        Ok(()) => writer.finish().await,
        Err(error) => {
            keep_after(&error, session, checkpoints, writer.rest()).await;
            Err(error)
        }
    }
}

struct FilesWriter<'a> {
    session: &'a Session,
    checkpoints: &'a dyn Checkpoints,
    tree: TreeWriter<'a>,
    parents: Parents,
    leaf_parents: Parents,
    leaf: LeafBuilder,
    pending: FuturesOrdered<BoxFuture<'a, Result<FileRecord>>>,
    /// What is in the tree and the leaf; the tree itself is filled in at the end.
    placed: FilesWritten,
    /// Whether a leaf or a node was not stored: nothing that comes after it is of use.
    lost: bool,
}

impl<'a> FilesWriter<'a> {
    async fn files(&mut self, files: &'a dyn Files, context: &'a Context) -> Result<()> {
        for (number, info) in files.list().iter().enumerate() {
            context.check()?;
            self.file(files, number, info, context).await?;
        }
        self.settle().await
    }

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
        let mut unchanged = self.parent_with(&path, &meta, 0).await?;
        let record = FileRecord { path, key: Vec::new(), value: Found::Inline(described) };
        let path = record.path.clone();
        self.push(ready(Ok(record)).boxed()).await?;
        for range in pieces(info) {
            context.check()?;
            let at = RecordKey::new(&path, &range.start.to_be_bytes());
            let length = range.end - range.start;
            let unread = self.unread(&mut unchanged, &meta, &at, length).await?;
            let record = if let Some(value) = unread {
                context.advance(length, 0);
                ready(Ok(FileRecord { path: at.root_key, key: at.key, value })).boxed()
            } else {
                let known = match self.parents.value(&at).await? {
                    Some(Found::Pieces(pieces)) if pieces.len() == 1 => pieces.first().copied(),
                    _ => None,
                };
                let part = FilePart { number, range, at, known };
                store_part(self.session, files, part, context)
            };
            self.push(record).await?;
            self.save_if_due().await?;
        }
        self.save_if_due().await
    }

    async fn save_if_due(&mut self) -> Result<()> {
        if !self.checkpoints.is_due() {
            return Ok(());
        }
        let so_far = self.so_far().await?;
        self.checkpoints.save(so_far).await
    }

    /// The part of an unchanged file at a place. A parent that was interrupted has the beginning of its last
    /// file only; what it does not have, the next one may.
    async fn unread(
        &mut self,
        unchanged: &mut Option<usize>,
        meta: &FileMeta,
        at: &RecordKey,
        length: u64,
    ) -> Result<Option<Found>> {
        while let Some(parent) = *unchanged {
            match self.parents.value_in(parent, at).await? {
                None => *unchanged = self.parent_with(&at.root_key, meta, parent + 1).await?,
                Some(value) if value.total() == length && may_reuse(self.session, &value) => {
                    return Ok(Some(value));
                }
                Some(_) => return Ok(None),
            }
        }
        Ok(None)
    }

    /// The first parent from number `from` on that has this file with the same content, by the engine's own
    /// word.
    async fn parent_with(
        &mut self,
        path: &[u8],
        meta: &FileMeta,
        from: usize,
    ) -> Result<Option<usize>> {
        if meta.identity.is_none() {
            return Ok(None);
        }
        let at = RecordKey::new(path, b"");
        for parent in from..self.parents.len() {
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
        self.wait(PIECES_AT_ONCE - 1).await
    }

    /// Waits until at most `left` pieces are being read and stored.
    async fn wait(&mut self, left: usize) -> Result<()> {
        while self.pending.len() > left
            && let Some(record) = self.pending.next().await
        {
            match record {
                Ok(record) => self.place(&record).await?,
                // Those after it would leave a gap.
                Err(error) => {
                    self.pending.clear();
                    return Err(error);
                }
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
        if record.key.is_empty() {
            self.placed.count += 1;
        } else {
            self.placed.bytes += total;
        }
        let natural = Target::Files.ends_leaf(&record.path, &record.key, total);
        if natural || self.leaf.len() >= FULL_LEAF_BYTES {
            let before = std::mem::replace(&mut self.lost, true);
            self.cut().await?;
            self.lost = before;
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

    /// The files so far, for a checkpoint.
    async fn so_far(&mut self) -> Result<SoFar> {
        self.settle().await?;
        let mut tree = self.tree.so_far();
        if !self.leaf.is_empty() {
            let leaf = self.leaf.clone().finish(None);
            let stored = self.session.put_interim(Kind::Leaf, leaf.content.clone()).await?;
            tree.push(Child::of_leaf(stored.reference, &leaf, None), None).await?;
        }
        let tree = tree.finish().await?;
        Ok(SoFar::Files(FilesWritten { tree, ..self.placed.clone() }))
    }

    /// What can be kept where the writing ends early: up to the first piece that was not stored.
    async fn rest(&mut self) -> Result<Option<SoFar>> {
        // The error that ended it is told, and not those that came of it.
        drop(self.settle().await);
        if self.lost { Ok(None) } else { self.so_far().await.map(Some) }
    }

    /// Waits for what is being stored.
    async fn settle(&mut self) -> Result<()> {
        self.wait(0).await
    }

    async fn finish(mut self) -> Result<FilesWritten> {
        self.cut().await?;
        let tree = self.tree.finish().await?;
        Ok(FilesWritten { tree, ..self.placed })
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
