//! Stores that other programs could have written, and short ways to read them.

use std::error::Error as _;
use std::path::Path;
use std::time::Duration;
use std::{fs, thread};

use backend_rocksdb::rocksdb::{ColumnFamilyDescriptor, DB, DBPath, Options};
use backend_rocksdb::{RocksSource, RocksTarget};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::View;
use backup_core::target::{Existing, Restored};
use backup_core::{Error, Result, Snapshot, Source};
use pollster::FutureExt as _;
use testkit::contents::{Contents, contents, snapshot_contents};
use testkit::noise;
use testkit::transfer::{transfer, transfer_files};

/// Options that make what is missing.
pub(crate) fn creating() -> Options {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    options
}

/// Options with a merge operator of the program's own.
pub(crate) fn appending() -> Options {
    let mut options = Options::default();
    options.set_merge_operator_associative("my.append", |_, old, operands| {
        let mut merged = old.unwrap_or_default().to_vec();
        operands.iter().for_each(|operand| merged.extend_from_slice(operand));
        Some(merged)
    });
    options
}

/// Opens, and makes where needed, a store whose column families have these options.
pub(crate) fn open(folder: &Path, families: Vec<(&str, Options)>) -> DB {
    let described =
        families.into_iter().map(|(name, options)| ColumnFamilyDescriptor::new(name, options));
    DB::open_cf_descriptors(&creating(), folder, described).unwrap()
}

/// Makes a store of 300 records whose tables lie in two folders.
pub(crate) fn in_two_folders(folder: &Path, second: &Path) -> DB {
    let mut options = creating();
    let paths = [DBPath::new(folder, 1).unwrap(), DBPath::new(second, 1 << 40).unwrap()];
    options.set_db_paths(&paths);
    options.set_level_zero_file_num_compaction_trigger(2);
    let db = DB::open(&options, folder).unwrap();
    for round in 0..2 {
        for number in 0..300_u32 {
            db.put(number.to_be_bytes(), noise(round + u64::from(number), 1000)).unwrap();
        }
        db.flush().unwrap();
    }
    // What is compacted goes into the second folder.
    for _ in 0..200 {
        let waiting = db.property_value("rocksdb.num-files-at-level0").unwrap().unwrap();
        if waiting == "0" && fs::read_dir(second).unwrap().count() > 0 {
            return db;
        }
        thread::sleep(Duration::from_millis(50));
    }
    panic!("nothing was compacted");
}

/// A snapshot of the store in a folder.
pub(crate) fn snapshot(folder: &Path, view: View) -> Result<Box<dyn Snapshot>> {
    RocksSource::path(folder)?.snapshot(view, &Context::default()).block_on()
}

/// The records of the store in a folder.
pub(crate) fn records(folder: &Path) -> Result<Contents> {
    contents(&RocksSource::path(folder)?).block_on()
}

/// The records of a snapshot.
pub(crate) fn records_of(snapshot: &dyn Snapshot) -> Contents {
    snapshot_contents(snapshot).block_on().unwrap()
}

/// Restores the records of one store into another folder.
pub(crate) fn restore_records(from: &Path, to: &Path) -> Result<Restored> {
    let (source, target) = (RocksSource::path(from)?, RocksTarget::path(to)?);
    transfer(&source, &target, Existing::Refuse).block_on()
}

/// Restores the files of one store into another folder.
pub(crate) fn restore_files(from: &Path, to: &Path) -> Result<Restored> {
    let (source, target) = (RocksSource::path(from)?, RocksTarget::path(to)?);
    transfer_files(&source, &target, Existing::Refuse).block_on()
}

/// The contents of a store with only plain databases.
pub(crate) fn plain<'a>(databases: &[(&'a str, &[(&'a str, &'a str)])]) -> Contents {
    let mut contents = Contents::new();
    for (name, pairs) in databases {
        let database = contents.add_database(name);
        for (key, value) in *pairs {
            database.insert(RecordKey::new(b"", key.as_bytes()), value.as_bytes().to_vec());
        }
    }
    contents
}

/// An error with its causes, as a person sees it.
pub(crate) fn text(error: &Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// All that a snapshot says: its notes, and what is unusual in the store.
pub(crate) fn said(snapshot: &dyn Snapshot) -> Vec<String> {
    let info = snapshot.info();
    [&info.notes[..], &info.unusual].concat()
}

/// Whether any note says this.
pub(crate) fn noted(notes: &[String], words: &str) -> bool {
    notes.iter().any(|note| note.contains(words))
}
