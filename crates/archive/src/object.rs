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

mod open;
mod seal;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::limits::{
    FRAME_BYTES, LARGE_PIECE_BYTES, MAX_LEAF_BYTES, MAX_NODE_BYTES, MAX_OBJECT_BYTES,
};
use crate::{Error, Result};

pub use open::{Index, open};
pub use seal::{Hashed, Part};

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
