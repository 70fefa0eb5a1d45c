//! What can be wrong with an input.

use core::fmt;

/// An input that is no [`LtHash`](crate::LtHash) or no [`Checksum`](crate::Checksum).
///
/// Hashing itself cannot fail.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LtHashError {
    /// Bytes of another length.
    Length {
        /// Bytes that the value has.
        expected: usize,
        /// Bytes that there were.
        found: usize,
    },
    /// Hex text of another length.
    HexLength {
        /// Digits that the value has.
        expected: usize,
        /// Length of the text in bytes.
        found: usize,
    },
    /// Hex text with something in it that is no hex digit.
    HexDigit {
        /// Where it stands, in bytes from the start.
        offset: usize,
        /// What stands there.
        found: char,
    },
}

impl fmt::Display for LtHashError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Length { expected, found } => {
                write!(f, "expected {expected} bytes, found {found}")
            }
            Self::HexLength { expected, found } => {
                write!(f, "expected {expected} hex digits, found {found} bytes")
            }
            Self::HexDigit { offset, found } => {
                write!(f, "{found:?} at offset {offset} is no hex digit")
            }
        }
    }
}

impl core::error::Error for LtHashError {}
