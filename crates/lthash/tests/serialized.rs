//! serde: hex in JSON, bare bytes in BCS.
#![cfg(feature = "serde")]

use std::collections::BTreeMap;

use lthash::{Checksum, Hasher, LtHash};
use proptest::prelude::*;

fn any_hash() -> impl Strategy<Value = LtHash> {
    prop::collection::vec(any::<u8>(), 1..40).prop_map(|bytes| Hasher::new().element(&bytes))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn sums_round_trip(hash in any_hash()) {
        let json = serde_json::to_string(&hash)?;
        prop_assert_eq!(serde_json::from_str::<LtHash>(&json)?, hash.clone());
        let bytes = bcs::to_bytes(&hash)?;
        prop_assert_eq!(bcs::from_bytes::<LtHash>(&bytes)?, hash);
    }

    #[test]
    fn checksums_round_trip(bytes: [u8; 32]) {
        let checksum = Checksum(bytes);
        let json = serde_json::to_string(&checksum)?;
        prop_assert_eq!(serde_json::from_str::<Checksum>(&json)?, checksum);
        let bytes = bcs::to_bytes(&checksum)?;
        prop_assert_eq!(bcs::from_bytes::<Checksum>(&bytes)?, checksum);
    }
}

#[test]
fn json_is_hex() {
    let hash = Hasher::new().element(b"hello");
    assert_eq!(
        serde_json::to_string(&hash).unwrap(),
        format!("\"{}\"", hex::encode(hash.to_bytes())),
    );
    assert_eq!(
        serde_json::to_string(&hash.checksum()).unwrap(),
        format!("\"{}\"", hash.checksum()),
    );
    // Readers hand over text in other ways as well: owned, and as the key of a map.
    let value = serde_json::to_value(&hash).unwrap();
    assert_eq!(serde_json::from_value::<LtHash>(value).unwrap(), hash);
    let map = BTreeMap::from([(hash.checksum(), 1)]);
    let json = serde_json::to_string(&map).unwrap();
    assert_eq!(serde_json::from_str::<BTreeMap<Checksum, i32>>(&json).unwrap(), map);
}

/// No length goes before them, so a manifest's layout is fixed.
#[test]
fn bcs_is_the_bare_bytes() {
    let hash = Hasher::new().element(b"hello");
    assert_eq!(bcs::to_bytes(&hash).unwrap(), hash.to_bytes());
    assert_eq!(bcs::to_bytes(&hash.checksum()).unwrap(), hash.checksum().as_bytes());
    let record = (1_u8, hash.checksum(), hash, 2_u8);
    let bytes = bcs::to_bytes(&record).unwrap();
    assert_eq!(bytes.len(), 1 + 32 + 2048 + 1);
    assert_eq!(bcs::from_bytes::<(u8, Checksum, LtHash, u8)>(&bytes).unwrap(), record);
}

#[test]
fn short_and_long_bcs_is_refused() {
    for length in [0, 1, 2047, 2049] {
        let bytes = vec![0; length];
        assert!(bcs::from_bytes::<LtHash>(&bytes).is_err(), "{length} bytes for a sum");
    }
    for length in [0, 31, 33] {
        let bytes = vec![0; length];
        assert!(bcs::from_bytes::<Checksum>(&bytes).is_err(), "{length} bytes for a checksum");
    }
}

#[test]
fn bad_json_is_refused_with_the_reason() {
    let reason = |json: &str| serde_json::from_str::<Checksum>(json).unwrap_err().to_string();
    assert!(
        reason("\"00\"").starts_with("expected 64 hex digits, found 2 bytes"),
        "{}",
        reason("\"00\""),
    );
    let no_hex = format!("\"{}x\"", "0".repeat(63));
    assert!(reason(&no_hex).starts_with("'x' at offset 63 is no hex digit"), "{}", reason(&no_hex),);
    assert!(reason("7").contains("64 hex digits"), "{}", reason("7"));
    assert!(serde_json::from_str::<LtHash>("[1, 2]").is_err());
}

/// A format that is not self-describing and hands over too few elements.
#[test]
fn a_short_sequence_is_refused_with_its_length() {
    use serde::de::value::{Error, SeqDeserializer};
    use serde::de::{Deserialize, Deserializer, Visitor};

    /// Passes a sequence to whoever asks for a tuple and calls itself not readable.
    struct Unreadable(Vec<u8>);

    impl<'de> Deserializer<'de> for Unreadable {
        type Error = Error;

        fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
            visitor.visit_seq(SeqDeserializer::new(self.0.into_iter()))
        }

        fn is_human_readable(&self) -> bool {
            false
        }

        serde::forward_to_deserialize_any! {
            bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf option unit
            unit_struct newtype_struct seq tuple tuple_struct map struct enum identifier ignored_any
        }
    }

    assert_eq!(Checksum::deserialize(Unreadable(vec![9; 32])), Ok(Checksum([9; 32])));
    assert_eq!(
        Checksum::deserialize(Unreadable(vec![9; 31])).unwrap_err().to_string(),
        "invalid length 31, expected 32 bytes",
    );
}
