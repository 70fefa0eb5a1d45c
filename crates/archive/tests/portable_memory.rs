//! Memory does not grow with what is written and read: the peak of the whole process is measured,
//! so this file has one test.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs::{self, File};

use archive::portable::{PortableReader, PortableSource, PortableWriter};
use backup_core::Source;
use backup_core::progress::Context;
use backup_core::record::{PART_BYTES, Record, RecordBatch};
use backup_core::source::View;
use futures_util::TryStreamExt;
use pollster::FutureExt as _;

/// What sorting is given, in bytes.
const MEMORY: usize = 8 << 20;

/// What the process may need above what it had: sorting, its buffers, batches under way.
const ALLOWED: usize = 40 << 20;

const RECORDS: u64 = 250_000;
const LONG_VALUE: usize = 150 << 20;

/// The most memory the process has had, in bytes.
fn peak() -> usize {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim_end_matches("kB").trim().parse::<usize>().unwrap() << 10
}

/// 250 MB of records in an order that looks random, then a value of 150 MiB.
fn fill(writer: &mut PortableWriter) {
    let mut batch = RecordBatch::new();
    for number in 0..RECORDS {
        let key = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
        let key = &key[..4 + (number % 4) as usize];
        // No two of these begin with the same four bytes.
        batch.push(Record::whole(&key[..1], key, &[key[0]; 1000])).unwrap();
        if batch.is_full() {
            writer.push(&std::mem::take(&mut batch)).unwrap();
        }
    }
    writer.push(&batch).unwrap();
    let part = vec![7; PART_BYTES];
    for offset in (0..LONG_VALUE).step_by(PART_BYTES) {
        let mut batch = RecordBatch::new();
        let (offset, total) = (offset as u64, LONG_VALUE as u64);
        batch.push(Record { root_key: b"", key: b"long", value: &part, offset, total }).unwrap();
        writer.push(&batch).unwrap();
    }
}

#[test]
fn memory_stays_bounded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("big.bcs");
    let before = peak();

    // Five bytes that claim 2^31 - 1 root keys, and a value of as many bytes.
    for claim in [&[0xff, 0xff, 0xff, 0xff, 7][..], &[1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff, 7]] {
        assert!(PortableReader::new(claim, "claim.bcs").next().unwrap().is_err());
    }
    let claimed = peak() - before;
    assert!(claimed < 4 << 20, "a claim took {claimed} bytes");

    let mut writer = PortableWriter::new(folder.path(), MEMORY, &Context::default());
    fill(&mut writer);
    let contents = writer.finish(File::create(&path).unwrap(), &path).unwrap();
    assert_eq!(contents.records, RECORDS + 1);
    let written = peak() - before;
    assert!(written < ALLOWED, "writing took {written} bytes");

    let source = PortableSource::new(&path, folder.path()).unwrap().with_memory(MEMORY);
    let snapshot = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    let mut batches = snapshot.records().unwrap().scan(0, None);
    let (mut records, mut bytes) = (0, 0);
    while let Some(batch) = batches.try_next().block_on().unwrap() {
        records += batch.iter().filter(Record::starts_value).count() as u64;
        bytes += batch.iter().map(|record| record.counted_bytes()).sum::<u64>();
    }
    assert_eq!((records, bytes), (contents.records, contents.bytes));
    let read = peak() - before;
    assert!(read < ALLOWED, "reading took {read} bytes");
    println!("peak above the start: {claimed} claimed, {written} written, {read} read");
}
