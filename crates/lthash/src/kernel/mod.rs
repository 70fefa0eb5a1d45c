//! Kernels: many short elements hashed at once, one in each lane of the processor's vectors.
//!
//! BLAKE3 expands an element by compressing one block, its *root*, 32 times with a counter. A kernel
//! does that for as many elements as a vector has words of 32 bits, and adds the words to a sum of
//! its own for each lane ([`Partial`]), so that nothing is transposed until the end: word `j` of
//! output block `c` of every element meets in one vector.
//!
//! Few elements are expanded one after the other instead, with the counters in the lanes, so that a vector
//! has the same word of consecutive output blocks; these are transposed and added to the sum.
//!
//! What comes before the root (the blocks of some chunks, and their tree) is compressed in the same lanes;
//! an element that is shorter than its neighbours waits.
//!
//! The only unsafe code of the workspace is here: vector instructions in [`avx2`] and [`avx512`], and
//! the calls that are only sound on a processor that has them.

#![expect(unsafe_code, reason = "vector instructions, behind a check that they are there")]
#![expect(
    clippy::inline_always,
    reason = "what is not inlined is compiled without the instructions that its caller has"
)]
#![cfg_attr(not(target_arch = "x86_64"), expect(dead_code, reason = "no kernel runs here yet"))]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
mod group;
#[cfg(target_arch = "x86_64")]
mod vector;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

pub(crate) use group::{Group, Staged};

use crate::lanes::{LANES, Lanes};
use crate::{Hasher, Key, LtHash};

/// The length of a block of BLAKE3, in bytes.
const BLOCK: usize = 64;

/// The length of a chunk, in bytes.
const CHUNK: usize = 1024;

/// The most chunks of an element that a kernel hashes: the `blake3` crate fills the vectors with the chunks
/// of a longer one. A page of a database has 4 or 8 KiB, and what frames it makes a chunk more.
pub(crate) const MAX_CHUNKS: usize = 9;

/// The longest element that a kernel hashes, in bytes.
pub(crate) const MAX_ELEMENT: usize = MAX_CHUNKS * CHUNK;

/// The most elements that any kernel hashes at once.
pub(crate) const MAX_WIDTH: usize = 16;

/// Vectors of a [`Partial`]: two lanes a word.
const VECTORS: usize = LANES / 2;

/// The instructions that elements are hashed with.
///
/// The sum does not depend on them; they are chosen by hand to measure or to test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Instructions {
    /// One element at a time, by the `blake3` crate.
    Portable,
    /// Eight elements at once, on x86-64 processors with AVX2.
    Avx2,
    /// Sixteen elements at once, on x86-64 processors with AVX-512 F and BW.
    Avx512,
}

impl Instructions {
    /// The slowest first.
    const ALL: [Self; 3] = [Self::Portable, Self::Avx2, Self::Avx512];

    /// The fastest that this processor has. Without the `std` feature, the fastest of those that the
    /// program was compiled for.
    pub fn best() -> Self {
        Self::ALL
            .into_iter()
            .rev()
            .find(|instructions| instructions.are_here())
            .unwrap_or(Self::Portable)
    }

    /// All that this processor has, the slowest first.
    pub fn available() -> Vec<Self> {
        Self::ALL.into_iter().filter(|instructions| instructions.are_here()).collect()
    }

    #[cfg(all(target_arch = "x86_64", feature = "std"))]
    fn are_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => std::arch::is_x86_feature_detected!("avx2"),
            Self::Avx512 => {
                std::arch::is_x86_feature_detected!("avx512f")
                    && std::arch::is_x86_feature_detected!("avx512bw")
            }
        }
    }

    #[cfg(all(target_arch = "x86_64", not(feature = "std")))]
    fn are_here(self) -> bool {
        match self {
            Self::Portable => true,
            Self::Avx2 => cfg!(target_feature = "avx2"),
            Self::Avx512 => {
                cfg!(all(target_feature = "avx512f", target_feature = "avx512bw"))
            }
        }
    }

    #[cfg(not(target_arch = "x86_64"))]
    fn are_here(self) -> bool {
        self == Self::Portable
    }
}

/// A kernel that this processor can run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kernel(Instructions);

impl Kernel {
    /// The kernel of these instructions; none where there is none, or not here.
    pub(crate) fn of(instructions: Instructions) -> Option<Self> {
        let vectors = instructions != Instructions::Portable;
        (vectors && instructions.are_here()).then_some(Self(instructions))
    }

    /// How many elements it hashes at once.
    pub(crate) fn width(self) -> usize {
        match self.0 {
            Instructions::Portable => 1,
            Instructions::Avx2 => 8,
            Instructions::Avx512 => 16,
        }
    }

    /// Whether [`each`](Self::each) hashes elements of these lengths faster than `blake3` does. It expands
    /// faster, but what comes before the roots it compresses in all lanes, however few elements there are.
    pub(crate) fn is_faster_for_each(self, lengths: impl Iterator<Item = usize>) -> bool {
        let (mut count, mut blocks_of_all, mut longest) = (0, 0, 0);
        for length in lengths {
            count += 1;
            blocks_of_all += blocks(length);
            longest = longest.max(length);
        }
        // A block and an expansion by a kernel, and by `blake3`, which itself has a kernel to expand with
        // AVX-512: in nanoseconds, on a Zen 4. Their ratios matter alone.
        let (block, expansion, its_block, its_expansion) = match self.0 {
            Instructions::Portable => return false,
            Instructions::Avx2 => (150, 560, 60, 2100),
            Instructions::Avx512 => (180, 300, 55, 430),
        };
        let setup = 200;
        longest <= MAX_ELEMENT
            && setup + block * blocks(longest) + expansion * count
                < its_block * blocks_of_all + its_expansion * count
    }

    /// Hashes the elements under `key` together and adds them to `partial`.
    ///
    /// # Panics
    /// Unless there are as many elements as [`width`](Self::width) says.
    pub(crate) fn absorb(self, key: &KernelKey, elements: &Group<'_>, partial: &mut Partial) {
        assert_eq!(elements.len(), self.width(), "an element for each lane");
        self.run(Work::Absorb(key, elements, partial));
    }

    /// Hashes the elements under `key` one after the other, adds the first `added` of them to `sum` and takes
    /// the others out.
    ///
    /// # Panics
    /// With more elements than [`width`](Self::width).
    pub(crate) fn each(
        self,
        key: &KernelKey,
        elements: &Group<'_>,
        added: usize,
        sum: &mut LtHash,
    ) {
        assert!(elements.len() <= self.width(), "more elements than lanes");
        self.run(Work::Each(key, elements, added, sum.lanes_mut()));
    }

    /// Adds the sum of all lanes of a partial sum to `sum`.
    pub(crate) fn reduce(self, partial: &Partial, sum: &mut LtHash) {
        self.run(Work::Reduce(partial, sum.lanes_mut()));
    }

    fn run(self, work: Work<'_>) {
        match self.0 {
            Instructions::Portable => unreachable!("no kernel is made of these"),
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel is made only by `of`, which checks that the processor has AVX2.
            Instructions::Avx2 => unsafe { avx2::run(work) },
            #[cfg(target_arch = "x86_64")]
            // SAFETY: a kernel is made only by `of`, which checks for AVX-512 F and BW.
            Instructions::Avx512 => unsafe { avx512::run(work) },
            #[cfg(not(target_arch = "x86_64"))]
            Instructions::Avx2 | Instructions::Avx512 => unreachable!("not on this processor"),
        }
    }
}

/// What a kernel is to do.
enum Work<'a> {
    /// To hash elements together and to add them to a partial sum.
    Absorb(&'a KernelKey, &'a Group<'a>, &'a mut Partial),
    /// To hash elements one after the other and to add the first of them, so many, to a sum, and to take
    /// the others out of it.
    Each(&'a KernelKey, &'a Group<'a>, usize, &'a mut Lanes),
    /// To add a partial sum to a sum.
    Reduce(&'a Partial, &'a mut Lanes),
}

/// What all elements of one hasher begin with.
#[derive(Clone)]
pub(crate) struct KernelKey {
    words: [u32; 8],
    flags: u32,
}

/// BLAKE3's flags.
mod flag {
    pub(super) const CHUNK_START: u32 = 1;
    pub(super) const CHUNK_END: u32 = 1 << 1;
    pub(super) const PARENT: u32 = 1 << 2;
    pub(super) const ROOT: u32 = 1 << 3;
    pub(super) const KEYED_HASH: u32 = 1 << 4;
}

/// BLAKE3's initial chaining value, that of SHA-256.
const IV: [u32; 8] = [
    0x6a09_e667,
    0xbb67_ae85,
    0x3c6e_f372,
    0xa54f_f53a,
    0x510e_527f,
    0x9b05_688c,
    0x1f83_d9ab,
    0x5be0_cd19,
];

impl KernelKey {
    /// For the elements of this hasher.
    pub(crate) fn of(hasher: &Hasher) -> Self {
        let Some(key) = hasher.key().map(Key::as_bytes) else {
            return Self { words: IV, flags: 0 };
        };
        let mut words = [0; 8];
        for (word, bytes) in words.iter_mut().zip(key.as_chunks::<4>().0) {
            *word = u32::from_le_bytes(*bytes);
        }
        Self { words, flags: flag::KEYED_HASH }
    }
}

/// How many blocks an element of this length has. The empty one has a block, too.
fn blocks(length: usize) -> usize {
    length.div_ceil(BLOCK).max(1)
}

/// How many bytes of block `number` are the element's.
fn block_length(length: usize, number: usize) -> u32 {
    let length = length.saturating_sub(number * BLOCK).min(BLOCK);
    u32::try_from(length).expect("a block has 64 bytes")
}

/// A sum of lanes apart for each lane of a kernel.
#[derive(Clone)]
pub(crate) struct Partial(Box<[Words]>);

/// As many words as the widest vector has.
#[derive(Clone, Copy)]
#[repr(align(64))]
struct Words([u32; MAX_WIDTH]);

impl Partial {
    pub(crate) fn new() -> Self {
        Self(vec![Words([0; MAX_WIDTH]); VECTORS].into_boxed_slice())
    }
}
