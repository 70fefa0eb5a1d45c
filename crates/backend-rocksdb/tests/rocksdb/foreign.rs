//! Stores whose programs have parts of their own: what can be read is, and the rest is named.

use std::fs;
use std::path::Path;

use backend_rocksdb::RocksStore;
use backend_rocksdb::rocksdb::{
    BlockBasedOptions, DB, KeyEncodingType, Options, PlainTableFactoryOptions, SliceTransform,
};
use backup_core::source::View;
use backup_core::{Error, KeyValueStore};
use pollster::FutureExt as _;
use testkit::tree::tree;

use crate::stores::{
    appending, noted, open, plain, records, records_of, restore_files, restore_records, said,
    snapshot, text,
};

/// Records are refused with this name, and the files are still copied and restored.
fn refused_by_name(folder: &Path, name: &str) {
    for view in [View::Records, View::Both] {
        let refused = snapshot(folder, view).err().unwrap();
        assert!(matches!(refused, Error::Unsupported { .. }), "{view:?}: {refused:?}");
        assert!(text(&refused).contains(name), "{view:?}: {refused}");
        assert!(text(&refused).contains("back up the files"), "{view:?}: {refused}");
    }
    let restored = folder.with_file_name("restored");
    restore_files(folder, &restored).unwrap();
    let same =
        |name: &str| fs::read(folder.join(name)).unwrap() == fs::read(restored.join(name)).unwrap();
    let copied: Vec<_> = snapshot(folder, View::Files)
        .unwrap()
        .files()
        .unwrap()
        .list()
        .iter()
        .map(|file| file.path.to_string())
        .collect();
    assert!(copied.len() >= 5 && copied.iter().all(|name| same(name)), "{copied:?}");
}

#[test]
fn a_comparator_of_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_comparator("by.length", Box::new(|a, b| a.len().cmp(&b.len()).then(a.cmp(b))));
    let db = open(&folder, vec![("default", Options::default()), ("odd", options)]);
    db.put_cf(db.cf_handle("odd").unwrap(), b"key", b"value").unwrap();
    drop(db);
    refused_by_name(&folder, "by.length");
    let store = RocksStore::open(&folder).err().unwrap();
    assert!(text(&store).contains("by.length"), "{store}");
}

#[test]
fn a_merge_operator_of_its_own() {
    for flushed in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("db");
        let options = appending();
        let db = open(&folder, vec![("default", options)]);
        db.merge(b"key", b"operand").unwrap();
        if flushed {
            db.flush().unwrap();
        }
        drop(db);
        refused_by_name(&folder, "my.append");
    }
}

/// A program without the operator rewrote OPTIONS: the operands are then known by the tables.
#[test]
fn operands_without_an_operator() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let options = appending();
    let db = open(&folder, vec![("default", options)]);
    db.merge(b"key", b"operand").unwrap();
    db.flush().unwrap();
    drop(db);
    drop(open(&folder, vec![("default", Options::default())]));
    refused_by_name(&folder, "my.append");
}

/// The name alone does no harm where nothing was merged and OPTIONS names none.
#[test]
fn an_operator_that_was_never_used() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let options = appending();
    let db = open(&folder, vec![("default", options)]);
    db.put(b"key", b"value").unwrap();
    db.flush().unwrap();
    drop(db);
    drop(open(&folder, vec![("default", Options::default())]));
    plain(&[("default", &[("key", "value")])]).assert_same(&records(&folder).unwrap(), "records");
}

#[test]
fn a_merge_operator_that_every_rocksdb_has() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_merge_operator_associative("UInt64AddOperator", |_, old, operands| {
        let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
        let sum: u64 = operands.iter().map(number).sum();
        Some((old.map_or(0, number) + sum).to_le_bytes().to_vec())
    });
    let db = open(&folder, vec![("default", options)]);
    for number in 1..=10_u64 {
        db.merge(b"sum", number.to_le_bytes()).unwrap();
        if number == 4 {
            db.flush().unwrap();
        }
    }
    drop(db);
    let found = records(&folder).unwrap();
    let values: Vec<_> = found.databases["default"].values().collect();
    assert_eq!(values, [&55_u64.to_le_bytes().to_vec()]);
}

#[test]
fn a_prefix_extractor_of_its_own() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_prefix_extractor(SliceTransform::create("my.prefix", |key| &key[..1], None));
    let db = open(&folder, vec![("default", options)]);
    db.put(b"key", b"value").unwrap();
    db.flush().unwrap();
    drop(db);
    refused_by_name(&folder, "my.prefix");
    // Even where only a table still knows it.
    fs::remove_dir_all(parent.path().join("restored")).unwrap();
    drop(open(&folder, vec![("default", Options::default())]));
    refused_by_name(&folder, "my.prefix");
}

#[test]
fn a_prefix_extractor_that_every_rocksdb_has_hides_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(3));
    options.set_memtable_prefix_bloom_ratio(0.1);
    let mut table = BlockBasedOptions::default();
    table.set_bloom_filter(10.0, false);
    table.set_index_type(backend_rocksdb::rocksdb::BlockBasedIndexType::HashSearch);
    options.set_block_based_table_factory(&table);
    let db = open(&folder, vec![("default", options)]);
    let pairs = [("aaa1", "1"), ("aab1", "2"), ("b", "3"), ("bbbbb", "4")];
    for (key, value) in pairs {
        db.put(key, value).unwrap();
        db.flush().unwrap();
    }
    drop(db);
    let expected = plain(&[("default", &pairs)]);
    expected.assert_same(&records(&folder).unwrap(), "by path");
    let restored = parent.path().join("restored");
    restore_records(&folder, &restored).unwrap();
    expected.assert_same(&records(&restored).unwrap(), "restored");
    // The restored store has the options, and is opened with them.
    let store = RocksStore::open(&restored).unwrap();
    assert_eq!(store.databases().block_on().unwrap(), ["default"]);
}

/// The reverse comparator that every RocksDB has. The binding offers no way to set it but this.
fn reversed() -> Options {
    Options::default()
        .get_options_from_string("comparator=rocksdb.ReverseBytewiseComparator")
        .unwrap()
}

#[test]
fn a_store_in_reverse_order_is_read_forward() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = reversed();
    options.set_target_file_size_base(1 << 12);
    let db = open(&folder, vec![("default", options)]);
    for number in 0..3000_u32 {
        db.put(number.to_be_bytes(), [7; 100]).unwrap();
        if number % 1000 == 500 {
            db.flush().unwrap();
        }
    }
    db.compact_range::<&[u8], &[u8]>(None, None);
    drop(db);
    let snapshot = snapshot(&folder, View::Records).unwrap();
    let found = records_of(snapshot.as_ref());
    let keys: Vec<_> = found.databases["default"].keys().map(|at| at.key.clone()).collect();
    assert_eq!(keys, (0..3000_u32).map(|number| number.to_be_bytes().to_vec()).collect::<Vec<_>>());
    let records = snapshot.records().unwrap();
    let splits = records.splits(0, 4).block_on().unwrap();
    assert!(!splits.is_empty() && splits.is_sorted(), "{splits:?}");

    let restored = parent.path().join("restored");
    restore_records(&folder, &restored).unwrap();
    let db = open(&restored, vec![("default", reversed())]);
    let first = db.iterator(backend_rocksdb::rocksdb::IteratorMode::Start).next().unwrap().unwrap();
    assert_eq!(first.0.as_ref(), 2999_u32.to_be_bytes(), "its own order is still backward");
    drop(db);
    assert_eq!(crate::stores::records(&restored).unwrap(), found);
    let refused = RocksStore::open(&restored).err().unwrap();
    assert!(text(&refused).contains("reverse order"), "{refused}");
}

#[test]
fn keys_with_timestamps() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let options = Options::default()
        .get_options_from_string("comparator=leveldb.BytewiseComparator.u64ts")
        .unwrap();
    let db = open(&folder, vec![("default", Options::default()), ("timed", options)]);
    db.put_cf_with_ts(db.cf_handle("timed").unwrap(), b"key", 1_u64.to_le_bytes(), b"v").unwrap();
    db.flush_cf(db.cf_handle("timed").unwrap()).unwrap();
    drop(db);
    refused_by_name(&folder, "timestamps");
}

#[test]
fn plain_tables_are_read() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(1));
    options.set_plain_table_factory(&PlainTableFactoryOptions {
        user_key_length: 0,
        bloom_bits_per_key: 10,
        hash_table_ratio: 0.75,
        index_sparseness: 16,
        huge_page_tlb_size: 0,
        encoding_type: KeyEncodingType::Plain,
        full_scan_mode: false,
        store_index_in_file: false,
    });
    let db = open(&folder, vec![("default", options)]);
    db.put(b"a1", b"1").unwrap();
    db.put(b"b1", b"2").unwrap();
    db.flush().unwrap();
    drop(db);
    let expected = plain(&[("default", &[("a1", "1"), ("b1", "2")])]);
    expected.assert_same(&records(&folder).unwrap(), "plain tables");
}

/// Files that an encrypting file system wrote: the names are plain, the contents are not.
#[test]
fn an_encrypted_table_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = open(&folder, vec![("default", Options::default())]);
    db.put(b"key", b"value").unwrap();
    db.flush().unwrap();
    drop(db);
    let table = fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.extension().is_some_and(|extension| extension == "sst"))
        .unwrap();
    let hidden: Vec<u8> = fs::read(&table).unwrap().iter().map(|byte| byte ^ 0x5a).collect();
    fs::write(&table, hidden).unwrap();
    let before = tree(&folder).unwrap();

    let refused = snapshot(&folder, View::Records).err().unwrap();
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(matches!(refused, Error::Damaged { .. }), "{refused:?}");
    assert!(text(&refused).contains(name) && text(&refused).contains("encrypted"), "{refused}");
    restore_files(&folder, &parent.path().join("restored")).unwrap();
    assert_eq!(
        fs::read(parent.path().join("restored").join(name)).unwrap(),
        fs::read(&table).unwrap()
    );
    assert_eq!(tree(&folder).unwrap(), before);
}

/// A store of which every file is encrypted, CURRENT and MANIFEST too.
#[test]
fn an_encrypted_store_is_copied_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = open(&folder, vec![("default", Options::default())]);
    db.put(b"key", b"value").unwrap();
    db.flush().unwrap();
    db.put(b"later", b"value").unwrap();
    drop(db);
    let encrypt = |folder: &Path| {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let bytes: Vec<u8> = fs::read(&path).unwrap().iter().map(|byte| byte ^ 0xa7).collect();
            if !path.ends_with("KEEPSUM_RESTORED") {
                fs::write(&path, bytes).unwrap();
            }
        }
    };
    encrypt(&folder);
    for view in [View::Records, View::Both] {
        let refused = snapshot(&folder, view).err().unwrap();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
        assert!(text(&refused).contains("encrypted"), "{refused}");
    }
    let files = snapshot(&folder, View::Files).unwrap();
    assert!(noted(&files.info().notes, "encrypted"), "{:?}", files.info().notes);
    assert_eq!(files.files().unwrap().list().len(), 6);
    let restored = parent.path().join("restored");
    let done = restore_files(&folder, &restored).unwrap();
    assert!(noted(&done.notes, "encrypted"), "{:?}", done.notes);
    encrypt(&restored);
    let expected = plain(&[("default", &[("key", "value"), ("later", "value")])]);
    expected.assert_same(&records(&restored).unwrap(), "restored, with the key");

    // Where some of it can be read, it is not encrypted but damaged.
    let mut paths = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let options = paths.find(|path| path.to_str().unwrap().contains("OPTIONS")).unwrap();
    fs::write(options, "# This is a RocksDB option file.\n").unwrap();
    let damaged = snapshot(&folder, View::Files).err().unwrap();
    assert!(matches!(damaged, Error::Damaged { .. }), "{damaged:?}");
}

#[test]
fn the_options_file_may_be_gone() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = DB::open_default(&folder).unwrap();
    db.put(b"key", b"value").unwrap();
    drop(db);
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().unwrap().to_str().unwrap().starts_with("OPTIONS") {
            fs::remove_file(path).unwrap();
        }
    }
    let snapshot = snapshot(&folder, View::Records).unwrap();
    plain(&[("default", &[("key", "value")])])
        .assert_same(&records_of(snapshot.as_ref()), "records");
    assert!(noted(&said(snapshot.as_ref()), "no OPTIONS file"));
}
