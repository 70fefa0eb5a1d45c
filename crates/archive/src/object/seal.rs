//! Making an object of content.

use std::io;
use std::ops::Range;

use xxhash_rust::xxh3::Xxh3;
use zstd::bulk::Compressor;

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
    /// one does not shrink, most of the following ones are not tried. At level 1 an object whose beginning
    /// shrinks about as much by a faster one gets that.
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
        let mut packer = Packer::new(level).map_err(compressing)?;
        let (mut skip, mut start) = (0, 0);
        for (frame, hash) in self.content.chunks(FRAME_BYTES).zip(&self.frames) {
            let (mut codec, mut stored) = (Codec::Plain, frame.len());
            if skip > 0 {
                skip -= 1;
            } else if packer.pack(frame).map_err(compressing)? {
                (codec, stored) = (Codec::Zstd, packer.packed.len());
            } else {
                skip = INCOMPRESSIBLE_SKIP;
            }
            match codec {
                Codec::Plain => sealed.keep(start..start + frame.len()),
                Codec::Zstd => {
                    // What shrinks once mostly goes on to.
                    if sealed.made.capacity() < packer.packed.len() {
                        sealed.made.reserve((self.content.len() - start) / 2);
                    }
                    sealed.made.extend_from_slice(&packer.packed);
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

/// The level at which time counts more than space.
const QUICK_LEVEL: i32 = 1;

/// A level that looks for repetitions alone, and leaves what repeats nothing as it is. It takes half the time
/// where that is noise: keys, hashes, what is encrypted or was compressed before.
const QUICKER_LEVEL: i32 = -1;

/// How much longer it may leave a sample: by one part in so many.
const QUICKER_COST: usize = 16;

/// The compressor of an object's frames.
struct Packer {
    compressor: Compressor<'static>,
    /// Whether it is yet to be seen that a faster level does as well.
    is_undecided: bool,
    /// The last frame.
    packed: Vec<u8>,
}

impl Packer {
    fn new(level: i32) -> io::Result<Self> {
        let compressor = Compressor::new(level)?;
        let packed = Vec::with_capacity(zstd::zstd_safe::compress_bound(FRAME_BYTES));
        Ok(Self { compressor, is_undecided: level == QUICK_LEVEL, packed })
    }

    /// Compresses a frame; whether it gets smaller by an eighth at least. What an engine has compressed
    /// already does not, and costs more time than its bytes do.
    fn pack(&mut self, frame: &[u8]) -> io::Result<bool> {
        let packed = &mut self.packed;
        if let Some(sample) = frame.get(..SAMPLE_BYTES) {
            let length = self.compressor.compress_to_buffer(sample, packed)?;
            if !shrinks(sample, packed) {
                return Ok(false);
            }
            if std::mem::take(&mut self.is_undecided) {
                self.compressor.set_compression_level(QUICKER_LEVEL)?;
                let quicker = self.compressor.compress_to_buffer(sample, packed)?;
                if quicker > length + length / QUICKER_COST {
                    self.compressor.set_compression_level(QUICK_LEVEL)?;
                }
            }
        }
        self.compressor.compress_to_buffer(frame, packed)?;
        Ok(shrinks(frame, packed))
    }
}

fn shrinks(plain: &[u8], packed: &[u8]) -> bool {
    packed.len() < plain.len() - plain.len() / 8
}

/// What an object of this kind begins with.
fn header(kind: Kind) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = *MAGIC;
    [a, b, c, d, VERSION, kind as u8, 0, 0]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The lengths of frames as they are stored.
    fn stored(content: &[u8], level: i32) -> Vec<usize> {
        let mut packer = Packer::new(level).unwrap();
        let length = |frame: &[u8]| packer.pack(frame).unwrap().then_some(packer.packed.len());
        content.chunks(FRAME_BYTES).filter_map(length).collect()
    }

    fn at(content: &[u8], level: i32) -> Vec<usize> {
        let pack = |frame: &[u8]| zstd::bulk::compress(frame, level).unwrap().len();
        content.chunks(FRAME_BYTES).map(pack).collect()
    }

    /// Rows of a random key and a field that is filled up, and text.
    fn noise_and_text() -> [Vec<u8>; 2] {
        let keyed = |number: u32| blake3::hash(&number.to_le_bytes()).as_bytes().repeat(2);
        let row = |number: u32| [&keyed(number)[..32], &[0; 32]].concat();
        let noise = (0..20_000).flat_map(row).collect();
        let line = |number: u32| format!("{} {} bottles on the wall\n", number % 17, number * 31);
        [noise, (0..30_000).map(line).collect::<String>().into_bytes()]
    }

    #[test]
    fn what_repetitions_alone_shorten_takes_less_time() {
        let [noise, text] = noise_and_text();
        assert_eq!(stored(&noise, QUICK_LEVEL), at(&noise, QUICKER_LEVEL));
        assert_eq!(stored(&text, QUICK_LEVEL), at(&text, QUICK_LEVEL));
        assert_ne!(at(&text, QUICK_LEVEL), at(&text, QUICKER_LEVEL), "the levels differ");
    }

    #[test]
    fn a_level_that_was_asked_for_is_kept() {
        let [noise, _] = noise_and_text();
        assert_eq!(stored(&noise, 3), at(&noise, 3));
    }
}
