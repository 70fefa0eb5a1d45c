//! The hash of a multiset of elements: a sum of lanes.

use alloc::boxed::Box;
use core::fmt;
use core::iter::Sum;
use core::ops::{Add, AddAssign, Neg, Sub, SubAssign};

use crate::batch::Sign;
use crate::lanes::{self, Lanes};
use crate::{Checksum, LtHashError};

/// The homomorphic hash of a multiset of elements: 1024 lanes of 16 bits.
///
/// `+` is the union of two multisets, `-` takes one out of another, the [identity](Self::identity)
/// is the hash of the empty one. Any 2048 bytes are a valid value. Two values are compared whole by
/// `==`; their [checksums](Self::checksum) are compared where 2048 bytes are too many.
///
/// The lanes live on the heap, so a value moves for the price of a pointer and may sit in an error
/// or a future without swelling it. Loops that hash many elements use an
/// [`Accumulator`](crate::Accumulator), which allocates once.
#[derive(Clone, PartialEq, Eq)]
pub struct LtHash(Box<Lanes>);

impl LtHash {
    /// Number of lanes.
    pub const LANES: usize = lanes::LANES;

    /// Length of [`to_bytes`](Self::to_bytes): two bytes a lane.
    pub const BYTES: usize = lanes::BYTES;

    /// The hash of the empty multiset: all lanes zero.
    pub fn identity() -> Self {
        Self(Box::new([0; lanes::LANES]))
    }

    /// Whether this is the hash of the empty multiset.
    ///
    /// 65,536 copies of one element have it too; see the crate's limits.
    pub fn is_identity(&self) -> bool {
        self.0.iter().all(|lane| *lane == 0)
    }

    /// BLAKE3-256, without a key, of [`to_bytes`](Self::to_bytes).
    ///
    /// Checksums cannot be added: keep the lanes wherever a sum has to go on.
    pub fn checksum(&self) -> Checksum {
        Checksum(blake3::hash(&self.to_bytes()).into())
    }

    /// The lanes in order, each as two little-endian bytes.
    pub fn to_bytes(&self) -> [u8; Self::BYTES] {
        lanes::to_bytes(&self.0)
    }

    /// The inverse of [`to_bytes`](Self::to_bytes); every input is valid.
    pub fn from_bytes(bytes: &[u8; Self::BYTES]) -> Self {
        Self(Box::new(lanes::from_bytes(bytes)))
    }

    /// Adds or subtracts one expanded element without building an `LtHash` of it.
    pub(crate) fn apply(&mut self, bytes: &[u8; Self::BYTES], sign: Sign) {
        match sign {
            Sign::Plus => lanes::add_bytes(&mut self.0, bytes),
            Sign::Minus => lanes::subtract_bytes(&mut self.0, bytes),
        }
    }

    /// The lanes, for a kernel to add to.
    pub(crate) fn lanes_mut(&mut self) -> &mut Lanes {
        &mut self.0
    }
}

impl Default for LtHash {
    fn default() -> Self {
        Self::identity()
    }
}

/// Shows the checksum: 1024 numbers tell a reader nothing.
impl fmt::Debug for LtHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("LtHash").field(&self.checksum()).finish()
    }
}

impl TryFrom<&[u8]> for LtHash {
    type Error = LtHashError;

    fn try_from(bytes: &[u8]) -> Result<Self, Self::Error> {
        match <&[u8; Self::BYTES]>::try_from(bytes) {
            Ok(bytes) => Ok(Self::from_bytes(bytes)),
            Err(_) => Err(LtHashError::Length { expected: Self::BYTES, found: bytes.len() }),
        }
    }
}

impl AddAssign<&LtHash> for LtHash {
    fn add_assign(&mut self, other: &LtHash) {
        lanes::add(&mut self.0, &other.0);
    }
}

impl SubAssign<&LtHash> for LtHash {
    fn sub_assign(&mut self, other: &LtHash) {
        lanes::subtract(&mut self.0, &other.0);
    }
}

impl Add<&LtHash> for LtHash {
    type Output = LtHash;

    fn add(mut self, other: &LtHash) -> LtHash {
        self += other;
        self
    }
}

impl Sub<&LtHash> for LtHash {
    type Output = LtHash;

    fn sub(mut self, other: &LtHash) -> LtHash {
        self -= other;
        self
    }
}

impl Add for &LtHash {
    type Output = LtHash;

    fn add(self, other: &LtHash) -> LtHash {
        self.clone() + other
    }
}

impl Sub for &LtHash {
    type Output = LtHash;

    fn sub(self, other: &LtHash) -> LtHash {
        self.clone() - other
    }
}

/// What has to be added to reach the identity: the hash of a removal.
impl Neg for LtHash {
    type Output = LtHash;

    fn neg(mut self) -> LtHash {
        lanes::negate(&mut self.0);
        self
    }
}

impl Neg for &LtHash {
    type Output = LtHash;

    fn neg(self) -> LtHash {
        -self.clone()
    }
}

impl Sum for LtHash {
    fn sum<I: Iterator<Item = LtHash>>(hashes: I) -> LtHash {
        hashes.fold(LtHash::identity(), |sum, hash| sum + &hash)
    }
}

impl<'a> Sum<&'a LtHash> for LtHash {
    fn sum<I: Iterator<Item = &'a LtHash>>(hashes: I) -> LtHash {
        hashes.fold(LtHash::identity(), |sum, hash| sum + hash)
    }
}
