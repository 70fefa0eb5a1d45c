//! What separates the hashes of one use from those of another.

use core::fmt;

/// A BLAKE3 key, under which the same bytes are another element.
///
/// It separates domains: elements of two keys do not cancel each other. It is no secret that makes
/// the sum a MAC (the crate's limits say why), yet it is not shown by `Debug`, because a caller may
/// have derived it from one.
#[derive(Clone)]
pub struct Key([u8; 32]);

impl Key {
    /// BLAKE3's `derive_key`: `context` names the use and is a constant of the program; `material`
    /// is what differs between keys, of any length.
    ///
    /// ```
    /// use lthash::{Hasher, Key};
    ///
    /// let users = Hasher::keyed(&Key::derive("example.com 2026 rows v1", b"users"));
    /// let groups = Hasher::keyed(&Key::derive("example.com 2026 rows v1", b"groups"));
    /// assert_ne!(users.element(b"alice"), groups.element(b"alice"));
    /// ```
    pub fn derive(context: &str, material: &[u8]) -> Self {
        Self(blake3::derive_key(context, material))
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Key {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").finish_non_exhaustive()
    }
}
