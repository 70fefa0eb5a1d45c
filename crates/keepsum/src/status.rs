//! `status`: what a repository holds.

use backup_core::progress::Context;
use remote::Repository;

use crate::report::{PinReport, StatusReport};
use crate::{Result, time};

/// Reads the catalog and lists the objects.
pub async fn status(repository: &Repository, context: &Context) -> Result<StatusReport> {
    let head = repository.head().await?;
    context.phase("listing objects", None);
    let stored = repository.objects().list(context).await?;
    let newest = head.state.snapshots.values().map(|snapshot| snapshot.created_ms).max();
    let pins = head.state.pins.values().map(|pin| PinReport {
        host: pin.host.clone(),
        source: pin.source.clone(),
        since: time::rfc3339(pin.created_ms),
    });
    Ok(StatusReport {
        repository: repository.location().to_string(),
        id: repository.id().to_string(),
        catalog_entry: head.number,
        snapshots: head.state.snapshots.len(),
        newest: newest.map(time::rfc3339),
        pins: pins.collect(),
        objects: stored.len() as u64,
        stored_bytes: stored.values().sum(),
    })
}
