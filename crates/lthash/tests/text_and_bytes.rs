//! Checksums as text, sums as bytes, and every typed error.

use std::collections::{BTreeSet, HashSet};
use std::error::Error;

use lthash::{Accumulator, Checksum, Hasher, Key, LtHash, LtHashError};
use proptest::prelude::*;

const HELLO: &str = "4f9c1ab89ccd5ed0b6eb21936f99e598cf854b6db6c6773d0b51294618576455";

proptest! {
    #[test]
    fn checksums_round_trip_through_text(bytes: [u8; 32]) {
        let checksum = Checksum::from(bytes);
        let text = checksum.to_string();
        prop_assert_eq!(&text, &hex::encode(bytes));
        prop_assert_eq!(text.parse(), Ok(checksum));
        prop_assert_eq!(text.to_uppercase().parse(), Ok(checksum));
    }

    #[test]
    fn checksums_are_ordered_as_their_text(one: [u8; 32], other: [u8; 32]) {
        let (one, other) = (Checksum(one), Checksum(other));
        prop_assert_eq!(one.cmp(&other), one.to_string().cmp(&other.to_string()));
    }

    #[test]
    fn sums_round_trip_through_bytes(bytes in prop::collection::vec(any::<u8>(), LtHash::BYTES)) {
        let hash = LtHash::try_from(bytes.as_slice())?;
        prop_assert_eq!(hash.to_bytes().to_vec(), bytes);
        prop_assert_eq!(LtHash::from_bytes(&hash.to_bytes()), hash);
    }

    #[test]
    fn parsing_never_panics(text: String) {
        prop_assert!(text.parse::<Checksum>().is_err());
    }
}

#[test]
fn text_may_be_padded_and_shortened() {
    let checksum = Hasher::new().element(b"hello").checksum();
    assert_eq!(format!("{checksum:.8}"), "4f9c1ab8");
    assert_eq!(format!("{checksum:>66}"), format!("  {HELLO}"));
    assert_eq!(format!("{checksum:?}"), HELLO);
}

#[test]
fn checksums_serve_as_keys() {
    let checksum = Hasher::new().element(b"hello").checksum();
    assert!(HashSet::from([checksum]).contains(&checksum));
    assert!(BTreeSet::from([checksum]).contains(&checksum));
}

#[test]
fn debug_shows_checksums_and_no_key() {
    let element = Hasher::new().element(b"hello");
    assert_eq!(format!("{element:?}"), format!("LtHash({HELLO})"));

    let key = Key::from([0xab; 32]);
    let hasher = Hasher::keyed(&key);
    assert_eq!(format!("{key:?}"), "Key { .. }");
    assert_eq!(format!("{:?}", hasher.stream()), "Element { .. }");
    assert_eq!(format!("{hasher:?}"), "Hasher { key: Some(Key { .. }) }");
    let accumulator = format!("{:?}", Accumulator::new(hasher));
    assert!(accumulator.contains("be2a8de3"), "{accumulator}");
    // 0xab is 171.
    assert!(!accumulator.contains("171"), "{accumulator}");
    assert!(!accumulator.contains("abab"), "{accumulator}");
}

#[test]
fn bytes_of_another_length_are_refused() {
    for found in [0, 1, 2047, 2049, 4096] {
        let bytes = vec![0; found];
        assert_eq!(
            LtHash::try_from(bytes.as_slice()),
            Err(LtHashError::Length { expected: 2048, found }),
        );
    }
}

#[test]
fn text_of_another_length_is_refused() {
    for found in [0, 1, 63, 65, 128] {
        assert_eq!(
            "0".repeat(found).parse::<Checksum>(),
            Err(LtHashError::HexLength { expected: 64, found }),
        );
    }
}

#[test]
fn text_that_is_no_hex_is_refused_where_it_stands() {
    for (offset, found) in [(0, 'g'), (1, '+'), (33, ' '), (62, 'ä'), (60, '🦀')] {
        let mut text = "0".repeat(offset);
        text.push(found);
        text.push_str(&"0".repeat(64 - text.len()));
        assert_eq!(text.parse::<Checksum>(), Err(LtHashError::HexDigit { offset, found }),);
    }
}

#[test]
fn errors_read_well_and_have_no_cause() {
    let length = LtHashError::Length { expected: 2048, found: 3 };
    let hex_length = LtHashError::HexLength { expected: 64, found: 3 };
    let hex_digit = LtHashError::HexDigit { offset: 5, found: 'x' };
    assert_eq!(length.to_string(), "expected 2048 bytes, found 3");
    assert_eq!(hex_length.to_string(), "expected 64 hex digits, found 3 bytes");
    assert_eq!(hex_digit.to_string(), "'x' at offset 5 is no hex digit");
    for error in [length, hex_length, hex_digit] {
        assert!(error.source().is_none());
    }
}
