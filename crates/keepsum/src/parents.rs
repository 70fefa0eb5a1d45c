//! What a backup may build on: interrupted backups and snapshots.

use std::cmp::Reverse;

use archive::catalog::{PinId, SnapshotEntry, SourceId, State};
use archive::manifest::ShapeKind;
use archive::object::ObjectRef;
use remote::Root;

/// How many manifests are looked at to find some to build on.
pub(crate) const MAX_CANDIDATES: usize = 16;

/// The pins of unfinished backups of this source by its own host, which the new one ends.
pub(crate) fn own_pins(state: &State, of: &SourceId) -> Vec<PinId> {
    let pins = state.pins.values().filter(|pin| pin.source.is_same(of));
    pins.filter(|pin| pin.source.host == of.host).map(|pin| pin.id).collect()
}

/// What unfinished backups of this source keep, the newest first: those of its own host, and those of
/// others that came after all snapshots.
pub(crate) fn unfinished(state: &State, of: &SourceId) -> Vec<(Root, ObjectRef)> {
    let snapshots = state.snapshots.values().filter(|snapshot| snapshot.source.is_same(of));
    let newest = snapshots.map(|snapshot| snapshot.entry).max();
    let pins = state.pins.values().filter(|pin| pin.source.is_same(of));
    let mut pins: Vec<_> =
        pins.filter(|pin| pin.source.host == of.host || Some(pin.entry) > newest).collect();
    pins.sort_by_key(|pin| Reverse((pin.entry, pin.id)));
    pins.into_iter().map(|pin| (Root::Pin(pin.id), pin.manifest)).collect()
}

/// The snapshots of this shape that may be built on: those of this source, the newest first; where it has
/// none, those of the same engine, and first those that were taken at the same place, under whatever name.
pub(crate) fn finished(state: &State, of: &SourceId, shape: ShapeKind) -> Vec<(Root, ObjectRef)> {
    let live = |chosen: &dyn Fn(&SnapshotEntry) -> bool| {
        let live = state.snapshots.values().filter(|snapshot| snapshot.shape == shape);
        let mut live: Vec<_> = live.filter(|snapshot| chosen(snapshot)).collect();
        live.sort_by_key(|snapshot| Reverse((snapshot.entry, snapshot.id)));
        live
    };
    let mut snapshots = live(&|snapshot| snapshot.source.is_same(of));
    if snapshots.is_empty() {
        let place = |source: &SourceId| (source.host.clone(), source.location.clone());
        snapshots = live(&|snapshot| snapshot.source.engine == of.engine);
        snapshots.sort_by_key(|snapshot| place(&snapshot.source) != place(of));
    }
    snapshots.truncate(MAX_CANDIDATES);
    snapshots.into_iter().map(|live| (Root::Snapshot(live.id), live.manifest)).collect()
}
