//! A power cut after every operation of a command, its engine's included. The command runs once with
//! the shim, which writes down what it does; each state that a crash may have left is then made from
//! that, and looked at.

use std::collections::HashSet;

use testkit::crash::{Survival, Volume};
use testkit::faults::{Ran, Shim};

use crate::place::{Place, shown};
use crate::promise::{Before, assert_clean, holds, is_done};
use crate::scenario::{BACKUPS, RESTORES, Scenario};

/// Of the unsynced: nothing, everything, or a part.
fn survivals() -> Vec<Survival> {
    let parts =
        if std::env::var("KEEPSUM_FAULTS").is_ok_and(|which| which == "all") { 12 } else { 1 };
    let some = (0..parts).map(Survival::Some);
    [Survival::Synced, Survival::Everything].into_iter().chain(some).collect()
}

async fn everywhere(scenario: &Scenario) {
    let Some(shim) = Shim::compile() else { return };
    let place = Place::new();
    scenario.prepare(&place).await;
    let before = Before::of(&place).await;
    let mut volume = Volume::read(&place.home()).unwrap();
    let journal = place.beside("journal");
    let mut command = place.command(&scenario.args(&place));
    shim.load(&mut command, &place.home(), &journal);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}: {}", scenario.name, shown(&output));
    let ran = Ran::read(&journal, &place.home()).unwrap();
    let (mut seen, mut states) = (HashSet::new(), 0);
    for number in 0..=ran.ops.len() {
        if let Some(op) = number.checked_sub(1).map(|last| &ran.ops[last]) {
            volume.apply(op);
        }
        for survival in survivals() {
            let left = volume.after_crash(survival);
            if seen.insert(left.fingerprint()) {
                place.reset(&left);
                let op = number.checked_sub(1).map(|last| &ran.ops[last]);
                let what = format!(
                    "{}, cut off after operation {number} ({op:?}), {survival:?} of the unsynced",
                    scenario.name
                );
                holds(scenario, &place, &before, &what).await;
                states += 1;
            }
        }
    }
    // What the command said is done is done, whatever comes.
    let left = volume.after_crash(Survival::Synced);
    place.reset(&left);
    assert!(is_done(scenario, &place).await, "{}: it said that it was done", scenario.name);
    let remembered = left.entries.keys().any(|path| {
        path.starts_with("state") && path.extension().is_some_and(|extension| extension == "json")
    });
    assert!(remembered, "{}: what was seen of the catalog is forgotten", scenario.name);
    assert_clean(&place.repository().await, scenario.name).await;
    println!("{}: {} operations, {states} states after a crash", scenario.name, ran.ops.len());
    assert!(ran.ops.len() > 10 && states > 10, "{} operations, {states} states", ran.ops.len());
}

#[tokio::test]
async fn a_backup_of_records_from_memory_cut_off() {
    everywhere(&BACKUPS[0]).await;
}

#[tokio::test]
async fn a_backup_of_records_from_rocksdb_cut_off() {
    everywhere(&BACKUPS[1]).await;
}

#[tokio::test]
async fn a_backup_of_files_from_rocksdb_cut_off() {
    everywhere(&BACKUPS[2]).await;
}

#[tokio::test]
async fn a_restore_of_records_into_a_portable_file_cut_off() {
    everywhere(&RESTORES[0]).await;
}

#[tokio::test]
async fn a_restore_of_records_into_portable_files_cut_off() {
    everywhere(&RESTORES[1]).await;
}

#[tokio::test]
async fn a_restore_of_records_into_rocksdb_cut_off() {
    everywhere(&RESTORES[2]).await;
}

#[tokio::test]
async fn a_restore_of_files_into_rocksdb_cut_off() {
    everywhere(&RESTORES[3]).await;
}

#[tokio::test]
async fn a_restore_of_files_into_portable_files_cut_off() {
    everywhere(&RESTORES[4]).await;
}

#[tokio::test]
async fn a_backup_of_records_from_sqlite_cut_off() {
    everywhere(&BACKUPS[3]).await;
}

#[tokio::test]
async fn a_backup_of_pages_from_sqlite_cut_off() {
    everywhere(&BACKUPS[4]).await;
}

#[tokio::test]
async fn a_restore_of_records_into_sqlite_cut_off() {
    everywhere(&RESTORES[5]).await;
}

#[tokio::test]
async fn a_restore_of_pages_into_sqlite_cut_off() {
    everywhere(&RESTORES[6]).await;
}

#[tokio::test]
async fn a_restore_of_pages_into_rocksdb_cut_off() {
    everywhere(&RESTORES[7]).await;
}
