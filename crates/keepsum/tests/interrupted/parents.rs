//! What a backup builds on after interrupted ones.

use keepsum::backup::ShapeChoice;

use crate::NEVER;
use crate::ground::Ground;

/// Lost: every further backup of a source whose backups were killed some twenty times as they began. Each
/// pinned every pin that was there once more, until an entry could not hold them.
#[tokio::test(flavor = "multi_thread")]
async fn backups_that_are_killed_as_they_begin_do_not_double_the_pins() {
    let ground = Ground::new("files:big", ShapeChoice::Files).await;
    ground.back_up().await;
    ground.change();
    ground.cancelled(NEVER, ground.total / 2).await;
    for _ in 0..8 {
        ground.killed_as_it_begins().await;
    }
    let pins = ground.pins().await;
    assert!(pins <= 2 + 8 * 3, "{pins} pins");
    ground.back_up().await;
    assert_eq!(ground.pins().await, 0);
}

/// Of many interrupted backups those count that came farthest, and a snapshot has what they did not come to.
#[tokio::test(flavor = "multi_thread")]
async fn the_interrupted_backup_that_came_farthest_is_built_on() {
    let ground = Ground::new("files:big", ShapeChoice::Files).await;
    ground.cancelled(NEVER, ground.total * 2 / 3).await;
    let farthest = ground.kept().await;
    for part in 1..=3 {
        // Reuses nothing, and keeps a little of its own.
        ground.cancelled_fresh(ground.total * part / 10).await;
    }
    assert_eq!(ground.kept().await, farthest);
    ground.goes_on(farthest, "after others").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_interrupted_backup_did_not_come_to_is_reused_of_the_snapshot_before() {
    let ground = Ground::new("files:big", ShapeChoice::Files).await;
    ground.back_up().await;
    ground.change();
    for _ in 0..3 {
        ground.cancelled_fresh(ground.total / 3).await;
    }
    let taken = ground.back_up().await;
    assert!(taken.uploaded < ground.total / 10, "{taken:?}");
    ground.assert_restores().await;
}
