//! Stores read by their path, as another program left them.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use crate::stores::{
    creating, in_two_folders, noted, open, plain, records, records_of, restore_files, said,
    snapshot, text,
};
use backend_rocksdb::rocksdb::{DB, DBCompressionType, DBPath, Options, WriteBatch, WriteOptions};
use backend_rocksdb::{RocksSource, RocksStore};
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::source::{FileNature, Layout, View};
use backup_core::{Error, Source};
use pollster::FutureExt as _;
use testkit::contents::contents;
use testkit::noise;
use testkit::tree::tree;

/// A store with flushed and unflushed data, deletions, and a column family that was dropped.
fn usual(folder: &Path) -> u64 {
    let options = Options::default;
    let mut db = open(folder, vec![("default", options()), ("b", options()), ("gone", options())]);
    db.put(b"flushed", b"1").unwrap();
    db.put(b"deleted", b"2").unwrap();
    db.put_cf(db.cf_handle("gone").unwrap(), b"x", b"y").unwrap();
    db.flush().unwrap();
    db.delete(b"deleted").unwrap();
    let b = db.cf_handle("b").unwrap();
    for number in 0..100_u8 {
        db.put_cf(b, [number], [number; 10]).unwrap();
    }
    db.delete_range_cf(b, [10], [90]).unwrap();
    db.drop_cf("gone").unwrap();
    db.put(b"only in the log", b"3").unwrap();
    db.latest_sequence_number()
}

#[test]
fn what_is_in_tables_and_logs_is_read_and_nothing_is_touched() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let sequence = usual(&folder);
    let before = tree(&folder).unwrap();

    for view in [View::Records, View::Files, View::Both] {
        let snapshot = snapshot(&folder, view).unwrap();
        let info = snapshot.info();
        assert_eq!(info.position, Position::RocksDb { sequence }, "{view:?}");
        assert_eq!(info.consistency, Consistency::Crash);
        assert_eq!(info.layout, Layout::Plain);
        let names: Vec<_> = info.databases.iter().map(|info| info.name.as_str()).collect();
        assert_eq!(names, ["default", "b"], "{view:?}");
        assert!(info.databases[0].settings.as_ref().unwrap().contains("compression="));
        if view.records() {
            let found = records_of(snapshot.as_ref());
            assert_eq!(found.databases["default"].len(), 2);
            assert_eq!(found.databases["b"].len(), 20);
        }
    }
    assert_eq!(tree(&folder).unwrap(), before, "nothing was changed");
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left beside it");
}

#[test]
fn an_unused_default_is_not_listed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    drop(open(&folder, vec![("default", Options::default()), ("empty", Options::default())]));
    for view in [View::Records, View::Files] {
        let names: Vec<_> = snapshot(&folder, view)
            .unwrap()
            .info()
            .databases
            .iter()
            .map(|d| d.name.clone())
            .collect();
        assert_eq!(names, ["empty"], "{view:?}");
    }
    let only = parent.path().join("only");
    drop(open(&only, vec![("default", Options::default())]));
    assert_eq!(snapshot(&only, View::Records).unwrap().info().databases[0].name, "default");
}

#[test]
fn a_store_that_is_not_there_is_not_found() {
    let parent = tempfile::tempdir().unwrap();
    let missing = snapshot(&parent.path().join("no"), View::Files).err().unwrap();
    assert!(matches!(missing, Error::NotFound { .. }), "{missing}");
    let empty = snapshot(parent.path(), View::Files).err().unwrap();
    assert!(matches!(empty, Error::NotFound { .. }) && text(&empty).contains("CURRENT"), "{empty}");
    fs::write(parent.path().join("file"), "x").unwrap();
    let file = snapshot(&parent.path().join("file"), View::Files).err().unwrap();
    assert!(matches!(file, Error::Invalid { .. }), "{file}");
}

#[test]
fn a_link_to_the_folder_is_followed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    usual(&folder);
    let link = parent.path().join("link");
    std::os::unix::fs::symlink(&folder, &link).unwrap();
    assert_eq!(records(&link).unwrap(), records(&folder).unwrap());
}

#[test]
fn files_that_are_not_rocksdbs_are_named() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    usual(&folder);
    fs::write(folder.join("app.conf"), "mine").unwrap();
    let snapshot = snapshot(&folder, View::Files).unwrap();
    assert!(noted(&said(snapshot.as_ref()), "app.conf"), "{:?}", said(snapshot.as_ref()));
    let listed = snapshot.files().unwrap().list();
    assert!(listed.iter().all(|file| file.path.as_str() != "app.conf"));
}

/// The identities of a store's tables, by their names.
fn identities(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let snapshot = snapshot(folder, View::Files).unwrap();
    let files = snapshot.files().unwrap().list().iter();
    let tables = files.filter(|file| file.nature == FileNature::Immutable);
    tables.map(|file| (file.path.to_string(), file.identity.clone())).collect()
}

#[test]
fn a_table_keeps_its_identity_and_no_other_has_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    usual(&folder);
    let first = identities(&folder);
    assert_eq!(first, identities(&folder));
    assert!(first.values().all(Option::is_some), "{first:?}");

    let families = || vec![("default", Options::default()), ("b", Options::default())];
    let db = open(&folder, families());
    db.compact_range::<&[u8], &[u8]>(None, None);
    drop(db);
    let second = identities(&folder);
    for (name, identity) in &second {
        let same_name = first.get(name);
        let known = first.values().any(|other| other == identity);
        assert_eq!(same_name == Some(identity), known, "{name}");
    }
    assert!(second.values().any(|identity| !first.values().any(|other| other == identity)));
}

#[test]
fn blob_files_are_part_of_it() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_enable_blob_files(true);
    options.set_min_blob_size(100);
    options.set_enable_blob_gc(true);
    options.set_blob_gc_age_cutoff(1.0);
    let db = open(&folder, vec![("default", options)]);
    for round in 0..4_u8 {
        for number in 0..50_u8 {
            db.put([number], noise((u64::from(round) << 8) + u64::from(number), 5000)).unwrap();
        }
        db.flush().unwrap();
    }
    db.compact_range::<&[u8], &[u8]>(None, None);
    db.put(b"later", noise(7, 300)).unwrap();
    db.flush().unwrap();
    drop(db);

    let snapshot = snapshot(&folder, View::Both).unwrap();
    let blobs: Vec<_> = snapshot
        .files()
        .unwrap()
        .list()
        .iter()
        .filter(|file| file.path.as_str().ends_with(".blob"))
        .collect();
    assert!(!blobs.is_empty() && blobs.iter().all(|blob| blob.identity.is_none()), "{blobs:?}");
    let found = records_of(snapshot.as_ref());
    assert_eq!(found.records(), 51);

    let restored = parent.path().join("restored");
    restore_files(&folder, &restored).unwrap();
    let db = DB::open_default(&restored).unwrap();
    for number in 0..50_u8 {
        assert_eq!(db.get([number]).unwrap(), Some(noise((3 << 8) + u64::from(number), 5000)));
    }
}

#[test]
fn logs_elsewhere_are_followed() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, logs) = (parent.path().join("db"), parent.path().join("logs"));
    let mut options = creating();
    options.set_wal_dir(&logs);
    let db = DB::open(&options, &folder).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"in the log", b"2").unwrap();
    drop(db);

    let expected = plain(&[("default", &[("flushed", "1"), ("in the log", "2")])]);
    let snapshot = snapshot(&folder, View::Both).unwrap();
    expected.assert_same(&records_of(snapshot.as_ref()), "with its wal_dir");
    assert!(noted(&said(snapshot.as_ref()), "wal_dir"), "{:?}", said(snapshot.as_ref()));
    let restored = parent.path().join("restored");
    restore_files(&folder, &restored).unwrap();
    expected.assert_same(&records(&restored).unwrap(), "restored files, in one folder");
    assert!(DB::open_default(&restored).unwrap().get(b"in the log").unwrap().is_some());

    // Moved, it is not found where OPTIONS says: it is refused by name, and found where one says.
    let moved = parent.path().join("moved");
    fs::rename(&logs, &moved).unwrap();
    let refused = records(&folder).err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    assert!(text(&refused).contains(logs.to_str().unwrap()), "{refused}");
    let source = RocksSource::path(&folder).unwrap().also_in(&moved);
    expected.assert_same(&contents(&source).block_on().unwrap(), "with its wal_dir named");
}

#[test]
fn a_moved_store_does_not_take_the_logs_of_another() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    // With db_paths, OPTIONS names the store's own folder as its wal_dir.
    let mut options = creating();
    options.set_db_paths(&[DBPath::new(&folder, 1 << 40).unwrap()]);
    let db = DB::open(&options, &folder).unwrap();
    db.put(b"of the old", b"1").unwrap();
    drop(db);
    let moved = parent.path().join("moved");
    fs::rename(&folder, &moved).unwrap();
    let db = DB::open(&creating(), &folder).unwrap();
    for _ in 0..5 {
        db.put(b"of the new", b"2").unwrap();
    }
    drop(db);
    let found = records(&moved).unwrap();
    plain(&[("default", &[("of the old", "1")])]).assert_same(&found, "the moved store");
}

#[test]
fn tables_in_other_folders_are_found_where_named() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, second) = (parent.path().join("db"), parent.path().join("second"));
    drop(in_two_folders(&folder, &second));
    let refused = snapshot(&folder, View::Files).err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    assert!(text(&refused).contains("db_paths"), "{refused}");
    let source = RocksSource::path(&folder).unwrap().also_in(&second);
    let snapshot = source.snapshot(View::Both, &Context::default()).block_on().unwrap();
    assert_eq!(records_of(snapshot.as_ref()).records(), 300);
    assert!(noted(&said(snapshot.as_ref()), "db_paths"), "{:?}", said(snapshot.as_ref()));
    let refused = RocksStore::open(&folder).err().unwrap();
    assert!(text(&refused).contains("db_paths"), "{refused}");
}

#[test]
fn a_ttl_store_gives_its_values_as_they_are_stored() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = DB::open_with_ttl(&creating(), &folder, std::time::Duration::from_secs(1000)).unwrap();
    db.put(b"key", b"value").unwrap();
    drop(db);
    let found = records(&folder).unwrap();
    let (_, value) = found.databases["default"].iter().next().unwrap();
    assert_eq!((&value[..5], value.len()), (&b"value"[..], 9), "the value and its time");
}

#[test]
fn writes_without_the_log_are_absent_until_they_are_flushed() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = DB::open(&creating(), &folder).unwrap();
    let mut unlogged = WriteOptions::default();
    unlogged.disable_wal(true);
    db.put_opt(b"a", b"1", &unlogged).unwrap();
    let open = snapshot(&folder, View::Records).unwrap();
    assert_eq!(records_of(open.as_ref()).records(), 0);
    assert!(noted(&open.info().notes, "write-ahead log are absent"), "{:?}", open.info().notes);
    db.flush().unwrap();
    assert_eq!(records(&folder).unwrap().records(), 1);
}

#[test]
fn logs_that_are_compressed_or_used_again_are_read() {
    for (compressed, recycled) in [(true, 0), (false, 4)] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("db");
        let mut options = creating();
        if compressed {
            options.set_wal_compression_type(DBCompressionType::Zstd);
        }
        options.set_recycle_log_file_num(recycled);
        let db = DB::open(&options, &folder).unwrap();
        for round in 0..12_u32 {
            for number in 0..200_u32 {
                let mut batch = WriteBatch::default();
                batch.put(number.to_be_bytes(), noise(u64::from(round * 1000 + number), 600));
                batch.put(b"round", round.to_be_bytes());
                db.write(batch).unwrap();
            }
            if round % 3 == 1 {
                db.flush().unwrap();
            }
        }
        // Longer than a block of the log, so in several fragments.
        db.put(b"long", vec![7; 200_000]).unwrap();
        let sequence = db.latest_sequence_number();
        let snapshot = snapshot(&folder, View::Both).unwrap();
        assert_eq!(snapshot.info().position, Position::RocksDb { sequence }, "{compressed}");
        assert_eq!(records_of(snapshot.as_ref()).records(), 202);
    }
}

#[test]
fn a_cancelled_snapshot_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    usual(&folder);
    let before = tree(parent.path()).unwrap();
    let context = Context::default();
    context.cancel();
    let source = RocksSource::path(&folder).unwrap();
    let answer = source.snapshot(View::Both, &context).block_on().err().unwrap();
    assert!(matches!(answer, Error::Cancelled));
    assert_eq!(tree(parent.path()).unwrap(), before);
}

#[test]
fn scratch_on_another_file_system_copies_and_says_so() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    usual(&folder);
    let Ok(elsewhere) = tempfile::tempdir_in("/dev/shm") else {
        panic!("this test needs a second file system at /dev/shm");
    };
    let source = RocksSource::path(&folder).unwrap().scratch_in(elsewhere.path());
    let snapshot = source.snapshot(View::Both, &Context::default()).block_on().unwrap();
    assert!(noted(&said(snapshot.as_ref()), "copied"), "{:?}", said(snapshot.as_ref()));
    assert_eq!(records_of(snapshot.as_ref()), records(&folder).unwrap());
    drop(snapshot);
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}
