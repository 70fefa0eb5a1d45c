//! What holds after any fault, and once the same command ran again.

use std::collections::BTreeSet;

use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{Repository, StoreLocation};
use testkit::contents::Contents;

use crate::place::{Place, at, look};
use crate::scenario::{Scenario, Work, hash_of, is_portable_file, objects};

/// What a scenario's repository held before the fault.
pub(crate) struct Before {
    pub(crate) objects: BTreeSet<String>,
    pub(crate) snapshot: String,
}

impl Before {
    pub(crate) async fn of(place: &Place) -> Self {
        let head = place.repository().await.head().await.unwrap();
        let first = head.state.snapshots.values().min_by_key(|s| s.entry).unwrap();
        Self { objects: objects(&place.path("repo")), snapshot: first.id.to_string() }
    }
}

/// Whether the command's effect is there: the new snapshot, or the new store.
pub(crate) async fn is_done(scenario: &Scenario, place: &Place) -> bool {
    match scenario.work {
        Work::Backup => place.repository().await.head().await.unwrap().state.snapshots.len() == 2,
        Work::Restore => look(&place.store(scenario.target)).await == Some(scenario.wanted()),
    }
}

/// Looks at the state after a fault, runs the command again in this process, and looks once more.
pub(crate) async fn holds(scenario: &Scenario, place: &Place, before: &Before, what: &str) {
    match scenario.work {
        Work::Backup => backup_holds(scenario, place, before, what).await,
        Work::Restore => restore_holds(scenario, place, what).await,
    }
}

async fn backup_holds(scenario: &Scenario, place: &Place, before: &Before, what: &str) {
    let repository = place.repository().await;
    let committed = is_done(scenario, place).await;
    let check = place.beside("check");
    assert_restores(&repository, scenario, &before.snapshot, &scenario.earlier(), &check, what)
        .await;
    let there = objects(&place.path("repo"));
    scenario.back_up(place).await;
    let sent: Vec<_> = objects(&place.path("repo")).difference(&there).cloned().collect();
    if committed {
        assert_eq!(sent.len(), 1, "{what}: only a manifest is new after a commit: {sent:?}");
    }
    let held: BTreeSet<String> = before.objects.iter().map(|name| hash_of(name)).collect();
    let again = sent.iter().filter(|name| held.contains(&hash_of(name)));
    assert_eq!(again.count(), 0, "{what}: what the earlier snapshot holds was sent again");
    let repository = place.repository().await;
    let state = repository.head().await.unwrap().state;
    assert_eq!(state.pins.len(), 0, "{what}: pins are left");
    assert_restores(&repository, scenario, "latest", &scenario.wanted(), &check, what).await;
    assert_clean(&repository, what).await;
    assert_eq!(leftovers(place), [""; 0], "{what}");
}

async fn restore_holds(scenario: &Scenario, place: &Place, what: &str) {
    let target = place.store(scenario.target);
    let found = look(&target).await;
    match &found {
        Some(found) if *found == scenario.wanted() => {
            assert!(sidecar(&target), "{what}: the new store is there without its sidecar");
        }
        Some(found) => scenario.replaced().assert_same(found, &format!("{what}: the target")),
        None => assert!(kept_aside(scenario, place).await, "{what}: the old store is gone"),
    }
    let repository = place.repository().await;
    let options = RestoreOptions { replace: true, ..RestoreOptions::default() };
    let spec = "latest".parse().unwrap();
    let into = target.target().unwrap();
    let again = restore(&repository, &spec, into.as_ref(), &options).await;
    again.unwrap_or_else(|error| panic!("{what}: the same restore again: {error}"));
    let found = look(&target).await;
    let found = found.unwrap_or_else(|| panic!("{what}: nothing after the same restore again"));
    scenario.wanted().assert_same(&found, &format!("{what}: the target after the restore again"));
    assert!(sidecar(&target), "{what}: no sidecar after the same restore again");
    assert!(kept_aside(scenario, place).await, "{what}: the old store is gone");
    assert_eq!(leftovers(place), [""; 0], "{what}");
}

/// Whether the store that was to be replaced is kept under a name that a person is told.
async fn kept_aside(scenario: &Scenario, place: &Place) -> bool {
    let names = place.names();
    let engine = scenario.target.split(':').next().unwrap();
    let file = is_portable_file(scenario.target);
    for name in names.iter().filter(|name| name.contains(".keepsum-old")) {
        // Its sidecar, and what SQLite keeps beside a file.
        if [".keepsum", "-wal", "-shm", "-journal"].iter().any(|ending| name.ends_with(ending)) {
            continue;
        }
        // A portable file is known by the end of its name.
        if file && !is_portable_file(name) {
            let bcs = format!("{name}.bcs");
            std::fs::hard_link(place.path(name), place.path(&bcs)).unwrap();
            let found = look(&place.store(&format!("memory:{bcs}"))).await;
            std::fs::remove_file(place.path(&bcs)).unwrap();
            if found == Some(scenario.replaced()) {
                return true;
            }
        } else if look(&place.store(&format!("{engine}:{name}"))).await == Some(scenario.replaced())
        {
            return true;
        }
    }
    false
}

fn sidecar(target: &StoreLocation) -> bool {
    let path = target.path();
    let beside = path.with_file_name(format!("{}.keepsum", path.file_name().unwrap().display()));
    let text = std::fs::read_to_string(path.join("KEEPSUM_RESTORED"))
        .or_else(|_| std::fs::read_to_string(beside));
    text.is_ok_and(|text| text.starts_with("keepsum-restored 1\n") && text.contains("\ntaken "))
}

/// What nobody asked for and nobody is told of.
fn leftovers(place: &Place) -> Vec<String> {
    let mut left: Vec<String> = place.names();
    left.retain(|name| name.starts_with('.'));
    let temporary = std::fs::read_dir(place.path("tmp"));
    left.extend(
        temporary
            .into_iter()
            .flatten()
            .map(|entry| format!("tmp/{}", entry.unwrap().file_name().display())),
    );
    left
}

/// A snapshot restores with its proof, and gives exactly these records.
async fn assert_restores(
    repository: &Repository,
    scenario: &Scenario,
    snapshot: &str,
    wanted: &Contents,
    check: &std::path::Path,
    what: &str,
) {
    let _ = std::fs::remove_dir_all(check);
    std::fs::create_dir(check).unwrap();
    let target = at(check, scenario.target);
    let (spec, options) = (snapshot.parse().unwrap(), RestoreOptions::default());
    let into = target.target().unwrap();
    let done = restore(repository, &spec, into.as_ref(), &options).await;
    let report = done.unwrap_or_else(|error| panic!("{what}: snapshot {snapshot}: {error}"));
    assert!(report.proved.is_some(), "{what}: {report:?}");
    let found = look(&target).await.unwrap();
    wanted.assert_same(&found, &format!("{what}: snapshot {snapshot}"));
}

/// `verify --level full` has no finding.
pub(crate) async fn assert_clean(repository: &Repository, what: &str) {
    let found = verify(repository, Level::Full).await.unwrap();
    assert_eq!(found.findings, [], "{what}");
}
