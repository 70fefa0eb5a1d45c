//! Tests of the sorter, against the standard library's sort.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use proptest::prelude::*;

use super::*;

/// The memory of most tests: a few records, so that everything is spilled and merged.
const LITTLE: usize = 1 << 10;

type Triple = (Vec<u8>, Vec<u8>, Vec<u8>);

fn push_all(sorter: &mut Sorter, records: &[Triple]) {
    let mut batch = RecordBatch::new();
    for (root_key, key, value) in records {
        for part in backup_core::record::parts(root_key, key, value) {
            batch.push(part).unwrap();
            if batch.is_full() {
                sorter.push(&std::mem::take(&mut batch)).unwrap();
            }
        }
    }
    sorter.push(&batch).unwrap();
}

fn sort(records: &[Triple], memory: usize, order: SortOrder) -> Sorted {
    let folder = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::new(folder.path(), memory, order, &Context::default());
    push_all(&mut sorter, records);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "spill files have no names");
    sorter.finish().unwrap()
}

fn collect(sorted: &Sorted) -> Vec<Triple> {
    let mut found: Vec<Triple> = Vec::new();
    let mut assembler = backup_core::record::Assembler::new();
    for batch in sorted.batches().unwrap() {
        let batch = batch.unwrap();
        assembler
            .feed(&batch, u64::MAX, |root_key, key, value| {
                found.push((root_key.to_vec(), key.to_vec(), value.to_vec()));
                Ok(())
            })
            .unwrap();
    }
    assembler.finish().unwrap();
    found
}

fn expected(mut records: Vec<Triple>, order: SortOrder) -> Vec<Triple> {
    records.sort_by(|one, other| order.compare((&one.0, &one.1), (&other.0, &other.1)));
    records
}

fn check(records: &[Triple], memory: usize) {
    for order in [SortOrder::Key, SortOrder::Encoded] {
        let sorted = sort(records, memory, order);
        let expected = expected(records.to_vec(), order);
        assert_eq!(sorted.records(), records.len() as u64);
        assert!(collect(&sorted) == expected, "{order:?} with {memory} bytes");
        let mut partitions: Vec<(Vec<u8>, u64)> = Vec::new();
        for (root_key, _, _) in expected {
            match partitions.last_mut() {
                Some((last, count)) if *last == root_key => *count += 1,
                _ => partitions.push((root_key, 1)),
            }
        }
        let found: Vec<_> = sorted.partitions().unwrap().map(Result::unwrap).collect();
        assert!(found == partitions, "{order:?} with {memory} bytes");
    }
}

/// Keys in an order that looks random and is the same each time.
fn shuffled(count: u64) -> Vec<Triple> {
    (0..count)
        .map(|number| {
            let mixed = number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let root_key = vec![b'r'; (mixed % 3) as usize];
            (root_key, mixed.to_be_bytes().to_vec(), number.to_le_bytes().to_vec())
        })
        .collect()
}

fn bytes(lengths: &'static [usize]) -> impl Strategy<Value = Vec<u8>> {
    (prop::sample::select(lengths), any::<u8>(), any::<u16>()).prop_map(|(length, fill, end)| {
        let mut bytes = vec![fill; length];
        let end = end.to_be_bytes();
        let tail = length.min(end.len());
        bytes[length - tail..].copy_from_slice(&end[..tail]);
        bytes
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_records_are_sorted(
        records in prop::collection::btree_map(
            (bytes(&[0, 1, 2, 127, 128, 256]), bytes(&[0, 1, 2, 3, 127, 128, 129, 256, 384])),
            bytes(&[0, 1, 100, INLINE_VALUE, INLINE_VALUE + 1]),
            0..200,
        ).prop_map(|map: BTreeMap<_, _>| {
            map.into_iter().map(|((root_key, key), value)| (root_key, key, value)).collect::<Vec<_>>()
        }).prop_shuffle(),
        memory in prop::sample::select(&[0, LITTLE, 16 << 10, 1 << 20][..]),
    ) {
        check(&records, memory);
    }
}

#[test]
fn nothing_sorts_to_nothing() {
    check(&[], LITTLE);
}

#[test]
fn many_runs_are_merged_in_levels() {
    let records = shuffled(20_000);
    let folder = tempfile::tempdir().unwrap();
    let mut sorter = Sorter::new(folder.path(), LITTLE, SortOrder::Key, &Context::default());
    push_all(&mut sorter, &records);
    assert!(sorter.runs.iter().any(|run| run.level > 2), "so little memory makes many levels");
    let fan_in = sorter.fan_in();
    let done = sorter.finish().unwrap();
    assert!(done.runs.len() <= fan_in);
    assert!(collect(&done) == expected(records, SortOrder::Key));
}

#[test]
fn descriptors_stay_few() {
    let folder = tempfile::tempdir().unwrap();
    let memory = 512 << 10;
    let mut sorter = Sorter::new(folder.path(), memory, SortOrder::Key, &Context::default());
    let mut most = 0;
    for chunk in shuffled(1_000_000).chunks(10_000) {
        push_all(&mut sorter, chunk);
        most = most.max(sorter.runs.len());
    }
    assert!(most > 2 && most < 2 * MAX_FAN_IN, "{most} runs");
    assert_eq!(sorter.finish().unwrap().records(), 1_000_000);
}

#[test]
fn records_in_order_make_one_run() {
    let records = expected(shuffled(5_000), SortOrder::Encoded);
    let sorted = sort(&records, LITTLE, SortOrder::Encoded);
    assert_eq!(sorted.runs.len(), 1);
    assert!(collect(&sorted) == records);
}

#[test]
fn what_is_sorted_is_read_twice_and_at_once() {
    let sorted = sort(&shuffled(3_000), LITTLE, SortOrder::Key);
    let (one, mut other) = (sorted.batches().unwrap(), sorted.batches().unwrap());
    let keys = |batch: &RecordBatch| -> Vec<Vec<u8>> {
        batch.iter().map(|record| record.key.to_vec()).collect()
    };
    for batch in one {
        let same = other.next().unwrap().unwrap();
        assert_eq!(keys(&batch.unwrap()), keys(&same));
    }
    assert!(other.next().is_none() && other.next().is_none());
}

#[test]
fn a_key_that_comes_twice_is_refused_by_name() {
    let twin = |value: u8| (b"root".to_vec(), vec![0xab; 40], vec![value]);
    for memory in [LITTLE, 1 << 20] {
        let mut records = shuffled(1_000);
        records.insert(10, twin(1));
        records.push(twin(2));
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path(), memory, SortOrder::Key, &Context::default());
        let outcome = (|| {
            for (root_key, key, value) in &records {
                let mut batch = RecordBatch::new();
                batch.push(Record::whole(root_key, key, value))?;
                sorter.push(&batch)?;
            }
            sorter.finish()?.batches()?.try_for_each(|batch| batch.map(drop))
        })();
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::Invalid { .. }), "{error:?}");
        let text = error.to_string();
        assert!(text.contains("0xabab") && text.contains("(40 bytes)"), "{text}");
        assert!(text.contains("0x726f6f74") && text.contains("twice"), "{text}");
    }
}

#[test]
fn long_values_come_back_in_parts() {
    let long: Vec<u8> = (0..MAX_WHOLE_VALUE + 12_345).map(|at| at.to_le_bytes()[0] % 251).collect();
    let whole = long[..MAX_WHOLE_VALUE].to_vec();
    let records = vec![
        (b"".to_vec(), b"z".to_vec(), long.clone()),
        (b"".to_vec(), b"y".to_vec(), whole),
        (b"".to_vec(), b"x".to_vec(), b"short".to_vec()),
        (b"".to_vec(), b"a".to_vec(), long),
    ];
    let sorted = sort(&records, LITTLE, SortOrder::Key);
    let mut shapes = BTreeSet::new();
    for batch in sorted.batches().unwrap() {
        for record in batch.unwrap().iter() {
            shapes.insert((record.key.to_vec(), record.offset, record.value.len(), record.total));
        }
    }
    let part = backup_core::record::PART_BYTES;
    let total = (MAX_WHOLE_VALUE + 12_345) as u64;
    assert!(shapes.contains(&(b"z".to_vec(), part as u64, part, total)));
    assert!(shapes.contains(&(b"z".to_vec(), MAX_WHOLE_VALUE as u64, 12_345, total)));
    assert!(shapes.contains(&(b"y".to_vec(), 0, MAX_WHOLE_VALUE, MAX_WHOLE_VALUE as u64)));
    assert!(collect(&sorted) == expected(records, SortOrder::Key));
}

#[test]
fn parts_out_of_order_are_refused() {
    let part = |key: &'static [u8], offset, length| Record {
        root_key: b"",
        key,
        value: &[7; 100][..length],
        offset,
        total: 100,
    };
    let of_another_length = Record { total: 101, ..part(b"k", 50, 51) };
    let cases: [&[Record<'_>]; 7] = [
        &[part(b"k", 0, 50), of_another_length],
        &[part(b"k", 50, 50)],
        &[part(b"k", 0, 50), part(b"k", 51, 49)],
        &[part(b"k", 0, 50), part(b"l", 50, 50)],
        &[part(b"k", 0, 50), part(b"k", 0, 50)],
        &[part(b"k", 0, 50), Record::whole(b"", b"l", b"v")],
        &[part(b"k", 0, 50)],
    ];
    for case in cases {
        let folder = tempfile::tempdir().unwrap();
        let mut sorter = Sorter::new(folder.path(), LITTLE, SortOrder::Key, &Context::default());
        let mut batch = RecordBatch::new();
        case.iter().try_for_each(|record| batch.push(*record)).unwrap();
        let outcome = sorter.push(&batch).and_then(|()| sorter.finish().map(drop));
        assert!(matches!(outcome, Err(Error::Invalid { .. })), "{case:?} gave {outcome:?}");
    }
}

#[test]
fn a_spill_folder_that_is_not_there_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("missing");
    let mut sorter = Sorter::new(&missing, LITTLE, SortOrder::Key, &Context::default());
    push_all(&mut sorter, &shuffled(1));
    let error = sorter.finish().unwrap_err();
    assert!(matches!(&error, Error::Io { path, .. } if *path == missing), "{error:?}");
}

#[test]
fn a_cancelled_sort_stops() {
    let folder = tempfile::tempdir().unwrap();
    let context = Context::default();
    let mut sorter = Sorter::new(folder.path(), LITTLE, SortOrder::Key, &context);
    push_all(&mut sorter, &shuffled(5_000));
    let done = sorter.finish().unwrap();
    let mut batches = done.batches().unwrap();
    context.cancel();
    assert!(matches!(batches.next(), Some(Err(Error::Cancelled))));
    assert!(batches.next().is_none(), "an error is the last item");
    assert!(matches!(done.partitions().unwrap().next(), Some(Err(Error::Cancelled))));
    let mut sorter = Sorter::new(folder.path(), LITTLE, SortOrder::Key, &context);
    assert!(matches!(sorter.push(&RecordBatch::new()), Err(Error::Cancelled)));
}

/// A disk that gives back something else than it was given must not make a sort panic, nor give
/// records that were never pushed without a word about most of them.
#[test]
fn a_damaged_spill_file_is_an_error_or_a_change_of_content() {
    let records = vec![
        (b"r".to_vec(), b"key".to_vec(), b"value".to_vec()),
        (b"r".to_vec(), b"long".to_vec(), vec![9; INLINE_VALUE + 1]),
        (b"s".to_vec(), b"other".to_vec(), b"".to_vec()),
    ];
    let sorted = sort(&records, 1 << 20, SortOrder::Key);
    let run = &sorted.runs[0];
    let length = usize::try_from(run.bytes).unwrap();
    let mut image = vec![0; length];
    run.spill.read_at(0, &mut image).unwrap();
    let (mut refused, mut counts_refused) = (0, 0);
    for at in 0..length {
        for bit in 0..8 {
            let mut flipped = image.clone();
            flipped[at] ^= 1 << bit;
            run.spill.write_at(0, &flipped).unwrap();
            let outcome = sorted.batches().and_then(|batches| {
                batches.map(|batch| batch.map(|batch| batch.bytes())).sum::<Result<usize>>()
            });
            refused += usize::from(outcome.is_err());
            let counted = sorted.partitions().and_then(|all| {
                all.map(|partition| partition.map(|(_, count)| count)).sum::<Result<u64>>()
            });
            counts_refused += usize::from(counted.is_err());
        }
    }
    assert!(refused > length && counts_refused > length, "{refused} and {counts_refused}");
    run.spill.write_at(0, &image).unwrap();
    assert!(collect(&sorted) == records);
}
