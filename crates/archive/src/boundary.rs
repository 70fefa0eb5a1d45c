//! Where leaves and nodes are cut.
//!
//! Whether there is a boundary after a record depends on its key and size alone, so that equal
//! content is cut equally wherever a reader began, and a local change moves no boundary but its
//! own. On average a leaf has the target size: a record of `size` bytes ends its leaf with the
//! probability `size / target`. A leaf that found no boundary is cut when it is full; such a cut is
//! not natural, and lasts until the next natural one.

use xxhash_rust::xxh3::Xxh3;

use backup_core::record::MAX_WHOLE_VALUE;

use crate::limits::{INLINE_FILE_BYTES, LARGE_PIECE_BYTES, NODE_CHILDREN};

/// The average size of the leaves of a tree, in bytes of their content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    /// A tree of records: 1 MiB.
    Records,
    /// A tree of files, whose records name the files' pieces: 64 KiB.
    Files,
    /// A directory, whose records are databases: 256 KiB.
    Directory,
}

impl Target {
    fn bytes(self) -> u64 {
        match self {
            Self::Records => 1 << 20,
            Self::Files => 64 << 10,
            Self::Directory => 256 << 10,
        }
    }

    /// Whether a leaf ends after the record at (`root_key`, `key`) whose value has `total` bytes.
    pub fn ends_leaf(self, root_key: &[u8], key: &[u8], total: u64) -> bool {
        let step = u64::MAX / self.bytes();
        let threshold = step.saturating_mul(self.weight(root_key, key, total));
        key_hash(root_key.len() as u64, root_key, key) < threshold
    }

    /// The longest value, in bytes, that is stored in the leaf itself and not in pieces.
    pub fn inline_bytes(self) -> usize {
        match self {
            Self::Records | Self::Directory => MAX_WHOLE_VALUE,
            Self::Files => INLINE_FILE_BYTES,
        }
    }

    /// About how many bytes a record takes in its leaf: its keys and its value, or 48 bytes for
    /// each piece of a value that is too long to be inline.
    fn weight(self, root_key: &[u8], key: &[u8], total: u64) -> u64 {
        let value = if total <= self.inline_bytes() as u64 {
            total
        } else {
            total.div_ceil(LARGE_PIECE_BYTES as u64) * 48
        };
        (root_key.len() + key.len()) as u64 + value
    }
}

/// Whether a node of `level` ends after the child whose last record is at (`root_key`, `key`).
pub fn ends_node(level: u8, root_key: &[u8], key: &[u8]) -> bool {
    let seed = (u64::from(level) << 56) | root_key.len() as u64;
    key_hash(seed, root_key, key) < u64::MAX / NODE_CHILDREN
}

/// XXH3-64 of the root key and the key. The seed holds the root key's length, so that the two
/// cannot run into each other.
fn key_hash(seed: u64, root_key: &[u8], key: &[u8]) -> u64 {
    let mut hasher = Xxh3::with_seed(seed);
    hasher.update(root_key);
    hasher.update(key);
    hasher.digest()
}
