//! The arithmetic: 1024 lanes of 16 bits, each of which wraps on its own.
//!
//! Everything else in the crate reaches lanes only through these functions, so a vectorised kernel
//! has one place to go and one portable version to be compared with.

/// Number of lanes.
pub(crate) const LANES: usize = 1024;

/// Length of the lanes as bytes, two a lane.
pub(crate) const BYTES: usize = 2 * LANES;

/// The lanes as numbers; their bytes are always little-endian, whatever the machine.
pub(crate) type Lanes = [u16; LANES];

/// Reads lanes from their bytes.
pub(crate) fn from_bytes(bytes: &[u8; BYTES]) -> Lanes {
    let pairs = bytes.as_chunks::<2>().0;
    core::array::from_fn(|lane| u16::from_le_bytes(pairs[lane]))
}

/// Writes lanes as bytes.
pub(crate) fn to_bytes(lanes: &Lanes) -> [u8; BYTES] {
    let mut bytes = [0; BYTES];
    for (pair, lane) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(lanes) {
        *pair = lane.to_le_bytes();
    }
    bytes
}

/// Adds `other` to `sum`, lane by lane.
pub(crate) fn add(sum: &mut Lanes, other: &Lanes) {
    for (lane, other) in sum.iter_mut().zip(other) {
        *lane = lane.wrapping_add(*other);
    }
}

/// Subtracts `other` from `sum`, lane by lane.
pub(crate) fn subtract(sum: &mut Lanes, other: &Lanes) {
    for (lane, other) in sum.iter_mut().zip(other) {
        *lane = lane.wrapping_sub(*other);
    }
}

/// Adds an expanded element to `sum` as it comes from the XOF.
pub(crate) fn add_bytes(sum: &mut Lanes, bytes: &[u8; BYTES]) {
    for (lane, pair) in sum.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *lane = lane.wrapping_add(u16::from_le_bytes(*pair));
    }
}

/// Subtracts an expanded element from `sum` as it comes from the XOF.
pub(crate) fn subtract_bytes(sum: &mut Lanes, bytes: &[u8; BYTES]) {
    for (lane, pair) in sum.iter_mut().zip(bytes.as_chunks::<2>().0) {
        *lane = lane.wrapping_sub(u16::from_le_bytes(*pair));
    }
}

/// Replaces each lane by its inverse, so that lanes and inverse add up to zero.
pub(crate) fn negate(lanes: &mut Lanes) {
    for lane in lanes {
        *lane = lane.wrapping_neg();
    }
}
