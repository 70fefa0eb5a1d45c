//! Stores that are damaged: an error that names what, or the state that a crash would have left;
//! never a panic, and never half of it in silence.

use std::fs;
use std::path::{Path, PathBuf};

use backend_rocksdb::rocksdb::Options;
use backup_core::source::View;
use backup_core::{Error, RestoreExt, Result};

use crate::stores::{open, records_of, restore_files, snapshot, text};

fn store(folder: &Path) {
    let options = Options::default;
    let mut db = open(folder, vec![("default", options()), ("b", options()), ("gone", options())]);
    for round in 0..3_u8 {
        for number in 0..20_u8 {
            db.put([round, number], [number; 50]).unwrap();
            db.put_cf(db.cf_handle("b").unwrap(), [number], [round; 50]).unwrap();
        }
        db.flush().unwrap();
        db.flush_cf(db.cf_handle("b").unwrap()).unwrap();
    }
    db.drop_cf("gone").unwrap();
    db.put(b"in the log", b"1").unwrap();
}

/// The files of a store whose names have this in them.
fn named(folder: &Path, part: &str) -> Vec<PathBuf> {
    let mut found: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.file_name().unwrap().to_str().unwrap().contains(part))
        .collect();
    found.sort();
    found
}

fn files(folder: &Path) -> Result<()> {
    snapshot(folder, View::Files).map(drop)
}

#[test]
fn every_byte_of_a_manifest() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&folder);
    let manifest = named(&folder, "MANIFEST").pop().unwrap();
    let whole = fs::read(&manifest).unwrap();
    let (mut found, mut as_after_a_crash) = (0, 0);
    for at in 0..whole.len() {
        for change in [0x01, 0x80, 0xff] {
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            fs::write(&manifest, bytes).unwrap();
            match files(&folder) {
                Err(Error::Damaged { .. }) => found += 1,
                Err(other) => panic!("byte {at} ^ {change:#x}: {other:?}"),
                // A length that points beyond the end looks like a record that is being written.
                Ok(()) => as_after_a_crash += 1,
            }
        }
    }
    assert!(found > whole.len() * 2, "{found} of {} found", whole.len() * 3);
    // Only in the last record, which nothing follows.
    assert!(as_after_a_crash <= 6, "{as_after_a_crash} changes were not found");
    fs::write(&manifest, &whole).unwrap();
    files(&folder).unwrap();
}

#[test]
fn every_length_of_a_manifest() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&folder);
    let manifest = named(&folder, "MANIFEST").pop().unwrap();
    let whole = fs::read(&manifest).unwrap();
    for length in 0..whole.len() {
        fs::write(&manifest, &whole[..length]).unwrap();
        let answer = files(&folder);
        let expected = matches!(&answer, Ok(()) | Err(Error::Damaged { .. }));
        assert!(expected, "cut to {length}: {answer:?}");
    }
    fs::write(&manifest, []).unwrap();
    assert!(matches!(files(&folder), Err(Error::Damaged { .. })), "an empty MANIFEST");
}

#[test]
fn noise_instead_of_a_file() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&folder);
    for (part, expected) in [("MANIFEST", true), ("CURRENT", true), ("OPTIONS", false)] {
        for path in named(&folder, part) {
            let whole = fs::read(&path).unwrap();
            for seed in 0..40 {
                fs::write(&path, testkit::noise(seed, 10 + usize::try_from(seed).unwrap() * 900))
                    .unwrap();
                let answer = files(&folder);
                let damaged = matches!(answer, Err(Error::Damaged { .. }));
                assert_eq!(damaged, expected, "{part}, seed {seed}: {answer:?}");
            }
            fs::write(&path, whole).unwrap();
        }
    }
}

#[test]
fn a_table_that_is_cut_or_gone_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&folder);
    let table = named(&folder, ".sst").pop().unwrap();
    let name = table.file_name().unwrap().to_str().unwrap();
    let whole = fs::read(&table).unwrap();
    fs::write(&table, &whole[..whole.len() - 1]).unwrap();
    for view in [View::Files, View::Records] {
        let cut = snapshot(&folder, view).err().unwrap();
        assert!(matches!(cut, Error::Damaged { .. }) && text(&cut).contains(name), "{cut}");
    }
    fs::remove_file(&table).unwrap();
    let gone = files(&folder).err().unwrap();
    assert!(matches!(gone, Error::Damaged { .. }) && text(&gone).contains(name), "{gone}");
}

/// The properties of a table lie outside what its blocks' checksums cover until it is opened.
#[test]
fn every_byte_of_a_small_table() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = open(&folder, vec![("default", Options::default())]);
    db.put(b"key", b"value").unwrap();
    db.flush().unwrap();
    drop(db);
    let table = named(&folder, ".sst").pop().unwrap();
    let whole = fs::read(&table).unwrap();
    let expected = records_of(snapshot(&folder, View::Records).unwrap().as_ref());
    let mut found = 0;
    for at in 0..whole.len() {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x11;
        fs::write(&table, bytes).unwrap();
        let read = snapshot(&folder, View::Records).and_then(|snapshot| {
            pollster::block_on(testkit::contents::snapshot_contents(snapshot.as_ref()))
        });
        match read {
            Err(_) => found += 1,
            // Padding, and what only a later compaction looks at.
            Ok(contents) => assert_eq!(contents, expected, "byte {at}"),
        }
    }
    assert!(found * 10 > whole.len() * 9, "{found} of {} found", whole.len());
}

#[test]
fn a_damaged_log_is_noted() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    let db = open(&folder, vec![("default", Options::default())]);
    for number in 0..100_u8 {
        db.put([number], [number; 100]).unwrap();
    }
    drop(db);
    let log = named(&folder, ".log").pop().unwrap();
    let mut bytes = fs::read(&log).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&log, bytes).unwrap();
    let snapshot = snapshot(&folder, View::Both).unwrap();
    let notes = &snapshot.info().notes;
    assert!(crate::stores::noted(notes, "is damaged after"), "{notes:?}");
    let kept = records_of(snapshot.as_ref()).records();
    assert!(kept > 30 && kept < 60, "{kept} of 100");
}

#[test]
fn half_a_restore_is_not_published() {
    let parent = tempfile::tempdir().unwrap();
    let folder = parent.path().join("db");
    store(&folder);
    let restored = parent.path().join("restored");
    restore_files(&folder, &restored).unwrap();
    let snapshot = snapshot(&folder, View::Files).unwrap();
    let all = snapshot.files().unwrap().list();
    for left_out in all.iter().filter(|file| file.path.as_str().ends_with(".sst")) {
        let files: Vec<_> = all.iter().filter(|file| *file != left_out).cloned().collect();
        let target = parent.path().join("half");
        let answer = place(&files, all, snapshot.as_ref(), &target);
        let error = answer.err().unwrap();
        assert!(matches!(error, Error::Damaged { .. }), "{error:?}");
        assert!(text(&error).contains(left_out.path.as_str()), "{error}");
        assert!(!target.exists());
    }
}

fn place(
    files: &[backup_core::source::FileInfo],
    all: &[backup_core::source::FileInfo],
    snapshot: &dyn backup_core::Snapshot,
    target: &Path,
) -> Result<backup_core::target::Restored> {
    use backup_core::Target;
    let target = backend_rocksdb::RocksTarget::path(target)?;
    let plan =
        testkit::transfer::files_plan("rocksdb", files, backup_core::target::Existing::Refuse);
    pollster::block_on(async {
        let mut restore = target.begin(plan, &backup_core::progress::Context::default()).await?;
        for (index, file) in files.iter().enumerate().filter(|(_, file)| file.bytes > 0) {
            let from = all.iter().position(|other| other.path == file.path).unwrap();
            let bytes = snapshot.files().unwrap().read(from, 0..file.bytes).await?;
            restore.place(index, 0, bytes).await?;
        }
        restore.finish().await
    })
}
