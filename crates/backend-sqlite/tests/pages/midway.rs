//! What another process does when a snapshot is half read: each kind of it, at that very moment.

use std::path::Path;

use backend_sqlite::pages::{Options, PageSnapshot, capture};
use backup_core::progress::Context;
use backup_core::{Error, Files};
use pollster::FutureExt as _;

use crate::ground::{
    SUM, beside, bytes_of, carried_back, chain, later, look_into, make, options, place,
};
use crate::writer::{Other, Said};

/// Every account gives or takes; all together hold the same.
const TRANSFER: &str = "UPDATE accounts SET pad = randomblob(700), \
     balance = balance + CASE id % 2 WHEN 0 THEN 7 ELSE -7 END";

const CHECKPOINTS: [&str; 4] = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];

const PAGE_SIZES: [u32; 9] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536, 4096];

/// What changes the schema, or the file as a whole, each after the one before.
const CHANGES: [&str; 7] = [
    "DELETE FROM pairs WHERE a > 'key 2'; VACUUM",
    "CREATE TABLE extra AS SELECT * FROM accounts",
    "ALTER TABLE extra ADD COLUMN more DEFAULT 'more'",
    "CREATE INDEX of_extra ON extra(pad)",
    "ALTER TABLE extra RENAME COLUMN more TO less",
    "DROP TABLE extra",
    "DELETE FROM pairs; VACUUM",
];

/// The first and the second half of all pages.
struct Halves {
    snapshot: PageSnapshot,
    first: Vec<u8>,
}

impl Halves {
    fn first(path: &Path, options: &Options) -> Self {
        let snapshot = capture(path, options, &Context::default()).unwrap();
        let middle = snapshot.list()[0].bytes / 2;
        let first = snapshot.read(0, 0..middle).block_on().unwrap().to_vec();
        Self { snapshot, first }
    }

    fn second(&self) -> backup_core::Result<Vec<u8>> {
        let range = self.first.len() as u64..self.snapshot.list()[0].bytes;
        let second = self.snapshot.read(0, range).block_on()?;
        Ok([&self.first, &second[..]].concat())
    }
}

/// The pages as they are now, and as SQLite reads them on a copy, while nobody writes.
fn now(path: &Path) -> Vec<u8> {
    let image = bytes_of(&capture(path, &options(), &Context::default()).unwrap()).unwrap();
    assert!(image == carried_back(path));
    image
}

#[track_caller]
fn assert_done(other: &mut Other, sql: &str) {
    let said = other.run(sql);
    assert!(matches!(said, Said::Done(_)), "{sql}: {said:?}");
}

/// Log and main file, whatever is carried back, and whoever waits for that.
///
/// LESSONS: a checkpoint of another process; a RESTART checkpoint that waits for readers.
#[test]
fn checkpoints_of_every_kind() {
    for kind in CHECKPOINTS {
        for carried_back in [false, true] {
            let what = format!("{kind}, the log carried back before: {carried_back}");
            let (_folder, path) = place();
            drop(make(&path, "PRAGMA journal_mode=wal"));
            let mut other = Other::start(&path, "PRAGMA wal_autocheckpoint=0");
            assert_done(&mut other, TRANSFER);
            if carried_back {
                assert_done(&mut other, "PRAGMA wal_checkpoint(PASSIVE)");
            }
            let before = now(&path);
            let halves = Halves::first(&path, &options());
            assert_done(&mut other, TRANSFER);
            let checkpoint = format!("PRAGMA wal_checkpoint({kind})");
            let Said::Done(numbers) = other.run(&checkpoint) else { panic!("{what}") };
            // All but PASSIVE waited for the snapshot, in vain.
            assert_eq!(numbers.starts_with("1 "), kind != "PASSIVE", "{what}: {numbers}");
            assert_done(&mut other, TRANSFER);
            assert!(halves.second().unwrap() == before, "{what}");
            assert_eq!(look_into(&before).sum, SUM, "{what}");
            drop(halves);
            let Said::Done(numbers) = other.run(&checkpoint) else { panic!("{what}") };
            assert!(numbers.starts_with("0 "), "{what}: {numbers}");
            assert_done(&mut other, TRANSFER);
            let after = now(&path);
            assert!(after != before && look_into(&after).sum == SUM, "{what}");
        }
    }
}

/// LESSONS: auto-vacuum and shrinking files; a schema that changes.
#[test]
fn vacuum_and_schema_changes_of_a_database_with_a_log() {
    for vacuum in ["none", "full"] {
        let (_folder, path) = place();
        drop(make(&path, &format!("PRAGMA auto_vacuum={vacuum}; PRAGMA journal_mode=wal")));
        let mut other = Other::start(&path, "PRAGMA wal_autocheckpoint=30");
        for change in CHANGES {
            let before = now(&path);
            let halves = Halves::first(&path, &options());
            assert_done(&mut other, change);
            assert_done(&mut other, TRANSFER);
            assert!(halves.second().unwrap() == before, "{vacuum}: {change}");
            assert_eq!(look_into(&before).sum, SUM, "{vacuum}: {change}");
            drop(halves);
            let after = now(&path);
            assert!(after != before && look_into(&after).sum == SUM, "{vacuum}: {change}");
        }
    }
}

fn changes_with_a_rollback_journal() -> Vec<String> {
    let sizes = PAGE_SIZES.map(|size| format!("PRAGMA page_size={size}; VACUUM"));
    CHANGES.map(str::to_owned).into_iter().chain(sizes).collect()
}

/// Between two slices anything may happen; what was read before is then given up.
#[test]
fn vacuum_and_changes_of_schema_and_page_size_between_slices() {
    for mode in ["delete", "truncate", "persist"] {
        let (_folder, path) = place();
        drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
        let mut other = Other::start(&path, &format!("PRAGMA journal_mode={mode}"));
        for change in changes_with_a_rollback_journal() {
            let before = now(&path);
            let halves = Halves::first(&path, &options());
            assert_done(&mut other, &change);
            let error = halves.second().unwrap_err();
            assert!(matches!(error, Error::Changed { .. }), "{mode}: {change}: {}", chain(&error));
            let after = now(&path);
            assert!(after != before && look_into(&after).sum == SUM, "{mode}: {change}");
        }
    }
}

/// Under one lock nothing happens until it is let go.
#[test]
fn vacuum_and_changes_of_schema_and_page_size_wait_where_that_is_asked() {
    let options = Options { block_writers: true, ..options() };
    for mode in ["delete", "truncate", "persist"] {
        let (_folder, path) = place();
        drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
        let mut other = Other::start(&path, &format!("PRAGMA journal_mode={mode}"));
        for change in changes_with_a_rollback_journal() {
            let before = now(&path);
            let halves = Halves::first(&path, &options);
            assert_eq!(other.run(&change), Said::Busy, "{mode}: {change}");
            assert!(halves.second().unwrap() == before, "{mode}: {change}");
            assert_eq!(look_into(&before).sum, SUM, "{mode}: {change}");
            drop(halves);
            assert_done(&mut other, &change);
            let after = now(&path);
            assert!(after != before && look_into(&after).sum == SUM, "{mode}: {change}");
        }
    }
}

/// LESSONS: SQLite rewrites its log in place, so that its size stops moving.
#[test]
fn a_log_that_is_written_again_in_place_is_another_state() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=wal"));
    let mut other = Other::start(&path, "PRAGMA wal_autocheckpoint=0; PRAGMA journal_mode=wal");
    assert_done(&mut other, TRANSFER);
    let log = || std::fs::metadata(beside(&path, "-wal")).unwrap().len();
    let mut states = vec![(log(), now(&path), identity(&path))];
    for _ in 0..3 {
        let said = other.run("PRAGMA wal_checkpoint(RESTART)");
        assert!(matches!(&said, Said::Done(numbers) if numbers.starts_with("0 ")), "{said:?}");
        assert_done(&mut other, "UPDATE accounts SET balance = balance + 1 WHERE id = 1");
        assert_done(&mut other, "UPDATE accounts SET balance = balance - 1 WHERE id = 2");
        let image = now(&path);
        assert_eq!(look_into(&image).sum, SUM);
        states.push((log(), image, identity(&path)));
    }
    for (number, one) in states.iter().enumerate() {
        for other in &states[..number] {
            assert_eq!(one.0, other.0, "the log's size moved");
            assert!(one.1 != other.1 && one.2.is_some() && one.2 != other.2);
        }
    }
}

/// What an unchanged database is known by, long after it was written.
fn identity(path: &Path) -> Option<String> {
    let snapshot = capture(path, &later(), &Context::default()).unwrap();
    snapshot.list()[0].identity.as_ref().map(|identity| format!("{identity:?}"))
}
