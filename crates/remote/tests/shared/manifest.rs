//! The manifest of a snapshot of which a test says little.

use archive::catalog::SourceId;
use archive::manifest::{Manifest, Shape, SnapshotId};
use backup_core::position::{Consistency, Position};
use backup_core::source::{Layout, StoreDescription};

/// A source of that name, on one host.
pub(crate) fn source_of(host: &str, location: &str) -> SourceId {
    let (host, location) = (host.to_owned(), location.to_owned());
    SourceId { name: None, host, location, engine: "memory".to_owned() }
}

/// A snapshot of a source, whose databases nobody summed.
pub(crate) fn manifest(id: SnapshotId, of: SourceId, shape: Shape) -> Manifest {
    let SourceId { name, host, location, engine } = of;
    Manifest {
        id,
        created_ms: 1,
        name,
        host,
        source: StoreDescription { engine, location, identity: None },
        label: None,
        description: None,
        position: Position::Unknown,
        consistency: Consistency::PointInTime,
        layout: Layout::Plain,
        ownership: None,
        databases: None,
        sum: None,
        shape,
        proved_from: None,
        notes: Vec::new(),
        unusual: Vec::new(),
        pages: None,
    }
}
