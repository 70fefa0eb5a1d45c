//! What is left of a tree of files that is damaged, and what is lost.
//!
//! A piece takes a stretch of one file with it. A leaf or a node takes all that it named: the end of a file,
//! others between, the beginning of one. A file whose description is lost with it still has its path, where
//! its pieces are, and an end.

use std::ops::Range;

use archive::leaf::{LeafRecord, LeafValue};
use archive::node::Tree;
use archive::object::{Kind, ObjectRef};
use backup_core::progress::Context;
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, StreamExt, TryStreamExt};

use super::read::{Found, checked_leaf};
use super::salvage::{Loss, Part, describe_error, one, reachable};
use super::surveying::{FileSurvey, SurveyedFile, Surveying, follows, offset_of};
use super::write_files::PIECES_AT_ONCE;
use crate::objects::Objects;
use crate::task::Task;
use crate::{Error, Result};

/// Reads all that a tree of files has, and says what of it is left.
///
/// # Errors
/// Those of reading that are no damage; [`Error::Core`] where it is cancelled.
pub async fn survey_files(objects: &Objects, tree: &Tree, context: &Context) -> Result<FileSurvey> {
    let mut survey = Surveying::default();
    let read = objects.clone();
    let looked = file_records(objects, tree).map(move |part| {
        let objects = read.clone();
        async move {
            let part = part?;
            let broken = match &part {
                FilePart::Record { key, value: Found::Pieces(pieces), .. } if !key.is_empty() => {
                    let (objects, pieces) = (objects.clone(), pieces.clone());
                    let read = async move { broken_pieces(&objects, &pieces).await };
                    Task::spawn(read).join("read a piece").await?
                }
                _ => Vec::new(),
            };
            Ok::<_, Error>((part, broken))
        }
    });
    let mut looked = looked.buffered(PIECES_AT_ONCE).boxed();
    while let Some((part, broken)) = looked.try_next().await? {
        context.check()?;
        match part {
            FilePart::Lost(loss) => survey.lost(loss),
            FilePart::Record { path, key, value } if key.is_empty() => survey.begin(&path, &value),
            FilePart::Record { path, key, value } => survey.content(&path, &key, &value, broken),
        }
    }
    Ok(survey.finish())
}

/// What is left of the content of the files of [`FileSurvey::files`]: their numbers there, where in them each
/// stretch begins, and its bytes, in rising order.
///
/// # Errors
/// [`Error::Damaged`] where a piece was found whole and is not any more.
pub fn left_contents(
    objects: &Objects,
    tree: &Tree,
    files: Vec<SurveyedFile>,
) -> BoxStream<'static, Result<(usize, u64, Bytes)>> {
    let read = objects.clone();
    let mut lasting = Lasting::new(files);
    file_records(objects, tree)
        .map_ok(move |part| {
            let stretches = match part {
                FilePart::Record { path, key, value } => lasting.stretches(&path, &key, value),
                FilePart::Lost(_) => Vec::new(),
            };
            stream::iter(stretches.into_iter().map(Ok))
        })
        .try_flatten()
        .map(move |stretch: Result<Stretch>| {
            let objects = read.clone();
            async move {
                let Stretch { file, offset, content } = stretch?;
                let bytes = match content {
                    Content::Inline(bytes) => bytes.into(),
                    Content::Piece(piece) => {
                        let read = async move { objects.read(Kind::Piece, &piece).await };
                        Task::spawn(read).join("read a piece").await?
                    }
                };
                Ok((file, offset, bytes))
            }
        })
        .buffered(PIECES_AT_ONCE)
        .boxed()
}

struct Stretch {
    file: usize,
    offset: u64,
    content: Content,
}

enum Content {
    Inline(Vec<u8>),
    Piece(ObjectRef),
}

/// Finds again what a survey found.
struct Lasting {
    /// Sorted by path.
    files: Vec<SurveyedFile>,
    /// The file that comes by, and how far.
    current: (usize, u64),
}

impl Lasting {
    fn new(files: Vec<SurveyedFile>) -> Self {
        Self { files, current: (0, 0) }
    }

    /// What of a record is whole.
    fn stretches(&mut self, path: &[u8], key: &[u8], value: Found) -> Vec<Stretch> {
        let by_path = |file: &SurveyedFile| file.info.path.as_str().as_bytes().cmp(path);
        let number = self.files.binary_search_by(by_path).ok();
        let Some((number, offset)) = number.zip(offset_of(key)) else { return Vec::new() };
        let next = if self.current.0 == number { self.current.1 } else { 0 };
        let file = &self.files[number];
        let Some(end) = follows(next, offset, &value, file.info.bytes) else { return Vec::new() };
        self.current = (number, end);
        let left = |offset: &u64| !file.is_lost(*offset);
        match value {
            Found::Inline(bytes) if left(&offset) => {
                vec![Stretch { file: number, offset, content: Content::Inline(bytes) }]
            }
            Found::Inline(_) => Vec::new(),
            Found::Pieces(pieces) => {
                let placed = placed(offset, &pieces).filter(|(at, _)| left(&at.start));
                let stretch = |(at, piece): (Range<u64>, &ObjectRef)| {
                    let content = Content::Piece(*piece);
                    Stretch { file: number, offset: at.start, content }
                };
                placed.map(stretch).collect()
            }
        }
    }
}

/// The pieces of a value that begins at `offset`, each with its place in the file.
fn placed(offset: u64, pieces: &[ObjectRef]) -> impl Iterator<Item = (Range<u64>, &ObjectRef)> {
    pieces.iter().scan(offset, |at, piece| {
        let start = *at;
        *at = start.saturating_add(u64::from(piece.plain));
        Some((start..*at, piece))
    })
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

/// Where a value's pieces are not whole, from its beginning, and why.
async fn broken_pieces(
    objects: &Objects,
    pieces: &[ObjectRef],
) -> Result<Vec<(Range<u64>, String)>> {
    let mut broken = Vec::new();
    for (range, piece) in placed(0, pieces) {
        match objects.read(Kind::Piece, piece).await {
            Err(why) if why.is_damage() => broken.push((range, describe_error(&why))),
            read => drop(read?),
        }
    }
    Ok(broken)
}
