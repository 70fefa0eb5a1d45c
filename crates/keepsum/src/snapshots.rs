//! `snapshots` and `show`, and reading the snapshot that is meant.

use std::collections::BTreeMap;

use archive::catalog::{SnapshotEntry, State};
use archive::directory::Described;
use archive::manifest::{Manifest, ProvedFrom, Shape, SnapshotId};
use backup_core::source::Layout;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use remote::Repository;
use remote::tree::describe_databases;

use crate::report::{DatabaseReport, ShowReport, SnapshotReport, global_word, proof_word};
use crate::selector::{self, Selector, SnapshotSpec, in_order, resolve};
use crate::{Error, Result, time};

/// How many manifests are read at the same time.
const MANIFESTS_AT_ONCE: usize = 8;

/// Which snapshots to list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Only those that it takes.
    pub within: Selector,
    /// Only so many of the last of each source.
    pub last: Option<usize>,
}

/// The live snapshots in the order of the catalog, which alone is read: databases are not named.
pub async fn list(repository: &Repository, listing: &Listing) -> Result<Vec<SnapshotReport>> {
    let head = repository.head().await?;
    let listed = listed(&head.state, listing, repository.host().clock.now_ms());
    Ok(listed.into_iter().map(|(_, report)| report).collect())
}

/// The same with the databases, which the manifests name. One whose manifest is damaged is listed with what
/// the catalog knows.
pub async fn list_with_databases(
    repository: &Repository,
    listing: &Listing,
) -> Result<Vec<SnapshotReport>> {
    let context = repository.context();
    let head = repository.head().await?;
    let listed = listed(&head.state, listing, repository.host().clock.now_ms());
    stream::iter(listed)
        .map(async |(entry, report): (SnapshotEntry, SnapshotReport)| {
            context.check()?;
            match described(repository, &entry).await {
                Ok(databases) => Ok(SnapshotReport {
                    databases: DatabaseReport::of_snapshot(&databases),
                    ..report
                }),
                Err(Error::Remote(error)) if error.is_damage() => {
                    let what = format!("what snapshot {} holds cannot be read: {error}", entry.id);
                    context.note(what);
                    Ok(SnapshotReport { shape: "damaged", ..report })
                }
                Err(error) => Err(error),
            }
        })
        .buffered(MANIFESTS_AT_ONCE)
        .try_collect()
        .await
}

/// What the catalog says of the snapshots to list, in its order.
fn listed(state: &State, listing: &Listing, now: u64) -> Vec<(SnapshotEntry, SnapshotReport)> {
    let live = in_order(state);
    let mut before = BTreeMap::new();
    let mut listed = Vec::new();
    for snapshot in &live {
        let previous = before.insert(selector::key(&snapshot.source), snapshot.created_ms);
        if listing.within.takes(snapshot) {
            listed.push((SnapshotEntry::clone(snapshot), summary(snapshot, previous, now)));
        }
    }
    if let Some(last) = listing.last {
        let mut left: BTreeMap<_, usize> = BTreeMap::new();
        let mut keep: Vec<bool> = Vec::new();
        for (snapshot, _) in listed.iter().rev() {
            let seen = left.entry(selector::key(&snapshot.source)).or_default();
            keep.push(*seen < last);
            *seen += 1;
        }
        listed.retain(|_| keep.pop().expect("one for each that is listed"));
    }
    listed
}

/// One snapshot in full.
pub async fn show(repository: &Repository, spec: &SnapshotSpec) -> Result<ShowReport> {
    let head = repository.head().await?;
    let manifest = find_in(repository, &head.state, spec).await?;
    let databases = databases(repository, &manifest).await?;
    Ok(details(repository, &head.state, &manifest, &databases))
}

/// The manifest of the snapshot that `spec` names.
pub(crate) async fn find(repository: &Repository, spec: &SnapshotSpec) -> Result<Manifest> {
    find_in(repository, &repository.head().await?.state, spec).await
}

/// The manifest of the snapshot that `spec` names in this state.
pub(crate) async fn find_in(
    repository: &Repository,
    state: &State,
    spec: &SnapshotSpec,
) -> Result<Manifest> {
    manifest(repository, &resolve(state, spec)?).await
}

/// `spec` within the source that the store at `location` is on this host, where the repository has
/// snapshots of that and nothing else is selected.
pub(crate) async fn beside(
    repository: &Repository,
    spec: &SnapshotSpec,
    location: String,
) -> Result<SnapshotSpec> {
    let own = Selector {
        host: Some(repository.host().name.clone()),
        source: Some(location),
        label: spec.selector().label.clone(),
        ..Selector::default()
    };
    let head = repository.head().await?;
    let has_own = head.state.snapshots.values().any(|snapshot| own.takes(snapshot));
    let spec = spec.clone();
    Ok(if has_own && !spec.selector().names_source() { spec.within(own) } else { spec })
}

async fn manifest(repository: &Repository, entry: &SnapshotEntry) -> Result<Manifest> {
    let read = repository.manifest_of(entry).await;
    explained(repository, entry.id, read.map_err(Error::from)).await
}

/// The databases of a snapshot, in the order of their names.
pub(crate) async fn databases(
    repository: &Repository,
    manifest: &Manifest,
) -> Result<Vec<Described>> {
    let (objects, directory) = (repository.objects(), manifest.directory());
    let described = describe_databases(objects, directory, manifest.sum.as_ref()).await;
    explained(repository, manifest.id, described.map_err(Error::from)).await
}

async fn described(repository: &Repository, entry: &SnapshotEntry) -> Result<Vec<Described>> {
    databases(repository, &manifest(repository, entry).await?).await
}

/// What came of reading a snapshot, where damage may mean that it was removed meanwhile.
pub(crate) async fn explained<T>(
    repository: &Repository,
    snapshot: SnapshotId,
    read: Result<T>,
) -> Result<T> {
    match read {
        Err(Error::Remote(error)) => Err(repository.explain(snapshot, error).await.into()),
        read => read,
    }
}

/// What the catalog says of a snapshot. `previous` is the time of the one before it, of the same source,
/// and `now` that of this host.
fn summary(snapshot: &SnapshotEntry, previous: Option<u64>, now: u64) -> SnapshotReport {
    SnapshotReport {
        snapshot: snapshot.id.to_string(),
        created: time::rfc3339(snapshot.created_ms),
        source: snapshot.source.location.clone(),
        shape: snapshot.shape.word(),
        databases: Vec::new(),
        host: snapshot.source.host.clone(),
        label: snapshot.label.clone(),
        name: snapshot.source.name.clone(),
        created_ms: snapshot.created_ms,
        entry: snapshot.entry,
        bytes: snapshot.bytes,
        added_bytes: snapshot.added,
        ahead_of_clock: snapshot.created_ms > now,
        clock_ran_backward: previous.is_some_and(|previous| snapshot.created_ms < previous),
    }
}

/// A live snapshot as `show` prints it.
///
/// # Panics
/// Where it is not live in `state`.
pub(crate) fn details(
    repository: &Repository,
    state: &State,
    manifest: &Manifest,
    databases: &[Described],
) -> ShowReport {
    let (files, files_bytes) = match manifest.shape {
        Shape::Records => (None, None),
        Shape::Files { count, bytes, .. } => (Some(count), Some(bytes)),
    };
    let entry = &state.snapshots[&manifest.id];
    let of_source = in_order(state).into_iter().filter(|other| other.source.is_same(&entry.source));
    let previous = of_source.take_while(|other| other.id != entry.id).last();
    let now = repository.host().clock.now_ms();
    ShowReport {
        summary: SnapshotReport {
            databases: DatabaseReport::of_snapshot(databases),
            ..summary(entry, previous.map(|previous| previous.created_ms), now)
        },
        description: manifest.description.clone(),
        position: manifest.position.to_string(),
        consistency: manifest.consistency.to_string(),
        layout: match manifest.layout {
            Layout::Plain => "plain",
            Layout::Partitioned => "partitioned",
        },
        proof: proof_word(manifest),
        proved_from: manifest.proved_from.map(ProvedFrom::word),
        global_lthash: global_word(manifest.global()),
        files,
        files_bytes,
        notes: manifest.notes.clone(),
        unusual: manifest.unusual.clone(),
    }
}
