//! From bytes to elements, with a key or without.

use crate::{Element, Key, LtHash};

/// Turns bytes into elements, keyed or not; the same bytes always give the same element.
///
/// It holds no element and costs little to clone. It hashes exactly the bytes it is given: an
/// element of several fields has to be framed by the caller, so that ("ab", "c") and ("a", "bc")
/// differ.
#[derive(Clone, Debug, Default)]
pub struct Hasher {
    key: Option<Key>,
}

impl Hasher {
    /// Without a key, as in the public test vectors of the construction.
    pub const fn new() -> Self {
        Self { key: None }
    }

    /// With a key, which gives the elements a domain of their own.
    pub fn keyed(key: &Key) -> Self {
        Self { key: Some(key.clone()) }
    }

    /// The hash of the multiset that holds `bytes` alone.
    ///
    /// The empty slice is an element like any other.
    pub fn element(&self, bytes: &[u8]) -> LtHash {
        LtHash::from_bytes(&self.expand(&[bytes]))
    }

    /// Begins an element that is fed piece by piece.
    pub fn stream(&self) -> Element {
        Element::new(self)
    }

    /// BLAKE3 before the first byte.
    pub(crate) fn begin(&self) -> blake3::Hasher {
        match &self.key {
            Some(key) => blake3::Hasher::new_keyed(key.as_bytes()),
            None => blake3::Hasher::new(),
        }
    }

    pub(crate) const fn key(&self) -> Option<&Key> {
        self.key.as_ref()
    }

    /// The 2048 bytes of the element that is the concatenation of `parts`.
    pub(crate) fn expand(&self, parts: &[&[u8]]) -> [u8; LtHash::BYTES] {
        let mut expanded = [0; LtHash::BYTES];
        self.expand_to(parts, &mut expanded);
        expanded
    }

    /// The same, written to a place that is there already.
    pub(crate) fn expand_to(&self, parts: &[&[u8]], expanded: &mut [u8; LtHash::BYTES]) {
        let mut hasher = self.begin();
        for part in parts {
            hasher.update(part);
        }
        hasher.finalize_xof().fill(expanded);
    }
}
