//! Short elements that wait to be hashed together.
//!
//! BLAKE3 hashes one element of a few hundred bytes block after block, and most of a processor's
//! vector units idle. The blocks of many elements do not depend on each other: where there is a
//! [kernel](crate::kernel) for this processor, elements are gathered here and hashed side by side.

use alloc::vec::Vec;

use crate::kernel::{BLOCK, Kernel, MAX_ELEMENT};
use crate::{Hasher, LtHash};

/// How many elements are hashed together: enough that lanes seldom idle.
const MAX_ELEMENTS: usize = 64;

/// How many bytes wait at most, before the element that goes beyond: they stay in a second-level cache.
const MAX_BYTES: usize = 64 << 10;

/// Longer elements are not copied together: their parts are long enough by themselves.
const MAX_JOINED: usize = 64 << 10;

/// So few are hashed one by one: a kernel takes as long for one element as for all of its lanes.
const FEW: usize = 3;

/// Whether an element comes or goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sign {
    Plus,
    Minus,
}

/// An element that waits.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    /// Where it begins; a block begins there too.
    pub(crate) start: usize,
    /// Its length in bytes; what follows, up to the end of its last block, is zero.
    pub(crate) length: usize,
    pub(crate) sign: Sign,
}

/// Elements that wait.
#[derive(Clone)]
pub(crate) struct Batch {
    kernel: Option<Kernel>,
    bytes: Vec<u8>,
    elements: Vec<Waiting>,
}

impl Batch {
    pub(crate) fn new() -> Self {
        Self { kernel: Kernel::detect(), bytes: Vec::new(), elements: Vec::new() }
    }

    /// Takes the element that is the concatenation of `parts`, unless it is to be hashed by itself:
    /// it is long, or this processor has no kernel.
    pub(crate) fn take(&mut self, parts: &[&[u8]], sign: Sign) -> bool {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if self.kernel.is_none() || length > MAX_ELEMENT {
            return false;
        }
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        // Even an empty element has a block.
        let end = start + length.max(1).next_multiple_of(BLOCK);
        self.bytes.resize(end, 0);
        self.elements.push(Waiting { start, length, sign });
        true
    }

    /// Expands the element that is the concatenation of `parts` by itself.
    ///
    /// BLAKE3 hashes the chunks of one long slice side by side, and those of pieces hardly: unless it
    /// is very long, an element is copied together.
    pub(crate) fn expand(&mut self, hasher: &Hasher, parts: &[&[u8]]) -> [u8; LtHash::BYTES] {
        let length: usize = parts.iter().map(|part| part.len()).sum();
        if !(MAX_ELEMENT..MAX_JOINED).contains(&length) {
            return hasher.expand(parts);
        }
        let start = self.bytes.len();
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        let expanded = hasher.expand(&[&self.bytes[start..]]);
        self.bytes.truncate(start);
        expanded
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.elements.is_empty()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.elements.len() >= MAX_ELEMENTS || self.bytes.len() >= MAX_BYTES
    }

    /// Hashes all that wait into `sum`.
    pub(crate) fn settle(&mut self, hasher: &Hasher, sum: &mut LtHash) {
        match &self.kernel {
            Some(kernel) if self.elements.len() > FEW => {
                kernel.sum(hasher.key(), &self.bytes, &self.elements, sum.lanes_mut());
            }
            _ => {
                for Waiting { start, length, sign } in &self.elements {
                    let element = hasher.expand(&[&self.bytes[*start..start + length]]);
                    sum.apply(&element, *sign);
                }
            }
        }
        self.bytes.clear();
        self.elements.clear();
    }
}
