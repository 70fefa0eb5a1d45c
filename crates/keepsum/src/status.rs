//! `status`: what a repository holds.

use futures_util::TryStreamExt;
use remote::Repository;
use remote::objects::ListedObject;

use crate::report::{PinReport, StatusReport};
use crate::{Result, time};

/// Reads the catalog and lists the objects.
pub async fn status(repository: &Repository) -> Result<StatusReport> {
    let context = repository.context();
    let head = repository.head().await?;
    context.phase("listing objects", None);
    let (mut objects, mut stored_bytes) = (0, 0);
    let mut files = repository.objects().files();
    while let Some(file) = files.try_next().await? {
        context.check()?;
        if let ListedObject::Object { stored, .. } = file {
            (objects, stored_bytes) = (objects + 1, stored_bytes + stored);
        }
    }
    let newest = head.state.snapshots.values().max_by_key(|snapshot| snapshot.entry);
    let pins = head.state.pins.values().map(|pin| PinReport {
        host: pin.source.host.clone(),
        source: pin.source.location.clone(),
        name: pin.source.name.clone(),
        since: time::rfc3339(pin.created_ms),
    });
    Ok(StatusReport {
        repository: repository.location().to_string(),
        id: repository.id().to_string(),
        catalog_entry: head.number,
        snapshots: head.state.snapshots.len(),
        newest: newest.map(|newest| time::rfc3339(newest.created_ms)),
        pins: pins.collect(),
        objects,
        stored_bytes,
    })
}
