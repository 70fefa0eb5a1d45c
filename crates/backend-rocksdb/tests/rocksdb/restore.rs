//! Restores: by ingestion, with the options a column family had, and file by file.

use std::fs;
use std::path::Path;

use backend_rocksdb::rocksdb::{
    BlockBasedOptions, DB, DBCompressionType, IteratorMode, Options, SliceTransform,
};
use backend_rocksdb::{RocksSource, RocksStore, RocksTarget};
use backup_core::kv::{Access, WriteBatch};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};
use backup_core::source::{DatabaseInfo, Layout, View};
use backup_core::target::{Content, Existing, RestorePlan};
use backup_core::{Error, KeyValueStore, RestoreExt, Result, Source, Target};
use pollster::FutureExt as _;
use testkit::contents::{Contents, contents};
use testkit::filler::Filler;
use testkit::transfer::{origin, transfer};
use testkit::{noise, tree};

use crate::stores::{noted, open, plain, records, restore_files, restore_records, snapshot, text};

#[test]
fn plain_rocksdb_opens_what_was_loaded() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut expected = Contents::new();
    for number in 0..20_000_u32 {
        expected.put("default", b"", &number.to_be_bytes(), noise(number.into(), 100));
        expected.put("other", b"", &number.to_be_bytes(), b"x");
    }
    expected.put("long", b"", b"value", noise(1, 20 << 20));
    expected.add_database("empty");
    let target = RocksTarget::path(&folder).unwrap();
    transfer(&expected, &target, Existing::Refuse).block_on().unwrap();

    let names = DB::list_cf(&Options::default(), &folder).unwrap();
    assert_eq!(names.len(), 4, "{names:?}");
    let db = DB::open_cf(&Options::default(), &folder, &names).unwrap();
    for (name, records) in &expected.databases {
        let handle = db.cf_handle(name).unwrap();
        let found: Vec<_> =
            db.iterator_cf(handle, IteratorMode::Start).map(|pair| pair.unwrap()).collect();
        assert_eq!(found.len(), records.len(), "{name}");
        for ((key, value), (at, expected)) in found.iter().zip(records) {
            assert!(**key == at.key && **value == *expected, "{name}: {key:?}");
        }
        // Ingested as they were written: no memtable, no log, no record by itself.
        let files = db.property_value_cf(handle, "rocksdb.num-files-at-level0").unwrap().unwrap();
        assert_eq!(files, "0", "{name}");
    }
    assert!(folder.join("KEEPSUM_RESTORED").exists());
    assert!(!folder.join("keepsum-tables").exists());
}

/// An options file's lines that tell of a column family.
fn options_of(folder: &Path, name: &str) -> String {
    let info = snapshot(folder, View::Files).unwrap().info().clone();
    let found = info.databases.into_iter().find(|info| info.name == name).unwrap();
    found.settings.unwrap()
}

#[test]
fn options_travel_along() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut options = Options::default();
    options.set_compression_type(DBCompressionType::Zstd);
    options.set_prefix_extractor(SliceTransform::create_fixed_prefix(4));
    options.set_write_buffer_size(12_345_678);
    options.set_num_levels(5);
    options.set_compaction_style(backend_rocksdb::rocksdb::DBCompactionStyle::Universal);
    let mut table = BlockBasedOptions::default();
    table.set_block_size(32_768);
    table.set_whole_key_filtering(false);
    table.set_format_version(5);
    options.set_block_based_table_factory(&table);
    options.set_compaction_filter("my.filter", |_, _, _| {
        backend_rocksdb::rocksdb::CompactionDecision::Keep
    });
    let db = open(&folder, vec![("default", Options::default()), ("special", options)]);
    db.put_cf(db.cf_handle("special").unwrap(), b"key", b"value").unwrap();
    drop(db);
    let restored = parent.path().join("restored");
    let done = restore_records(&folder, &restored).unwrap();
    let (was, is) = (options_of(&folder, "special"), options_of(&restored, "special"));
    let other = |text: &str| text.replace("my.filter", "nullptr");
    assert_eq!(other(&was), other(&is));
    for line in ["kZSTD", "FixedPrefix.4", "12345678", "num_levels=5", "32768", "Universal"] {
        assert!(is.contains(line), "{line} in {is}");
    }
    assert!(noted(&done.notes, "compaction_filter=my.filter"), "{:?}", done.notes);
    assert_eq!(done.notes.len(), 1, "{:?}", done.notes);
}

#[test]
fn unknown_settings_are_noted_and_do_no_harm() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let settings = "[CFOptions \"x\"]\n  of_the_future=7\n  num_levels=many\n  \
                    comparator=by.length\n  write_buffer_size=1048576\n\
                    [TableOptions/Tomorrow \"x\"]\n  a=b\n";
    let odd = ["", "CREATE TABLE t (x)", "[CFOptions \"", "\0\u{1}", settings];
    let databases: Vec<_> = odd
        .iter()
        .enumerate()
        .map(|(number, settings)| DatabaseInfo {
            settings: Some((*settings).into()),
            ..DatabaseInfo::new(format!("database {number}"))
        })
        .collect();
    let done = load(&folder, Layout::Plain, databases, &[(4, b"", b"key")]).unwrap();
    for name in ["of_the_future=7", "num_levels=many", "comparator=by.length", "Tomorrow"] {
        assert!(noted(&done.notes, name), "{name}: {:?}", done.notes);
    }
    assert!(options_of(&folder, "database 4").contains("write_buffer_size=1048576"));
    assert_eq!(records(&folder).unwrap().records(), 1);
}

/// The number of a database, a root key and a key.
type Key = (usize, &'static [u8], &'static [u8]);

/// Loads keys without values into a new store.
fn load(
    folder: &Path,
    layout: Layout,
    databases: Vec<DatabaseInfo>,
    keys: &[Key],
) -> Result<backup_core::target::Restored> {
    let target = RocksTarget::path(folder)?;
    let content = Content::Records { layout, databases };
    let plan = RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() };
    async {
        let mut restore = target.begin(plan, &Context::default()).await?;
        for (database, root_key, key) in keys {
            let mut batch = RecordBatch::new();
            batch.push(Record::whole(root_key, key, b""))?;
            restore.load(*database, batch).await?;
        }
        restore.finish().await
    }
    .block_on()
}

#[test]
fn what_cannot_be_loaded_is_refused_and_leaves_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let one = || vec![DatabaseInfo::new("one")];
    let cases: [(Layout, Vec<DatabaseInfo>, &[Key], &str); 6] = [
        (Layout::Plain, one(), &[(0, b"", b"b"), (0, b"", b"a")], "not sorted"),
        (Layout::Plain, one(), &[(0, b"", b"a"), (0, b"", b"a")], "comes twice"),
        (Layout::Plain, one(), &[(0, b"root", b"a")], "partitioned"),
        (Layout::Partitioned, one(), &[(0, b"b", b"a"), (0, b"a", b"z")], "not sorted"),
        (Layout::Plain, vec![DatabaseInfo::new("keepsum.layout")], &[], "choose another"),
        (Layout::Plain, vec![DatabaseInfo::new("")], &[], "at least one character"),
    ];
    for (layout, databases, keys, words) in cases {
        let error = load(&folder, layout, databases, keys).err().unwrap();
        assert!(text(&error).contains(words), "{words}: {error}");
        assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 0, "{words}");
    }
}

#[test]
fn a_partitioned_store_keeps_its_root_keys() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let mut expected = Contents::new();
    for root_key in [&b""[..], b"\x00", b"a", b"a\x00b", b"\xff\xff"] {
        for key in [&b""[..], b"\x00\x00", b"k", b"\xff"] {
            expected.put("accounts", root_key, key, [root_key, key].concat());
        }
    }
    let target = RocksTarget::path(&folder).unwrap();
    transfer(&expected, &target, Existing::Refuse).block_on().unwrap();
    let info = snapshot(&folder, View::Files).unwrap().info().clone();
    assert_eq!(info.layout, Layout::Partitioned);
    let names: Vec<_> = info.databases.iter().map(|info| info.name.as_str()).collect();
    assert_eq!(names, ["accounts"], "the mark is no database");
    expected.assert_same(&records(&folder).unwrap(), "by path");

    // The application's own way in sees the same, and what it writes is backed up.
    let store = RocksStore::open(&folder).unwrap();
    assert_eq!(store.layout(), Layout::Partitioned);
    let partition = store.database("accounts").block_on().unwrap();
    let partition = partition.open(b"a\x00b", Access::Shared).block_on().unwrap();
    assert_eq!(partition.get(b"k").block_on().unwrap().unwrap(), b"a\x00bk");
    let mut batch = WriteBatch::new();
    batch.put("new", "value");
    partition.write_batch(batch).block_on().unwrap();
    expected.put("accounts", b"a\x00b", b"new", "value");
    expected.assert_same(&contents(&store).block_on().unwrap(), "the open store");
    expected.assert_same(&records(&folder).unwrap(), "by path, while it is open");
}

#[test]
fn a_layout_of_a_later_version_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let store = RocksStore::create(&folder, Layout::Partitioned).unwrap();
    let mark = store.db().cf_handle("keepsum.layout").unwrap();
    store.db().put_cf(&mark, b"layout", b"partitioned 2").unwrap();
    drop(mark);
    let refused = records(&folder).err().unwrap();
    assert!(text(&refused).contains("partitioned 2"), "{refused}");
    drop(store);
    let refused = RocksStore::open(&folder).err().unwrap();
    assert!(matches!(refused, Error::Unsupported { .. }), "{refused:?}");
}

#[test]
fn files_are_placed_as_they_were() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = open(&folder, vec![("default", Options::default()), ("b", Options::default())]);
    db.put(b"flushed", b"1").unwrap();
    db.flush().unwrap();
    db.put_cf(db.cf_handle("b").unwrap(), b"in the log", b"2").unwrap();
    drop(db);
    let restored = parent.path().join("restored");
    restore_files(&folder, &restored).unwrap();
    let (was, is) = (tree::tree(&folder).unwrap(), tree::tree(&restored).unwrap());
    for (path, entry) in &is {
        if path.as_os_str().is_empty() || path.ends_with("KEEPSUM_RESTORED") {
            continue;
        }
        let original = &was[path];
        assert_eq!((entry.mode, &entry.content), (original.mode, &original.content), "{path:?}");
    }
    // It was not opened: no new MANIFEST, no LOG, no LOCK.
    let names: Vec<_> = is.keys().filter_map(|path| path.to_str()).collect();
    assert!(!names.contains(&"LOG") && !names.contains(&"LOCK"), "{names:?}");
    assert!(is.len() >= 7, "{names:?}");
    // Its file says where it came from, and is no part of the next backup.
    let again = snapshot(&restored, View::Files).unwrap();
    assert_eq!(again.files().unwrap().list().len(), is.len() - 2);
    let db = open(&restored, vec![("default", Options::default()), ("b", Options::default())]);
    assert_eq!(db.get(b"flushed").unwrap().unwrap(), b"1");
    assert_eq!(db.get_cf(db.cf_handle("b").unwrap(), b"in the log").unwrap().unwrap(), b"2");
}

/// Several tables a database, so that boundaries, splits and ingestion of many are used.
#[test]
fn a_larger_store_goes_around() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    let filler = Filler { seed: 5, databases: 2, partitions: 3, records: 40_000, value_bytes: 800 };
    let target = RocksTarget::path(&first).unwrap();
    transfer(&filler, &target, Existing::Refuse).block_on().unwrap();
    restore_records(&first, &second).unwrap();
    let expected = testkit::contents::sums(&filler).block_on().unwrap();
    let found = testkit::contents::sums(&RocksSource::path(&second).unwrap()).block_on().unwrap();
    assert_eq!(expected, found);
    let source = RocksSource::path(&second).unwrap();
    let snapshot = source.snapshot(View::Records, &Context::default()).block_on().unwrap();
    let splits = snapshot.records().unwrap().splits(0, 2).block_on().unwrap();
    assert_eq!(splits.len(), 1, "{splits:?}");
    let info = &snapshot.info().databases[0];
    assert_eq!(info.estimated_records, Some(120_000));
    assert!(info.estimated_bytes.unwrap() > 120_000 * 800);
    assert_eq!(plain(&[]).records(), 0);
}
