//! Folders as they are found: moved, mounted elsewhere, with their logs or tables on other disks, with an
//! application's own files in them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::stores::{
    creating, noted, plain, records, records_of, restore_files, said, snapshot, text,
};
use backend_rocksdb::rocksdb::{DB, DBPath, Options};
use backend_rocksdb::{RocksSource, RocksTarget};
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::target::Existing;
use backup_core::{Error, Source};
use pollster::FutureExt as _;
use testkit::contents::Contents;
use testkit::transfer::{transfer, transfer_files};

/// What [`store`] makes.
fn expected() -> Contents {
    plain(&[("default", &[("flushed", "1"), ("in the log", "2")])])
}

/// A store with a record in a table and one in its log.
fn store(options: &Options, folder: &Path) {
    let db = DB::open(options, folder).unwrap();
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    db.put(b"in the log", b"2").unwrap();
}

/// Makes the OPTIONS of a store name its own folder as the `wal_dir`, as releases up to 6.22 wrote them.
fn write_wal_dir(folder: &Path) {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let is_options = |path: &PathBuf| path.to_str().unwrap().contains("/OPTIONS-");
    for path in names.filter(is_options) {
        let text = fs::read_to_string(&path).unwrap();
        let (section, line) = ("[DBOptions]\n", format!("  wal_dir={}\n", folder.display()));
        assert!(text.contains(section) && !text.contains("wal_dir="), "{text}");
        fs::write(&path, text.replace(section, &format!("{section}{line}"))).unwrap();
    }
}

/// Lost: every folder of RocksDB up to 6.22 that was moved, or mounted elsewhere in a container. Its OPTIONS
/// name its own old place as the `wal_dir`.
#[test]
fn the_logs_of_a_store_that_moved_are_where_it_is_now() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, moved) = (parent.path().join("db"), parent.path().join("moved"));
    store(&creating(), &folder);
    write_wal_dir(&folder);
    fs::rename(&folder, &moved).unwrap();
    let snapshot = snapshot(&moved, View::Both).unwrap();
    expected().assert_same(&records_of(snapshot.as_ref()), "moved");
    assert!(noted(&said(snapshot.as_ref()), "which is not there"), "{:?}", said(snapshot.as_ref()));
    let restored = parent.path().join("restored");
    restore_files(&moved, &restored).unwrap();
    expected().assert_same(&records(&restored).unwrap(), "restored");
}

#[test]
fn logs_that_moved_with_their_store_are_found_in_it_and_beside_it() {
    for logs in ["db/journals", "journals"] {
        let parent = tempfile::tempdir().unwrap();
        let (old, new) = (parent.path().join("old"), parent.path().join("new"));
        fs::create_dir(&old).unwrap();
        let mut options = creating();
        options.set_wal_dir(old.join(logs));
        store(&options, &old.join("db"));
        fs::rename(&old, &new).unwrap();
        let snapshot = snapshot(&new.join("db"), View::Both).unwrap();
        expected().assert_same(&records_of(snapshot.as_ref()), logs);
        let notes = &said(snapshot.as_ref());
        assert!(noted(notes, new.join(logs).to_str().unwrap()), "{logs}: {notes:?}");
        assert!(noted(notes, "restored store without wal_dir"), "{logs}: {notes:?}");
    }
}

/// Logs that are nowhere hold the newest writes: without them there is no backup.
#[test]
fn logs_that_are_nowhere_are_refused_and_taken_from_where_one_says() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, logs) = (parent.path().join("db"), parent.path().join("logs"));
    let mut options = creating();
    options.set_wal_dir(&logs);
    store(&options, &folder);
    let away = parent.path().join("away");
    fs::rename(&logs, &away).unwrap();
    // Another folder of that name beside the store, with no logs in it.
    fs::create_dir(folder.join("logs")).unwrap();
    let refused = snapshot(&folder, View::Files).err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    assert!(text(&refused).contains("say where the logs are"), "{refused}");
    let source = RocksSource::path(&folder).unwrap().wal_dir(&away);
    let snapshot = source.snapshot(View::Both, &Context::default()).block_on().unwrap();
    expected().assert_same(&records_of(snapshot.as_ref()), "with its wal_dir named");
    assert!(noted(&said(snapshot.as_ref()), "wal_dir"), "{:?}", said(snapshot.as_ref()));
    // A folder of tables alone does not say where the logs are.
    let tables = parent.path().join("tables");
    fs::create_dir(&tables).unwrap();
    let source = RocksSource::path(&folder).unwrap().also_in(&tables);
    let refused = source.snapshot(View::Files, &Context::default()).block_on().err().unwrap();
    assert!(text(&refused).contains("say where the logs are"), "{refused}");
}

/// A store whose first `db_path` is elsewhere was called damaged.
#[test]
fn tables_that_are_all_elsewhere_are_not_damage_and_one_that_is_lost_is() {
    let parent = tempfile::tempdir().unwrap();
    let (folder, disk) = (parent.path().join("db"), parent.path().join("disk"));
    let mut options = creating();
    options.set_db_paths(&[DBPath::new(&disk, 1 << 40).unwrap()]);
    options.set_disable_auto_compactions(true);
    store(&options, &folder);
    for key in [b"a", b"b"] {
        let db = DB::open(&options, &folder).unwrap();
        db.put(key, b"3").unwrap();
        db.flush().unwrap();
    }
    let refused = snapshot(&folder, View::Files).err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
    assert!(text(&refused).contains("name the folder of the tables"), "{refused}");
    let there = || RocksSource::path(&folder).unwrap().also_in(&disk);
    let found = there().snapshot(View::Both, &Context::default()).block_on().unwrap();
    assert_eq!(records_of(found.as_ref()).records(), 4);
    let tables = fs::read_dir(&disk).unwrap().map(|entry| entry.unwrap().path());
    let table = tables.filter(|path| path.extension().is_some_and(|e| e == "sst")).min().unwrap();
    fs::remove_file(&table).unwrap();
    let lost = there().snapshot(View::Files, &Context::default()).block_on().err().unwrap();
    assert!(matches!(lost, Error::Damaged { .. }), "{lost}");
    assert!(text(&lost).contains(table.file_name().unwrap().to_str().unwrap()), "{lost}");
}

/// A table with a number that the MANIFEST has not given away shows that it is not the newest one.
#[test]
fn tables_that_the_manifest_does_not_list_are_named() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&creating(), &folder);
    let quiet = snapshot(&folder, View::Files).unwrap();
    assert!(!noted(&said(quiet.as_ref()), "does not list"), "{:?}", said(quiet.as_ref()));
    let is_table = |path: &std::path::PathBuf| path.extension().is_some_and(|e| e == "sst");
    let mut files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let table = files.find(is_table).unwrap();
    fs::copy(&table, folder.join("000999.sst")).unwrap();
    // One that is only begun is just being written.
    fs::write(folder.join("001000.sst"), b"begun").unwrap();
    let notes = said(snapshot(&folder, View::Files).unwrap().as_ref());
    assert!(noted(&notes, "000999.sst;"), "{notes:?}");
    assert!(!noted(&notes, "001000.sst"), "{notes:?}");
}

/// Lost: rocksdict's `rocksdict-config.json`, without which the restored database does not open with its program.
#[test]
fn files_without_which_a_program_does_not_open_the_database_come_unasked() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&creating(), &folder);
    for name in ["rocksdict-config.json", "db_version", "other.json"] {
        fs::write(folder.join(name), name).unwrap();
    }
    let source = RocksSource::path(&folder).unwrap();
    let snapshot = source.snapshot(View::Files, &Context::default()).block_on().unwrap();
    assert!(
        noted(&said(snapshot.as_ref()), "left out: other.json"),
        "{:?}",
        said(snapshot.as_ref())
    );
    drop(snapshot);
    let restored = parent.path().join("restored");
    let target = RocksTarget::path(&restored).unwrap();
    transfer_files(&source, &target, Existing::Refuse).block_on().unwrap();
    for name in ["rocksdict-config.json", "db_version"] {
        assert_eq!(fs::read_to_string(restored.join(name)).unwrap(), name);
    }
    assert!(!restored.join("other.json").exists());
}

#[test]
fn an_applications_files_are_carried_where_they_are_asked_for() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&creating(), &folder);
    fs::create_dir_all(folder.join("app/deep")).unwrap();
    for (name, content) in [("config.json", "1"), ("app/deep/x", "2"), ("app/y", "3"), ("z", "4")] {
        fs::write(folder.join(name), content).unwrap();
    }
    let notes = said(snapshot(&folder, View::Files).unwrap().as_ref());
    assert!(noted(&notes, "left out: app, config.json, z"), "{notes:?}");
    let source =
        RocksSource::path(&folder).unwrap().include("*.json").unwrap().include("app/**/x").unwrap();
    let snapshot = source.snapshot(View::Files, &Context::default()).block_on().unwrap();
    assert!(noted(&said(snapshot.as_ref()), "left out: app/y, z"), "{:?}", said(snapshot.as_ref()));
    drop(snapshot);
    let restored = parent.path().join("restored");
    let target = RocksTarget::path(&restored).unwrap();
    transfer_files(&source, &target, Existing::Refuse).block_on().unwrap();
    assert_eq!(fs::read_to_string(restored.join("config.json")).unwrap(), "1");
    assert_eq!(fs::read_to_string(restored.join("app/deep/x")).unwrap(), "2");
    assert!(!restored.join("app/y").exists() && !restored.join("z").exists());
    expected().assert_same(&records(&restored).unwrap(), "restored");
    // Records have no files: it is said.
    let records = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    assert!(noted(&said(records.as_ref()), "none of the application's own files"));
    assert!(RocksSource::path(&folder).unwrap().include("[").is_err());
    // A program that has the database open carries its own files as well.
    let open = Arc::new(DB::open(&Options::default(), &folder).unwrap());
    let source = RocksSource::open_db(open).unwrap().include("*.json").unwrap();
    let snapshot = source.snapshot(View::Files, &Context::default()).block_on().unwrap();
    assert!(noted(&said(snapshot.as_ref()), "left out: app/"), "{:?}", said(snapshot.as_ref()));
    drop(snapshot);
    let restored = parent.path().join("of an open one");
    transfer_files(&source, &RocksTarget::path(&restored).unwrap(), Existing::Refuse)
        .block_on()
        .unwrap();
    assert_eq!(fs::read_to_string(restored.join("config.json")).unwrap(), "1");
    assert!(!restored.join("z").exists());
    let records = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    assert!(noted(&said(records.as_ref()), "none of the application's own files"));
    drop((records, source));
    let source = RocksSource::path(&folder).unwrap();
    transfer(&source, &RocksTarget::path(parent.path().join("copy")).unwrap(), Existing::Refuse)
        .block_on()
        .unwrap();
}
