//! What `kill -9` leaves, at any moment, is read as SQLite would recover it, and nothing is changed.

use std::thread;
use std::time::Duration;

use testkit::seed;

use crate::ground::{
    SUM, beside, bytes_of, carried_back, chain, look_into, make, place, recovered, seen, take,
};
use crate::writer::{Dice, Writer};

/// What the rounds came upon.
#[derive(Debug, Default)]
struct Met {
    logs: u32,
    journals: u32,
}

/// Kills a writer `rounds` times, and looks at what it left each time.
fn rounds(mode: &str, rounds: u32) -> Met {
    let seed = seed::seed();
    let mut dice = Dice::new(seed);
    let (folder, path) = place();
    drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
    let mut met = Met::default();
    for round in 0..rounds {
        let syncs = ["OFF", "NORMAL", "FULL"][usize::try_from(dice.throw(3)).unwrap()];
        let pragmas = format!(
            "PRAGMA journal_mode={mode}; PRAGMA synchronous={syncs}; PRAGMA cache_size=5; \
             PRAGMA wal_autocheckpoint=60"
        );
        let way = ["transfers", "large", "large"][usize::try_from(dice.throw(3)).unwrap()];
        let writer = Writer::start(&path, &pragmas, way, seed ^ u64::from(round));
        thread::sleep(Duration::from_millis(30 + dice.throw(60)));
        writer.kill();
        let what = format!("{mode}, round {round}; run again with {}={seed}", seed::SEED);
        let before = seen(folder.path());
        let snapshot = take(&path).unwrap_or_else(|error| panic!("{what}: {}", chain(&error)));
        let image = bytes_of(&snapshot).unwrap();
        met.logs += u32::from(beside(&path, "-wal").exists());
        met.journals += u32::from(snapshot.notes().iter().any(|note| note.contains("journal")));
        drop(snapshot);
        assert_eq!(seen(folder.path()), before, "{what}");
        let held = look_into(&image);
        assert_eq!(held.sum, SUM, "{what}");
        assert_eq!(held, recovered(&path), "{what}");
        // SQLite leaves the file as long as it was before; what is beyond is none of the database.
        let whole = carried_back(&path);
        assert!(whole.get(..image.len()) == Some(&image), "{what}");
    }
    met
}

/// LESSONS: apply every frame up to the last commit, stop at a torn one.
#[test]
fn a_log_left_by_a_killed_writer() {
    let met = rounds("wal", 60);
    assert!(met.logs > 40, "{met:?}");
    println!("{met:?}");
}

/// LESSONS: opening with a hot journal rolls it back in place.
#[test]
fn a_hot_journal_left_by_a_killed_writer() {
    for mode in ["delete", "truncate", "persist"] {
        let met = rounds(mode, 25);
        println!("{mode}: {met:?}");
        assert!(met.journals > 10, "{mode}: {met:?}, of 25");
    }
}
