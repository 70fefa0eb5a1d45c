//! The caller's own open database, of every type that the binding has.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use backend_rocksdb::rocksdb::{
    ColumnFamilyDescriptor, DB, DBWithThreadMode, MultiThreaded, OptimisticTransactionDB, Options,
    SingleThreaded, TransactionDB, TransactionDBOptions, TransactionOptions, WriteBatch,
    WriteBatchWithTransaction, WriteOptions,
};
use backend_rocksdb::{OpenDatabase, RocksSource, RocksTarget};
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::target::Existing;
use backup_core::{Error, Snapshot, Source};
use pollster::FutureExt as _;
use testkit::contents::{Contents, contents};
use testkit::transfer::transfer_files;

use crate::stores::{appending, creating, in_two_folders, open, plain, records, records_of, text};

fn families() -> Vec<ColumnFamilyDescriptor> {
    ["default", "b"].map(|name| ColumnFamilyDescriptor::new(name, Options::default())).into()
}

/// Reads it in both shapes: records, and files that are restored and opened.
fn reads(db: Arc<impl OpenDatabase>, parent: &Path, what: &str) {
    let expected =
        plain(&[("default", &[("flushed", "1"), ("not yet", "2")]), ("b", &[("x", "3")])]);
    let source = RocksSource::open_db(db).unwrap();
    assert!(source.capabilities().point_in_time);
    for view in [View::Records, View::Files, View::Both] {
        let snapshot = source.snapshot(view, &Context::default()).block_on().unwrap();
        assert_eq!(snapshot.info().consistency, Consistency::PointInTime, "{what}, {view:?}");
        assert_eq!(snapshot.info().position, Position::RocksDb { sequence: 3 }, "{what}, {view:?}");
        if view.records() {
            expected.assert_same(&records_of(snapshot.as_ref()), what);
        }
    }
    let restored = parent.join("restored");
    let target = RocksTarget::path(&restored).unwrap();
    transfer_files(&source, &target, Existing::Refuse).block_on().unwrap();
    expected.assert_same(&records(&restored).unwrap(), what);
    let left: Vec<_> = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(left.len(), 2, "{what}: nothing is left beside them: {left:?}");
}

#[test]
fn a_database_of_one_thread() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db: DBWithThreadMode<SingleThreaded> =
        DBWithThreadMode::open_cf_descriptors(&creating(), folder, families()).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"not yet", b"2").unwrap();
    db.put_cf(db.cf_handle("b").unwrap(), b"x", b"3").unwrap();
    reads(Arc::new(db), parent.path(), "DB, single-threaded");
}

#[test]
fn a_database_of_several_threads() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db: DBWithThreadMode<MultiThreaded> =
        DBWithThreadMode::open_cf_descriptors(&creating(), folder, families()).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"not yet", b"2").unwrap();
    db.put_cf(&db.cf_handle("b").unwrap(), b"x", b"3").unwrap();
    reads(Arc::new(db), parent.path(), "DB, multi-threaded");
}

#[test]
fn an_optimistic_database_of_one_thread() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db: OptimisticTransactionDB<SingleThreaded> =
        OptimisticTransactionDB::open_cf_descriptors(&creating(), folder, families()).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    let transaction = db.transaction();
    transaction.put(b"not yet", b"2").unwrap();
    transaction.put_cf(db.cf_handle("b").unwrap(), b"x", b"3").unwrap();
    transaction.commit().unwrap();
    reads(Arc::new(db), parent.path(), "optimistic, single-threaded");
}

#[test]
fn an_optimistic_database_of_several_threads() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db: OptimisticTransactionDB<MultiThreaded> =
        OptimisticTransactionDB::open_cf_descriptors(&creating(), folder, families()).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"not yet", b"2").unwrap();
    db.put_cf(&db.cf_handle("b").unwrap(), b"x", b"3").unwrap();
    reads(Arc::new(db), parent.path(), "optimistic, multi-threaded");
}

#[test]
fn a_transactional_database_of_one_thread() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let how = TransactionDBOptions::default();
    let db: TransactionDB<SingleThreaded> =
        TransactionDB::open_cf_descriptors(&creating(), &how, folder, families()).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    let transaction = db.transaction();
    transaction.put(b"not yet", b"2").unwrap();
    transaction.put_cf(db.cf_handle("b").unwrap(), b"x", b"3").unwrap();
    transaction.commit().unwrap();
    // One that is not committed is not seen.
    let db = Arc::new(db);
    let open = db.transaction();
    open.put(b"open", b"4").unwrap();
    reads(db.clone(), parent.path(), "transactions, single-threaded");
}

#[test]
fn a_transactional_database_of_several_threads() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let how = TransactionDBOptions::default();
    let db: TransactionDB<MultiThreaded> =
        TransactionDB::open_cf_descriptors(&creating(), &how, folder, families()).unwrap();
    let mut batch = WriteBatchWithTransaction::<true>::default();
    batch.put(b"flushed", b"1");
    db.write(batch).unwrap();
    db.put(b"not yet", b"2").unwrap();
    db.put_cf(&db.cf_handle("b").unwrap(), b"x", b"3").unwrap();
    reads(Arc::new(db), parent.path(), "transactions, multi-threaded");
}

/// The binding makes a handle of the default column family only where it was named. Without this,
/// a database opened the shortest way was read as an empty one, in silence.
#[test]
fn a_database_that_was_opened_without_naming_its_families() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let how = TransactionDBOptions::default();
    let db: TransactionDB = TransactionDB::open(&creating(), &how, &folder).unwrap();
    assert!(db.cf_handle("default").is_none());
    db.put(b"key", b"value").unwrap();
    let source = RocksSource::open_db(Arc::new(db)).unwrap();
    let expected = plain(&[("default", &[("key", "value")])]);
    expected.assert_same(&contents(&source).block_on().unwrap(), "opened without names");
}

/// A transaction that was prepared stays in the log until it is committed or given up. It is no
/// record, and it does not keep others from being read.
#[test]
fn prepared_transactions_are_no_records() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let how = TransactionDBOptions::default();
    let db: TransactionDB = TransactionDB::open(&creating(), &how, &folder).unwrap();
    db.put(b"before", b"1").unwrap();
    let transaction = db.transaction_opt(&WriteOptions::default(), &TransactionOptions::default());
    transaction.set_name(b"half done").unwrap();
    transaction.put(b"prepared", b"2").unwrap();
    transaction.prepare().unwrap();
    db.put(b"after", b"3").unwrap();
    let expected = plain(&[("default", &[("before", "1"), ("after", "3")])]);
    expected.assert_same(&records(&folder).unwrap(), "by path");
    let target = parent.path().join("restored");
    crate::stores::restore_files(&folder, &target).unwrap();
    drop(transaction);
    drop(db);
    // What was prepared is still there for its own program to commit.
    let db: TransactionDB = TransactionDB::open(&Options::default(), &how, &target).unwrap();
    let mut prepared = db.prepared_transactions();
    assert_eq!(prepared.len(), 1);
    prepared.remove(0).commit().unwrap();
    assert_eq!(db.get(b"prepared").unwrap().unwrap(), b"2");
}

/// The caller's handle has its merge operator, so its records can be read, which no path can.
#[test]
fn a_merge_operator_of_the_callers_is_used() {
    let parent = tempfile::tempdir().unwrap();
    let options = appending();
    let db = Arc::new(open(&parent.path().join("db"), vec![("default", options)]));
    db.merge(b"key", b"a").unwrap();
    db.merge(b"key", b"b").unwrap();
    let source = RocksSource::open_db(db).unwrap();
    let found = contents(&source).block_on().unwrap();
    plain(&[("default", &[("key", "ab")])]).assert_same(&found, "merged");
    source.snapshot(View::Files, &Context::default()).block_on().unwrap();
    let both = source.snapshot(View::Both, &Context::default()).block_on().err().unwrap();
    assert!(text(&both).contains("my.append"), "{both}");
}

#[test]
fn a_comparator_of_the_callers_is_refused_for_records() {
    let parent = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.set_comparator("by.length", Box::new(|a, b| a.len().cmp(&b.len()).then(a.cmp(b))));
    let db = Arc::new(open(&parent.path().join("db"), vec![("default", options)]));
    db.put(b"key", b"value").unwrap();
    let source = RocksSource::open_db(db).unwrap();
    let refused = contents(&source).block_on().err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(text(&refused).contains("by.length"), "{refused}");
    source.snapshot(View::Files, &Context::default()).block_on().unwrap();
}

#[test]
fn writes_without_the_log_are_in_both_shapes() {
    let parent = tempfile::tempdir().unwrap();
    let db = Arc::new(open(&parent.path().join("db"), vec![("default", Options::default())]));
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    db.put_opt(b"key", b"value", &unlogged).unwrap();
    let source = RocksSource::open_db(db).unwrap();
    let expected = plain(&[("default", &[("key", "value")])]);
    expected.assert_same(&contents(&source).block_on().unwrap(), "records");
    let restored = parent.path().join("restored");
    let target = RocksTarget::path(&restored).unwrap();
    transfer_files(&source, &target, Existing::Refuse).block_on().unwrap();
    expected.assert_same(&records(&restored).unwrap(), "files");
}

#[test]
fn a_checkpoint_that_rocksdb_refuses_says_what_can_be_done() {
    let parent = tempfile::tempdir().unwrap();
    let db = in_two_folders(&parent.path().join("db"), &parent.path().join("second"));
    let source = RocksSource::open_db(Arc::new(db)).unwrap();
    let refused = source.snapshot(View::Files, &Context::default()).block_on().err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
    assert!(text(&refused).contains("by its path"), "{refused}");
    assert_eq!(contents(&source).block_on().unwrap().records(), 300);
}

const FAMILIES: [&str; 3] = ["default", "second", "third"];

/// Writes the same number into every column family until told to stop.
fn write_numbers(db: &DB, stop: &AtomicBool) -> u64 {
    let mut number = 0_u64;
    while !stop.load(Ordering::Acquire) {
        number += 1;
        let mut batch = WriteBatch::default();
        for name in FAMILIES {
            let handle = db.cf_handle(name).unwrap();
            batch.put_cf(handle, b"number", number.to_be_bytes());
            batch.put_cf(handle, (number % 5000).to_be_bytes(), number.to_be_bytes());
        }
        db.write(batch).unwrap();
    }
    number
}

fn number(found: &Contents) -> u64 {
    let numbers: Vec<_> = FAMILIES
        .iter()
        .map(|name| {
            let records = &found.databases[*name];
            let largest = records
                .values()
                .map(|value| u64::from_be_bytes(value.as_slice().try_into().unwrap()));
            largest.max().unwrap()
        })
        .collect();
    assert!(numbers.iter().all(|other| *other == numbers[0]), "not one moment: {numbers:?}");
    numbers[0]
}

fn check(snapshot: &dyn Snapshot) -> u64 {
    // Many writes go by before it is read.
    thread::sleep(std::time::Duration::from_millis(20));
    let number = number(&records_of(snapshot));
    let sequence = Position::RocksDb { sequence: number * 6 };
    assert_eq!(snapshot.info().position, sequence, "each batch has six writes");
    number
}

#[test]
fn one_moment_across_column_families_while_others_write() {
    let parent = tempfile::tempdir().unwrap();
    let mut options = Options::default();
    options.set_write_buffer_size(256 << 10);
    let families = FAMILIES.map(|name| (name, options.clone())).to_vec();
    let db = Arc::new(open(&parent.path().join("db"), families));
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let writing = scope.spawn(|| write_numbers(&db, &stop));
        thread::sleep(std::time::Duration::from_millis(100));
        let source = RocksSource::open_db(db.clone()).unwrap();
        let mut last = 0;
        for round in 0..12 {
            let view = [View::Records, View::Both, View::Files][round % 3];
            let snapshot = source.snapshot(view, &Context::default()).block_on().unwrap();
            if view.records() {
                let number = check(snapshot.as_ref());
                assert!(number > last, "{number} after {last}");
                last = number;
                continue;
            }
            let restored = parent.path().join("restored");
            let target = RocksTarget::path(&restored).unwrap();
            transfer_files(&source, &target, Existing::Refuse).block_on().unwrap();
            assert!(number(&records(&restored).unwrap()) > last);
            fs::remove_dir_all(&restored).unwrap();
        }
        stop.store(true, Ordering::Release);
        assert!(writing.join().unwrap() > last);
    });
}

/// Column families come and go while snapshots are taken: each snapshot is whole, or says what
/// went away.
#[test]
fn column_families_that_come_and_go() {
    let parent = tempfile::tempdir().unwrap();
    let db: DBWithThreadMode<MultiThreaded> =
        DBWithThreadMode::open_cf_descriptors(&creating(), parent.path().join("db"), families())
            .unwrap();
    let db = Arc::new(db);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let changing = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.load(Ordering::Acquire) {
                let name = format!("passing {}", rounds % 3);
                db.create_cf(&name, &Options::default()).unwrap();
                db.put_cf(&db.cf_handle(&name).unwrap(), b"key", b"value").unwrap();
                db.put(b"rounds", [1]).unwrap();
                db.drop_cf(&name).unwrap();
                rounds += 1;
            }
            rounds
        });
        let source = RocksSource::open_db(db.clone()).unwrap();
        let by_path = RocksSource::path(parent.path().join("db")).unwrap();
        for round in 0..40 {
            let way = if round % 4 == 0 { &by_path } else { &source };
            let snapshot = way.snapshot(View::Records, &Context::default()).block_on().unwrap();
            let found = records_of(snapshot.as_ref());
            for (name, records) in found.databases {
                assert!(records.len() <= 1, "{name}: {records:?}");
            }
        }
        stop.store(true, Ordering::Release);
        assert!(changing.join().unwrap() > 0);
    });
}
