//! Elements that are hashed together, and those that wait to be.

use alloc::vec::Vec;

use super::{BLOCK, MAX_WIDTH};

/// What staged elements get room for at first, in bytes: short ones are not moved then.
const FIRST_BYTES: usize = MAX_WIDTH * 2 * BLOCK;

/// Elements that wait for each other, at most as many as the widest vector has words.
#[derive(Clone, Default)]
pub(crate) struct Staged {
    /// The bytes of all, one after the other.
    bytes: Vec<u8>,
    /// Where each ends.
    ends: [usize; MAX_WIDTH],
    count: usize,
}

impl Staged {
    /// Takes the concatenation of `parts`.
    ///
    /// # Panics
    /// With [`MAX_WIDTH`] elements already.
    pub(crate) fn push(&mut self, parts: &[&[u8]]) {
        if self.bytes.capacity() == 0 {
            self.bytes.reserve(FIRST_BYTES);
        }
        for part in parts {
            self.bytes.extend_from_slice(part);
        }
        self.ends[self.count] = self.bytes.len();
        self.count += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Forgets them, but keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.bytes.clear();
        self.count = 0;
    }

    /// The bytes of each.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[u8]> + Clone {
        let mut start = 0;
        self.ends[..self.count].iter().map(move |end| {
            let element = &self.bytes[start..*end];
            start = *end;
            element
        })
    }

    /// All of them.
    pub(crate) fn group(&self) -> Group<'_> {
        let mut group = Group::default();
        self.iter().for_each(|element| group.push(element));
        group
    }
}

/// Elements where they lie, at most as many as the widest vector has words.
pub(crate) struct Group<'a> {
    /// The whole blocks of each.
    blocks: [&'a [[u8; BLOCK]]; MAX_WIDTH],
    /// What is left of each, padded with zeros.
    tails: [[u8; BLOCK]; MAX_WIDTH],
    lengths: [usize; MAX_WIDTH],
    count: usize,
}

impl Default for Group<'_> {
    fn default() -> Self {
        Self {
            blocks: [&[]; MAX_WIDTH],
            tails: [[0; BLOCK]; MAX_WIDTH],
            lengths: [0; MAX_WIDTH],
            count: 0,
        }
    }
}

impl<'a> Group<'a> {
    /// Takes an element.
    ///
    /// # Panics
    /// With [`MAX_WIDTH`] elements already.
    pub(crate) fn push(&mut self, element: &'a [u8]) {
        let (blocks, tail) = element.as_chunks();
        self.blocks[self.count] = blocks;
        self.tails[self.count][..tail.len()].copy_from_slice(tail);
        self.lengths[self.count] = element.len();
        self.count += 1;
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// The lengths of all, in bytes.
    pub(super) fn lengths(&self) -> &[usize] {
        &self.lengths[..self.count]
    }

    /// Block `number` of the element in a lane, padded with zeros.
    pub(super) fn block(&self, lane: usize, number: usize) -> &[u8; BLOCK] {
        self.blocks[lane].get(number).unwrap_or(&self.tails[lane])
    }
}
