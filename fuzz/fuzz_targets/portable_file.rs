//! A portable file: what is accepted is canonical, so writing it again gives the same bytes.

#![no_main]

use std::collections::BTreeMap;

use archive::portable::PortableReader;
use libfuzzer_sys::fuzz_target;

/// Root keys and keys in the order of a portable file: by encoded length first.
type Encoded = (Vec<u8>, Vec<u8>);

fuzz_target!(|file: &[u8]| {
    let mut reader = PortableReader::new(file, "fuzz.bcs");
    let mut found: BTreeMap<Encoded, BTreeMap<Encoded, Vec<u8>>> = BTreeMap::new();
    for batch in reader.by_ref() {
        let Ok(batch) = batch else { return };
        for record in batch.iter() {
            let partition = found.entry(encoded(record.root_key)).or_default();
            let value = partition.entry(encoded(record.key)).or_default();
            assert_eq!(value.len() as u64, record.offset, "parts come in order");
            value.extend_from_slice(record.value);
        }
    }
    if reader.contents().empty_partitions > 0 {
        // They are counted and dropped.
        return;
    }
    let mut again = length(found.len());
    for (root_key, partition) in &found {
        again.extend([&root_key.0[..], &root_key.1].concat());
        again.extend(length(partition.len()));
        for (key, value) in partition {
            again.extend([&key.0[..], &key.1, &length(value.len()), value].concat());
        }
    }
    assert_eq!(again, file, "an accepted file has one form");
});

fn encoded(bytes: &[u8]) -> Encoded {
    (length(bytes.len()), bytes.to_vec())
}

/// A length as BCS writes it: seven bits a byte, the lowest first.
fn length(mut left: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (left & 0x7f) as u8;
        left >>= 7;
        if left == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low | 0x80);
    }
}
