//! Catalog entries.

use archive::catalog::{Change, Entry, EntryHash, PinId, State};
use archive::manifest::SnapshotId;
use archive::object::ObjectRef;

use super::{Is, limit, malformed, mismatch, newer, refused};
use crate::samples::{entry, pin, reference, snapshot_entry};

/// An entry's bytes without the checks of `encode`, well framed.
fn framed(entry: &Entry) -> Vec<u8> {
    let mut bytes = b"KSCE\x01\0".to_vec();
    bytes.extend_from_slice(&bcs::to_bytes(entry).unwrap());
    resealed(bytes)
}

fn resealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

#[track_caller]
fn neither_way(entry: &Entry, with: Is) {
    refused(entry.encode(), with);
    refused(Entry::parse(&framed(entry)), with);
}

#[test]
fn what_is_framed_well_is_read() {
    assert_eq!(framed(&entry()), entry().encode().unwrap());
    assert_eq!(Entry::parse(&framed(&entry())).unwrap(), entry());
}

#[test]
fn numbers_that_cannot_be() {
    neither_way(&Entry { floor: 129, ..entry() }, mismatch);
    neither_way(&Entry { state: None, ..entry() }, mismatch);
    neither_way(&Entry { number: 129, ..entry() }, mismatch);
    neither_way(&Entry { number: 0, floor: 0, ..entry() }, mismatch);
    // Its state has what entries 2 and 3 bring.
    let first = Entry { number: 0, floor: 0, previous: EntryHash::default(), ..entry() };
    neither_way(&first, mismatch);
    let first = Entry { state: Some(State::default()), ..first };
    assert!(first.encode().is_ok());
}

#[test]
fn ids_that_stand_for_another() {
    let mut state = State::default();
    state.snapshots.insert(SnapshotId([1; 16]), snapshot_entry(2));
    neither_way(&Entry { state: Some(state), ..entry() }, mismatch);
    let mut state = State::default();
    state.pins.insert(PinId([1; 16]), pin(2));
    neither_way(&Entry { state: Some(state), ..entry() }, mismatch);
}

#[test]
fn references_of_impossible_lengths() {
    let wrong = ObjectRef { stored: u32::MAX, ..reference(1, 5, 100) };
    let mut snapshot = snapshot_entry(1);
    snapshot.manifest = wrong;
    let changes = [Change::Condemn(wrong), Change::Damaged(wrong), Change::Snapshot(snapshot)];
    for change in changes {
        let mut state = State::default();
        state.apply(&change);
        neither_way(&Entry { state: Some(state), ..entry() }, malformed);
        neither_way(&Entry { changes: vec![change], ..entry() }, malformed);
    }
}

#[test]
fn more_changes_than_may_be() {
    let forget = Change::Forget(SnapshotId([1; 16]));
    let most = Entry { changes: vec![forget.clone(); 65_536], ..entry() };
    assert_eq!(Entry::parse(&most.encode().unwrap()).unwrap(), most);
    let more = Entry { changes: vec![forget; 65_537], ..entry() };
    refused(more.encode(), limit);
    refused(Entry::parse(&framed(&more)), malformed);
}

#[test]
fn more_bytes_than_may_be() {
    let mut state = State::default();
    for number in 0..180_000_u32 {
        let mut id = [0; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let id = SnapshotId(id);
        state.snapshots.insert(id, archive::catalog::SnapshotEntry { id, ..snapshot_entry(2) });
    }
    let large = Entry { state: Some(state), ..entry() };
    refused(large.encode(), limit);
    refused(Entry::parse(&framed(&large)), limit);
}

#[test]
fn states_out_of_order() {
    let mut state = State::default();
    for seed in [1, 2] {
        state.apply(&Change::Unpin(PinId([seed; 16])));
        state.apply(&Change::Snapshot(snapshot_entry(seed)));
    }
    let right = Entry { state: Some(state), changes: Vec::new(), ..entry() };
    let bytes = framed(&right);
    // The two snapshots under each other's place: BCS maps have one order.
    let one = bcs::to_bytes(&(SnapshotId([1; 16]), snapshot_entry(1))).unwrap();
    let two = bcs::to_bytes(&(SnapshotId([2; 16]), snapshot_entry(2))).unwrap();
    let at = bytes.windows(one.len()).position(|window| window == one).unwrap();
    let mut swapped = bytes[..at].to_vec();
    swapped.extend_from_slice(&two);
    swapped.extend_from_slice(&one);
    swapped.extend_from_slice(&bytes[at + one.len() + two.len()..bytes.len() - 32]);
    refused(Entry::parse(&resealed(swapped)), malformed);
}

#[test]
fn versions_and_other_files() {
    let bytes = entry().encode().unwrap();
    let mut later = bytes[..bytes.len() - 32].to_vec();
    later[4] = 2;
    refused(Entry::parse(&resealed(later.clone())), newer);
    later[4] = 0;
    refused(Entry::parse(&resealed(later)), malformed);
    refused(Entry::parse(b""), malformed);
    refused(Entry::parse(&resealed(b"KSOB".to_vec())), malformed);
    refused(Entry::parse(&resealed(b"KSCE".to_vec())), malformed);
}

/// Two may end one pin; the state is the same whoever was first.
#[test]
fn ending_what_is_not_there_changes_nothing() {
    let mut state = entry().state.unwrap();
    let before = state.clone();
    state.apply(&Change::Unpin(PinId([77; 16])));
    state.apply(&Change::Forget(SnapshotId([77; 16])));
    assert_eq!(state, before);
    state.apply(&Change::Unpin(PinId([4; 16])));
    state.apply(&Change::Forget(SnapshotId([2; 16])));
    assert!(state.pins.is_empty() && state.snapshots.is_empty());
}
