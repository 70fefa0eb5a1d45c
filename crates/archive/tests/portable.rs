//! The portable file against the `bcs` crate, and against bytes that are not one.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use archive::Error;
use archive::portable::{Contents, PortableReader, PortableWriter};
use backup_core::progress::Context;
use backup_core::record::{Assembler, MAX_WHOLE_VALUE, Record, RecordBatch, parts};
use proptest::prelude::*;

type Map = BTreeMap<Vec<u8>, BTreeMap<Vec<u8>, Vec<u8>>>;

/// So little memory that everything is spilled and merged.
const LITTLE: usize = 1 << 10;

fn map(records: &[(&[u8], &[u8], &[u8])]) -> Map {
    let mut map = Map::new();
    for (root_key, key, value) in records {
        map.entry(root_key.to_vec()).or_default().insert(key.to_vec(), value.to_vec());
    }
    map
}

fn records(map: &Map) -> Vec<(&[u8], &[u8], &[u8])> {
    map.iter()
        .flat_map(|(root_key, partition)| {
            partition.iter().map(|(key, value)| (&root_key[..], &key[..], &value[..]))
        })
        .collect()
}

fn write(records: &[(&[u8], &[u8], &[u8])], memory: usize) -> Vec<u8> {
    let spill = tempfile::tempdir().unwrap();
    let mut writer = PortableWriter::new(spill.path(), memory, &Context::default());
    for (root_key, key, value) in records {
        for part in parts(root_key, key, value) {
            let mut batch = RecordBatch::new();
            batch.push(part).unwrap();
            writer.push(&batch).unwrap();
        }
    }
    let mut file = Vec::new();
    writer.finish(&mut file, "test.bcs").unwrap();
    file
}

fn read(file: &[u8]) -> Result<(Map, Contents), Error> {
    let mut map = Map::new();
    let mut reader = PortableReader::new(file, "test.bcs");
    let mut assembler = Assembler::new();
    for batch in reader.by_ref() {
        assembler.feed(&batch?, u64::MAX, |root_key, key, value| {
            let partition = map.entry(root_key.to_vec()).or_default();
            assert!(partition.insert(key.to_vec(), value.to_vec()).is_none());
            Ok(())
        })?;
    }
    assert!(reader.next().is_none());
    assembler.finish()?;
    Ok((map, reader.contents()))
}

/// The byte and the words of the refusal.
#[track_caller]
fn refused(file: &[u8]) -> (u64, String) {
    match read(file) {
        Err(Error::Malformed { offset, detail, .. }) => (offset, detail),
        other => panic!("{file:02x?} gave {other:?}"),
    }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let lengths = prop::sample::select(&[0, 1, 2, 3, 127, 128, 129, 255, 256, 383, 384][..]);
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..6),
        (lengths, any::<u8>(), any::<u8>()).prop_map(|(length, fill, last)| {
            let mut bytes = vec![fill; length];
            bytes.last_mut().into_iter().for_each(|byte| *byte = last);
            bytes
        }),
    ]
}

fn maps() -> impl Strategy<Value = Map> {
    let partition = prop::collection::btree_map(bytes(), bytes(), 1..12);
    prop::collection::btree_map(bytes(), partition, 0..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_is_written_is_what_bcs_writes(map in maps(), seed in any::<u64>(), little in any::<bool>()) {
        let mut shuffled = records(&map);
        // Any order will do: one by a hash that the seed chooses.
        shuffled.sort_by_key(|(root_key, key, _)| {
            let sum = |bytes: &[u8]| bytes.iter().fold(seed, |sum, byte| {
                (sum ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
            });
            (sum(root_key) ^ sum(key).rotate_left(17), root_key.len(), key.len())
        });
        let file = write(&shuffled, if little { LITTLE } else { 1 << 20 });
        prop_assert_eq!(&file, &bcs::to_bytes(&map).unwrap());
        prop_assert_eq!(&bcs::from_bytes::<Map>(&file).unwrap(), &map);
    }

    #[test]
    fn what_bcs_writes_is_read(map in maps()) {
        let (found, contents) = read(&bcs::to_bytes(&map).unwrap()).unwrap();
        prop_assert_eq!(&found, &map);
        let records = records(&map);
        let bytes: usize = records.iter().map(|(r, k, v)| r.len() + k.len() + v.len()).sum();
        prop_assert_eq!(contents, Contents {
            partitions: map.len() as u64,
            empty_partitions: 0,
            records: records.len() as u64,
            bytes: bytes as u64,
        });
    }

    #[test]
    fn what_is_read_is_what_bcs_reads(file in prop::collection::vec(0_u8..4, 0..24)) {
        let expected = bcs::from_bytes::<Map>(&file).ok().map(|mut map| {
            map.retain(|_, partition| !partition.is_empty());
            map
        });
        prop_assert_eq!(read(&file).ok().map(|(map, _)| map), expected);
    }
}

#[test]
fn an_empty_database_is_one_byte() {
    assert_eq!(write(&[], LITTLE), [0]);
    assert_eq!(read(&[0]).unwrap(), (Map::new(), Contents::default()));
}

#[test]
fn keys_are_ordered_by_the_bytes_of_their_length() {
    let lengths = [0, 1, 127, 128, 129, 255, 256, 257, 383, 384, 16_383, 16_384];
    let keys: Vec<Vec<u8>> = lengths.iter().map(|length| vec![b'k'; *length]).collect();
    let mut all = Vec::new();
    for root_key in &keys {
        all.extend(keys.iter().map(|key| (&root_key[..], &key[..], &b"v"[..])));
    }
    let file = write(&all, 64 << 10);
    assert_eq!(file, bcs::to_bytes(&map(&all)).unwrap());
    let mut found = Vec::new();
    for batch in PortableReader::new(&file[..], "test.bcs") {
        let batch = batch.unwrap();
        found.extend(batch.iter().map(|record| (record.root_key.len(), record.key.len())));
    }
    // 0x80 0x01, 0x80 0x02, 0x80 0x03, 0x80 0x80 0x01 come before 0x81 0x01, and so on.
    let order = [0, 1, 127, 128, 256, 384, 16_384, 129, 257, 255, 383, 16_383];
    let order = order.map(|length| order.map(|key| (length, key)));
    assert_eq!(found, order.as_flattened());
}

#[test]
fn long_values_are_written_and_read_in_parts() {
    let long: Vec<u8> = (0..=MAX_WHOLE_VALUE + 4321).map(|at| at.to_le_bytes()[0] % 253).collect();
    let whole = &long[..MAX_WHOLE_VALUE];
    let all = [(&b"r"[..], &b"b"[..], &long[..]), (b"r", b"a", whole), (b"", b"z", &long)];
    let file = write(&all, LITTLE);
    assert!(file == bcs::to_bytes(&map(&all)).unwrap());
    let mut most = 0;
    for batch in PortableReader::new(&file[..], "test.bcs") {
        most = most.max(batch.unwrap().bytes());
    }
    assert!(most < MAX_WHOLE_VALUE + (2 << 20), "a batch of {most} bytes");
    assert!(read(&file).unwrap().0 == map(&all));
}

#[test]
fn keys_as_long_as_they_may_be_are_read_and_longer_ones_refused() {
    let limit = backup_core::record::MAX_KEY_BYTES;
    let key = vec![b'k'; limit];
    let all = [(&key[..], &key[..], &b"v"[..]), (&key, b"", b"")];
    assert!(read(&write(&all, LITTLE)).unwrap().0 == map(&all));
    let longer = vec![b'k'; limit + 1];
    let (offset, detail) = refused(&bcs::to_bytes(&map(&[(b"", &longer, b"v")])).unwrap());
    assert_eq!(offset, 3);
    assert!(detail.contains("1048577 bytes, the limit is 1048576"), "{detail}");
}

#[test]
fn a_value_that_bcs_cannot_hold_is_refused_before_it_is_read() {
    let spill = tempfile::tempdir().unwrap();
    let mut writer = PortableWriter::new(spill.path(), LITTLE, &Context::default());
    let mut batch = RecordBatch::new();
    let first = Record { root_key: b"", key: b"big", value: b"v", offset: 0, total: 1 << 31 };
    batch.push(first).unwrap();
    let error = writer.push(&batch).unwrap_err();
    assert!(matches!(error, Error::Core(backup_core::Error::Limit { .. })), "{error:?}");
    assert!(error.to_string().contains("2147483648 bytes long"), "{error}");
}

#[test]
fn what_is_not_canonical_is_refused_at_its_byte() {
    let cases: [(&[u8], u64, &str); 14] = [
        (&[], 0, "ends early, in the number of root keys"),
        (&[0x80], 1, "ends early, in the number of root keys"),
        (&[0x80, 0], 0, "not minimal"),
        (&[0x81, 0x80, 0], 0, "not minimal"),
        (&[0x80, 0x80, 0x80, 0x80, 8], 0, "2^31 or more"),
        (&[0xff, 0xff, 0xff, 0xff, 0xff, 0], 0, "more than five bytes"),
        (&[1, 1, b'r', 0x80], 4, "ends early, in the number of a root key's records"),
        (&[1, 1, b'r', 0x80, 0], 3, "not minimal"),
        (&[0, 0], 1, "follows the last record"),
        (&[2, 1, b'b', 1, 0, 0, 1, b'a', 1, 0, 0], 6, "after a greater one: the key 0x61"),
        (&[2, 1, b'b', 1, 0, 0, 1, b'b', 1, 0, 0], 6, "a root key comes twice: the key 0x62"),
        (&[1, 0, 2, 1, b'b', 0, 1, b'a', 0], 6, "a key comes after a greater one: the key 0x61"),
        (&[1, 0, 2, 1, b'b', 0, 1, b'b', 0], 6, "a key comes twice: the key 0x62"),
        (&[1, 0, 2, 2, b'a', b'a', 0, 1, b'b', 0], 7, "after a greater one"),
    ];
    for (file, expected, words) in cases {
        let (offset, detail) = refused(file);
        assert_eq!(offset, expected, "{file:02x?}: {detail}");
        assert!(detail.contains(words), "{file:02x?}: {detail}");
        assert!(bcs::from_bytes::<Map>(file).is_err(), "{file:02x?}");
    }
}

#[test]
fn a_claim_is_not_believed() {
    let most = [0xff, 0xff, 0xff, 0xff, 0x07];
    let (offset, detail) = refused(&most);
    assert!(offset == 5 && detail.contains("ends early, in a root key"), "{offset}: {detail}");
    for (head, what) in [(&[1, 0][..], "a key"), (&[1, 0, 1, 0], "a value")] {
        let (offset, detail) = refused(&[head, &most].concat());
        assert_eq!(offset, head.len() as u64 + 5);
        assert!(detail.contains(&format!("ends early, in {what}")), "{detail}");
    }
    for head in [&[1][..], &[1, 0, 1]] {
        let (offset, detail) = refused(&[head, &most].concat());
        assert_eq!(offset, head.len() as u64);
        assert!(detail.contains("2147483647 bytes, the limit is 1048576"), "{detail}");
    }
}

#[test]
fn root_keys_without_records_are_counted_and_dropped() {
    let file = [3, 1, b'a', 0, 1, b'b', 1, 0, 1, b'v', 1, b'c', 0];
    assert!(bcs::from_bytes::<Map>(&file).is_ok());
    let (found, contents) = read(&file).unwrap();
    assert_eq!(found, map(&[(b"b", b"", b"v")]));
    assert_eq!(contents, Contents { partitions: 1, empty_partitions: 2, records: 1, bytes: 2 });
}

fn small_file() -> Vec<u8> {
    let all = [
        (&b""[..], &b"a"[..], &b""[..]),
        (b"", b"bb", b"value"),
        (b"r", b"", b"v"),
        (b"r", b"k", b"w"),
        (b"root", b"key", b"x"),
    ];
    write(&all, 1 << 20)
}

#[test]
fn a_file_that_is_cut_short_is_refused_wherever_it_is_cut() {
    let file = small_file();
    for end in 0..file.len() {
        let (offset, detail) = refused(&file[..end]);
        assert!(detail.contains("ends early"), "cut at {end}: {detail}");
        assert_eq!(offset, end as u64, "{detail}");
    }
    assert!(read(&file).is_ok());
}

#[test]
fn a_changed_byte_is_refused_or_makes_another_map() {
    let file = small_file();
    let (whole, _) = read(&file).unwrap();
    let (mut refusals, mut others) = (0, 0);
    for at in 0..file.len() {
        for mask in 1..=255 {
            let mut changed = file.clone();
            changed[at] ^= mask;
            let expected = bcs::from_bytes::<Map>(&changed).ok().map(|mut map| {
                map.retain(|_, partition| !partition.is_empty());
                map
            });
            match read(&changed) {
                Ok((map, _)) => {
                    assert_ne!(map, whole, "byte {at} changed by {mask:#x}");
                    assert_eq!(Some(map), expected, "byte {at} changed by {mask:#x}");
                    others += 1;
                }
                Err(error) => {
                    assert!(matches!(error, Error::Malformed { .. }), "{error:?}");
                    assert_eq!(expected, None, "byte {at} changed by {mask:#x}: {error}");
                    refusals += 1;
                }
            }
        }
    }
    assert!(refusals > 4000 && others > 1000, "{refusals} refused, {others} other maps");
}

#[test]
fn the_order_of_keys_is_known_and_can_be_had() {
    let ordered = write(&[(b"", b"a", b""), (b"", b"b", b""), (b"r", b"a", b"")], LITTLE);
    let mut reader = PortableReader::new(&ordered[..], "test.bcs");
    assert_eq!(reader.by_ref().map(|batch| batch.unwrap().len()).sum::<usize>(), 3);
    assert!(reader.in_key_order());

    let all = [(&b"r"[..], &b"aa"[..], &b"1"[..]), (b"r", b"b", b"2"), (b"qq", b"c", b"3")];
    let file = write(&all, LITTLE);
    let mut reader = PortableReader::new(&file[..], "test.bcs");
    assert_eq!(reader.by_ref().map(|batch| batch.unwrap().len()).sum::<usize>(), 3);
    assert!(!reader.in_key_order());

    // Each root key's own records are in order here, the root keys are not.
    let across = write(&[(b"b", b"x", b""), (b"aa", b"y", b"")], LITTLE);
    let mut reader = PortableReader::new(&across[..], "test.bcs");
    assert_eq!(reader.by_ref().map(|batch| batch.unwrap().len()).sum::<usize>(), 2);
    assert!(!reader.in_key_order());

    let spill = tempfile::tempdir().unwrap();
    let reader = PortableReader::new(&file[..], "test.bcs");
    let sorted = reader.sorted(spill.path(), LITTLE, &Context::default()).unwrap();
    let mut values = Vec::new();
    for batch in sorted.batches().unwrap() {
        values.extend(batch.unwrap().iter().flat_map(|record| record.value.to_vec()));
    }
    assert_eq!(values, b"312");
}

struct Broken;

impl Read for Broken {
    fn read(&mut self, _into: &mut [u8]) -> io::Result<usize> {
        Err(io::Error::other("the cable is out"))
    }
}

impl Write for Broken {
    fn write(&mut self, _bytes: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::StorageFull.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_device_that_fails_is_no_damage() {
    let mut reader = PortableReader::new(Broken, "/data/x.bcs");
    let error = reader.next().unwrap().unwrap_err();
    assert_eq!(error.to_string(), "cannot read /data/x.bcs");
    assert!(reader.next().is_none(), "an error is the last item");

    let spill = tempfile::tempdir().unwrap();
    let writer = PortableWriter::new(spill.path(), LITTLE, &Context::default());
    let error = writer.finish(Broken, "/data/x.bcs").unwrap_err();
    assert!(
        matches!(&error, Error::Io { action: "write", source, .. }
        if source.kind() == io::ErrorKind::StorageFull),
        "{error:?}"
    );
}
