//! Databases read while other processes write them as fast as they can: the sum over all accounts holds
//! in every state that is read, and SQLite finds it sound.

use std::path::Path;
use std::thread;
use std::time::Duration;

use backend_sqlite::pages::{Options, capture};
use backup_core::Error;
use backup_core::position::Position;
use backup_core::progress::Context;
use testkit::seed;

use crate::ground::{SUM, bytes_of, chain, look_into, make, options, place};
use crate::writer::Writer;

/// Reads a database until it was read whole `states` times, and looks into each.
fn read_under_fire(path: &Path, options: &Options, states: u32, writers: &mut [Writer]) {
    let mut last_log = 0;
    let mut positions = Vec::new();
    for _ in 0..states {
        let (image, position) = whole(path, options);
        assert!(writers.iter_mut().all(Writer::is_writing), "a writer ended");
        let held = look_into(&image);
        assert_eq!(held.sum, SUM);
        assert!(held.logged.1 >= last_log, "an older state than the one before");
        last_log = held.logged.1;
        positions.push(position);
        thread::sleep(Duration::from_millis(5));
    }
    assert!(last_log > 0, "nobody wrote");
    positions.dedup();
    assert!(positions.len() > positions.capacity() / 10, "nothing moved: {positions:?}");
}

/// A whole state, begun again as often as it changes while it is read.
fn whole(path: &Path, options: &Options) -> (Vec<u8>, Position) {
    for tries in 1..=1000 {
        let read = capture(path, options, &Context::default())
            .and_then(|snapshot| Ok((bytes_of(&snapshot)?, snapshot.position().clone())));
        match read {
            Ok(read) => return read,
            Err(Error::Changed { .. }) => thread::sleep(Duration::from_millis(1)),
            // Among writers that never pause, a reader may find no gap for as long as it waits.
            Err(error @ Error::InUse { .. }) => println!("try {tries}: {}", chain(&error)),
            Err(error) => panic!("try {tries}: {}", chain(&error)),
        }
    }
    panic!("no whole state in 1000 tries");
}

fn print_seed() -> u64 {
    let seed = seed::seed();
    println!("run again with {}={seed}", seed::SEED);
    seed
}

/// LESSONS: the main file copied while in use, or without its log, is torn or stale.
#[test]
fn transfers_and_checkpoints_of_every_kind() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=wal"));
    let seed = print_seed();
    let quick = "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=40";
    let mut writers = [
        Writer::start(&path, quick, "transfers", seed),
        Writer::start(&path, quick, "transfers", seed.wrapping_add(1)),
        Writer::start(&path, quick, "checkpoints", seed.wrapping_add(2)),
    ];
    read_under_fire(&path, &options(), 70, &mut writers);
}

/// LESSONS: auto-vacuum and shrinking files.
#[test]
fn vacuum_and_schema_changes_half_way() {
    for pragmas in ["PRAGMA journal_mode=wal", "PRAGMA auto_vacuum=full; PRAGMA journal_mode=wal"] {
        let (_folder, path) = place();
        drop(make(&path, pragmas));
        let seed = print_seed();
        let quick = "PRAGMA synchronous=OFF";
        let mut writers = [
            Writer::start(&path, quick, "transfers", seed),
            Writer::start(&path, quick, "schema", seed.wrapping_add(1)),
            Writer::start(
                &path,
                "PRAGMA synchronous=OFF; PRAGMA cache_size=5",
                "large",
                seed.wrapping_add(2),
            ),
        ];
        read_under_fire(&path, &options(), 30, &mut writers);
    }
}

/// LESSONS: a database in rollback-journal mode.
#[test]
fn slices_between_bursts_of_writes() {
    for mode in ["delete", "truncate", "persist", "memory", "off"] {
        let (_folder, path) = place();
        drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
        let quick = format!("PRAGMA journal_mode={mode}; PRAGMA synchronous=OFF");
        let mut writers = [Writer::start(&path, &quick, "bursts", print_seed())];
        read_under_fire(&path, &options(), 8, &mut writers);
    }
}

#[test]
fn writers_wait_where_that_is_asked() {
    for mode in ["truncate", "persist"] {
        let (_folder, path) = place();
        drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
        let seed = print_seed();
        let quick = format!("PRAGMA journal_mode={mode}; PRAGMA synchronous=OFF");
        let mut writers = [
            Writer::start(&path, &quick, "transfers", seed),
            Writer::start(&path, &quick, "page sizes", seed.wrapping_add(3)),
            Writer::start(
                &path,
                &format!("{quick}; PRAGMA cache_size=5"),
                "large",
                seed.wrapping_add(4),
            ),
        ];
        let options = Options { block_writers: true, ..options() };
        read_under_fire(&path, &options, 20, &mut writers);
    }
}

/// Where the file system shares blocks between files, writers that never pause are no hindrance.
#[test]
fn reflinks_between_writes_that_never_pause() {
    let (folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=delete"));
    let options = Options { scratch: Some(folder.path().to_owned()), ..options() };
    if capture(&path, &options, &Context::default()).unwrap().pause().is_none() {
        println!("skipped: this file system has no reflinks");
        return;
    }
    let seed = print_seed();
    let quick = "PRAGMA synchronous=OFF";
    let mut writers = [
        Writer::start(&path, quick, "transfers", seed),
        Writer::start(&path, quick, "schema", seed.wrapping_add(1)),
    ];
    read_under_fire(&path, &options, 30, &mut writers);
}
