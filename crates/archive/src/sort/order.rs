//! The orders that records can be sorted in.

use std::cmp::Ordering;

/// An order of records by (root key, key).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum SortOrder {
    /// Both bytewise: what a restore loads.
    Key,
    /// Both by their BCS encoding, the bytes of the length first: the order of BCS maps.
    Encoded,
}

impl SortOrder {
    /// Compares two places, each a root key and a key.
    ///
    /// ```
    /// use archive::sort::SortOrder;
    /// let (short, long) = ((&b""[..], &[0xff; 2][..]), (&b""[..], &[0; 128][..]));
    /// assert!(SortOrder::Key.compare(short, long).is_gt());
    /// assert!(SortOrder::Encoded.compare(short, long).is_lt());
    /// ```
    pub fn compare(self, one: (&[u8], &[u8]), other: (&[u8], &[u8])) -> Ordering {
        match self {
            Self::Key => one.cmp(&other),
            Self::Encoded => {
                compare_encoded(one.0, other.0).then_with(|| compare_encoded(one.1, other.1))
            }
        }
    }
}

/// Compares two byte strings by their BCS encoding: by the bytes of the length, then by content.
pub(crate) fn compare_encoded(one: &[u8], other: &[u8]) -> Ordering {
    if one.len() == other.len() {
        return one.cmp(other);
    }
    encoded_length(one.len()).cmp(&encoded_length(other.len()))
}

/// A length's ULEB128 bytes as one number, the first byte the most significant.
///
/// No such encoding begins another one, so the zeros that fill the number up decide nothing.
fn encoded_length(mut length: usize) -> u64 {
    let mut bytes = [0; 8];
    for byte in &mut bytes {
        *byte = length.to_le_bytes()[0] & 0x7f;
        length >>= 7;
        if length == 0 {
            break;
        }
        *byte |= 0x80;
    }
    u64::from_be_bytes(bytes)
}

/// A place for an error: both keys in hex, shortened.
pub(crate) fn shown(root_key: &[u8], key: &[u8]) -> String {
    if root_key.is_empty() {
        return format!("the key {}", short_hex(key));
    }
    format!("the key {} under root key {}", short_hex(key), short_hex(root_key))
}

fn short_hex(bytes: &[u8]) -> String {
    const SHOWN: usize = 32;
    match bytes {
        [] => "(empty)".into(),
        _ if bytes.len() <= SHOWN => format!("0x{}", hex::encode(bytes)),
        _ => format!("0x{}… ({} bytes)", hex::encode(&bytes[..SHOWN]), bytes.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_compare_as_their_bytes_do() {
        let lengths =
            [0, 1, 127, 128, 129, 255, 256, 257, 383, 384, 16_383, 16_384, 16_385, 1 << 20];
        for one in lengths {
            for other in lengths {
                let expected = bcs_bytes(one).cmp(&bcs_bytes(other));
                let found = compare_encoded(&vec![0; one], &vec![0; other]);
                assert_eq!(found, expected, "{one} against {other}");
            }
        }
    }

    fn bcs_bytes(length: usize) -> Vec<u8> {
        bcs::to_bytes(&vec![0_u8; length]).unwrap()
    }

    #[test]
    fn a_long_key_is_shown_shortened() {
        let text = shown(b"root", &[0xab; 100]);
        assert!(
            text.contains("0xabab") && text.contains("100 bytes") && text.len() < 160,
            "{text}"
        );
        assert_eq!(shown(b"", b"\x01"), "the key 0x01");
    }
}
