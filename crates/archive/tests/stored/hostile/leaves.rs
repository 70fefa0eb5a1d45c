//! Leaves.

use archive::leaf::{Leaf, LeafBuilder, LeafRecord, LeafValue};
use archive::object::ObjectRef;
use archive::wire::{MAX_SEQUENCE, Writer};
use backup_core::record::{MAX_KEY_BYTES, MAX_WHOLE_VALUE};

use super::{limit, malformed, mismatch, newer, refused};
use crate::samples::{Records, Value, leaf_of, reference};

/// The head of a leaf without a sum that claims `records` of `bytes`.
fn leaf_head(bytes: u64, records: u32) -> Vec<u8> {
    let mut content = vec![1, 0];
    content.put_u64(bytes);
    content.put_uleb128(records);
    content
}

fn put_record(content: &mut Vec<u8>, key: &[u8], value: &[u8]) {
    content.put_bytes(b"");
    content.put_bytes(key);
    content.put_u8(0);
    content.put_bytes(value);
}

#[test]
fn claims_of_more_than_there_is() {
    let mut records = leaf_head(2, MAX_SEQUENCE);
    put_record(&mut records, b"a", b"b");
    refused(Leaf::parse(&records), malformed);

    let mut key = leaf_head(2, 1);
    key.put_bytes(b"");
    key.put_uleb128(MAX_SEQUENCE);
    refused(Leaf::parse(&key), malformed);

    let mut value = leaf_head(2, 1);
    value.put_bytes(b"");
    value.put_bytes(b"a");
    value.put_u8(0);
    value.put_uleb128(MAX_SEQUENCE);
    refused(Leaf::parse(&value), malformed);

    let mut pieces = leaf_head(2, 1);
    pieces.put_bytes(b"");
    pieces.put_bytes(b"a");
    pieces.put_u8(1);
    pieces.put_u64(1 << 60);
    let mut many = pieces.clone();
    many.put_uleb128(MAX_SEQUENCE);
    refused(Leaf::parse(&many), limit);
    pieces.put_uleb128(16 << 10);
    refused(Leaf::parse(&pieces), malformed);
}

#[test]
fn counts_and_bytes_that_are_others() {
    let mut content = leaf_head(3, 1);
    put_record(&mut content, b"a", b"b");
    refused(Leaf::parse(&content), mismatch);
    let mut content = leaf_head(1 << 60, 1);
    put_record(&mut content, b"a", b"b");
    refused(Leaf::parse(&content), mismatch);
    let mut content = leaf_head(2, 2);
    put_record(&mut content, b"a", b"b");
    refused(Leaf::parse(&content), malformed);
    refused(Leaf::parse(&leaf_head(0, 0)), malformed);
}

#[test]
fn records_out_of_order_or_twice() {
    for keys in [[b"b", b"a"], [b"a", b"a"]] {
        let mut content = leaf_head(4, 2);
        for key in keys {
            put_record(&mut content, key, b"v");
        }
        refused(Leaf::parse(&content), malformed);
    }
    let mut builder = LeafBuilder::new();
    let record = |key| LeafRecord { root_key: b"", key, value: LeafValue::Inline(b"v") };
    builder.push(&record(b"b")).unwrap();
    refused(builder.push(&record(b"a")), malformed);
    refused(builder.push(&record(b"b")), malformed);
    builder.push(&record(b"c")).unwrap();
    assert_eq!(builder.iter().count(), 2, "what was refused is not in it");
}

#[test]
fn pieces_that_do_not_make_the_value() {
    let pieces = |total, pieces: &[ObjectRef]| LeafRecord {
        root_key: b"",
        key: b"k",
        value: LeafValue::Pieces { total, pieces: pieces.to_vec() },
    };
    let (one, empty) = (reference(1, 5, 100), reference(1, 0, 0));
    let wrong = [pieces(4, &[one]), pieces(0, &[]), pieces(0, &[empty]), pieces(5, &[one, empty])];
    for record in wrong {
        refused(LeafBuilder::new().push(&record), mismatch);
    }
    let many = pieces(5 * 16_385, &vec![one; 16_385]);
    refused(LeafBuilder::new().push(&many), limit);

    let records = Records::from([((vec![], b"k".to_vec()), Value::Pieces(vec![one]))]);
    let content = leaf_of(&records, None).content.to_vec();
    assert!(Leaf::parse(&content).is_ok());
    // Version, no sum, bytes, count, root key, key, form: then the total.
    let total = 1 + 1 + 8 + 1 + 1 + 2 + 1;
    assert_eq!(content[total..total + 8], 5_u64.to_le_bytes());
    let mut wrong = content.clone();
    wrong[total + 7] = 0x10;
    refused(Leaf::parse(&wrong), mismatch);
    // A piece that claims 4 GiB, plain or stored, ends the value.
    for length in [content.len() - 1, content.len() - 5] {
        let mut wrong = content.clone();
        wrong[length] = 0xff;
        refused(Leaf::parse(&wrong), malformed);
    }
}

#[test]
fn keys_and_values_above_the_limits_are_not_written() {
    let long = vec![7; MAX_WHOLE_VALUE + 1];
    let inline =
        |root_key, key, value| LeafRecord { root_key, key, value: LeafValue::Inline(value) };
    let key = &long[..=MAX_KEY_BYTES];
    let mut builder = LeafBuilder::new();
    refused(builder.push(&inline(b"", b"k", &long)), limit);
    refused(builder.push(&inline(key, b"k", b"")), limit);
    refused(builder.push(&inline(b"", key, b"")), limit);
    assert!(builder.is_empty());
    builder.push(&inline(&key[1..], &key[1..], &long[1..])).unwrap();
    let content = builder.finish(None).content.to_vec();
    assert_eq!(Leaf::parse(&content).unwrap().records, 1);
}

#[test]
fn forms_and_versions_that_are_unknown() {
    let mut content = leaf_head(2, 1);
    put_record(&mut content, b"a", b"b");
    for (at, value) in [(0, 0), (1, 2), (14, 2)] {
        let mut wrong = content.clone();
        wrong[at] = value;
        refused(Leaf::parse(&wrong), malformed);
    }
    content[0] = 2;
    refused(Leaf::parse(&content), newer);
}

#[test]
fn overlong_lengths() {
    let mut content = vec![1, 0];
    content.put_u64(2);
    content.extend_from_slice(&[0x81, 0x00]);
    put_record(&mut content, b"a", b"b");
    refused(Leaf::parse(&content), malformed);
}
