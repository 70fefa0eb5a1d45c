//! One element, fed piece by piece.

use core::fmt;

use crate::{Hasher, LtHash};

/// An element whose bytes arrive in pieces, for a value that does not fit memory.
///
/// Begun by [`Hasher::stream`]. Where the pieces fall does not matter: what is hashed is their
/// concatenation.
///
/// ```
/// use lthash::Hasher;
///
/// let hasher = Hasher::new();
/// let mut element = hasher.stream();
/// element.update(b"hel");
/// element.update(b"lo");
/// assert_eq!(element.finish(), hasher.element(b"hello"));
/// ```
#[derive(Clone)]
pub struct Element(blake3::Hasher);

impl Element {
    pub(crate) fn new(hasher: &Hasher) -> Self {
        Self(hasher.begin())
    }

    /// Appends bytes to the element.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The hash of the multiset that holds this element alone.
    pub fn finish(self) -> LtHash {
        let mut expanded = [0; LtHash::BYTES];
        self.0.finalize_xof().fill(&mut expanded);
        LtHash::from_bytes(&expanded)
    }
}

/// Shows neither the bytes so far nor the key.
impl fmt::Debug for Element {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Element").finish_non_exhaustive()
    }
}
