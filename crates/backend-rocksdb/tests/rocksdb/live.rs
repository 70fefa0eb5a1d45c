//! Stores read by their path while another process writes them as fast as it can.
//!
//! The writer is this test binary, started anew. Each of its batches puts its number under one key
//! in every column family, and adds a record; old records are deleted, so that compactions have
//! work. So at any one moment all column families show the same number, and exactly the last
//! records up to it.

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{env, fs, thread};

use backend_rocksdb::rocksdb::{DB, DBCompressionType, Options, WriteBatch};
use backend_rocksdb::{RocksSource, RocksTarget};
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::View;
use backup_core::target::Existing;
use backup_core::{RestoreExt, Snapshot, Source};
use pollster::FutureExt as _;
use testkit::contents::Contents;
use testkit::noise;

use crate::stores::{creating, open, records_of};

/// The variables that tell the writer where and how to write.
const FOLDER: &str = "KEEPSUM_TEST_ROCKSDB_FOLDER";
const WAY: &str = "KEEPSUM_TEST_ROCKSDB_WAY";

/// The variable for the number of rounds of each test.
const ROUNDS: &str = "KEEPSUM_TEST_ROCKSDB_ROUNDS";

const FAMILIES: [&str; 3] = ["default", "second", "third"];

/// How many records of the past a store keeps.
const KEPT: u64 = 3000;

/// The options of the writer: small memtables, so that it flushes and compacts all the time.
fn options(way: &str) -> (Options, Options) {
    let (mut database, mut family) = (creating(), Options::default());
    family.set_write_buffer_size(256 << 10);
    family.set_level_zero_file_num_compaction_trigger(2);
    family.set_target_file_size_base(256 << 10);
    family.set_max_bytes_for_level_base(1 << 20);
    database.set_max_background_jobs(2);
    match way {
        "plain" => {}
        "recycled logs" => database.set_recycle_log_file_num(4),
        "compressed logs" => database.set_wal_compression_type(DBCompressionType::Zstd),
        "atomic flush" => database.set_atomic_flush(true),
        "blobs" => {
            family.set_enable_blob_files(true);
            family.set_min_blob_size(100);
            family.set_blob_file_size(1 << 20);
            family.set_enable_blob_gc(true);
            family.set_blob_gc_age_cutoff(0.5);
        }
        "short manifests" => database.set_max_manifest_file_size(4096),
        other => panic!("{other}"),
    }
    (database, family)
}

fn descriptors(family: &Options) -> Vec<backend_rocksdb::rocksdb::ColumnFamilyDescriptor> {
    FAMILIES
        .iter()
        .map(|name| backend_rocksdb::rocksdb::ColumnFamilyDescriptor::new(*name, family.clone()))
        .collect()
}

#[test]
#[ignore = "the writer of the other tests, in a process of its own"]
fn writer() {
    let folder = env::var(FOLDER).expect("the test that starts the writer names the folder");
    let (database, family) = options(&env::var(WAY).unwrap());
    let db = DB::open_cf_descriptors(&database, &folder, descriptors(&family)).unwrap();
    let handles = FAMILIES.map(|name| db.cf_handle(name).unwrap());
    for number in 1_u64.. {
        let mut batch = WriteBatch::default();
        for handle in handles {
            batch.put_cf(handle, b"number", number.to_be_bytes());
        }
        let handle = handles[usize::try_from(number % 3).unwrap()];
        batch.put_cf(handle, number.to_be_bytes(), noise(number, 200));
        if number > KEPT {
            let old = number - KEPT;
            batch.delete_cf(handles[usize::try_from(old % 3).unwrap()], old.to_be_bytes());
        }
        db.write(batch).unwrap();
    }
}

/// A writer that is stopped when dropped.
struct Writer(Child);

impl Writer {
    fn start(folder: &Path, way: &str) -> Self {
        let child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "live::writer", "--ignored", "--nocapture"])
            .env(FOLDER, folder)
            .env(WAY, way)
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let writer = Self(child);
        for _ in 0..600 {
            if folder.join("CURRENT").exists() {
                thread::sleep(Duration::from_millis(300));
                return writer;
            }
            thread::sleep(Duration::from_millis(50));
        }
        panic!("the writer did not begin");
    }

    fn is_writing(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        // It may have ended by itself, which the test has then seen.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Checks that some one moment had these records, and gives its number.
fn check(found: &Contents) -> u64 {
    let number = |name: &str| {
        let records = found.databases.get(name)?;
        let value = records.get(&RecordKey::new(b"", b"number"))?;
        Some(u64::from_be_bytes(value.as_slice().try_into().unwrap()))
    };
    let numbers = FAMILIES.map(number);
    assert!(numbers.iter().all(|other| *other == numbers[0]), "half a batch: {numbers:?}");
    let number = numbers[0].unwrap_or(0);
    let mut expected = Contents::new();
    for (family, name) in (0..).zip(FAMILIES) {
        if number > 0 {
            expected.put(name, b"", b"number", number.to_be_bytes());
        }
        for one in number.saturating_sub(KEPT) + 1..=number {
            if one % 3 == family {
                expected.put(name, b"", &one.to_be_bytes(), noise(one, 200));
            }
        }
        expected.add_database(name);
    }
    expected.assert_same(found, &format!("the records at {number}"));
    number
}

/// Restores the files of a snapshot and opens them with RocksDB itself.
fn check_files(snapshot: &dyn Snapshot, folder: &Path, number: u64) {
    let target = RocksTarget::path(folder).unwrap();
    let files = snapshot.files().unwrap();
    let plan = testkit::transfer::files_plan("rocksdb", files.list(), Existing::Refuse);
    async {
        use backup_core::Target;
        let mut restore = target.begin(plan, &Context::default()).await.unwrap();
        for (index, file) in files.list().iter().enumerate().filter(|(_, file)| file.bytes > 0) {
            let bytes = files.read(index, 0..file.bytes).await.unwrap();
            restore.place(index, 0, bytes).await.unwrap();
        }
        restore.finish().await.unwrap();
    }
    .block_on();
    let db = open(folder, FAMILIES.map(|name| (name, Options::default())).to_vec());
    for name in FAMILIES {
        let found = db.get_cf(db.cf_handle(name).unwrap(), b"number").unwrap();
        let found = found.map_or(0, |value| u64::from_be_bytes(value.try_into().unwrap()));
        assert_eq!(found, number, "{name} of the restored files");
    }
    drop(db);
    fs::remove_dir_all(folder).unwrap();
}

fn under_fire(way: &str) {
    let rounds: u32 = env::var(ROUNDS).map_or(6, |rounds| rounds.parse().unwrap());
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut writer = Writer::start(&folder, way);
    let mut last = 0;
    for round in 0..rounds {
        let source = RocksSource::path(&folder).unwrap();
        let snapshot = source.snapshot(View::Both, &Context::default()).block_on();
        let snapshot = snapshot.unwrap_or_else(|error| panic!("{way}, round {round}: {error:?}"));
        assert_eq!(snapshot.info().consistency, Consistency::Crash);
        let number = check(&records_of(snapshot.as_ref()));
        assert!(number >= last, "{way}, round {round}: {number} after {last}");
        assert!(
            matches!(snapshot.info().position, Position::RocksDb { sequence } if sequence >= number)
        );
        check_files(snapshot.as_ref(), &parent.path().join("restored"), number);
        last = number;
    }
    assert!(writer.is_writing(), "{way}: the writer goes on");
    assert!(last > KEPT, "{way}: only {last} batches were written");
}

#[test]
fn a_writer_that_flushes_and_compacts() {
    under_fire("plain");
}

#[test]
fn a_writer_that_uses_its_logs_again() {
    under_fire("recycled logs");
}

#[test]
fn a_writer_that_compresses_its_logs() {
    under_fire("compressed logs");
}

#[test]
fn a_writer_that_flushes_all_families_at_once() {
    under_fire("atomic flush");
}

#[test]
fn a_writer_with_blob_files() {
    under_fire("blobs");
}

#[test]
fn a_writer_that_begins_new_manifests() {
    under_fire("short manifests");
}
