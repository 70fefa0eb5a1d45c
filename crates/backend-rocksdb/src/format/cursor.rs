//! RocksDB's integers and strings (`util/coding.h`), read from a slice.

/// Why bytes are not what their format says, in words that follow "is damaged: ".
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Malformed(pub(crate) &'static str);

/// Reads from the front of a slice. After an error the cursor must not be used any more.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn take(&mut self, len: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.rest.split_at_checked(len).ok_or(Malformed("it ends inside a field"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Malformed> {
        Ok(self.take(1)?[0])
    }

    pub(crate) fn fixed32(&mut self) -> Result<u32, Malformed> {
        let mut bytes = [0; 4];
        bytes.copy_from_slice(self.take(4)?);
        Ok(u32::from_le_bytes(bytes))
    }

    pub(crate) fn fixed64(&mut self) -> Result<u64, Malformed> {
        let mut bytes = [0; 8];
        bytes.copy_from_slice(self.take(8)?);
        Ok(u64::from_le_bytes(bytes))
    }

    /// A varint of at most 64 bits; RocksDB drops what does not fit, here it is an error.
    pub(crate) fn varint64(&mut self) -> Result<u64, Malformed> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if bits << shift >> shift != bits {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a varint is longer than 64 bits"))
    }

    pub(crate) fn varint32(&mut self) -> Result<u32, Malformed> {
        u32::try_from(self.varint64()?).map_err(|_| Malformed("a varint is longer than 32 bits"))
    }

    /// A length as varint32, then so many bytes.
    pub(crate) fn prefixed(&mut self) -> Result<&'a [u8], Malformed> {
        let len = self.varint32()?;
        self.take(len as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn varints_are_read_and_bounded() {
        assert_eq!(Cursor::new(&[0x7f]).varint64(), Ok(127));
        assert_eq!(Cursor::new(&[0x80, 0x01]).varint64(), Ok(128));
        let max = [0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01];
        assert_eq!(Cursor::new(&max).varint64(), Ok(u64::MAX));
        assert!(Cursor::new(&max).varint32().is_err());
        let mut over = max;
        over[9] = 0x02;
        assert!(Cursor::new(&over).varint64().is_err());
        assert!(Cursor::new(&[0x80; 11]).varint64().is_err());
        assert!(Cursor::new(&[0x80]).varint64().is_err());
    }

    #[test]
    fn a_length_beyond_the_end_is_refused() {
        assert_eq!(Cursor::new(&[3, 1, 2, 3]).prefixed(), Ok(&[1, 2, 3][..]));
        assert!(Cursor::new(&[4, 1, 2, 3]).prefixed().is_err());
        assert!(Cursor::new(&[0xff, 0xff, 0xff, 0xff, 0x0f, 1]).prefixed().is_err());
    }
}
