//! An operation that fails, is torn or is short, at every number: the real command runs under the shim,
//! its engine included. It either says that it failed, or it is done, durably.

use testkit::crash::{Survival, Tree, Volume};
use testkit::faults::{Ran, Shim, ShimFault};

use crate::place::{Place, shown};
use crate::promise::{Before, assert_clean, holds, is_done};
use crate::scenario::{BACKUPS, RESTORES, Scenario};

/// A scenario that is run again and again from the same beginning.
struct Runs<'a> {
    scenario: &'a Scenario,
    shim: &'a Shim,
    place: Place,
    before: Before,
    beginning: Tree,
}

impl<'a> Runs<'a> {
    async fn new(scenario: &'a Scenario, shim: &'a Shim) -> Self {
        let place = Place::new();
        scenario.prepare(&place).await;
        let before = Before::of(&place).await;
        let beginning = Volume::read(&place.home()).unwrap().seen_tree();
        Self { scenario, shim, place, before, beginning }
    }

    /// Runs the command with one fault, and looks. False once the fault comes no more.
    async fn run(&self, fault: ShimFault, number: u64) -> bool {
        let Self { scenario, place, .. } = self;
        place.reset(&self.beginning);
        let mut volume = Volume::read(&place.home()).unwrap();
        let journal = place.beside("journal");
        let mut command = place.command(&scenario.args(place));
        self.shim.load_fault(&mut command, &place.home(), &journal, (fault, number));
        let output = command.output().unwrap();
        let ran = Ran::read(&journal, &place.home()).unwrap();
        let what = format!("{}, {fault:?} at {number}: {}", scenario.name, shown(&output));
        assert!(!what.contains("panicked"), "{what}");
        let done = output.status.success();
        if done {
            assert!(is_done(scenario, place).await, "{what}");
            ran.ops.iter().for_each(|op| volume.apply(op));
        } else if fault != ShimFault::Kill {
            let said = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(1), "{what}");
            assert!(said.lines().any(|line| line.starts_with("keepsum: ")), "{what}");
        }
        holds(scenario, place, &self.before, &what).await;
        if done {
            // What it said is done is done, though a power cut comes now.
            place.reset(&volume.after_crash(Survival::Synced));
            assert!(is_done(scenario, place).await, "{what}: lost by a power cut");
            assert_clean(&place.repository().await, &what).await;
        }
        ran.struck
    }

    async fn every(&self, fault: ShimFault) -> u64 {
        let mut number = 0;
        while self.run(fault, number).await {
            number += 1;
        }
        number
    }
}

async fn everywhere(scenario: &Scenario, faults: &[ShimFault]) {
    let Some(shim) = Shim::compile() else { return };
    let runs = Runs::new(scenario, &shim).await;
    let mut tried = Vec::new();
    for fault in faults {
        let count = runs.every(*fault).await;
        assert!(count >= 2, "{}: only {count} of {fault:?}", scenario.name);
        tried.push(format!("{count} {fault:?}"));
    }
    println!("{}: {}", scenario.name, tried.join(", "));
}

/// Every fault in the ordinary run where the command is short, the telling ones where it is long.
fn faults(scenario: &Scenario) -> &'static [ShimFault] {
    let all = std::env::var("KEEPSUM_FAULTS").is_ok_and(|which| which == "all");
    if all || !scenario.source.starts_with("rocksdb") {
        return &[
            ShimFault::Error,
            ShimFault::Onwards,
            ShimFault::Torn,
            ShimFault::Short,
            ShimFault::Kill,
            ShimFault::ReadError,
            ShimFault::ReadShort,
        ];
    }
    &[ShimFault::Error]
}

#[tokio::test]
async fn a_backup_of_records_from_memory_failed() {
    everywhere(&BACKUPS[0], faults(&BACKUPS[0])).await;
}

#[tokio::test]
async fn a_backup_of_records_from_rocksdb_failed() {
    everywhere(&BACKUPS[1], faults(&BACKUPS[1])).await;
}

#[tokio::test]
async fn a_backup_of_files_from_rocksdb_failed() {
    everywhere(&BACKUPS[2], faults(&BACKUPS[2])).await;
}

#[tokio::test]
async fn a_restore_of_records_into_a_portable_file_failed() {
    everywhere(&RESTORES[0], faults(&RESTORES[0])).await;
}

#[tokio::test]
async fn a_restore_of_records_into_portable_files_failed() {
    everywhere(&RESTORES[1], faults(&RESTORES[1])).await;
}

#[tokio::test]
async fn a_restore_of_records_into_rocksdb_failed() {
    everywhere(&RESTORES[2], faults(&RESTORES[2])).await;
}

#[tokio::test]
async fn a_restore_of_files_into_rocksdb_failed() {
    everywhere(&RESTORES[3], faults(&RESTORES[3])).await;
}

#[tokio::test]
async fn a_restore_of_files_into_portable_files_failed() {
    everywhere(&RESTORES[4], faults(&RESTORES[4])).await;
}

#[tokio::test]
async fn a_backup_of_records_from_sqlite_failed() {
    everywhere(&BACKUPS[3], faults(&BACKUPS[3])).await;
}

#[tokio::test]
async fn a_backup_of_pages_from_sqlite_failed() {
    everywhere(&BACKUPS[4], faults(&BACKUPS[4])).await;
}

#[tokio::test]
async fn a_restore_of_records_into_sqlite_failed() {
    everywhere(&RESTORES[5], faults(&RESTORES[5])).await;
}

#[tokio::test]
async fn a_restore_of_pages_into_sqlite_failed() {
    everywhere(&RESTORES[6], faults(&RESTORES[6])).await;
}
