//! The sizes of the format: what writers aim at, and what readers refuse.

use backup_core::record::{MAX_KEY_BYTES, MAX_WHOLE_VALUE};
use lthash::LtHash;

use crate::{Error, Result};

/// The plain bytes of every frame of an object but the last, which may be shorter.
pub const FRAME_BYTES: usize = 256 << 10;

/// The most plain bytes an object may have.
pub const MAX_OBJECT_BYTES: usize = 32 << 20;

/// The most bytes a catalog entry may have.
pub const MAX_ENTRY_BYTES: usize = 16 << 20;

/// The length of the pieces that a long value, or a file that is written once, is cut into.
pub const LARGE_PIECE_BYTES: usize = 8 << 20;

/// The length of the pieces that a file which changes in place, or grows, is cut into.
pub const SMALL_PIECE_BYTES: usize = 1 << 20;

/// Files up to this length are stored in the leaf that names them.
pub const INLINE_FILE_BYTES: usize = 16 << 10;

/// The most pieces of one value.
pub(crate) const MAX_VALUE_PIECES: usize = 16 << 10;

/// A leaf is cut after the record that fills it to this many bytes, if content cut it nowhere before.
pub const FULL_LEAF_BYTES: usize = 8 << 20;

/// About how many children an inner node has.
pub const NODE_CHILDREN: u64 = 64;

/// An inner node is cut at this many children, if content cut it nowhere before.
pub const FULL_NODE_CHILDREN: usize = 512;

/// An inner node is cut after the child that fills it to this many bytes, likewise.
pub(crate) const FULL_NODE_BYTES: usize = 4 << 20;

/// The most levels of inner nodes of a tree.
pub(crate) const MAX_TREE_LEVELS: u8 = 12;

/// Databases whose records take up to this many bytes in a leaf are stored in the directory itself.
pub const INLINE_DATABASE_BYTES: usize = 16 << 10;

/// The most databases of a snapshot.
pub const MAX_DATABASES: u64 = 1_000_000;

/// The most bytes of what an engine needs to make a database again.
pub const MAX_SETTINGS_BYTES: usize = 4 << 20;

/// The most notes of a manifest.
pub const MAX_NOTES: usize = 1000;

/// The most changes of a catalog entry.
pub(crate) const MAX_CHANGES: usize = 65_536;

/// The most bytes of a name: a database's, its tag, a label, a host, a file's identity.
pub const MAX_NAME_BYTES: usize = 4096;

// Whatever is cut where it is full fits one object, with the largest record or child as its last.
const LARGEST_PIECES: usize = 48 * MAX_VALUE_PIECES;
const LARGEST_RECORD: usize = 2 * MAX_KEY_BYTES + MAX_WHOLE_VALUE + LARGEST_PIECES + 64;
const LARGEST_CHILD: usize = 4 * MAX_KEY_BYTES + 256;

/// The most plain bytes of a leaf.
pub(crate) const MAX_LEAF_BYTES: usize = LtHash::BYTES + FULL_LEAF_BYTES + LARGEST_RECORD;

/// The most plain bytes of an inner node.
pub(crate) const MAX_NODE_BYTES: usize = LtHash::BYTES + FULL_NODE_BYTES + 2 * LARGEST_CHILD;

const _: () = assert!(MAX_LEAF_BYTES <= MAX_OBJECT_BYTES && MAX_NODE_BYTES <= MAX_OBJECT_BYTES);

/// Checks a size against its limit.
pub(crate) fn check_limit(what: &'static str, found: u64, limit: u64) -> Result<()> {
    if found <= limit { Ok(()) } else { Err(Error::Limit { what, found, limit }) }
}
