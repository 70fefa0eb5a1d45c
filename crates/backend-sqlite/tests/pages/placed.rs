//! Pages that are put back: they are what was backed up, and what SQLite says of them decides only where it was
//! asked.

use std::fs;
use std::path::{Path, PathBuf};

use backend_sqlite::SqliteTarget;
use backup_core::check::{CheckLevel, CheckResult};
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::source::{FileInfo, FileNature};
use backup_core::target::{Existing, RestorePlan, Restored};
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
fn put(
    bytes: &[u8],
    target: &Path,
    check: Option<CheckLevel>,
    existing: Existing,
) -> Result<Restored> {
    let file = FileInfo {
        path: FilePath::new("database.sqlite")?,
        bytes: bytes.len() as u64,
        identity: None,
        mode: 0o644,
        owner: None,
        nature: FileNature::Changing,
    };
    let target = SqliteTarget::path(target)?;
    async {
        let plan = RestorePlan { check, ..files_plan("sqlite", &[file], existing) };
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

/// Such bytes are refused where a check was asked for, where nothing was and where a database is, which stays as
/// it was; where nobody asked for one they come back byte for byte, and it is said.
fn assert_told(bytes: &[u8], level: CheckLevel, said: &str) {
    let (folder, path) = place();
    for existing in [Existing::Refuse, Existing::KeepAside] {
        if existing == Existing::KeepAside {
            drop(make(&path, ""));
        }
        let before = all_of(folder.path());
        let error = put(bytes, &path, Some(level), existing).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
        assert!(error.to_string().contains(said), "{said}: {error}");
        assert!(all_of(folder.path()) == before, "{said}: something was changed");
    }
    let done = put(bytes, &path, None, Existing::KeepAside).unwrap();
    assert!(fs::read(&path).unwrap() == bytes, "{said}: other bytes came back");
    if level == CheckLevel::Quick {
        assert_eq!(done.check.result, CheckResult::Findings, "{done:?}");
        let finding = done.check.findings.iter().find(|finding| finding.contains(said));
        assert!(finding.is_some() && done.notes.len() == 1, "{said}: {done:?}");
    }
    let done = put(bytes, &path, Some(CheckLevel::None), Existing::KeepAside).unwrap();
    assert_eq!((done.check.result, done.notes.len()), (CheckResult::NotDone, 0));
    assert!(fs::read(&path).unwrap() == bytes, "{said}: other bytes came back");
}

#[test]
fn a_sound_database_is_placed() {
    let (_folder, path) = place();
    for check in [None, Some(CheckLevel::None), Some(CheckLevel::Quick), Some(CheckLevel::Full)] {
        let done = put(&sound(), &path, check, Existing::KeepAside).unwrap();
        assert_eq!(done.kept_aside.is_some(), check.is_some());
        assert_eq!(done.check.level, check.unwrap_or(CheckLevel::Quick));
        let skipped = check == Some(CheckLevel::None);
        let result = if skipped { CheckResult::NotDone } else { CheckResult::Sound };
        assert_eq!((done.check.result, done.notes.len()), (result, 0));
        look(&path);
    }
}

#[test]
fn a_database_of_another_length_than_it_says_is_told() {
    let whole = sound();
    assert_told(&whole[..whole.len() - 4096], CheckLevel::Quick, "its header says");
    let longer = [whole.as_slice(), &[0; 4096]].concat();
    assert_told(&longer, CheckLevel::Quick, "its header says");
    assert_told(&whole[..99], CheckLevel::Quick, "less than a header");
}

/// Lost: the one copy of a database that its application used for years, since SQLite's check was not content
/// with it.
#[test]
fn a_database_whose_pages_contradict_each_other_comes_back() {
    let mut bytes = sound();
    bytes[SOME_PAGE * 4096..][..4096].fill(0xff);
    assert_told(&bytes, CheckLevel::Quick, "page");
    assert_told(&bytes, CheckLevel::Full, "page");
}

/// An index that holds other rows than its table is sound page by page: only the full check sees it.
#[test]
fn an_index_at_odds_with_its_table_is_found_where_it_is_asked_for() {
    let (_folder, path) = place();
    let connection = make(&path, "");
    rewrite(&connection, "by_balance", "CREATE INDEX by_balance ON accounts(id)");
    drop(connection);
    let bytes = fs::read(&path).unwrap();
    let (_other, copy) = place();
    let done = put(&bytes, &copy, Some(CheckLevel::Quick), Existing::Refuse).unwrap();
    assert_eq!(done.check.result, CheckResult::Sound);
    assert_told(&bytes, CheckLevel::Full, "missing from index by_balance");
}

/// What SQLite cannot look at is no damage, and comes back where no check was asked for.
#[test]
fn what_cannot_be_checked_here_is_no_damage() {
    for (name, sql, why) in [
        ("accounts", "CREATE TABLE accounts(id INTEGER PRIMARY KEY, balance) FUTURE", "FUTURE"),
        ("by_balance", "CREATE INDEX by_balance ON accounts(balance COLLATE mine)", "mine"),
    ] {
        let (_folder, path) = place();
        let connection = make(&path, "");
        rewrite(&connection, name, sql);
        drop(connection);
        let bytes = fs::read(&path).unwrap();
        let (folder, copy) = place();
        for level in [CheckLevel::Quick, CheckLevel::Full] {
            let refused = put(&bytes, &copy, Some(level), Existing::Refuse).unwrap_err();
            assert!(matches!(refused, Error::Unsupported { .. }), "{}", chain(&refused));
            assert!(refused.to_string().contains(why), "{refused}");
            assert!(all_of(folder.path()).is_empty(), "{why}: something was left");
        }
        let done = put(&bytes, &copy, None, Existing::Refuse).unwrap();
        assert_eq!(done.check.result, CheckResult::NotPossible);
        assert!(done.notes.iter().any(|note| note.contains(why)), "{done:?}");
        assert!(fs::read(&copy).unwrap() == bytes);
    }
}

/// Gives an object of the schema another statement, as tools and old programs do.
fn rewrite(connection: &Connection, name: &str, sql: &str) {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, false).unwrap();
    connection.pragma_update(None, "writable_schema", 1).unwrap();
    let change = "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1";
    assert_eq!(connection.execute(change, [name, sql]).unwrap(), 1);
}

/// Who has it open would go on writing into the file that was moved aside.
#[test]
fn a_database_that_somebody_has_open_is_not_replaced() {
    let (_folder, path) = place();
    let application = make(&path, "");
    let refused = put(&sound(), &path, None, Existing::KeepAside);
    assert!(matches!(refused, Err(Error::InUse { .. })), "{refused:?}");
    drop(application);
    put(&sound(), &path, None, Existing::KeepAside).unwrap();
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
    put(&bytes, &path, None, Existing::Refuse).unwrap();
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
