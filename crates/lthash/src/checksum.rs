//! The 32 bytes that stand for an `LtHash` where its lanes are too long.

use core::fmt;
use core::str::FromStr;

use crate::{LtHashError, hex};

/// BLAKE3-256 of the 2048 bytes of an [`LtHash`](crate::LtHash).
///
/// Shown as 64 lowercase hex digits; a precision shortens it (`{:.12}`). The order is that of the
/// bytes. The comparison takes no constant time: a checksum is public.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Checksum(pub [u8; 32]);

impl Checksum {
    /// The bytes, in the order in which they are shown.
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for Checksum {
    fn from(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut digits = [0; 64];
        f.pad(hex::encode(&self.0, &mut digits))
    }
}

impl fmt::Debug for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Reads 64 hex digits, of either case.
impl FromStr for Checksum {
    type Err = LtHashError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        hex::decode(text).map(Self)
    }
}
