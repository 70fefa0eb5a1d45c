//! A source's files: listed, read, unchanged.

use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Result, Snapshot};
use pollster::FutureExt as _;

use super::{Abilities, Check, Place, Subject, check, sample};
use crate::transfer::files_of;

pub(super) const CHECKS: &[Check] = &[
    check("files::are_listed_in_order", Abilities::files, listed),
    check("files::are_read_by_range", Abilities::files, ranges),
    check("files::what_is_not_there_is_an_error", Abilities::files, not_there),
    check("files::one_identity_is_one_content", Abilities::files, identities),
];

pub(super) fn snapshot(place: &dyn Place) -> Result<Box<dyn Snapshot>> {
    place.source()?.snapshot(View::Files, &Context::default()).block_on()
}

fn listed(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::nasty(subject.abilities.source))?;
    let snapshot = snapshot(place.as_ref())?;
    let list = files_of(snapshot.as_ref())?.list();
    assert!(!list.is_empty(), "a filled store has files");
    assert!(list.is_sorted_by(|one, next| one.path < next.path), "each path once, sorted");
    for file in list {
        assert_eq!(file.mode & !0o777, 0, "{} has mode {:o}", file.path, file.mode);
    }
    Ok(())
}

fn ranges(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(200, 1000))?;
    let snapshot = snapshot(place.as_ref())?;
    let files = files_of(snapshot.as_ref())?;
    for (index, file) in files.list().iter().enumerate() {
        let whole = files.read(index, 0..file.bytes).block_on()?;
        assert_eq!(whole.len() as u64, file.bytes, "the length of {}", file.path);
        let middle = file.bytes / 2;
        let first = files.read(index, 0..middle).block_on()?;
        let second = files.read(index, middle..file.bytes).block_on()?;
        assert!(whole == [first, second].concat(), "{} in two halves", file.path);
        let end = files.read(index, file.bytes..file.bytes).block_on()?;
        assert!(end.is_empty(), "nothing at the end of {}", file.path);
    }
    Ok(())
}

fn not_there(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(10, 10))?;
    let snapshot = snapshot(place.as_ref())?;
    let files = files_of(snapshot.as_ref())?;
    for (index, file) in files.list().iter().enumerate() {
        let beyond = files.read(index, 0..file.bytes + 1).block_on();
        assert!(beyond.is_err(), "a byte beyond the end of {} was read", file.path);
        let absurd = files.read(index, 0..1 << 60).block_on();
        assert!(absurd.is_err(), "2^60 bytes of {} were read", file.path);
    }
    let beyond = files.read(files.list().len(), 0..0).block_on();
    assert!(beyond.is_err(), "a file that is not listed was read");
    Ok(())
}

/// A file that is known by its identity is not read again, so the identity must not lie.
fn identities(subject: &Subject<'_>) -> Result<()> {
    let mut known = std::collections::HashMap::new();
    let place = subject.filled(&sample::many(200, 1000))?;
    for _ in 0..2 {
        let snapshot = snapshot(place.as_ref())?;
        let files = files_of(snapshot.as_ref())?;
        for (index, file) in files.list().iter().enumerate() {
            let Some(identity) = file.identity.clone() else { continue };
            assert!(!identity.is_empty(), "{} has an empty identity", file.path);
            let bytes = files.read(index, 0..file.bytes).block_on()?;
            let first = known.entry((identity, file.bytes)).or_insert_with(|| bytes.clone());
            assert!(*first == bytes, "{} has the identity of other content", file.path);
        }
    }
    Ok(())
}
