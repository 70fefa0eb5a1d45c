//! BCS primitives over byte slices: every length is checked before it is believed.
//!
//! Integers are little-endian; sequences begin with their length in ULEB128, minimal and below
//! 2^31, as [BCS](https://github.com/zefchain/bcs) has it.

use crate::{Error, Result};

/// The longest sequence of BCS, in elements.
pub const MAX_SEQUENCE: u32 = (1 << 31) - 1;

/// Reads primitives one after the other from a slice.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    what: &'static str,
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Reader<'a> {
    /// A reader of `bytes`; errors say that they are `what`.
    pub fn new(what: &'static str, bytes: &'a [u8]) -> Self {
        Self { what, bytes, at: 0 }
    }

    /// How many bytes were read.
    pub fn offset(&self) -> usize {
        self.at
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    /// The next `N` bytes.
    ///
    /// # Errors
    /// [`Error::Malformed`] at the end of the bytes, as for every method here.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let Some(found) = self.bytes[self.at..].first_chunk::<N>() else {
            return Err(self.malformed("it ends early"));
        };
        self.at += N;
        Ok(*found)
    }

    /// One byte.
    pub fn u8(&mut self) -> Result<u8> {
        self.array().map(u8::from_le_bytes)
    }

    /// Two bytes, little-endian.
    pub fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    /// Four bytes, little-endian.
    pub fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    /// Eight bytes, little-endian.
    pub fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A length: at most five bytes of seven bits each, minimal, at most [`MAX_SEQUENCE`].
    pub fn uleb128(&mut self) -> Result<u32> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = self.u8()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                if byte == 0 && shift > 0 {
                    return Err(self.malformed("a length is longer than it needs to be"));
                }
                return match u32::try_from(value) {
                    Ok(value) if value <= MAX_SEQUENCE => Ok(value),
                    _ => Err(self.malformed("a length is 2^31 or more")),
                };
            }
        }
        Err(self.malformed("a length has more than five bytes"))
    }

    /// A byte string of at most `max` bytes.
    pub fn bytes(&mut self, max: usize) -> Result<&'a [u8]> {
        let length = self.uleb128()? as usize;
        if length > max {
            return Err(self.malformed(format!("{length} bytes where at most {max} may be")));
        }
        let Some(found) = self.bytes[self.at..].get(..length) else {
            return Err(self.malformed("it ends early"));
        };
        self.at += length;
        Ok(found)
    }

    /// Checks that nothing is left.
    pub fn finish(&self) -> Result<()> {
        if self.remaining() == 0 {
            return Ok(());
        }
        Err(self.malformed(format!("{} bytes follow its end", self.remaining())))
    }

    fn malformed(&self, detail: impl Into<String>) -> Error {
        Error::malformed(self.what, self.at, detail)
    }
}

/// Writes primitives to the end of a byte vector.
pub trait Writer {
    /// One byte.
    fn put_u8(&mut self, value: u8);
    /// Four bytes, little-endian.
    fn put_u32(&mut self, value: u32);
    /// Eight bytes, little-endian.
    fn put_u64(&mut self, value: u64);
    /// A length, at most [`MAX_SEQUENCE`].
    fn put_uleb128(&mut self, value: u32);
    /// A number of elements; the formats' limits keep it below 2^31.
    fn put_count(&mut self, count: usize);
    /// A byte string with its length; the formats' limits keep it below 2^31 bytes.
    fn put_bytes(&mut self, bytes: &[u8]);
}

impl Writer for Vec<u8> {
    fn put_u8(&mut self, value: u8) {
        self.push(value);
    }

    fn put_u32(&mut self, value: u32) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_u64(&mut self, value: u64) {
        self.extend_from_slice(&value.to_le_bytes());
    }

    fn put_uleb128(&mut self, mut value: u32) {
        while value >= 0x80 {
            self.push(value.to_le_bytes()[0] | 0x80);
            value >>= 7;
        }
        self.push(value.to_le_bytes()[0]);
    }

    fn put_count(&mut self, count: usize) {
        let count = u32::try_from(count).expect("limits keep every length below 2^31");
        self.put_uleb128(count);
    }

    fn put_bytes(&mut self, bytes: &[u8]) {
        self.put_count(bytes.len());
        self.extend_from_slice(bytes);
    }
}

/// Checks a format version of one byte.
pub(crate) fn check_version(what: &'static str, found: u8, known: u8) -> Result<()> {
    match found {
        0 => Err(Error::malformed(what, 0, "it has format version 0")),
        found if found > known => {
            Err(Error::Newer { what, found: found.into(), known: known.into() })
        }
        _ => Ok(()),
    }
}
