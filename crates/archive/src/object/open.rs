//! Reading an object, whole or in part.

use std::borrow::Cow;
use std::io::Cursor;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_128;

use super::{
    Codec, END_MAGIC, HEADER_BYTES, Kind, MAGIC, ObjectKey, ObjectRef, VERSION, compressing,
    index_bytes, name_hash,
};
use crate::limits::FRAME_BYTES;
use crate::wire::{Reader, check_version};
use crate::{Error, Result};

/// An object's index: enough to read any part of it by range.
#[derive(Debug, Clone)]
pub struct Index {
    kind: Kind,
    /// The length of the plain content.
    plain: usize,
    frames: Vec<Frame>,
}

#[derive(Debug, Clone)]
struct Frame {
    plain: usize,
    /// Where it lies in the stored object.
    stored: Range<usize>,
    codec: Codec,
    hash: [u8; 32],
}

impl Index {
    /// Reads the index from the last bytes of the object that `reference` names: those of
    /// [`tail_range`](Self::tail_range), or more.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Mismatch`] unless it is exactly the index of that object.
    pub fn from_tail(
        tail: &[u8],
        reference: &ObjectRef,
        kind: Kind,
        key: &ObjectKey,
    ) -> Result<Self> {
        reference.check()?;
        let what = kind.noun();
        let stored = reference.stored as usize;
        let plain = reference.plain as usize;
        let malformed = |detail| Err(Error::malformed(what, stored, detail));
        let needed = index_bytes(plain);
        let Some(start) = tail.len().checked_sub(needed).filter(|_| tail.len() <= stored) else {
            return malformed("its end has another length than its reference says");
        };
        let mut reader = Reader::new(what, &tail[start..]);
        let mut end = HEADER_BYTES;
        let mut frames = Vec::with_capacity(plain.div_ceil(FRAME_BYTES));
        for at in (0..plain).step_by(FRAME_BYTES) {
            let frame = read_frame(&mut reader, end, FRAME_BYTES.min(plain - at))?;
            end = frame.stored.end;
            frames.push(frame);
        }
        if reader.u32()? as usize != frames.len() || &reader.array::<4>()? != END_MAGIC {
            return malformed("it has no valid trailer");
        }
        if end + needed != stored {
            return malformed("its frames do not fill it");
        }
        let lengths = frames.iter().map(|frame| frame.plain);
        let found = name_hash(kind, key, lengths.zip(frames.iter().map(|frame| &frame.hash)));
        if found != reference.name.hash {
            return Err(Error::mismatch(what, format!("its index has the hash {found:?}")));
        }
        Ok(Self { kind, plain, frames })
    }

    /// The stored bytes that [`from_tail`](Self::from_tail) needs, as a range of the object.
    pub fn tail_range(reference: &ObjectRef) -> Range<u64> {
        let needed = index_bytes(reference.plain as usize) as u64;
        let end = u64::from(reference.stored);
        end.saturating_sub(needed)..end
    }

    /// The stored range that holds the plain range `plain`, and the plain offset it starts at.
    ///
    /// It never reaches beyond the object; [`open_range`](Self::open_range) refuses a plain range
    /// that does.
    pub fn stored_range(&self, plain: &Range<u64>) -> (Range<u64>, u64) {
        let clamped = |at: u64| usize::try_from(at).map_or(self.plain, |at| at.min(self.plain));
        let (stored, start) = self.stored_frames(&(clamped(plain.start)..clamped(plain.end)));
        (stored.start as u64..stored.end as u64, start as u64)
    }

    /// The plain bytes `plain`, all of them, from the stored bytes of
    /// [`stored_range`](Self::stored_range).
    ///
    /// # Errors
    /// [`Error::Mismatch`] or [`Error::Malformed`] for damaged bytes, and for a range that is not
    /// within the content: who asks for it was told of a longer one.
    pub fn open_range(
        &self,
        plain: &Range<u64>,
        stored: &[u8],
        key: &ObjectKey,
    ) -> Result<Vec<u8>> {
        let what = self.kind.noun();
        let within = |at: u64| usize::try_from(at).ok().filter(|at| *at <= self.plain);
        let wanted = within(plain.start).zip(within(plain.end)).filter(|(from, to)| from <= to);
        let Some((from, to)) = wanted else {
            let detail = format!("it has {} bytes, and no range {plain:?}", self.plain);
            return Err(Error::mismatch(what, detail));
        };
        let (range, start) = self.stored_frames(&(from..to));
        if stored.len() != range.len() {
            let detail = format!("it has {} bytes in place of {range:?}", stored.len());
            return Err(Error::malformed(what, range.start, detail));
        }
        let frames = &self.frames[frames_of(&(from..to))];
        let mut content = Vec::with_capacity(frames.iter().map(|frame| frame.plain).sum());
        let mut unpacker = zstd::bulk::Decompressor::new().map_err(compressing)?;
        for frame in frames {
            let bytes = &stored[frame.stored.start - range.start..frame.stored.end - range.start];
            self.open_frame(frame, bytes, key, &mut unpacker, &mut content)?;
        }
        content.truncate(to - start);
        content.drain(..from - start);
        Ok(content)
    }

    /// The stored bytes of the frames that hold `plain`, a range within the content, and the plain
    /// offset of the first one.
    fn stored_frames(&self, plain: &Range<usize>) -> (Range<usize>, usize) {
        let numbers = frames_of(plain);
        let frames = &self.frames[numbers.clone()];
        match frames.first().zip(frames.last()) {
            None => (0..0, plain.start),
            Some((first, last)) => {
                (first.stored.start..last.stored.end, numbers.start * FRAME_BYTES)
            }
        }
    }

    fn open_frame(
        &self,
        frame: &Frame,
        stored: &[u8],
        key: &ObjectKey,
        unpacker: &mut zstd::bulk::Decompressor<'_>,
        content: &mut Vec<u8>,
    ) -> Result<()> {
        let what = self.kind.noun();
        let start = content.len();
        match frame.codec {
            Codec::Plain => content.extend_from_slice(stored),
            Codec::Zstd => {
                // Unpacked into the room that the index says, which is bounded: a frame that would
                // unpack to more is an error, not an allocation.
                content.reserve(frame.plain);
                let mut rest = Cursor::new(std::mem::take(content));
                rest.set_position(start as u64);
                let done = unpacker.decompress_to_buffer(stored, &mut rest);
                *content = rest.into_inner();
                done.map_err(|error| {
                    Error::unreadable(what, frame.stored.start, "a frame of zstd", error)
                })?;
            }
        }
        self.check_frame(frame, &content[start..], key)
    }

    fn check_frame(&self, frame: &Frame, plain: &[u8], key: &ObjectKey) -> Result<()> {
        let found = blake3::keyed_hash(&key.frame, plain);
        if plain.len() != frame.plain || found != frame.hash {
            let detail = format!("the frame at byte {} has another hash", frame.stored.start);
            return Err(Error::mismatch(self.kind.noun(), detail));
        }
        Ok(())
    }

    /// The content among the stored bytes of the object, where no frame is compressed.
    fn open_plain<'a>(&self, stored: &'a [u8], key: &ObjectKey) -> Option<Result<&'a [u8]>> {
        self.frames.iter().all(|frame| frame.codec == Codec::Plain).then(|| {
            for frame in &self.frames {
                self.check_frame(frame, &stored[frame.stored.clone()], key)?;
            }
            let (range, _) = self.stored_frames(&(0..self.plain));
            Ok(&stored[range])
        })
    }
}

/// The plain content of a whole stored object, every byte of it checked. It is not copied where it is stored
/// as it is.
///
/// # Errors
/// [`Error::Malformed`] or [`Error::Mismatch`] unless `stored` is exactly the object that
/// `reference` names, of this kind; [`Error::Newer`] for an object of a later layout.
pub fn open<'a>(
    stored: &'a [u8],
    reference: &ObjectRef,
    kind: Kind,
    key: &ObjectKey,
) -> Result<Cow<'a, [u8]>> {
    let what = kind.noun();
    if stored.len() != reference.stored as usize {
        let detail = format!("it has {} bytes, not {}", stored.len(), reference.stored);
        return Err(Error::malformed(what, stored.len(), detail));
    }
    // First of all: a damaged version is damage, not a newer version.
    let Some((covered, checksum)) = stored.split_last_chunk::<16>() else {
        return Err(Error::malformed(what, stored.len(), "it is too short"));
    };
    if xxh3_128(covered).to_le_bytes() != *checksum {
        return Err(Error::mismatch(what, "its bytes have another checksum"));
    }
    check_header(stored, kind)?;
    let index = Index::from_tail(stored, reference, kind, key)?;
    if let Some(content) = index.open_plain(stored, key) {
        return content.map(Cow::Borrowed);
    }
    let plain = 0..u64::from(reference.plain);
    let (range, _) = index.stored_frames(&(0..index.plain));
    index.open_range(&plain, &stored[range], key).map(Cow::Owned)
}

fn check_header(stored: &[u8], kind: Kind) -> Result<()> {
    let what = kind.noun();
    let mut reader = Reader::new(what, stored);
    if reader.array::<4>()? != *MAGIC {
        return Err(Error::malformed(what, 0, "it does not begin with KSOB"));
    }
    check_version(what, reader.u8()?, VERSION)?;
    let byte = reader.u8()?;
    if byte != kind as u8 {
        let found = Kind::from_byte(byte).map_or("of no known kind", Kind::noun);
        return Err(Error::mismatch(what, format!("the object is {found}")));
    }
    if reader.array::<2>()? != [0, 0] {
        return Err(Error::malformed(what, 6, "its header does not end with zeros"));
    }
    Ok(())
}

/// The frames that hold `plain`, a range within the content.
fn frames_of(plain: &Range<usize>) -> Range<usize> {
    if plain.is_empty() {
        return 0..0;
    }
    plain.start / FRAME_BYTES..plain.end.div_ceil(FRAME_BYTES)
}

/// Reads the entry of a frame whose stored bytes begin at `start`, and whose place in the object
/// gives it `plain` bytes.
fn read_frame(reader: &mut Reader<'_>, start: usize, plain: usize) -> Result<Frame> {
    let malformed = |reader: &Reader<'_>, detail: &str| {
        Err(Error::malformed("an object's index", reader.offset(), detail))
    };
    let found = reader.u32()? as usize;
    let stored = reader.u32()? as usize;
    let codec = match reader.u8()? {
        0 => Codec::Plain,
        1 => Codec::Zstd,
        other => return malformed(reader, &format!("unknown codec {other}")),
    };
    // Bounded by the plain length, and so the object by its own: what is claimed is not fetched.
    let possible = match codec {
        Codec::Plain => stored == plain,
        Codec::Zstd => stored < plain,
    };
    if found != plain || !possible {
        return malformed(reader, &format!("{stored} bytes for a frame of {found}"));
    }
    Ok(Frame { plain, stored: start..start + stored, codec, hash: reader.array()? })
}
