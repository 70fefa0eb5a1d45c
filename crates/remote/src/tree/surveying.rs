//! Puts the records of a damaged tree of files together again, as they come by.

use std::ops::Range;

use archive::manifest::FileMeta;
use backup_core::path::FilePath;
use backup_core::source::{FileInfo, FileNature};

use super::read::Found;
use super::salvage::Loss;

/// The permission bits of a file of which nobody knows who could read it.
const UNKNOWN_MODE: u32 = 0o600;

/// A stretch of a file that is lost.
#[derive(Debug)]
pub struct FileLoss {
    /// The bytes of it that are lost; to [`u64::MAX`] where nothing tells how long the file was.
    pub range: Range<u64>,
    /// What is damaged or missing: the first of it, where there is more.
    pub why: String,
    /// How many more objects the stretch was in that are damaged or missing.
    pub more: u64,
}

/// A file that was found.
#[derive(Debug)]
pub struct SurveyedFile {
    /// What it is. Where its description is lost, it is as long as what is known of it, and who restores it
    /// reads it alone.
    pub info: FileInfo,
    /// What of it is lost, from its beginning on; two stretches never touch.
    pub lost: Vec<FileLoss>,
}

/// What is left of a tree of files.
#[derive(Debug, Default)]
pub struct FileSurvey {
    /// The files of which anything is left, sorted by path.
    pub files: Vec<SurveyedFile>,
    /// The files of which nothing is left, or of which nobody knows what they are, by path.
    pub gone: Vec<(String, FileLoss)>,
    /// What is lost without being known by path: the descriptions of files, above all. The root key
    /// of a place is a path. A file between the two places that is in [`files`](Self::files) all the same
    /// has lost what its own losses say.
    pub unnamed: Vec<Loss>,
}

impl SurveyedFile {
    /// The bytes that are left of it.
    pub fn left(&self) -> u64 {
        let lost = self.holes().map(|hole| hole.end - hole.start).sum();
        self.info.bytes.saturating_sub(lost)
    }

    /// Where nothing of it is left, within its length, from its beginning on.
    pub fn holes(&self) -> impl Iterator<Item = Range<u64>> {
        let clipped = |loss: &FileLoss| loss.range.start..loss.range.end.min(self.info.bytes);
        self.lost.iter().map(clipped).filter(|hole| !hole.is_empty())
    }

    pub(super) fn is_lost(&self, offset: u64) -> bool {
        let after = self.lost.partition_point(|loss| loss.range.start <= offset);
        after.checked_sub(1).is_some_and(|at| self.lost[at].range.contains(&offset))
    }
}

/// Puts records of files together again.
#[derive(Default)]
pub(super) struct Surveying {
    found: FileSurvey,
    open: Option<OpenFile>,
    /// What was lost last, and the file in which that ends: its description may have been in it.
    before: Option<(Vec<u8>, String)>,
    /// What was lost of one file with its description, until it is known whether anything is left of it.
    pending: Option<Loss>,
    /// The last path that is none, or whose description is none.
    refused: Option<Vec<u8>>,
}

struct OpenFile {
    path: FilePath,
    /// What its description says; none where that is lost.
    described: Option<FileInfo>,
    /// How far its content was seen.
    next: u64,
    /// How far it went by what was lost, where no content came after that.
    reached: u64,
    /// Why what comes next is lost, where it is.
    gap: Option<String>,
    /// Where the lost rest of it ends with nobody knowing.
    endless: bool,
    is_left: bool,
    lost: Vec<FileLoss>,
}

const BELOW_A_LEAF: &str = "what named this part of it is damaged or missing";
const UNDESCRIBED: &str = "its description is lost, and with it whose it was and who could read it";

impl Surveying {
    pub(super) fn begin(&mut self, path: &[u8], described: &Found) {
        self.close();
        let info = match described {
            Found::Inline(described) => describe(path, described),
            Found::Pieces(_) => None,
        };
        match info {
            Some(info) => self.open = Some(OpenFile::new(info.path.clone(), Some(info))),
            None => self.refuse(path, "its description is no description, or its path none"),
        }
    }

    pub(super) fn content(
        &mut self,
        path: &[u8],
        key: &[u8],
        value: &Found,
        broken: Vec<(Range<u64>, String)>,
    ) {
        if self.open.as_ref().is_none_or(|open| open.path.as_str().as_bytes() != path) {
            if self.refused.as_deref() == Some(path) {
                return;
            }
            self.undescribed(path);
        }
        if let (Some(open), Some(offset)) = (&mut self.open, offset_of(key)) {
            open.content(offset, value, broken);
        }
    }

    /// Begins a file of which only content came.
    fn undescribed(&mut self, path: &[u8]) {
        // That is what is pending of it.
        let pending = self.pending.take_if(|loss| loss.first.root_key == path);
        let before = self.before.take().filter(|(last, _)| last == path);
        self.close();
        let why = match (pending, before) {
            (Some(loss), _) => loss.explain(),
            (None, Some((_, why))) => why,
            (None, None) => BELOW_A_LEAF.to_owned(),
        };
        let text = String::from_utf8(path.to_vec()).ok();
        match text.and_then(|text| FilePath::new(text).ok()) {
            Some(path) => {
                let mut open = OpenFile::new(path, None);
                open.gap = Some(format!("{UNDESCRIBED}: {why}"));
                self.open = Some(open);
            }
            None => self.refuse(path, "its description is lost, and its path is none"),
        }
    }

    /// A node or a leaf that cannot be read.
    pub(super) fn lost(&mut self, loss: Loss) {
        let why = loss.explain();
        let begins_in_open = self.open.as_mut().is_some_and(|open| open.loses(&loss, &why));
        let one_file = loss.first.root_key == loss.last.root_key;
        if !(begins_in_open && one_file) {
            self.close();
            self.before = Some((loss.last.root_key.clone(), why));
            if one_file {
                self.pending = Some(loss);
            } else {
                self.found.unnamed.push(loss);
            }
        }
    }

    /// Ends the file that is open, and what waits for a file that does not come.
    fn close(&mut self) {
        self.found.unnamed.extend(self.pending.take());
        let Some(open) = self.open.take() else { return };
        match open.finish() {
            (file, true) => self.found.files.push(file),
            (SurveyedFile { info, lost }, false) => {
                let path = info.path.as_str();
                self.found.gone.extend(lost.into_iter().map(|loss| (path.to_owned(), loss)));
            }
        }
    }

    /// A file that cannot be given back because nothing says what it is.
    fn refuse(&mut self, path: &[u8], why: &str) {
        self.refused = Some(path.to_vec());
        let path = String::from_utf8_lossy(path).into_owned();
        let loss = FileLoss { range: 0..u64::MAX, why: why.to_owned(), more: 0 };
        self.found.gone.push((path, loss));
    }

    pub(super) fn finish(mut self) -> FileSurvey {
        self.close();
        self.found
    }
}

impl OpenFile {
    fn new(path: FilePath, described: Option<FileInfo>) -> Self {
        Self {
            path,
            described,
            next: 0,
            reached: 0,
            gap: None,
            endless: false,
            is_left: false,
            lost: Vec::new(),
        }
    }

    fn content(&mut self, offset: u64, value: &Found, broken: Vec<(Range<u64>, String)>) {
        let bytes = self.described.as_ref().map_or(u64::MAX, |info| info.bytes);
        let Some(end) = follows(self.next, offset, value, bytes) else { return };
        // A description that is lost is told, even where no content is lost with it.
        if self.next < offset || self.gap.is_some() {
            self.lose_to(offset);
        }
        (self.next, self.reached) = (end, end);
        let lost: u64 = broken.iter().map(|(range, _)| range.end - range.start).sum();
        self.is_left |= lost < end - offset;
        for (range, why) in broken {
            self.lose(offset + range.start..offset + range.end, why);
        }
    }

    /// Whether what a node or leaf named goes on in this file; then that is lost.
    fn loses(&mut self, loss: &Loss, why: &str) -> bool {
        let path = self.path.as_str().as_bytes();
        if loss.first.root_key != path || loss.first.key.is_empty() {
            return false;
        }
        self.gap.get_or_insert_with(|| why.to_owned());
        if loss.last.root_key == path {
            // Its records are pieces of this file alone: what their places do not take is content.
            let places = loss.records.saturating_mul(path.len() as u64 + 8);
            self.reached = self.reached.saturating_add(loss.bytes.saturating_sub(places));
        } else {
            self.endless = true;
        }
        true
    }

    fn lose_to(&mut self, end: u64) {
        let why = self.gap.take().unwrap_or_else(|| BELOW_A_LEAF.to_owned());
        self.lose(self.next..end, why);
    }

    fn lose(&mut self, range: Range<u64>, why: String) {
        match self.lost.last_mut() {
            Some(last) if last.range.end == range.start => {
                last.range.end = range.end;
                last.more += u64::from(last.why != why);
            }
            _ => self.lost.push(FileLoss { range, why, more: 0 }),
        }
    }

    /// The file, and whether anything is left of it.
    fn finish(mut self) -> (SurveyedFile, bool) {
        let known = self.described.as_ref().map(|info| info.bytes);
        let end = match known {
            Some(bytes) => bytes,
            None if self.endless => u64::MAX,
            None => self.reached,
        };
        if self.next < end {
            self.lose_to(end);
        }
        let info = self.described.unwrap_or(FileInfo {
            path: self.path,
            bytes: self.reached,
            identity: None,
            mode: UNKNOWN_MODE,
            owner: None,
            nature: FileNature::Changing,
        });
        let is_left = self.is_left || known == Some(0);
        (SurveyedFile { info, lost: self.lost }, is_left)
    }
}

fn describe(path: &[u8], described: &[u8]) -> Option<FileInfo> {
    let meta = FileMeta::parse(described).ok()?;
    let path = FilePath::new(String::from_utf8(path.to_vec()).ok()?).ok()?;
    let FileMeta { bytes, mode, nature, identity, owner } = meta;
    Some(FileInfo { path, bytes, identity, mode: mode & 0o777, owner, nature })
}

/// Where content ends that begins at `offset` of a file of `bytes`, of which all before `next` came; none
/// where it is none of that file.
pub(super) fn follows(next: u64, offset: u64, value: &Found, bytes: u64) -> Option<u64> {
    let end = offset.checked_add(value.total())?;
    (offset >= next && end <= bytes).then_some(end)
}

pub(super) fn offset_of(key: &[u8]) -> Option<u64> {
    <[u8; 8]>::try_from(key).ok().map(u64::from_be_bytes)
}
