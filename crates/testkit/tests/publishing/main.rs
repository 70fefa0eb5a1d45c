//! Publishing a store, cut off after every operation and failed at every operation: what is there
//! afterwards is the old store, the new one, or nothing with the old one aside; the same restore again
//! finishes, and the old store is never lost.

#![expect(clippy::unwrap_used, reason = "a test fails where something is not as it must be")]

mod store;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;

use backup_core::disk::{Disk, LocalDisk};
use backup_core::staging::Form;
use testkit::crash::{Op, Survival, Tree, Volume};
use testkit::faults::{FaultyDisk, Reach, Trigger};

use store::{Case, NEW, OLD, Place};

const FOLDER: Form = Form::Folder { last: Some("CURRENT") };

const FILE: Form = Form::File { companions: &[], logs: &[] };
const DATABASE: Form =
    Form::File { companions: &["-wal", "-journal"], logs: &["-wal", "-journal"] };

/// Everything that was tried, to be printed.
#[derive(Debug, Default)]
struct Tried {
    operations: usize,
    /// The fingerprints of what a crash left.
    states: HashSet<u64>,
    errors: u64,
}

/// In how many ways a part of what is not synced is left after a crash.
const WAYS: u64 = 64;

/// How many of them are tried where an operation failed before the crash. `KEEPSUM_PUBLISHING_EVERY` tries all.
const WAYS_AFTER_A_FAILURE: u64 = 6;

/// What of the unsynced is left: all ways, or some that a seed chooses.
fn survivals(seed: Option<u64>) -> Vec<Survival> {
    let some: Vec<u64> = match seed {
        Some(seed) if std::env::var_os("KEEPSUM_PUBLISHING_EVERY").is_none() => {
            let chosen = testkit::noise(seed, usize::try_from(WAYS_AFTER_A_FAILURE).unwrap());
            chosen.into_iter().map(|byte| u64::from(byte) % WAYS).collect()
        }
        _ => (0..WAYS).collect(),
    };
    let some = some.into_iter().map(Survival::Some);
    [Survival::Synced, Survival::Everything].into_iter().chain(some).collect()
}

/// Cuts the restore off after each of its operations, and looks at each state that is left.
fn crash_everywhere(case: &Case, tried: &mut Tried) {
    let place = Place::with(case);
    let mut volume = Volume::read(place.home()).unwrap();
    let disk = case.disk(place.home(), Trigger::never());
    case.restore(&place, Arc::new(disk.clone())).unwrap();
    let journal = disk.journal();
    tried.operations += journal.len();
    cut_off(case, &mut volume, &journal, &survivals(None), case.name, tried);
    // What was said to be done is done, whatever comes.
    let left = volume.after_crash(Survival::Synced);
    let copy = Place::after(case, &left);
    assert_eq!(copy.found(case), Some(NEW), "{}: {:?}", case.name, left.names());
}

/// Follows a run, and looks at each state that a crash may leave after each of its operations.
fn cut_off(
    case: &Case,
    volume: &mut Volume,
    journal: &[Op],
    survivals: &[Survival],
    what: &str,
    tried: &mut Tried,
) {
    for number in 0..=journal.len() {
        if let Some(op) = number.checked_sub(1).map(|last| &journal[last]) {
            volume.apply(op);
        }
        for survival in survivals {
            let left = volume.after_crash(*survival);
            if tried.states.insert(left.fingerprint()) {
                let what = format!("{what} after {number} operations, {survival:?}");
                check_state(case, &left, &what);
            }
        }
    }
}

fn check_state(case: &Case, left: &Tree, what: &str) {
    let place = Place::after(case, left);
    check(case, &place, &format!("{what}: {:?}", left.names()));
}

/// The state is one that may be, and the same restore again finishes.
fn check(case: &Case, place: &Place, what: &str) {
    place.assert_possible(case, what);
    let again = case.restore(place, Arc::new(LocalDisk));
    again.unwrap_or_else(|error| panic!("{what}: the same restore again: {error}"));
    assert_eq!(place.found(case), Some(NEW), "{what}: after the same restore again");
    place.assert_access(case, &format!("{what}: after the same restore again"));
    let kept = place.kept(case);
    assert!(!case.old || kept.contains(&OLD), "{what}: the old store is gone");
    assert!(!kept.contains(&"between"), "{what}: half a store is kept aside");
    assert_eq!(place.leftovers(case), [""; 0], "{what}: after the same restore again");
}

/// Fails each operation of the restore, alone and with all that follow.
fn fail_everywhere(case: &Case, tried: &mut Tried) {
    let seed = testkit::seed::seed();
    for reach in [Reach::Once, Reach::Onwards] {
        for number in 0.. {
            let place = Place::with(case);
            let mut volume = Volume::read(place.home()).unwrap();
            let disk = case.disk(place.home(), Trigger::at(number, reach));
            let done = case.restore(&place, Arc::new(disk.clone()));
            let of = format!("{} ({}={seed})", case.name, testkit::seed::SEED);
            let what = format!("{of}: operation {number} failed, {reach:?}: {done:?}");
            if !disk.trigger().has_struck() {
                done.unwrap();
                assert!(number > 5, "{what}");
                break;
            }
            tried.errors += 1;
            if done.is_ok() {
                assert_eq!(place.found(case), Some(NEW), "{what}");
            }
            check(case, &place, &what);
            let survivals = survivals(Some(seed.wrapping_add(number)));
            cut_off(case, &mut volume, &disk.journal(), &survivals, &what, tried);
            let left = volume.after_crash(Survival::Synced);
            let what = format!("{what}, then a crash");
            if done.is_ok() {
                let copy = Place::after(case, &left);
                assert_eq!(copy.found(case), Some(NEW), "{what}: it was said to be done");
            }
            check_state(case, &left, &what);
        }
    }
}

fn everywhere(case: &Case) {
    let mut tried = Tried::default();
    crash_everywhere(case, &mut tried);
    fail_everywhere(case, &mut tried);
    let Tried { operations, states, errors } = tried;
    let states = states.len();
    let told = format!("{}: {operations} operations, {states} states, {errors} errors", case.name);
    println!("publishing {told}");
    assert!(operations > 10 && states > 10 && errors > 10, "{told}");
}

#[test]
fn a_folder_where_nothing_was() {
    everywhere(&Case {
        name: "a folder",
        form: FOLDER,
        old: false,
        orphans: false,
        exchange: true,
        mounted: None,
    });
}

#[test]
fn a_folder_in_exchange_for_another() {
    everywhere(&Case {
        name: "a folder exchanged",
        form: FOLDER,
        old: true,
        orphans: false,
        exchange: true,
        mounted: None,
    });
}

#[test]
fn a_folder_in_place_of_another_where_the_system_cannot_exchange() {
    everywhere(&Case {
        name: "a folder renamed",
        form: FOLDER,
        old: true,
        orphans: false,
        exchange: false,
        mounted: None,
    });
}

#[test]
fn a_file_where_nothing_was() {
    everywhere(&Case {
        name: "a file",
        form: FILE,
        old: false,
        orphans: false,
        exchange: true,
        mounted: None,
    });
}

#[test]
fn a_file_in_place_of_another() {
    everywhere(&Case {
        name: "a file replaced",
        form: FILE,
        old: true,
        orphans: false,
        exchange: true,
        mounted: None,
    });
}

/// A database goes aside with its logs. None of them is ever beside the new one, or beside another old one.
#[test]
fn a_database_in_place_of_another_with_its_logs() {
    everywhere(&Case {
        name: "a database with logs replaced",
        form: DATABASE,
        old: true,
        orphans: false,
        exchange: true,
        mounted: None,
    });
}

#[test]
fn a_database_where_only_logs_were() {
    everywhere(&Case {
        name: "a database beside orphaned logs",
        form: DATABASE,
        old: false,
        orphans: true,
        exchange: true,
        mounted: None,
    });
}

/// A file system that is mounted where the store is to be cannot be renamed over.
#[test]
fn a_mount_point_that_is_filled() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    fs::create_dir(&target).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&target).status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("KEEPSUM_TEST_ALL").is_none(), "cannot mount a file system");
        println!("skipped: this user or system cannot mount a file system");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        for (name, old) in [("a mount point", false), ("a mount point replaced", true)] {
            let mounted = Some(target.clone());
            everywhere(&Case { name, form: FOLDER, old, orphans: false, exchange: true, mounted });
        }
    });
    let unmounted = Command::new("umount").arg(&target).status().unwrap();
    assert!(unmounted.success());
    assert!(outcome.is_ok(), "see the panic above");
}

/// The model itself: what is not synced is lost, and a rename is one step.
#[test]
fn what_is_not_synced_is_lost() {
    let home = tempfile::tempdir().unwrap();
    fs::write(home.path().join("kept"), "kept").unwrap();
    let mut volume = Volume::read(home.path()).unwrap();
    let disk = FaultyDisk::new(home.path(), Trigger::never());
    let path = |name: &str| home.path().join(name);
    let mut file = disk.create_file(&path("new"), 0o644).unwrap();
    file.write_at(0, b"0123456789").unwrap();
    disk.sync_folder(home.path()).unwrap();
    file.sync().unwrap();
    disk.rename(&path("new"), &path("kept")).unwrap();
    disk.sync_folder(home.path()).unwrap();
    let mut states = Vec::new();
    let show = |tree: Tree| -> Vec<String> {
        let leaf = |(path, leaf): (&std::path::PathBuf, &testkit::crash::Leaf)| match leaf {
            testkit::crash::Leaf::File(_, content) => {
                format!("{}={}", path.display(), String::from_utf8_lossy(content))
            }
            testkit::crash::Leaf::Folder => path.display().to_string(),
        };
        tree.entries.iter().map(leaf).collect()
    };
    for op in disk.journal() {
        volume.apply(&op);
        states.push(show(volume.after_crash(Survival::Synced)));
    }
    let expected: [&[&str]; 7] = [
        &["kept=kept"],
        &["kept=kept"],
        &["kept=kept"],
        &["kept=kept", "new="],
        &["kept=kept", "new=0123456789"],
        &["kept=kept", "new=0123456789"],
        &["kept=0123456789"],
    ];
    assert_eq!(states, expected);
    let real = Volume::read(Path::new(home.path())).unwrap().seen_tree();
    assert_eq!(show(real), show(volume.seen_tree()));
}

/// A sync that failed loses what was to be synced, though the next one says nothing.
#[test]
fn a_failed_sync_is_not_made_good_by_the_next() {
    let home = tempfile::tempdir().unwrap();
    let mut volume = Volume::read(home.path()).unwrap();
    let disk = FaultyDisk::new(home.path(), Trigger::at(2, Reach::Once));
    let mut file = disk.create_file(&home.path().join("file"), 0o644).unwrap();
    file.write_at(0, b"content").unwrap();
    file.sync().unwrap_err();
    file.sync().unwrap();
    disk.sync_folder(home.path()).unwrap();
    disk.journal().iter().for_each(|op| volume.apply(op));
    let left = volume.after_crash(Survival::Synced);
    let copy = home.path().join("copy");
    fs::create_dir(&copy).unwrap();
    left.write_to(&copy).unwrap();
    assert_eq!(fs::read(copy.join("file")).unwrap(), b"");
}
