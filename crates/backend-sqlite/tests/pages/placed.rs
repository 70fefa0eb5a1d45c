//! Pages that are put back: what is wrong with them is found before anything is replaced.

use std::fs;
use std::path::{Path, PathBuf};

use backend_sqlite::{PageCheck, SqliteTarget};
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::source::{FileInfo, FileNature};
use backup_core::target::{Existing, Restored};
use backup_core::{Error, RestoreExt, Result, Target};
use bytes::Bytes;
use pollster::FutureExt as _;
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use testkit::transfer::files_plan;

use crate::ground::{beside, chain, look, make, place};

/// A page that the pages of a table's rows are on.
const SOME_PAGE: usize = 20;

/// The bytes of a sound database.
fn sound() -> Vec<u8> {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=delete"));
    fs::read(path).unwrap()
}

/// Restores these bytes as a database.
fn put(bytes: &[u8], target: &Path, check: PageCheck, existing: Existing) -> Result<Restored> {
    let file = FileInfo {
        path: FilePath::new("database.sqlite")?,
        bytes: bytes.len() as u64,
        identity: None,
        mode: 0o644,
        nature: FileNature::Changing,
    };
    let target = SqliteTarget::path(target)?.checked(check);
    async {
        let plan = files_plan("sqlite", &[file], existing);
        let mut restore = target.begin(plan, &Context::default()).await?;
        restore.place(0, 0, Bytes::copy_from_slice(bytes)).await?;
        restore.finish().await
    }
    .block_on()
}

/// What lies in a folder, by name and content.
fn all_of(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut all: Vec<_> = files.map(|path| (path.clone(), fs::read(path).unwrap())).collect();
    all.sort();
    all
}

/// Such bytes are refused as damage, where nothing was and where a database is, which stays as it was.
fn assert_refused(bytes: &[u8], check: PageCheck, said: &str) {
    let (folder, path) = place();
    for existing in [Existing::Refuse, Existing::KeepAside] {
        if existing == Existing::KeepAside {
            drop(make(&path, ""));
        }
        let before = all_of(folder.path());
        let error = put(bytes, &path, check, existing).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(all_of(folder.path()) == before, "{said}: something was changed");
    }
}

#[test]
fn a_sound_database_is_placed() {
    let (_folder, path) = place();
    for check in [PageCheck::Quick, PageCheck::Full] {
        let done = put(&sound(), &path, check, Existing::KeepAside).unwrap();
        assert_eq!(done.kept_aside.is_some(), check == PageCheck::Full);
        look(&path);
    }
}

#[test]
fn a_database_of_another_length_than_it_says_is_refused() {
    let whole = sound();
    assert_refused(&whole[..whole.len() - 4096], PageCheck::Quick, "its header says");
    let longer = [whole.as_slice(), &[0; 4096]].concat();
    assert_refused(&longer, PageCheck::Quick, "its header says");
    assert_refused(&whole[..99], PageCheck::Quick, "less than a header");
}

/// LESSONS: a failed integrity check that only warns.
#[test]
fn a_database_whose_pages_contradict_each_other_is_refused() {
    let mut bytes = sound();
    bytes[SOME_PAGE * 4096..][..4096].fill(0xff);
    assert_refused(&bytes, PageCheck::Quick, "quick_check says");
    assert_refused(&bytes, PageCheck::Full, "integrity_check says");
}

/// An index that holds other rows than its table is sound page by page: only the full check sees it.
#[test]
fn an_index_at_odds_with_its_table_is_found_where_it_is_asked_for() {
    let (_folder, path) = place();
    let connection = make(&path, "");
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    connection
        .execute_batch(
            "PRAGMA writable_schema = ON;
             UPDATE sqlite_schema SET sql = 'CREATE INDEX by_balance ON accounts(id)'
               WHERE name = 'by_balance'",
        )
        .unwrap();
    drop(connection);
    let bytes = fs::read(&path).unwrap();
    let (_other, copy) = place();
    put(&bytes, &copy, PageCheck::Quick, Existing::Refuse).unwrap();
    assert_refused(&bytes, PageCheck::Full, "integrity_check says");
}

/// Who has it open would go on writing into the file that was moved aside.
#[test]
fn a_database_that_somebody_has_open_is_not_replaced() {
    let (_folder, path) = place();
    let application = make(&path, "");
    let refused = put(&sound(), &path, PageCheck::Quick, Existing::KeepAside);
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    drop(application);
    put(&sound(), &path, PageCheck::Quick, Existing::KeepAside).unwrap();
}

/// LESSONS: a new file met the log of an old one, and was written over with what that held.
#[test]
fn what_lies_beside_a_missing_database_goes_aside() {
    let (_other, old) = place();
    let writer = make(&old, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0");
    writer.execute_batch("DELETE FROM accounts").unwrap();
    let log = fs::read(beside(&old, "-wal")).unwrap();
    let (_folder, path) = place();
    for suffix in ["-wal", "-shm", "-journal"] {
        fs::write(beside(&path, suffix), &log).unwrap();
    }
    let bytes = sound();
    put(&bytes, &path, PageCheck::Quick, Existing::Refuse).unwrap();
    assert!(fs::read(&path).unwrap() == bytes);
    for suffix in ["-wal", "-shm", "-journal"] {
        assert!(!beside(&path, suffix).exists(), "{suffix} stays beside the new file");
        let aside = beside(&beside(&path, ".keepsum-old"), suffix);
        assert!(fs::read(aside).unwrap() == log, "{suffix}");
    }
    let connection = Connection::open(&path).unwrap();
    let count = connection.query_row("SELECT count(*) FROM accounts", [], |row| row.get(0));
    assert_eq!(count, Ok(200));
}
