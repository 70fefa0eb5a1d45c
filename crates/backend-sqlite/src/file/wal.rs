//! The write-ahead log: a header, and frames of one page each, chained by a running checksum.
//!
//! A frame counts when its salts are those of the header and the checksum over everything before it and
//! itself is right; a transaction counts when its last frame does, which names the number of pages that
//! the database has then.

use std::fs::File;
use std::io;
use std::ops::ControlFlow;
use std::path::Path;

use backup_core::{Error, Result};

use super::page_map::PageMap;
use super::{be32, is_page_size, read_up_to};

/// How long the log's header is.
pub(crate) const HEADER_BYTES: usize = 32;

/// How long the header of each frame is.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// The first four bytes, but for the last bit: set, checksums take words as big-endian.
const MAGIC: u32 = 0x377f_0682;

/// The only version of the format there is.
const VERSION: u32 = 3_007_000;

/// How much of a log is read at a time, about.
const STEP: usize = 1 << 20;

/// The running checksum of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Sum {
    big_endian: bool,
    words: [u32; 2],
}

impl Sum {
    pub(crate) fn new(big_endian: bool) -> Self {
        Self { big_endian, words: [0; 2] }
    }

    /// Adds bytes, eight at a time; there is never a rest.
    pub(crate) fn add(&mut self, bytes: &[u8]) {
        let read = if self.big_endian { u32::from_be_bytes } else { u32::from_le_bytes };
        let [mut one, mut other] = self.words;
        let (words, _) = bytes.as_chunks::<4>();
        for [even, odd] in words.as_chunks::<2>().0 {
            one = one.wrapping_add(read(*even)).wrapping_add(other);
            other = other.wrapping_add(read(*odd)).wrapping_add(one);
        }
        self.words = [one, other];
    }

    /// As it is stored: two words.
    pub(crate) fn words(self) -> [u32; 2] {
        self.words
    }
}

/// The header of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WalHeader {
    pub(crate) page_size: u32,
    /// Drawn anew each time the log starts over.
    pub(crate) salts: [u32; 2],
    /// Where the running checksum begins.
    sum: Sum,
}

impl WalHeader {
    /// None for what is no header, or one that was changed.
    pub(crate) fn parse(bytes: &[u8; HEADER_BYTES]) -> Option<Self> {
        let magic = be32(bytes, 0);
        let mut sum = Sum::new(magic & 1 == 1);
        sum.add(bytes.first_chunk::<24>()?);
        let page_size = be32(bytes, 8);
        let whole = magic & !1 == MAGIC
            && is_page_size(page_size)
            && be32(bytes, 4) == VERSION
            && sum.words == [be32(bytes, 24), be32(bytes, 28)];
        whole.then_some(Self { page_size, salts: [be32(bytes, 16), be32(bytes, 20)], sum })
    }

    /// How long a frame is.
    fn frame_bytes(&self) -> u64 {
        u64::from(self.page_size) + FRAME_HEADER_BYTES as u64
    }

    /// Where a frame begins; the first is number 1.
    pub(crate) fn offset(&self, frame: u32) -> u64 {
        HEADER_BYTES as u64 + u64::from(frame.saturating_sub(1)) * self.frame_bytes()
    }

    /// How many whole frames a log of this length has.
    fn frames(&self, bytes: u64) -> u32 {
        let frames = bytes.saturating_sub(HEADER_BYTES as u64) / self.frame_bytes();
        u32::try_from(frames).unwrap_or(u32::MAX)
    }
}

/// The header of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FrameHeader {
    pub(crate) page: u32,
    /// How many pages the database has after it, where a transaction ends with it; else 0.
    pub(crate) commit: u32,
    pub(crate) salts: [u32; 2],
    sum: [u32; 2],
}

impl FrameHeader {
    pub(crate) fn parse(bytes: &[u8; FRAME_HEADER_BYTES]) -> Self {
        Self {
            page: be32(bytes, 0),
            commit: be32(bytes, 4),
            salts: [be32(bytes, 8), be32(bytes, 12)],
            sum: [be32(bytes, 16), be32(bytes, 20)],
        }
    }
}

/// What a log holds.
#[derive(Debug)]
pub(crate) struct Frames {
    /// The last frame that counts; 0 for none.
    pub(crate) last: u32,
    /// How many pages the database has with them.
    pub(crate) pages: u32,
    /// The running checksum after it.
    pub(crate) sum: [u32; 2],
    /// The pages to their newest frames.
    pub(crate) map: PageMap,
}

/// A frame as it was read.
struct Frame<'a> {
    number: u32,
    header: FrameHeader,
    bytes: &'a [u8],
}

impl Frame<'_> {
    /// Adds this frame to the running checksum; whether it is what the frame says.
    fn follows(&self, log: &WalHeader, sum: &mut Sum) -> bool {
        sum.add(self.bytes.get(..8).unwrap_or_default());
        sum.add(self.bytes.get(FRAME_HEADER_BYTES..).unwrap_or_default());
        self.header.salts == log.salts && self.header.page != 0 && self.header.sum == sum.words
    }
}

/// Reads frames in order, from `first` to `last`, for as long as `each` goes on. Fewer where the file
/// ends before.
fn walk(
    file: &File,
    log: &WalHeader,
    (first, last): (u32, u32),
    mut each: impl FnMut(&Frame<'_>) -> Result<ControlFlow<()>>,
) -> Result<io::Result<()>> {
    let frame_bytes = log.page_size as usize + FRAME_HEADER_BYTES;
    let at_once = (STEP / frame_bytes).max(1);
    let mut buffer = vec![0; at_once * frame_bytes];
    for start in (first..=last).step_by(at_once) {
        let read = match read_up_to(file, &mut buffer, log.offset(start)) {
            Ok(read) => read,
            Err(error) => return Ok(Err(error)),
        };
        let whole = buffer.get(..read).unwrap_or_default().chunks_exact(frame_bytes);
        let count = whole.len();
        for (number, bytes) in (start..=last).zip(whole) {
            let Some(header) = bytes.first_chunk().map(FrameHeader::parse) else { break };
            if each(&Frame { number, header, bytes })?.is_break() {
                return Ok(Ok(()));
            }
        }
        if count < at_once {
            break;
        }
    }
    Ok(Ok(()))
}

/// Reads a log in use up to the frame that its index names as the last one, and checks each.
///
/// # Errors
/// [`Error::Damaged`] where one of them does not count; those of `check`, which is asked again and again.
pub(crate) fn read_until(
    file: &File,
    path: &Path,
    log: &WalHeader,
    last: u32,
    check: &dyn Fn() -> Result<()>,
) -> Result<Frames> {
    let mut frames = Frames { last: 0, pages: 0, sum: [0; 2], map: PageMap::default() };
    let mut sum = log.sum;
    let walked = walk(file, log, (1, last), |frame| {
        if frame.number % 256 == 1 {
            check()?;
        }
        if !frame.follows(log, &mut sum) {
            return Ok(ControlFlow::Break(()));
        }
        frames.map.insert(frame.header.page, frame.number);
        (frames.last, frames.pages) = (frame.number, frame.header.commit);
        Ok(ControlFlow::Continue(()))
    })?;
    walked.map_err(Error::io("read", path))?;
    if frames.last < last || frames.pages == 0 {
        let detail = format!(
            "its frame {} is not what the log's index says; {last} frames are committed",
            frames.last.saturating_add(1).min(last)
        );
        return Err(Error::damaged(format!("the write-ahead log {}", path.display()), detail));
    }
    frames.sum = sum.words;
    frames.map.settle();
    Ok(frames)
}

/// Reads a log that was left, of `bytes` bytes, up to its last whole transaction.
///
/// # Errors
/// [`Error::Damaged`] where a frame in the middle of whole ones is not what was written: what is after
/// it cannot be told from what a crash leaves by SQLite, but by this, and may be in the main file.
pub(crate) fn read_left(
    file: &File,
    path: &Path,
    log: &WalHeader,
    bytes: u64,
    check: &dyn Fn() -> Result<()>,
) -> Result<Frames> {
    let mut frames = Frames { last: 0, pages: 0, sum: [0; 2], map: PageMap::default() };
    let mut open: Vec<(u32, u32)> = Vec::new();
    let (mut sum, mut broken) = (log.sum, None);
    let count = log.frames(bytes);
    let walked = walk(file, log, (1, count), |frame| {
        if frame.number % 256 == 1 {
            check()?;
        }
        if !frame.follows(log, &mut sum) {
            broken = Some((frame.number, frame.header.sum));
            return Ok(ControlFlow::Break(()));
        }
        open.push((frame.header.page, frame.number));
        if frame.header.commit > 0 {
            for (page, number) in open.drain(..) {
                frames.map.insert(page, number);
            }
            (frames.last, frames.pages) = (frame.number, frame.header.commit);
            frames.sum = sum.words;
        }
        Ok(ControlFlow::Continue(()))
    })?;
    walked.map_err(Error::io("read", path))?;
    if let Some((number, stored)) = broken {
        let seeds = [stored, sum.words].map(|words| Sum { words, ..sum });
        refuse_if_whole_after(file, path, log, (number, count), seeds)?;
    }
    frames.map.settle();
    Ok(frames)
}

/// Refuses a log in which a frame does not count, and those after it would, had it been whole: that is
/// no end that a crash leaves, which breaks off, or goes on with frames of a chain of their own.
fn refuse_if_whole_after(
    file: &File,
    path: &Path,
    log: &WalHeader,
    (broken, last): (u32, u32),
    seeds: [Sum; 2],
) -> Result<()> {
    for mut sum in seeds {
        let mut committed = false;
        let walked = walk(file, log, (broken.saturating_add(1), last), |frame| {
            let follows = frame.follows(log, &mut sum);
            committed = follows && frame.header.commit > 0;
            Ok(if follows && !committed {
                ControlFlow::Continue(())
            } else {
                ControlFlow::Break(())
            })
        })?;
        walked.map_err(Error::io("read", path))?;
        if committed {
            let detail = format!(
                "its frame {broken} is not what was written, and whole transactions follow it; SQLite \
                 would drop them without a word when it opens the database; save a copy of the files first"
            );
            return Err(Error::damaged(format!("the write-ahead log {}", path.display()), detail));
        }
    }
    Ok(())
}
