//! `prove`: adds a logical proof to a files snapshot, from the repository.

use archive::catalog::SourceId;
use archive::manifest::{ManifestDatabase, ProvedFrom};
use backup_core::progress::Context;
use backup_core::source::View;
use remote::{Repository, Root, Session};

use crate::report::ShowReport;
use crate::scratch::Scratch;
use crate::selector::SnapshotSpec;
use crate::{Result, snapshots, sums};

/// Reads the records of a files snapshot through a scratch store, and commits their LtHashes.
///
/// What it shows is what the repository keeps, not what the source held; the snapshot says so.
/// A snapshot that has a logical proof is left as it is.
pub async fn prove(
    repository: &Repository,
    spec: &SnapshotSpec,
    context: &Context,
) -> Result<ShowReport> {
    let head = repository.head().await?;
    let mut manifest = snapshots::find_in(repository, &head.state, spec).await?;
    if manifest.proved_from.is_some() {
        context.note(format!("snapshot {} has a logical proof already", manifest.id));
        return Ok(snapshots::details(repository, &head.state, &manifest));
    }
    let roots = [Root::Snapshot(manifest.id)];
    let of = SourceId { host: repository.host().name.clone(), ..manifest.source_id() };
    let session = Session::begin(repository, &head, &of, &roots).await?;
    let filled = Scratch::fill_in(repository, &manifest, None, context).await;
    let scratch = snapshots::explained(repository, manifest.id, filled).await?;
    let snapshot = scratch.source().snapshot(View::Records, context).await?;
    let databases = &snapshot.info().databases;
    let sums = sums::sum_snapshot(snapshot.as_ref(), context).await?;
    let proved = databases.iter().zip(sums).map(|(database, sum)| ManifestDatabase {
        name: database.name.clone(),
        tag: database.name.clone().into_bytes(),
        order: database.order,
        settings: database.settings.clone(),
        sum: Some(sum),
        tree: None,
    });
    manifest.databases = proved.collect();
    manifest.databases.sort_by(|a, b| a.name.cmp(&b.name));
    manifest.proved_from = Some(ProvedFrom::Repository);
    context.phase("committing", None);
    let replaced = session.replace(&manifest).await?;
    Ok(snapshots::details(repository, &replaced.head.state, &manifest))
}
