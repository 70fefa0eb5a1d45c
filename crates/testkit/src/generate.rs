//! Strategies of stores, with what has gone wrong before in every one of them: empty values, keys and
//! root keys, keys of every length, runs of 0xFF, long values, many tiny partitions.

use backup_core::kv::{Operation, WriteBatch};
use backup_core::record::{MAX_WHOLE_VALUE, RecordKey};
use backup_core::source::Capabilities;
use proptest::collection::vec;
use proptest::prelude::*;

use crate::contents::Contents;
use crate::noise::noise;

/// A key, or a root key, up to some KiB; short ones are near each other.
pub fn key() -> BoxedStrategy<Vec<u8>> {
    let near = prop::sample::select(vec![0x00, 0x01, b'a', b'b', 0x7f, 0x80, 0xfe, 0xff]);
    prop_oneof![
        1 => Just(Vec::new()),
        6 => vec(near.clone(), 1..6),
        2 => vec(any::<u8>(), 1..40),
        1 => (1_usize..300).prop_map(|length| vec![0xff; length]),
        1 => (vec(near, 0..3), 0_usize..300).prop_map(|(mut key, length)| {
            key.resize(key.len() + length, 0xff);
            key
        }),
        // Where the length takes one byte more to write than before.
        2 => (any::<u64>(), prop::sample::select(vec![127, 128, 129, 255, 256, 257, 384, 16_384]))
            .prop_map(|(seed, length)| noise(seed, length)),
    ]
    .boxed()
}

/// A value from nothing to some KiB.
pub fn value() -> BoxedStrategy<Vec<u8>> {
    prop_oneof![
        2 => Just(Vec::new()),
        6 => vec(any::<u8>(), 1..20),
        2 => (any::<u64>(), 0_usize..5000).prop_map(|(seed, length)| noise(seed, length)),
        1 => (0_usize..5000).prop_map(|length| vec![0; length]),
    ]
    .boxed()
}

/// A value of many MiB, around the length above which it travels in parts.
pub fn long_value() -> BoxedStrategy<Vec<u8>> {
    let lengths = prop_oneof![MAX_WHOLE_VALUE - 2..MAX_WHOLE_VALUE + 3, 0..MAX_WHOLE_VALUE * 3];
    (any::<u64>(), lengths).prop_map(|(seed, length)| noise(seed, length)).boxed()
}

/// A store that a backend of these abilities takes.
pub fn store(can: Capabilities) -> BoxedStrategy<Contents> {
    prop_oneof![
        12 => few_records(can),
        1 => with_long_value(can),
        1 => tiny_partitions(can),
    ]
    .boxed()
}

/// The name of a database, of which there are few, so that they fill up.
fn database(can: Capabilities) -> BoxedStrategy<String> {
    if !can.databases {
        return Just("default".to_owned()).boxed();
    }
    prop::sample::select(vec!["default", "a", "b", "with space/slash", "%41", "é", "data.bcs"])
        .prop_map(str::to_owned)
        .boxed()
}

/// A root key, where the backend keeps it.
fn root_key(can: Capabilities) -> BoxedStrategy<Vec<u8>> {
    if can.partitions {
        prop_oneof![2 => Just(Vec::new()), 3 => key()].boxed()
    } else {
        Just(Vec::new()).boxed()
    }
}

fn few_records(can: Capabilities) -> BoxedStrategy<Contents> {
    // Several keys share each root key, or nothing would lie side by side.
    let partition = (database(can), root_key(can), vec((key(), value()), 0..8));
    let partitions = vec(partition, 0..8);
    partitions
        .prop_map(|partitions| {
            let mut contents = Contents::new();
            for (database, root_key, records) in partitions {
                contents.add_database(&database);
                for (key, value) in records {
                    contents.put(&database, &root_key, &key, value);
                }
            }
            contents
        })
        .boxed()
}

fn with_long_value(can: Capabilities) -> BoxedStrategy<Contents> {
    (few_records(can), root_key(can), key(), long_value())
        .prop_map(|(mut contents, root_key, key, value)| {
            contents.put("default", &root_key, &key, value);
            contents
        })
        .boxed()
}

/// Some thousand partitions of one or two records; where there are none, as many keys.
fn tiny_partitions(can: Capabilities) -> BoxedStrategy<Contents> {
    (any::<u64>(), 1000_u32..4000)
        .prop_map(move |(seed, count)| {
            let mut contents = Contents::new();
            for number in 0..count {
                let name = noise(seed.wrapping_add(u64::from(number)), 1 + number as usize % 30);
                let root_key = if can.partitions { &name[..] } else { b"" };
                contents.put("default", root_key, &name, number.to_be_bytes());
                if number % 3 == 0 {
                    contents.put("default", root_key, b"", "");
                }
            }
            contents
        })
        .boxed()
}

/// Batches of operations on a few partitions, whose keys and prefixes meet.
pub fn batches(can: Capabilities) -> BoxedStrategy<Vec<(Vec<u8>, WriteBatch)>> {
    let roots: &[&[u8]] = if can.partitions { &[b"", b"a", b"a\x00", b"\xff"] } else { &[b""] };
    let root_key = prop::sample::select(roots.to_vec()).prop_map(<[u8]>::to_vec);
    let operation = prop_oneof![
        5 => (key(), value()).prop_map(|(key, value)| Operation::Put { key, value }),
        2 => key().prop_map(|key| Operation::Delete { key }),
        1 => key().prop_map(|prefix| Operation::DeletePrefix { prefix }),
        1 => prop::sample::select(vec![0x00, b'a', 0xff])
            .prop_map(|first| Operation::DeletePrefix { prefix: vec![first] }),
    ];
    let batch = vec(operation, 0..10).prop_map(|operations| WriteBatch { operations });
    vec((root_key, batch), 0..20).boxed()
}

/// What a batch does to the records of a database, said as plainly as can be.
pub fn apply(records: &mut crate::contents::Database, root_key: &[u8], batch: &WriteBatch) {
    for operation in &batch.operations {
        match operation {
            Operation::Put { key, value } => {
                records.insert(RecordKey::new(root_key, key), value.clone());
            }
            Operation::Delete { key } => {
                records.remove(&RecordKey::new(root_key, key));
            }
            Operation::DeletePrefix { prefix } => {
                records.retain(|at, _| at.root_key != root_key || !at.key.starts_with(prefix));
            }
        }
    }
}
