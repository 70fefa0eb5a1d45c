//! Small stores that hold what has gone wrong before.

use backup_core::record::{MAX_WHOLE_VALUE, RecordKey};
use backup_core::source::Capabilities;

use crate::contents::Contents;
use crate::noise::noise;

/// The database that every backend has or makes.
pub(super) const FIRST: &str = "default";

/// The names of databases that the backend takes.
pub(super) fn databases(can: Capabilities) -> &'static [&'static str] {
    if can.databases { &[FIRST, "accounts", "Zähler & 100%"] } else { &[FIRST] }
}

/// The root keys that the backend takes, some a prefix or a neighbour of another.
pub(super) fn root_keys(can: Capabilities) -> &'static [&'static [u8]] {
    if can.partitions {
        &[b"", b"\x00", b"a", b"a\x00", b"ab", b"b", b"\xff", b"\xff\xff"]
    } else {
        &[b""]
    }
}

/// Keys, some a prefix or a neighbour of another, sorted.
pub(super) const KEYS: &[&[u8]] = &[
    b"",
    b"\x00",
    b"\x00\x00",
    b"a",
    b"a\x00",
    b"a\xff",
    b"a\xff\xff",
    b"ab",
    b"b",
    b"\x7f",
    b"\x80",
    b"\xff",
    b"\xff\x00",
    b"\xff\xff",
    b"\xff\xff\xff",
];

/// Every database, root key and key above, with values from none to a few KiB.
pub(super) fn nasty(can: Capabilities) -> Contents {
    let mut contents = Contents::new();
    let mut number = 0_usize;
    for database in databases(can) {
        for root_key in root_keys(can) {
            for key in KEYS {
                contents.put(database, root_key, key, noise(number as u64, number * 7 % 3000));
                number += 1;
            }
            // Keys whose length takes one byte more to write than the one before.
            for length in [127, 128, 255, 256, 257, 384] {
                contents.put(database, root_key, &vec![0xfe; length], "long key");
            }
        }
        contents.put(database, b"", b"no value", "");
    }
    contents
}

/// One database of `records` records of `bytes` bytes each.
pub(super) fn many(records: u32, bytes: usize) -> Contents {
    let mut contents = Contents::new();
    for number in 0..records {
        contents.put(FIRST, b"", &number.to_be_bytes(), noise(number.into(), bytes));
    }
    contents
}

/// Values around the length above which they travel in parts.
pub(super) fn long_values() -> Contents {
    let mut contents = Contents::new();
    let lengths = [0, MAX_WHOLE_VALUE - 1, MAX_WHOLE_VALUE, MAX_WHOLE_VALUE + 1, 20 << 20];
    for (number, length) in lengths.into_iter().enumerate() {
        let key = [b'k', u8::try_from(number).expect("there are five")];
        contents.put(FIRST, b"", &key, noise(number as u64, length));
        contents.put(FIRST, b"", &[&key[..], b" and a short one after it"].concat(), "short");
    }
    contents
}

/// The place of a record in the first database's first partition.
pub(super) fn at(key: &[u8]) -> RecordKey {
    RecordKey::new(b"", key)
}
