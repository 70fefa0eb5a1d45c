//! `prove`: adds a logical proof to a files snapshot, from the repository.

use std::sync::Arc;

use archive::catalog::SourceId;
use archive::manifest::ProvedFrom;
use backup_core::source::View;
use remote::{Repository, Root, Session};

use crate::report::ShowReport;
use crate::scratch::Scratch;
use crate::selector::SnapshotSpec;
use crate::{Engines, Result, snapshots, sums};

/// Reads the records of a files snapshot through a scratch store, and commits their LtHashes.
///
/// The engine of the snapshot is one of `engines`. What it shows is what the repository keeps, not what the source held; the snapshot says so.
/// A snapshot that has a logical proof is left as it is.
pub async fn prove(
    repository: &Repository,
    spec: &SnapshotSpec,
    engines: &Engines,
) -> Result<ShowReport> {
    let context = repository.context();
    let head = repository.head().await?;
    let mut manifest = snapshots::find_in(repository, &head.state, spec).await?;
    if manifest.proved_from.is_some() {
        context.note(format!("snapshot {} has a logical proof already", manifest.id));
        let databases = snapshots::databases(repository, &manifest).await?;
        return Ok(snapshots::details(repository, &head.state, &manifest, &databases));
    }
    let roots = [Root::Snapshot(manifest.id)];
    let of = SourceId { host: repository.host().name.clone(), ..manifest.source_id() };
    let session = Session::begin(repository, &head, &of, &roots).await?;
    let filled = Scratch::fill(repository, &manifest, engines, None, context).await;
    let scratch = snapshots::explained(repository, manifest.id, filled).await?;
    let snapshot = scratch.source().snapshot(View::Records, context).await?;
    let session = Arc::new(session);
    let written = sums::prove_databases(&session, snapshot.as_ref(), &[], context).await?;
    (manifest.databases, manifest.sum) = (written.tree, written.sum);
    manifest.proved_from = Some(ProvedFrom::Repository);
    context.phase("committing", None);
    let replaced = session.replace(&manifest).await?;
    let databases = snapshots::databases(repository, &manifest).await?;
    Ok(snapshots::details(repository, &replaced.head.state, &manifest, &databases))
}
