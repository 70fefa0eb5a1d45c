//! Portable files, written here byte by byte: BCS of a map of root keys to maps of keys to values.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

pub(crate) type Contents = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// Writes a store of one database.
pub(crate) fn write(path: &Path, contents: &Contents) {
    fs::write(path, encode(contents)).unwrap();
}

/// `count` records under the empty root key, with values that do not compress to nothing.
pub(crate) fn sample(count: u64) -> Contents {
    let record = |number: u64| {
        let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        (format!("key {number:05}").into_bytes(), mixed.to_le_bytes().repeat(8))
    };
    BTreeMap::from([(Vec::new(), (0..count).map(record).collect())])
}

/// The same under two root keys, which only a partitioned layout keeps.
pub(crate) fn partitioned(count: u64) -> Contents {
    let records = sample(count).remove(&Vec::new()).unwrap();
    BTreeMap::from([(b"one".to_vec(), records.clone()), (b"two".to_vec(), records)])
}

pub(crate) fn encode(contents: &Contents) -> Vec<u8> {
    let inner = |records: &BTreeMap<Vec<u8>, Vec<u8>>| {
        map(records.iter().map(|(key, value)| (bytes(key), bytes(value))))
    };
    map(contents.iter().map(|(root, records)| (bytes(root), inner(records))))
}

/// A map is its length and its entries, sorted by the encoded keys.
fn map(entries: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Vec<u8> {
    let sorted: BTreeMap<_, _> = entries.collect();
    let mut encoded = leb128(sorted.len());
    for (key, value) in sorted {
        encoded.extend(key);
        encoded.extend(value);
    }
    encoded
}

fn bytes(content: &[u8]) -> Vec<u8> {
    let mut encoded = leb128(content.len());
    encoded.extend_from_slice(content);
    encoded
}

fn leb128(mut number: usize) -> Vec<u8> {
    let mut encoded = Vec::new();
    while number >= 0x80 {
        encoded.push(u8::try_from(number & 0x7f).unwrap() | 0x80);
        number >>= 7;
    }
    encoded.push(u8::try_from(number).unwrap());
    encoded
}
