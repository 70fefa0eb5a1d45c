//! Locks: a backup by path keeps this process's lock on a database it has open, and a restore
//! finds out who holds one.

use std::path::Path;
use std::process::Command;
use std::{env, fs};

use backend_rocksdb::rocksdb::DB;
use backend_rocksdb::{RocksStore, RocksTarget};
use backup_core::Error;
use backup_core::source::{Layout, View};
use backup_core::target::Existing;
use pollster::FutureExt as _;
use testkit::transfer::transfer;

use crate::stores::{creating, plain, snapshot, text};

/// The variable that tells the other process what to open.
const FOLDER: &str = "KEEPSUM_TEST_ROCKSDB_LOCKED";

#[test]
#[ignore = "opens a database in a process of its own, for the other tests"]
fn opener() {
    let folder = env::var(FOLDER).expect("the test that starts this names the folder");
    DB::open(&creating(), folder).unwrap();
}

/// Whether another process can open the database.
fn others_can_open(folder: &Path) -> bool {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "lock::opener", "--ignored"])
        .env(FOLDER, folder)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("running 1 test"), "{said}");
    output.status.success()
}

#[test]
fn a_backup_by_path_keeps_the_lock() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = DB::open(&creating(), &folder).unwrap();
    db.put(b"key", b"value").unwrap();
    assert!(!others_can_open(&folder), "it is locked");
    for view in [View::Files, View::Records, View::Both] {
        drop(snapshot(&folder, view).unwrap());
    }
    assert!(!others_can_open(&folder), "it is still locked");
    // What this is about: opening and closing the file would have dropped the lock.
    drop(fs::File::open(folder.join("LOCK")).unwrap());
    assert!(others_can_open(&folder), "the lock is gone, so this test would have seen it");
}

#[test]
fn a_restore_over_an_open_database_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = DB::open(&creating(), &folder).unwrap();
    db.put(b"key", b"value").unwrap();
    let target = RocksTarget::path(&folder).unwrap();
    let contents = plain(&[("default", &[("a", "b")])]);
    let refused = transfer(&contents, &target, Existing::KeepAside).block_on().err().unwrap();
    assert!(matches!(refused, Error::InUse { .. }), "{refused:?}");
    assert!(text(&refused).contains(&std::process::id().to_string()), "{refused}");
    assert_eq!(db.get(b"key").unwrap().unwrap(), b"value");
    drop(db);
    let restored = transfer(&contents, &target, Existing::KeepAside).block_on().unwrap();
    assert!(restored.kept_aside.unwrap().join("CURRENT").exists());
}

#[test]
fn a_store_is_opened_once() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let store = RocksStore::create(&folder, Layout::Plain).unwrap();
    let again = RocksStore::open(&folder).err().unwrap();
    assert!(matches!(again, Error::InUse { .. }), "{again:?}");
    let over = RocksStore::create(&folder, Layout::Plain).err().unwrap();
    assert!(matches!(over, Error::Occupied { .. }), "{over:?}");
    drop(store);
    RocksStore::open(&folder).unwrap();
}
