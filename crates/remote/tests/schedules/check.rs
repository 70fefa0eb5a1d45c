//! What must be true once all is quiet.

use std::collections::HashSet;

use archive::catalog::{Entry, EntryHash, State};
use archive::manifest::SnapshotId;
use archive::object::{Kind, ObjectName, ObjectRef};
use remote::{Error, Head, Repository};

use crate::bucket::{Bucket, Files};
use crate::ledger::{Ledger, Slots, Standing};
use crate::process::{Process, read_tree};
use crate::random::Random;

/// Checks a repository against what is to be in it.
pub(crate) async fn check(files: &Files, ledger: &Ledger) -> Result<(), String> {
    let bucket = Bucket::calm(files);
    let process = Process { number: 0, bucket, ledger: ledger.clone(), memory: None };
    let opened = process.open(&mut Random::new(0)).await;
    let repository = opened.map_err(|error| format!("the repository cannot be opened: {error}"))?;
    let head = repository.head().await;
    let head = head.map_err(|error| format!("the catalog cannot be read: {}", chain(&error)))?;
    check_chain(files, &head)?;
    check_snapshots(ledger, &head)?;
    let mut checked = HashSet::new();
    for (id, snapshot) in &head.state.snapshots {
        let what = format!("snapshot {id}");
        let found = whole(&repository, &snapshot.manifest, &what, &mut checked, ledger).await?;
        check_content(ledger, *id, &found)?;
    }
    for pin in head.state.pins.values() {
        let what = format!("a pin of {}", pin.source.location);
        whole(&repository, &pin.manifest, &what, &mut checked, ledger).await?;
        if ledger.inside().ended.contains(&pin.source.location) {
            return Err(format!("{what} is left, though its session ended"));
        }
    }
    for list in head.state.damaged.iter().chain(&head.state.condemned) {
        let read = repository.objects().read(Kind::Names, list).await;
        read.map_err(|error| format!("a list of names: {}", chain(&error)))?;
    }
    Ok(())
}

/// The catalog, read once more without the code under test.
fn check_chain(files: &Files, head: &Head) -> Result<(), String> {
    let newest = files.keys().rev().find(|path| path.starts_with("catalog/"));
    let newest = newest.ok_or("the catalog is empty")?;
    if *newest != Entry::path(head.number) {
        return Err(format!("the newest entry is {newest}, and the head {}", head.number));
    }
    let mut previous: Option<(EntryHash, State)> = None;
    for number in head.floor..=head.number {
        let path = Entry::path(number);
        let bytes = files.get(&path).ok_or_else(|| format!("{path} is missing"))?;
        let entry = Entry::parse(bytes).map_err(|error| format!("{path}: {error}"))?;
        let state = match previous {
            Some((hash, _)) if hash != entry.previous => {
                return Err(format!("{path} does not continue the entry before it"));
            }
            Some((_, mut state)) => {
                entry.changes.iter().for_each(|change| state.apply(change));
                state
            }
            None => match entry.state {
                Some(state) => state,
                None if number == 0 => State::default(),
                None => return Err(format!("{path} is the first that is kept and has no state")),
            },
        };
        previous = Some((EntryHash::of(bytes), state));
    }
    match previous {
        Some((_, state)) if state == *head.state => Ok(()),
        _ => Err("the newest state is not what the entries make".to_owned()),
    }
}

/// Each snapshot is live exactly if its writer, and whoever forgot it, were told so.
fn check_snapshots(ledger: &Ledger, head: &Head) -> Result<(), String> {
    let inside = ledger.inside();
    for id in head.state.snapshots.keys() {
        match inside.snapshots.get(id).map(|snapshot| snapshot.standing) {
            None => return Err(format!("snapshot {id} is visible and was never finished")),
            Some(Standing::Refused) => {
                return Err(format!("snapshot {id} is visible, and its writer was told it is not"));
            }
            Some(Standing::Begun | Standing::Committed) => {}
        }
        if inside.forgotten.contains(id) {
            return Err(format!("snapshot {id} was forgotten and is live"));
        }
    }
    for (id, snapshot) in &inside.snapshots {
        let committed = snapshot.standing == Standing::Committed;
        let live = head.state.snapshots.contains_key(id);
        if committed && !live && !inside.forgets.contains(id) {
            return Err(format!("snapshot {id} was committed and is not there"));
        }
    }
    Ok(())
}

/// Reads all that a root reaches.
async fn whole(
    repository: &Repository,
    manifest: &ObjectRef,
    what: &str,
    checked: &mut HashSet<ObjectName>,
    ledger: &Ledger,
) -> Result<Slots, String> {
    let broken = |error: Error| format!("{what} is live and not whole: {}", chain(&error));
    let reached = read_tree(repository, manifest).await.map_err(broken)?;
    let mut slots = Slots::new();
    for (slot, child) in reached.leaves {
        let expected = ledger.content(&child.object.name.hash);
        let expected = expected.ok_or_else(|| format!("{what} has a leaf that nobody stored"))?;
        if checked.insert(child.object.name) {
            let content = repository.objects().read(Kind::Leaf, &child.object).await;
            if content.map_err(broken)? != expected {
                return Err(format!("{what} has other bytes in slot {slot}"));
            }
        }
        slots.insert(slot, expected);
    }
    Ok(slots)
}

fn check_content(ledger: &Ledger, id: SnapshotId, found: &Slots) -> Result<(), String> {
    let inside = ledger.inside();
    let expected = inside.snapshots.get(&id).map(|snapshot| &snapshot.slots);
    if expected == Some(found) {
        return Ok(());
    }
    Err(format!("snapshot {id} holds {found:?}, not {expected:?}"))
}

fn chain(error: &Error) -> String {
    let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
    format!("{error}{}", cause.unwrap_or_default())
}
