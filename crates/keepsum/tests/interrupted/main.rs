//! Backups that end before their end: cancelled, dropped, failed or killed, in the middle of one file or one
//! database. The next one sends the rest, and no more.

#![cfg(all(feature = "cli", feature = "rocksdb", feature = "sqlite"))]
#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod ground;
mod killed;
mod parents;

use keepsum::CheckpointEvery;
use keepsum::backup::ShapeChoice;

use crate::ground::{Ground, MIB, Taken};

/// Every shape of every engine: how its content is made, and the most that is under way when it is stopped.
const SOURCES: [(&str, ShapeChoice, u64); 7] = [
    ("files:big", ShapeChoice::Files, 5 * MIB),
    ("files:many", ShapeChoice::Files, 5 * MIB),
    ("sqlite:a.db", ShapeChoice::Files, 5 * MIB),
    ("sqlite:a.db", ShapeChoice::Records, 12 * MIB),
    ("rocksdb:a", ShapeChoice::Files, 40 * MIB),
    ("rocksdb:a", ShapeChoice::Records, 12 * MIB),
    ("memory:a", ShapeChoice::Records, 12 * MIB),
];

/// A checkpoint is made after every piece or leaf.
const ALWAYS: CheckpointEvery = CheckpointEvery { bytes: 1, milliseconds: u64::MAX };

/// None is made but the one at the end.
const NEVER: CheckpointEvery = CheckpointEvery { bytes: u64::MAX, milliseconds: u64::MAX };

/// Lost: all of what a cancelled backup had sent, 700 MiB of rows for one, though it said "run the same command
/// again to go on".
#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_backup_makes_a_checkpoint_as_it_ends() {
    for (source, shape, under_way) in SOURCES {
        let ground = Ground::new(source, shape).await;
        let what = format!("{source} {shape:?}");
        let notes = ground.cancelled(NEVER, ground.total * 2 / 3).await;
        let kept = ground.kept().await;
        assert!(kept + under_way >= ground.total * 2 / 3, "{what}: {kept} kept, {notes:?}");
        let said = format!("{kept} bytes of the source are kept in the repository");
        assert!(notes.iter().any(|note| note.starts_with(&said)), "{what}: {notes:?}");
        ground.assert_sound().await;
        ground.goes_on(kept, &what).await;
    }
}

/// Lost: 399 MB of one file of 1 GB. Checkpoints came between files, and a database is one file.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_just_stops_goes_on_from_within_a_file_or_a_range() {
    for (source, shape, _) in SOURCES {
        let ground = Ground::new(source, shape).await;
        let what = format!("{source} {shape:?}");
        ground.dropped_after_a_checkpoint(ALWAYS).await;
        let kept = ground.kept().await;
        assert!(0 < kept && kept < ground.total, "{what}: {kept} of {}", ground.total);
        ground.assert_sound().await;
        ground.goes_on(kept, &what).await;
    }
}

/// What was sent in the end is what one backup sends, whatever stopped the others.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_stopped_again_and_again_comes_to_its_end() {
    for (source, shape, _) in [SOURCES[0], SOURCES[3]] {
        let ground = Ground::new(source, shape).await;
        let mut before = 0;
        for tenths in [3, 5, 8] {
            ground.cancelled(NEVER, ground.total * tenths / 10).await;
            let kept = ground.kept().await;
            // The same where what the one before had under way when it was stopped reached as far.
            assert!(kept >= before, "{source} {shape:?}: {kept} after {before}");
            before = kept;
        }
        assert!(before > ground.total / 2, "{source} {shape:?}: {before} of {}", ground.total);
        ground.goes_on(before, source).await;
        let sent = ground.sent().await;
        assert!(sent < ground.total * 11 / 10 + 4 * MIB, "{sent} of {}", ground.total);
    }
}

/// A proof of records that fails beside the copy stops it, and what it had copied is kept.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_is_proved_beside_is_kept_as_well() {
    let ground = Ground::new("sqlite:a.db", ShapeChoice::Files).await.proved();
    ground.cancelled(NEVER, ground.total).await;
    let kept = ground.kept().await;
    assert!(kept > 0);
    ground.goes_on(kept, "proved").await;
}

/// A cancelled backup that had nothing to keep says so, and leaves nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_backup_that_is_cancelled_at_once_says_that_nothing_is_kept() {
    let ground = Ground::new("files:big", ShapeChoice::Files).await;
    let notes = ground.cancelled_as_it_copies(NEVER).await;
    assert!(
        notes.iter().any(|note| note.starts_with("nothing of this backup was kept")),
        "{notes:?}"
    );
    assert_eq!(ground.pins().await, 0);
    let Taken { uploaded, .. } = ground.back_up().await;
    assert!(uploaded >= ground.total);
}

/// A file whose beginning a checkpoint has and which changed meanwhile is stored as it is now.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_meanwhile_is_taken_as_it_is() {
    for source in ["files:big", "sqlite:a.db"] {
        let ground = Ground::new(source, ShapeChoice::Files).await;
        ground.cancelled(NEVER, ground.total / 2).await;
        assert!(ground.kept().await > 0);
        ground.change();
        ground.back_up().await;
        ground.assert_restores().await;
        assert_eq!(ground.pins().await, 0);
    }
}
