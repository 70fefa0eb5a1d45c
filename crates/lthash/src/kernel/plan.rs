//! What has to be compressed for some elements: BLAKE3's tree, taken apart into chunks and roots.

use alloc::vec::Vec;

use blake3::hazmat::{ChainingValue, Mode, merge_subtrees_non_root};

use super::{BLOCK, CHUNK};
use crate::Key;
use crate::batch::{Sign, Waiting};

/// BLAKE3's initialization vector, which is SHA-256's.
pub(super) const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

// BLAKE3's domain flags.
const CHUNK_START: u32 = 1;
const CHUNK_END: u32 = 2;
const PARENT: u32 = 4;
const ROOT: u32 = 8;
const KEYED_HASH: u32 = 16;

/// What a compression takes and gives between blocks.
pub(super) type Chaining = [u32; 8];

/// Elements, ready to be compressed.
pub(super) struct Plan<'a> {
    key: Option<&'a Key>,
    bytes: &'a [u8],
    elements: &'a [Waiting],
    /// What every chunk begins with.
    pub(super) start: Chaining,
    mode: u32,
}

/// Blocks that are compressed one after the other: a chunk, or all of it but the last block.
#[derive(Clone, Copy)]
pub(super) struct Run {
    /// The first byte.
    at: usize,
    blocks: usize,
    /// The number of the chunk in its element.
    pub(super) chunk: u32,
    /// The bytes of the last block, and whether it ends the chunk.
    last: Option<u32>,
}

/// One block of a run, with what its compression takes.
pub(super) struct Step<'a> {
    pub(super) block: &'a [u8; BLOCK],
    pub(super) length: u32,
    pub(super) flags: u32,
}

/// The last compression of an element, which the XOF repeats with a counter.
pub(super) struct Root {
    pub(super) chaining: Chaining,
    pub(super) block: [u32; 16],
    pub(super) length: u32,
    pub(super) flags: u32,
    pub(super) sign: Sign,
}

impl<'a> Plan<'a> {
    pub(super) fn new(key: Option<&'a Key>, bytes: &'a [u8], elements: &'a [Waiting]) -> Self {
        let (start, mode) = match key {
            Some(key) => (words(key.as_bytes()), KEYED_HASH),
            None => (IV, 0),
        };
        Self { key, bytes, elements, start, mode }
    }

    /// The runs of all elements, in their order. An element of one block has none.
    pub(super) fn runs(&self) -> Vec<Run> {
        let mut runs = Vec::with_capacity(self.elements.len());
        for element in self.elements {
            if element.length <= CHUNK {
                // The last block is the root's.
                let blocks = blocks_of(element.length) - 1;
                if blocks > 0 {
                    runs.push(Run { at: element.start, blocks, chunk: 0, last: None });
                }
                continue;
            }
            for (chunk, offset) in (0..).zip((0..element.length).step_by(CHUNK)) {
                let length = CHUNK.min(element.length - offset);
                let last = Some(length_of_last(length));
                let at = element.start + offset;
                runs.push(Run { at, blocks: blocks_of(length), chunk, last });
            }
        }
        runs
    }

    /// Block number `number` of a run; nothing at its end.
    pub(super) fn step(&self, run: &Run, number: usize) -> Option<Step<'a>> {
        if number == run.blocks {
            return None;
        }
        let at = run.at + number * BLOCK;
        let block = self.bytes[at..at + BLOCK].first_chunk().expect("a whole block was taken");
        let mut step = Step { block, length: 64, flags: self.mode };
        if number == 0 {
            step.flags |= CHUNK_START;
        }
        if let Some(length) = run.last.filter(|_| number + 1 == run.blocks) {
            step.flags |= CHUNK_END;
            step.length = length;
        }
        Some(step)
    }

    /// The roots of all elements; `done` are the chaining values of all runs, in their order.
    pub(super) fn roots(&self, done: &[Chaining]) -> impl Iterator<Item = Root> {
        let mut done = done.iter();
        self.elements.iter().map(move |element| {
            let Waiting { start, length, sign } = *element;
            if length <= CHUNK {
                return self.root_of_chunk(start, length, sign, &mut done);
            }
            let chunks: Vec<Chaining> =
                done.by_ref().take(length.div_ceil(CHUNK)).copied().collect();
            let (left, right) = self.halves(&chunks);
            let mut block = [0; 16];
            block[..8].copy_from_slice(&left);
            block[8..].copy_from_slice(&right);
            let flags = self.mode | PARENT | ROOT;
            Root { chaining: self.start, block, length: 64, flags, sign }
        })
    }

    fn root_of_chunk<'b>(
        &self,
        start: usize,
        length: usize,
        sign: Sign,
        done: &mut impl Iterator<Item = &'b Chaining>,
    ) -> Root {
        let before = blocks_of(length) - 1;
        let mut flags = self.mode | CHUNK_END | ROOT;
        let mut chaining = self.start;
        if before == 0 {
            flags |= CHUNK_START;
        } else {
            chaining = *done.next().expect("every run was compressed");
        }
        let at = start + before * BLOCK;
        let block = words(self.bytes[at..at + BLOCK].first_chunk::<BLOCK>().expect("a block"));
        Root { chaining, block, length: length_of_last(length), flags, sign }
    }

    /// The two subtrees below the root of several chunks: the left one is the largest that is full.
    fn halves(&self, chunks: &[Chaining]) -> (Chaining, Chaining) {
        let left = chunks.len().next_power_of_two() / 2;
        let (left, right) = chunks.split_at(left);
        (self.subtree(left), self.subtree(right))
    }

    fn subtree(&self, chunks: &[Chaining]) -> Chaining {
        if let [only] = chunks {
            return *only;
        }
        let (left, right) = self.halves(chunks);
        let mode = match self.key {
            Some(key) => Mode::KeyedHash(key.as_bytes()),
            None => Mode::Hash,
        };
        words(&merge_subtrees_non_root(&bytes(&left), &bytes(&right), mode))
    }
}

fn blocks_of(length: usize) -> usize {
    length.div_ceil(BLOCK).max(1)
}

/// The bytes of the last block: of an empty element none, else 1 to 64.
fn length_of_last(length: usize) -> u32 {
    let last = length - (blocks_of(length) - 1) * BLOCK;
    u32::try_from(last).expect("a block has 64 bytes")
}

/// Little-endian words; `WORDS` is a quarter of `BYTES`.
fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [u32; WORDS] {
    let mut words = [0; WORDS];
    for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<4>().0) {
        *word = u32::from_le_bytes(*bytes);
    }
    words
}

fn bytes(words: &Chaining) -> ChainingValue {
    let mut bytes = [0; 32];
    for (bytes, word) in bytes.as_chunks_mut::<4>().0.iter_mut().zip(words) {
        *bytes = word.to_le_bytes();
    }
    bytes
}
