//! The primitives, compared with the `bcs` crate.

use archive::wire::{MAX_SEQUENCE, Reader, Writer};
use proptest::prelude::*;

fn uleb128(bytes: &[u8]) -> archive::Result<u32> {
    let mut reader = Reader::new("a length", bytes);
    let value = reader.uleb128()?;
    reader.finish()?;
    Ok(value)
}

proptest! {
    #[test]
    fn lengths_are_read_back(value in prop_oneof![0_u32..20_000, 0..=MAX_SEQUENCE]) {
        let mut bytes = Vec::new();
        bytes.put_uleb128(value);
        prop_assert_eq!(uleb128(&bytes).unwrap(), value);
        for end in 0..bytes.len() {
            prop_assert!(uleb128(&bytes[..end]).is_err());
        }
    }

    #[test]
    fn lengths_have_one_spelling(bytes in prop::collection::vec(any::<u8>(), 0..7)) {
        if let Ok(value) = uleb128(&bytes) {
            let mut again = Vec::new();
            again.put_uleb128(value);
            prop_assert_eq!(again, bytes);
        }
    }

    #[test]
    fn byte_strings_are_those_of_bcs(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut ours = Vec::new();
        ours.put_bytes(&bytes);
        prop_assert_eq!(&ours, &bcs::to_bytes(&bytes).unwrap());
        let mut reader = Reader::new("bytes", &ours);
        prop_assert_eq!(reader.bytes(400).unwrap(), &bytes);
        prop_assert_eq!(reader.remaining(), 0);
    }
}

#[test]
fn lengths_that_are_none() {
    let wrong: [&[u8]; 6] = [
        &[],
        &[0x80],
        // Longer than it needs to be.
        &[0x80, 0x00],
        &[0xff, 0xff, 0x00],
        // 2^31, and six bytes.
        &[0x80, 0x80, 0x80, 0x80, 0x08],
        &[0xff, 0xff, 0xff, 0xff, 0xff, 0x01],
    ];
    for bytes in wrong {
        assert!(uleb128(bytes).is_err(), "{bytes:x?}");
    }
    assert_eq!(uleb128(&[0xff, 0xff, 0xff, 0xff, 0x07]).unwrap(), MAX_SEQUENCE);
}

#[test]
fn a_length_above_its_limit_or_the_bytes_left_is_refused() {
    let mut bytes = Vec::new();
    bytes.put_bytes(b"hello");
    assert!(Reader::new("bytes", &bytes).bytes(4).is_err());
    assert!(Reader::new("bytes", &bytes[..4]).bytes(5).is_err());
    let mut claims = Vec::new();
    claims.put_uleb128(MAX_SEQUENCE);
    assert!(Reader::new("bytes", &claims).bytes(usize::MAX).is_err());
}

#[test]
fn integers_are_little_endian() {
    let mut bytes = Vec::new();
    bytes.put_u8(1);
    bytes.put_u32(2);
    bytes.put_u64(3);
    assert_eq!(bytes, [1, 2, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0]);
    let mut reader = Reader::new("integers", &bytes);
    assert_eq!(reader.u8().unwrap(), 1);
    assert_eq!(reader.u32().unwrap(), 2);
    assert!(reader.clone().finish().is_err());
    assert_eq!(reader.u64().unwrap(), 3);
    assert_eq!(reader.offset(), 13);
    reader.finish().unwrap();
    assert!(reader.u16().is_err());
}
