//! Making an object of content.

use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;

use super::{
    Codec, END_MAGIC, FRAME_ENTRY_BYTES, HEADER_BYTES, Kind, MAGIC, ObjectHash, ObjectKey, VERSION,
    compressing, name_hash, short,
};
use crate::limits::{FRAME_BYTES, MAX_OBJECT_BYTES};
use crate::wire::Writer;
use crate::{Error, Result};

/// Content that was hashed and is ready to be stored, or found to be stored already.
#[derive(Debug)]
pub struct Hashed<'a> {
    kind: Kind,
    content: &'a [u8],
    frames: Vec<[u8; 32]>,
    /// The hash that names it.
    pub hash: ObjectHash,
}

impl<'a> Hashed<'a> {
    /// Hashes content.
    ///
    /// # Errors
    /// [`Error::Limit`] for content above [`MAX_OBJECT_BYTES`].
    pub fn new(kind: Kind, content: &'a [u8], key: &ObjectKey) -> Result<Self> {
        if content.len() > MAX_OBJECT_BYTES {
            return Err(Error::Limit {
                what: "an object's content in bytes",
                found: content.len() as u64,
                limit: MAX_OBJECT_BYTES as u64,
            });
        }
        let frames: Vec<_> = content
            .chunks(FRAME_BYTES)
            .map(|frame| *blake3::keyed_hash(&key.frame, frame).as_bytes())
            .collect();
        let lengths = content.chunks(FRAME_BYTES).map(<[u8]>::len);
        let hash = name_hash(kind, key, lengths.zip(&frames));
        Ok(Self { kind, content, frames, hash })
    }

    /// The length of the plain content, in bytes.
    pub fn plain(&self) -> u32 {
        short(self.content.len())
    }

    /// The object's stored bytes. Frames are compressed with zstd at `level` where that helps; once
    /// one does not shrink, most of the following ones are not tried.
    ///
    /// # Errors
    /// [`Error::Core`] if the compressor fails, for lack of memory or for a level it does not have.
    pub fn seal(&self, level: i32) -> Result<Vec<u8>> {
        let parts = self.seal_parts(level)?;
        let length = |part: &Part| match part {
            Part::Content(range) => range.len(),
            Part::Made(bytes) => bytes.len(),
        };
        let mut stored = Vec::with_capacity(parts.iter().map(length).sum());
        for part in parts {
            match part {
                Part::Content(range) => stored.extend_from_slice(&self.content[range]),
                Part::Made(bytes) => stored.extend_from_slice(&bytes),
            }
        }
        Ok(stored)
    }

    /// The same in parts, of which those that are stored as they are need not be copied.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_parts(&self, level: i32) -> Result<Vec<Part>> {
        let mut sealed = Sealing::new(self);
        sealed.made.extend_from_slice(&header(self.kind));
        let mut index = Vec::with_capacity(self.frames.len() * FRAME_ENTRY_BYTES);
        let mut compressor = zstd::bulk::Compressor::new(level).map_err(compressing)?;
        let mut packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(FRAME_BYTES));
        let (mut skip, mut start) = (0, 0);
        for (frame, hash) in self.content.chunks(FRAME_BYTES).zip(&self.frames) {
            let (mut codec, mut stored) = (Codec::Plain, frame.len());
            if skip > 0 {
                skip -= 1;
            } else if compress(&mut compressor, frame, &mut packed).map_err(compressing)? {
                (codec, stored) = (Codec::Zstd, packed.len());
            } else {
                skip = INCOMPRESSIBLE_SKIP;
            }
            match codec {
                Codec::Plain => sealed.keep(start..start + frame.len()),
                Codec::Zstd => {
                    // What shrinks once mostly goes on to.
                    if sealed.made.capacity() < packed.len() {
                        sealed.made.reserve((self.content.len() - start) / 2);
                    }
                    sealed.made.extend_from_slice(&packed);
                }
            }
            start += frame.len();
            index.put_u32(short(frame.len()));
            index.put_u32(short(stored));
            index.put_u8(codec as u8);
            index.extend_from_slice(hash);
        }
        sealed.made.append(&mut index);
        sealed.made.put_u32(short(self.frames.len()));
        sealed.made.extend_from_slice(END_MAGIC);
        Ok(sealed.finish())
    }
}

/// A part of an object's stored bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// These bytes of the content, as they are.
    Content(Range<usize>),
    /// Bytes that were made for it.
    Made(Vec<u8>),
}

/// The parts of an object that is being sealed.
struct Sealing<'a> {
    content: &'a [u8],
    checksum: Xxh3,
    parts: Vec<Part>,
    /// What comes after the parts.
    made: Vec<u8>,
}

impl<'a> Sealing<'a> {
    fn new(hashed: &Hashed<'a>) -> Self {
        let (parts, made) = (Vec::new(), Vec::with_capacity(HEADER_BYTES));
        Self { content: hashed.content, checksum: Xxh3::new(), parts, made }
    }

    /// Continues with bytes of the content.
    fn keep(&mut self, range: Range<usize>) {
        self.flush();
        self.checksum.update(&self.content[range.clone()]);
        match self.parts.last_mut() {
            Some(Part::Content(last)) if last.end == range.start => last.end = range.end,
            _ => self.parts.push(Part::Content(range)),
        }
    }

    fn flush(&mut self) {
        if !self.made.is_empty() {
            self.checksum.update(&self.made);
            self.parts.push(Part::Made(std::mem::take(&mut self.made)));
        }
    }

    fn finish(mut self) -> Vec<Part> {
        self.checksum.update(&self.made);
        self.made.extend_from_slice(&self.checksum.digest128().to_le_bytes());
        self.parts.push(Part::Made(self.made));
        self.parts
    }
}

/// How many frames are stored plain, untried, after one that did not shrink.
const INCOMPRESSIBLE_SKIP: u32 = 7;

/// How much of a frame is compressed to find out whether it shrinks, in bytes.
const SAMPLE_BYTES: usize = 32 << 10;

/// Compresses a frame into `packed`; whether it gets smaller by an eighth at least. What an engine has
/// compressed already does not, and costs more time than its bytes do.
fn compress(
    compressor: &mut zstd::bulk::Compressor<'_>,
    frame: &[u8],
    packed: &mut Vec<u8>,
) -> std::io::Result<bool> {
    let shrinks = |plain: &[u8], packed: &[u8]| packed.len() < plain.len() - plain.len() / 8;
    if let Some(sample) = frame.get(..SAMPLE_BYTES) {
        compressor.compress_to_buffer(sample, packed)?;
        if !shrinks(sample, packed) {
            return Ok(false);
        }
    }
    compressor.compress_to_buffer(frame, packed)?;
    Ok(shrinks(frame, packed))
}

/// What an object of this kind begins with.
fn header(kind: Kind) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = *MAGIC;
    [a, b, c, d, VERSION, kind as u8, 0, 0]
}
