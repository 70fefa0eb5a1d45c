//! A short, stable name for some content. It tells one content from another; it keeps out nobody
//! who means harm. (The standard library's hasher may change with any release.)

use std::fmt;

/// 64-bit FNV-1a over fields, each closed by a byte that UTF-8 text does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u64);

impl Fingerprint {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Of the bytes of a file.
    pub(crate) fn of_bytes(bytes: &[u8]) -> Self {
        let mut fingerprint = Self::new();
        for byte in bytes {
            fingerprint.byte(*byte);
        }
        fingerprint
    }

    /// Takes in one more field.
    pub(crate) fn field(&mut self, text: &str) -> &mut Self {
        for byte in text.bytes().chain([0xff]) {
            self.byte(byte);
        }
        self
    }

    fn byte(&mut self, byte: u8) {
        self.0 = (self.0 ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(fields: &[&str]) -> String {
        let mut fingerprint = Fingerprint::new();
        for field in fields {
            fingerprint.field(field);
        }
        fingerprint.to_string()
    }

    #[test]
    fn it_is_fnv_1a_of_the_fields_and_their_ends() {
        // FNV-1a of the single byte 0xff, from the published constants.
        assert_eq!(of(&[""]), "af64724c8602eb6e");
    }

    #[test]
    fn where_a_field_ends_matters() {
        assert_ne!(of(&["ab", "c"]), of(&["a", "bc"]));
        assert_ne!(of(&["a"]), of(&["a", ""]));
    }
}
