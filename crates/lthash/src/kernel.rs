//! Hashing many short elements at once: one element in each lane of the processor's vectors.
//!
//! An element is BLAKE3's tree in full (at most [`MAX_CHUNKS`] chunks), keyed or not. First the blocks
//! of all chunks are compressed, a chunk a lane; then, element by element, the last block or parent
//! gives the 32 blocks of the XOF, a block a lane. Those are added up as they come, lane beside lane:
//! only the sum is put into the order of its bytes.
//!
//! The portable version is `blake3` itself, an element at a time: what a processor without a kernel
//! uses, and what the tests compare every kernel with.

#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod plan;
#[cfg(all(feature = "std", target_arch = "x86_64"))]
mod x86;

#[cfg(all(test, feature = "std", target_arch = "x86_64"))]
mod tests;

use crate::Key;
use crate::batch::Waiting;
use crate::lanes::Lanes;

/// Bytes of a BLAKE3 block.
pub(crate) const BLOCK: usize = 64;

/// Bytes of a BLAKE3 chunk.
const CHUNK: usize = 1024;

/// The most chunks of an element; longer ones keep BLAKE3's own vectors busy.
const MAX_CHUNKS: usize = 4;

/// The most bytes of an element.
pub(crate) const MAX_ELEMENT: usize = MAX_CHUNKS * CHUNK;

/// A way to hash many elements at once that this processor has.
#[derive(Clone, Copy)]
pub(crate) struct Kernel {
    #[cfg(all(feature = "std", target_arch = "x86_64"))]
    instructions: x86::Instructions,
    /// There is none.
    #[cfg(not(all(feature = "std", target_arch = "x86_64")))]
    none: core::convert::Infallible,
}

#[cfg(all(feature = "std", target_arch = "x86_64"))]
impl Kernel {
    /// The fastest one, if there is any.
    pub(crate) fn detect() -> Option<Self> {
        x86::Instructions::detect().map(|instructions| Self { instructions })
    }

    /// Adds elements to a sum, or takes them out of it.
    pub(crate) fn sum(
        self,
        key: Option<&Key>,
        bytes: &[u8],
        elements: &[Waiting],
        sum: &mut Lanes,
    ) {
        let plan = plan::Plan::new(key, bytes, elements);
        self.instructions.sum(&plan, sum);
    }
}

#[cfg(not(all(feature = "std", target_arch = "x86_64")))]
impl Kernel {
    pub(crate) fn detect() -> Option<Self> {
        None
    }

    pub(crate) fn sum(self, _: Option<&Key>, _: &[u8], _: &[Waiting], _: &mut Lanes) {
        match self.none {}
    }
}
