//! How a partitioned store keeps (root key, key) in one RocksDB key.
//!
//! The root key comes first, each 0x00 in it followed by 0xFF, and ends with 0x00 0x00; then the
//! key as it is. So keys compare as (root key, key) do, a partition is one range of keys, and a
//! prefix within a partition is a prefix of its RocksDB keys.

use std::borrow::Cow;

/// After a 0x00 that belongs to the root key.
const ESCAPED: u8 = 0xff;

/// After the 0x00 that ends the root key.
const END: u8 = 0x00;

/// The bytes in front of every key of a partition.
pub(crate) fn partition(root_key: &[u8]) -> Vec<u8> {
    let mut encoded = Vec::with_capacity(root_key.len() + 2);
    for byte in root_key {
        encoded.push(*byte);
        if *byte == 0 {
            encoded.push(ESCAPED);
        }
    }
    encoded.extend([0, END]);
    encoded
}

/// The RocksDB key of (`root_key`, `key`).
pub(crate) fn encode(root_key: &[u8], key: &[u8]) -> Vec<u8> {
    let mut encoded = partition(root_key);
    encoded.extend_from_slice(key);
    encoded
}

/// The first RocksDB key after all those of the partition.
pub(crate) fn partition_end(root_key: &[u8]) -> Vec<u8> {
    let mut end = partition(root_key);
    if let Some(last) = end.last_mut() {
        *last = END + 1;
    }
    end
}

/// Takes a RocksDB key apart; None where it is none of a partitioned store.
pub(crate) fn decode(encoded: &[u8]) -> Option<(Cow<'_, [u8]>, &[u8])> {
    let mut at = 0;
    let mut escapes = 0;
    loop {
        let zero = at + encoded.get(at..)?.iter().position(|byte| *byte == 0)?;
        match *encoded.get(zero + 1)? {
            END => {
                let root_key = unescape(&encoded[..zero], escapes);
                return Some((root_key, &encoded[zero + 2..]));
            }
            ESCAPED => {
                escapes += 1;
                at = zero + 2;
            }
            _ => return None,
        }
    }
}

fn unescape(escaped: &[u8], extra: usize) -> Cow<'_, [u8]> {
    if extra == 0 {
        return Cow::Borrowed(escaped);
    }
    let mut plain = Vec::with_capacity(escaped.len() - extra);
    let mut after_zero = false;
    for byte in escaped {
        if !after_zero {
            plain.push(*byte);
        }
        after_zero = !after_zero && *byte == 0;
    }
    Cow::Owned(plain)
}

/// The first key after all that start with `prefix`; None where there is none.
pub(crate) fn prefix_end(prefix: &[u8]) -> Option<Vec<u8>> {
    let kept = prefix.iter().rposition(|byte| *byte != 0xff)?;
    let mut end = prefix[..=kept].to_vec();
    end[kept] += 1;
    Some(end)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0_u8), Just(1), Just(0xfe), Just(0xff), any::<u8>()];
        prop::collection::vec(byte, 0..12)
    }

    proptest! {
        #[test]
        fn order_is_that_of_the_pair(a in (bytes(), bytes()), b in (bytes(), bytes())) {
            prop_assert_eq!(encode(&a.0, &a.1).cmp(&encode(&b.0, &b.1)), a.cmp(&b));
        }

        #[test]
        fn it_comes_apart_again(root in bytes(), key in bytes()) {
            let encoded = encode(&root, &key);
            let (found_root, found_key) = decode(&encoded).unwrap();
            prop_assert_eq!((found_root.as_ref(), found_key), (&root[..], &key[..]));
            prop_assert!(encoded < partition_end(&root));
        }

        #[test]
        fn a_partition_is_one_range(root in bytes(), other in bytes(), key in bytes()) {
            let inside = partition(&root)..partition_end(&root);
            prop_assert_eq!(inside.contains(&encode(&other, &key)), root == other);
        }

        #[test]
        fn any_bytes_come_apart_or_not(encoded in bytes()) {
            if let Some((root, key)) = decode(&encoded) {
                prop_assert_eq!(encode(&root, key), encoded);
            }
        }

        #[test]
        fn a_prefix_ends_where_it_must(prefix in bytes(), other in bytes()) {
            let below = prefix_end(&prefix).is_none_or(|end| other < end);
            prop_assert_eq!(other >= prefix && below, other.starts_with(&prefix));
        }
    }
}
