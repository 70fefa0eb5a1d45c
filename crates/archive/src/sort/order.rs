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

/// The first bytes of a place, so encoded that they compare as the places do.
///
/// Where two of them differ, the places do, in the same direction: most comparisons of a sort need
/// no more, and need not look the keys up in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Prefix(u64);

impl Prefix {
    pub(super) fn of(order: SortOrder, root_key: &[u8], key: &[u8]) -> Self {
        let mut first = FirstBytes::default();
        match order {
            // A zero in a root key is followed by 255 and the root key's end by 0, so that it comes
            // before every one that it is the beginning of.
            SortOrder::Key => {
                for byte in root_key.iter().take(first.bytes.len()) {
                    match byte {
                        0 => first.push(&[0, 0xff]),
                        byte => first.push(&[*byte]),
                    }
                }
                first.push(&[0, 0]);
            }
            SortOrder::Encoded => {
                first.push_length(root_key);
                first.push(root_key);
                first.push_length(key);
            }
        }
        first.push(key);
        Self(u64::from_be_bytes(first.bytes))
    }
}

/// Takes bytes as long as they fit.
#[derive(Default)]
struct FirstBytes {
    bytes: [u8; size_of::<u64>()],
    used: usize,
}

impl FirstBytes {
    fn push(&mut self, more: &[u8]) {
        let room = &mut self.bytes[self.used..];
        let fitting = room.len().min(more.len());
        room[..fitting].copy_from_slice(&more[..fitting]);
        self.used += fitting;
    }

    fn push_length(&mut self, of: &[u8]) {
        let (encoded, used) = uleb128(of.len());
        self.push(&encoded[..used]);
    }
}

/// Compares two byte strings by their BCS encoding: by the bytes of the length, then by content.
pub(crate) fn compare_encoded(one: &[u8], other: &[u8]) -> Ordering {
    if one.len() == other.len() {
        return one.cmp(other);
    }
    uleb128(one.len()).cmp(&uleb128(other.len()))
}

/// The bytes of a length in ULEB128, filled up with zeros, and how many they are.
///
/// No such encoding begins another one, so in a comparison the zeros decide nothing.
fn uleb128(mut length: usize) -> ([u8; 8], usize) {
    let mut bytes = [0; 8];
    let mut used = 0;
    for byte in &mut bytes {
        *byte = length.to_le_bytes()[0] & 0x7f;
        length >>= 7;
        used += 1;
        if length == 0 {
            break;
        }
        *byte |= 0x80;
    }
    (bytes, used)
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
    fn prefixes_never_contradict_the_order() {
        let short: [&[u8]; 12] = [
            b"",
            b"\0",
            b"\0\0",
            b"\0\xff",
            b"\x01",
            b"a",
            b"a\0",
            b"a\0\0b",
            b"ab",
            b"abcdefgh",
            b"abcdefghi",
            b"\xff\xff",
        ];
        let mut keys: Vec<Vec<u8>> = short.iter().map(|key| key.to_vec()).collect();
        keys.extend([127, 128, 129, 256, 384].map(|length| vec![0; length]));
        let places: Vec<_> =
            keys.iter().flat_map(|root| keys.iter().map(move |key| (root, key))).collect();
        for order in [SortOrder::Key, SortOrder::Encoded] {
            for one in &places {
                for other in &places {
                    let exact = order.compare((one.0, one.1), (other.0, other.1));
                    let found =
                        Prefix::of(order, one.0, one.1).cmp(&Prefix::of(order, other.0, other.1));
                    assert!(
                        found.is_eq() || found == exact,
                        "{order:?}: {one:?} against {other:?}"
                    );
                }
            }
        }
        let few = Prefix::of(SortOrder::Key, b"", b"a") < Prefix::of(SortOrder::Key, b"", b"b");
        assert!(few, "a prefix that never tells would pass");
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
