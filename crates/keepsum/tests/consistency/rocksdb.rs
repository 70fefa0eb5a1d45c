//! RocksDB beside its writers: while it compacts, while column families come and go, and with writes
//! that bypass the write-ahead log.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use backend_rocksdb::RocksSource;
use backend_rocksdb::rocksdb::{
    ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options, WriteBatch, WriteOptions,
};
use backup_core::Source;
use backup_core::position::Consistency;
use backup_core::progress::Context;
use backup_core::source::View;
use keepsum::backup::ShapeChoice;
use pollster::FutureExt as _;
use testkit::beside::beside;
use testkit::contents::contents;

use crate::accounts::{self, ACCOUNTS, AMOUNT, DATABASES, Transfer};
use crate::backups::back_up_and_check;

type Db = DBWithThreadMode<MultiThreaded>;

/// How many backups are made of each store.
const ROUNDS: u32 = 6;

/// Tables and memtables so small that a short test makes many.
fn options() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options.set_write_buffer_size(64 << 10);
    options.set_target_file_size_base(64 << 10);
    options.set_level_zero_file_num_compaction_trigger(2);
    options
}

fn open(folder: &std::path::Path, options: &Options) -> Arc<Db> {
    let families = DATABASES.map(|name| ColumnFamilyDescriptor::new(name, self::options()));
    let db = Db::open_cf_descriptors(options, folder, families).unwrap();
    let mut batch = WriteBatch::default();
    for name in DATABASES {
        let family = db.cf_handle(name).unwrap();
        for account in 0..ACCOUNTS {
            batch.put_cf(&family, accounts::key(account), AMOUNT.to_be_bytes());
        }
    }
    db.write(batch).unwrap();
    Arc::new(db)
}

/// Makes one transfer, with ballast that fills memtables. One thread writes: RocksDB would need
/// transactions to read and write in one step.
fn transfer(db: &Db, number: u64, writing: &WriteOptions) {
    let Transfer { from, to, amount } = Transfer::of(number);
    let held = |(database, account): (usize, u64)| {
        let family = db.cf_handle(DATABASES[database]).unwrap();
        let value = db.get_cf(&family, accounts::key(account)).unwrap().unwrap();
        u64::from_be_bytes(value.try_into().unwrap())
    };
    let mut batch = WriteBatch::default();
    let mut put = |(database, account): (usize, u64), amount: u64| {
        let family = db.cf_handle(DATABASES[database]).unwrap();
        batch.put_cf(&family, accounts::key(account), amount.to_be_bytes());
        batch.put_cf(&family, [b"ballast ", &(number % 500).to_be_bytes()[..]].concat(), [7; 400]);
    };
    put(from, held(from) - amount);
    put(to, held(to) + amount);
    db.write_opt(batch, writing).unwrap();
}

/// Backs up in both shapes while one thread writes, and another does `upkeep`.
fn beside_writers(db: &Arc<Db>, writing: &WriteOptions, upkeep: impl Fn(u64) + Send + Sync) {
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let source = RocksSource::open_db(Arc::clone(db)).unwrap();
    let written = AtomicU64::new(0);
    let write = |number: u64| {
        transfer(db, number, writing);
        written.store(number, Ordering::Relaxed);
        Ok(())
    };
    let keep_up = |round: u64| {
        upkeep(round);
        thread::sleep(Duration::from_millis(2));
        Ok(())
    };
    let mut moments = Vec::new();
    let test = || {
        for shape in [ShapeChoice::Records, ShapeChoice::Files] {
            let taken = back_up_and_check(&source, shape, ROUNDS, accounts::check);
            moments.extend(runtime.block_on(taken));
        }
        Ok(())
    };
    beside(write, || beside(keep_up, test)).unwrap();
    moments.dedup_by(|one, next| one.databases == next.databases);
    assert!(moments.len() > 3, "hardly anything was written between {ROUNDS} backups");
    assert!(written.load(Ordering::Relaxed) > 100, "too few transfers to show anything");
}

fn compact(db: &Db, round: u64) {
    let family = db.cf_handle(DATABASES[usize::try_from(round % 3).unwrap()]).unwrap();
    db.flush_cf(&family).unwrap();
    db.compact_range_cf(&family, None::<&[u8]>, None::<&[u8]>);
}

#[test]
fn while_it_flushes_and_compacts() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder.path().join("db"), &options());
    beside_writers(&db, &WriteOptions::default(), |round| compact(&db, round));
}

#[test]
fn while_column_families_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder.path().join("db"), &options());
    beside_writers(&db, &WriteOptions::default(), |round| {
        let name = format!("passing {}", round % 7);
        if db.cf_handle(&name).is_some() {
            return db.drop_cf(&name).unwrap();
        }
        db.create_cf(&name, &Options::default()).unwrap();
        let family = db.cf_handle(&name).unwrap();
        db.put_cf(&family, b"passing", b"by").unwrap();
    });
}

/// Nothing of these writes is in a log: what a copy of the files shows must come from a flush of all
/// column families at one moment, which RocksDB does where `atomic_flush` is set.
#[test]
fn with_writes_that_bypass_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options();
    options.set_atomic_flush(true);
    let db = open(&folder.path().join("db"), &options);
    let mut writing = WriteOptions::default();
    writing.disable_wal(true);
    beside_writers(&db, &writing, |_| ());
}

/// Flushed one by one, column families show different moments where no log fills what came in
/// between: such a copy was called a point in time, and an account's transfer was seen by half.
#[test]
fn what_bypasses_the_log_without_an_atomic_flush_is_called_no_point_in_time() {
    let folder = tempfile::tempdir().unwrap();
    let db = open(&folder.path().join("db"), &options());
    let source = RocksSource::open_db(Arc::clone(&db)).unwrap();
    let mut writing = WriteOptions::default();
    writing.disable_wal(true);
    let write = |number: u64| {
        transfer(&db, number, &writing);
        Ok(())
    };
    let test = || {
        let mut torn = 0;
        for _ in 0..ROUNDS {
            let snapshot = source.snapshot(View::Files, &Context::default()).block_on()?;
            let restored = tempfile::tempdir().unwrap();
            let files = snapshot.files().unwrap();
            for (number, file) in files.list().iter().enumerate() {
                let bytes = files.read(number, 0..file.bytes).block_on()?;
                std::fs::write(restored.path().join(file.path.as_str()), bytes).unwrap();
            }
            let restored = RocksSource::path(restored.path()).unwrap();
            let whole = accounts::check(&contents(&restored).block_on()?).is_ok();
            let info = snapshot.info();
            assert!(whole || info.consistency == Consistency::Crash, "{:?}", info.consistency);
            let said = info.notes.iter().any(|note| note.contains("atomic_flush"));
            assert_eq!(said, info.consistency == Consistency::Crash, "{:?}", info.notes);
            torn += u32::from(!whole);
        }
        Ok(torn)
    };
    assert!(beside(write, test).unwrap() > 0, "the writes were never caught in between");

    // Nothing is written any more: every checkpoint is of one moment.
    let snapshot = source.snapshot(View::Files, &Context::default()).block_on().unwrap();
    assert_eq!(snapshot.info().consistency, Consistency::PointInTime);
}
