//! `verify`: looks at everything that is live, and reports what is wrong.
//!
//! What is found is data ([`Finding`]), not an error; an error means that something could not be
//! looked at. A part of a tree that the snapshot before it shares is looked at once: the walk
//! compares the two trees as it goes, and so needs no memory of what it has seen. What is reached and
//! what is there are two sorted sets of names, spilled to disk where they are large.

mod inventory;
mod report;
mod sums;
mod walk;

use archive::catalog::{Pin, SnapshotEntry, SourceId};
use archive::manifest::Manifest;
use archive::object::ObjectRef;
use backup_core::progress::Context;
use futures_util::TryStreamExt;

use self::inventory::{Inventory, Seen, compare};
use self::walk::Walk;
use crate::objects::ListedObject;
use crate::repository::Repository;
use crate::tree::LastFile;
use crate::{Error, Result};

pub use self::report::{Finding, FindingKind, Leftovers, Report};

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The catalog, manifests and nodes are read; the other objects must be there with their length.
    List,
    /// Every object is read, and every hash and sum recomputed.
    Full,
}

/// Looks at every live snapshot and pin of a repository, and at its catalog.
///
/// Names of objects are sorted in the system's temporary folder where they do not fit memory.
pub async fn verify(repository: &Repository, level: Level, context: &Context) -> Result<Report> {
    let mut report = Report::default();
    context.phase("reading the catalog", None);
    repository.catalog().check_all(&mut report, context).await?;
    let head = match repository.head().await {
        Ok(head) => head,
        Err(error) => {
            report.note(error, "the catalog")?;
            return Ok(report);
        }
    };
    let mut roots: Vec<Root> = head.state.snapshots.values().map(Root::of_snapshot).collect();
    roots.extend(head.state.pins.values().map(Root::of_pin));
    roots.sort_by(|a, b| (&a.source, a.entry).cmp(&(&b.source, b.entry)));
    let folder = std::env::temp_dir();
    // Only now: what the state reaches is there already, and a listing begun later shows it.
    let there = list(repository, Inventory::new(&folder, context), context).await?;
    context.phase("reading what snapshots hold", None);
    let reached = Inventory::new(&folder, context);
    let mut walk = Walk::new(repository, level, reached, report, context);
    walk.lists(&head).await?;
    let mut before: Option<(&Root, Manifest)> = None;
    for (number, root) in (0..).zip(&roots) {
        let Some(manifest) = walk.manifest(root, number).await? else { continue };
        let baseline = before.as_ref().filter(|(earlier, _)| earlier.source == root.source);
        let last = if root.snapshot.is_some() { LastFile::Whole } else { LastFile::Begun };
        walk.snapshot(&manifest, baseline.map(|(_, manifest)| manifest), last).await?;
        before = Some((root, manifest));
    }
    let (mut report, reached) = walk.finish();
    let found = compare(reached, there).await?;
    report.unreached = found.unreached;
    for (wanted, _) in found.wrong {
        let root = usize::try_from(wanted.note).ok().and_then(|root| roots.get(root));
        let breaks = root.map(|root| root.name.as_str()).unwrap_or_default();
        if !report.damaged.contains(&wanted.name)
            && let Some(error) = look_again(repository, &wanted).await?
        {
            report.note(error, breaks)?;
        }
    }
    // Nobody reuses a list, so none need name it.
    for list in head.state.damaged.iter().chain(&head.state.condemned) {
        report.damaged.remove(&list.name);
    }
    report.head = Some(head);
    Ok(report)
}

/// All objects that a listing shows.
async fn list(
    repository: &Repository,
    mut there: Inventory,
    context: &Context,
) -> Result<Inventory> {
    context.phase("listing objects", None);
    let mut files = repository.objects().files();
    while let Some(file) = files.try_next().await? {
        context.check()?;
        if let ListedObject::Object { name, stored } = file {
            there.push(Seen { name, stored, note: 0 }).await?;
        }
    }
    Ok(there)
}

/// What is wrong with an object that a listing did not show as it should. A listing may lag behind, so
/// the object itself is asked for.
async fn look_again(repository: &Repository, wanted: &Seen) -> Result<Option<Error>> {
    let what = wanted.name.path();
    match repository.store().size(&what).await? {
        None => Ok(Some(Error::Missing { what })),
        Some(found) if found != wanted.stored => {
            let detail = format!("it has {found} bytes, not {}", wanted.stored);
            let source = archive::Error::mismatch("an object", detail);
            Ok(Some(Error::Damaged { what, source }))
        }
        Some(_) => Ok(None),
    }
}

/// A manifest that is live, and what lives by it.
struct Root {
    name: String,
    source: SourceId,
    /// The number of the catalog entry that brought it.
    entry: u64,
    manifest: ObjectRef,
    /// What the catalog says of it, if it is a snapshot.
    snapshot: Option<SnapshotEntry>,
}

impl Root {
    fn of_snapshot(entry: &SnapshotEntry) -> Self {
        Self {
            name: format!("snapshot {}", entry.id),
            source: entry.source.clone(),
            entry: entry.entry,
            manifest: entry.manifest,
            snapshot: Some(entry.clone()),
        }
    }

    fn of_pin(pin: &Pin) -> Self {
        Self {
            name: format!("the backup of {} under way since {} ms", pin.source, pin.created_ms),
            source: pin.source.clone(),
            entry: pin.entry,
            manifest: pin.manifest,
            snapshot: None,
        }
    }
}
