//! Objects: immutable blobs, cut into frames that are compressed and checked each on its own.
//!
//! ```text
//! header   8 bytes   "KSOB", version 1, kind, 0, 0
//! frames             the stored bytes of each frame, one after the other
//! index              41 bytes a frame: plain u32, stored u32, codec u8, hash [32]
//! trailer  24 bytes  number of frames u32, "KSOE", XXH3-128 of all bytes before this field
//! ```
//!
//! An object's name is `<hash>.<nonce>`. The hash is a keyed BLAKE3 over the kind and the plain
//! lengths and hashes of the frames, and so covers the whole plain content, however it is
//! compressed. Readers of a range check the hash of each frame; the trailer's checksum covers the
//! bytes that no hash does.

use std::borrow::Cow;
use std::fmt;
use std::io::Cursor;
use std::ops::Range;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::{Xxh3, xxh3_128};

use crate::limits::{
    FRAME_BYTES, LARGE_PIECE_BYTES, MAX_LEAF_BYTES, MAX_NODE_BYTES, MAX_OBJECT_BYTES,
};
use crate::wire::{Reader, Writer, check_version};
use crate::{Error, Result};

const MAGIC: &[u8; 4] = b"KSOB";
const END_MAGIC: &[u8; 4] = b"KSOE";
const VERSION: u8 = 1;
const HEADER_BYTES: usize = 8;
const FRAME_ENTRY_BYTES: usize = 41;
const TRAILER_BYTES: usize = 24;

/// Bytes at an object's end that hold its whole index, for any object.
pub const MAX_TAIL_BYTES: usize =
    MAX_OBJECT_BYTES.div_ceil(FRAME_BYTES) * FRAME_ENTRY_BYTES + TRAILER_BYTES;

/// What an object holds. A reader says which it expects, and another one is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Kind {
    /// A piece of a file or of a long value.
    Piece = 1,
    /// Records: [`Leaf`](crate::leaf::Leaf).
    Leaf = 2,
    /// References to leaves or nodes: [`Node`](crate::node::Node).
    Node = 3,
    /// A snapshot's [`Manifest`](crate::manifest::Manifest).
    Manifest = 4,
    /// A sorted list of object names.
    Names = 5,
}

impl Kind {
    fn from_byte(byte: u8) -> Option<Self> {
        [Self::Piece, Self::Leaf, Self::Node, Self::Manifest, Self::Names]
            .into_iter()
            .find(|kind| *kind as u8 == byte)
    }

    /// The most plain bytes of an object of this kind: no writer makes a larger one, and no reader
    /// unpacks one.
    pub fn max_bytes(self) -> usize {
        match self {
            Self::Piece => LARGE_PIECE_BYTES,
            Self::Leaf => MAX_LEAF_BYTES,
            Self::Node => MAX_NODE_BYTES,
            Self::Manifest | Self::Names => MAX_OBJECT_BYTES,
        }
    }

    /// What messages call an object of this kind.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Piece => "a piece",
            Self::Leaf => "a leaf",
            Self::Node => "a node",
            Self::Manifest => "a manifest",
            Self::Names => "a list of names",
        }
    }
}

/// The keys that a repository's objects are hashed under, derived from its id (or, later, its
/// secret), so that names tell nothing to somebody without it.
#[derive(Clone)]
pub struct ObjectKey {
    frame: [u8; 32],
    object: [u8; 32],
}

impl ObjectKey {
    /// Derives the keys from the repository's id or secret.
    pub fn derive(material: &[u8]) -> Self {
        Self {
            frame: blake3::derive_key("keepsum frame v1", material),
            object: blake3::derive_key("keepsum object v1", material),
        }
    }
}

impl fmt::Debug for ObjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ObjectKey(..)")
    }
}

/// The keyed hash of an object's plain content.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectHash(pub [u8; 32]);

/// An object's name: its hash and 64 random bits that each session draws anew, so that a name is
/// never stored twice and never adopted.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectName {
    /// The hash of the content.
    pub hash: ObjectHash,
    /// What tells apart two stored copies of it.
    pub nonce: [u8; 8],
}

/// A reference to an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct ObjectRef {
    /// Its name.
    pub name: ObjectName,
    /// The length of its plain content, in bytes.
    pub plain: u32,
    /// The length of the stored object, in bytes.
    pub stored: u32,
}

impl fmt::Debug for ObjectHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", hex::encode(self.hash.0), hex::encode(self.nonce))
    }
}

impl fmt::Debug for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl ObjectRef {
    /// Checks that its lengths are those of an object, so that a reader who trusts them fetches and
    /// allocates no more than the largest object has.
    pub(crate) fn check(&self) -> Result<()> {
        let plain = self.plain as usize;
        let around = HEADER_BYTES + index_bytes(plain);
        let stored = (self.stored as usize).checked_sub(around);
        if plain <= MAX_OBJECT_BYTES && stored.is_some_and(|frames| frames <= plain) {
            return Ok(());
        }
        let detail = format!("{plain} bytes cannot be stored in {}", self.stored);
        Err(Error::malformed("a reference to an object", 0, detail))
    }
}

/// The bytes of the index and the trailer of an object with `plain` bytes of content.
fn index_bytes(plain: usize) -> usize {
    plain.div_ceil(FRAME_BYTES) * FRAME_ENTRY_BYTES + TRAILER_BYTES
}

impl ObjectName {
    /// Where the object lies in its repository: `objects/<2 hex>/<name>`.
    pub fn path(&self) -> String {
        format!("objects/{}/{self}", hex::encode(&self.hash.0[..1]))
    }
}

impl FromStr for ObjectName {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let malformed = || Error::malformed("an object's name", 0, "must be <64 hex>.<16 hex>");
        let (hash, nonce) = text.split_once('.').ok_or_else(malformed)?;
        // Only the one spelling that Display gives: two names for one object would hide it.
        if text.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return Err(malformed());
        }
        let mut name = Self { hash: ObjectHash([0; 32]), nonce: [0; 8] };
        hex::decode_to_slice(hash, &mut name.hash.0).map_err(|_| malformed())?;
        hex::decode_to_slice(nonce, &mut name.nonce).map_err(|_| malformed())?;
        Ok(name)
    }
}

/// How a frame is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Codec {
    Plain = 0,
    Zstd = 1,
}

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
                Codec::Zstd => sealed.made.extend_from_slice(&packed),
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

/// What an object of this kind begins with.
fn header(kind: Kind) -> [u8; HEADER_BYTES] {
    let [a, b, c, d] = *MAGIC;
    [a, b, c, d, VERSION, kind as u8, 0, 0]
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

fn name_hash<'a>(
    kind: Kind,
    key: &ObjectKey,
    frames: impl Iterator<Item = (usize, &'a [u8; 32])>,
) -> ObjectHash {
    let mut hasher = blake3::Hasher::new_keyed(&key.object);
    hasher.update(&[kind as u8]);
    for (plain, hash) in frames {
        hasher.update(&short(plain).to_le_bytes());
        hasher.update(hash);
    }
    ObjectHash(*hasher.finalize().as_bytes())
}

/// A length that the limits keep below 4 GiB.
fn short(length: usize) -> u32 {
    u32::try_from(length).expect("lengths in an object are bounded by MAX_OBJECT_BYTES")
}

fn compressing(source: std::io::Error) -> Error {
    Error::Core(backup_core::Error::engine("zstd", "compress or unpack a frame")(source))
}
