//! A source's records: each once, in order, from anywhere, in parts, as of the snapshot.

use std::sync::Arc;
use std::time::Duration;

use backup_core::integrity::Summer;
use backup_core::progress::Context;
use backup_core::record::{
    Assembler, BATCH_BYTES, MAX_KEY_BYTES, MAX_WHOLE_VALUE, PART_BYTES, RecordKey,
};
use backup_core::source::{BatchStream, Layout, Order, View};
use backup_core::{Error, Result, Snapshot};
use futures_util::TryStreamExt;
use pollster::FutureExt as _;

use super::sample::{self, FIRST};
use super::{Abilities, Check, Place, Subject, check};
use crate::contents::{Contents, records_of, snapshot_contents};
use crate::tree::tree;

pub(super) const CHECKS: &[Check] = &[
    check("source::describes_itself", Abilities::any, describes_itself),
    check("source::nothing_there_is_an_error", Abilities::records, nothing_there),
    check("source::view_gives_what_was_asked", Abilities::any, view),
    check("source::each_record_once_in_order", Abilities::records, each_once),
    check("source::scan_from_a_key", Abilities::records, scan_from),
    check("source::splits_cover_each_record_once", Abilities::records, splits),
    check("source::long_values_in_parts", Abilities::records, long_values),
    check("source::batches_are_bounded", Abilities::records, batches_bounded),
    check("source::empty_databases_are_listed", Abilities::records, empty),
    check("source::layout_is_told", Abilities::records, layout),
    check("source::an_unknown_database_is_an_error", Abilities::records, unknown),
    check("source::streams_outlive_the_snapshot", Abilities::records, outlive),
    check("source::a_dropped_stream_ends", Abilities::records, dropped),
    check("source::cancelled_before_it_began", Abilities::any, cancelled_before),
    check("source::cancelled_is_never_short", Abilities::records, cancelled_scan),
    check("source::sums_do_not_depend_on_readers", Abilities::records, sums),
    check("source::is_left_as_it_is", Abilities::any, left_as_it_is),
];

/// A snapshot of the records at a place.
pub(super) fn snapshot(place: &dyn Place) -> Result<Box<dyn Snapshot>> {
    place.source()?.snapshot(View::Records, &Context::default()).block_on()
}

/// The values of a scan in its order, put together.
fn collect(mut batches: BatchStream) -> Result<Vec<(RecordKey, Vec<u8>)>> {
    let mut found = Vec::new();
    let mut values = Assembler::new();
    while let Some(batch) = batches.try_next().block_on()? {
        assert!(!batch.is_empty(), "a batch without a record");
        values.feed(&batch, u64::MAX, |root_key, key, value| {
            let at = RecordKey::new(root_key, key);
            // A scan that goes on with what it ended with would go on for ever.
            let again = found.last().is_some_and(|(last, _)| *last == at);
            assert!(!again, "{at:?} comes twice in a row");
            found.push((at, value.to_vec()));
            Ok(())
        })?;
    }
    values.finish()?;
    Ok(found)
}

/// The index of a database in a snapshot.
fn index(snapshot: &dyn Snapshot, name: &str) -> usize {
    let databases = &snapshot.info().databases;
    let found = databases.iter().position(|info| info.name == name);
    found.unwrap_or_else(|| panic!("database {name:?} is not in the snapshot: {databases:?}"))
}

fn describes_itself(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let described = place.source()?.describe();
    assert!(!described.engine.is_empty(), "the engine has no name");
    let begins = format!("{}:", described.engine);
    assert!(
        described.location.starts_with(&begins) && described.location.len() > begins.len(),
        "the location {:?} must be {begins} and more",
        described.location
    );
    if let Some(target) = place.target() {
        assert_eq!(target.describe().engine, described.engine, "source and target are one engine");
    }
    Ok(())
}

/// A source where nothing is must say so, or be a store without databases; a backup of it must not
/// look like one of a store.
fn nothing_there(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    match snapshot(place.as_ref()) {
        Err(Error::NotFound { .. }) => {}
        Err(other) => panic!("expected NotFound, found {other:?}"),
        Ok(snapshot) => {
            let found = snapshot_contents(snapshot.as_ref()).block_on()?;
            assert_eq!(found.records(), 0, "nothing was put there, found {found:?}");
        }
    }
    Ok(())
}

fn view(subject: &Subject<'_>) -> Result<()> {
    let can = subject.abilities.source;
    let place = subject.filled(&sample::many(10, 10))?;
    let source = place.source()?;
    let all = [
        (View::Records, can.records),
        (View::Files, can.files),
        (View::Both, can.records && can.files),
    ];
    for (view, declared) in all {
        match source.snapshot(view, &Context::default()).block_on() {
            Ok(snapshot) => {
                assert!(declared, "{view:?} is not declared, and must answer Unsupported");
                assert_eq!(snapshot.records().is_some(), view.records(), "records of {view:?}");
                assert_eq!(snapshot.files().is_some(), view.files(), "files of {view:?}");
            }
            Err(Error::Unsupported { .. }) if !declared => {}
            Err(other) => panic!("{view:?} answers {other:?}"),
        }
    }
    Ok(())
}

fn each_once(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::nasty(subject.abilities.source);
    let place = subject.filled(&expected)?;
    let snapshot = snapshot(place.as_ref())?;
    for (index, info) in snapshot.info().databases.iter().enumerate() {
        let found = collect(records_of(snapshot.as_ref())?.scan(index, None))?;
        if info.order == Order::Key {
            let rising = found.is_sorted_by(|(one, _), (next, _)| one < next);
            assert!(rising, "the records of {:?} do not rise by (root key, key)", info.name);
        }
    }
    let found = snapshot_contents(snapshot.as_ref()).block_on()?;
    expected.assert_same(&found, "what was put there and what was read");
    Ok(())
}

fn scan_from(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::nasty(subject.abilities.source))?;
    let snapshot = snapshot(place.as_ref())?;
    let records = records_of(snapshot.as_ref())?;
    let database = index(snapshot.as_ref(), FIRST);
    let all = collect(records.scan(database, None))?;
    for start in (0..all.len()).step_by(7) {
        let (at, _) = &all[start];
        let found = collect(records.scan(database, Some(at)))?;
        assert!(found == all[start..], "a scan from {at:?} must begin there, inclusive");
    }
    if snapshot.info().databases[database].order != Order::Key {
        return Ok(());
    }
    for start in (0..all.len()).step_by(5) {
        // A key that is not there: the scan begins with the first one above it.
        let mut between = all[start].0.clone();
        between.key.extend_from_slice(b"\x00 between");
        let found = collect(records.scan(database, Some(&between)))?;
        let expected: Vec<_> = all.iter().filter(|(at, _)| *at >= between).cloned().collect();
        assert!(found == expected, "a scan from {between:?}, which is not there");
    }
    let beyond = RecordKey::new(&[0xff; 64], b"");
    assert_eq!(collect(records.scan(database, Some(&beyond)))?, [], "a scan from beyond the end");
    Ok(())
}

fn splits(subject: &Subject<'_>) -> Result<()> {
    let mut contents = sample::nasty(subject.abilities.source);
    contents.databases.append(&mut sample::many(5000, 300).databases);
    let place = subject.filled(&contents)?;
    let snapshot = snapshot(place.as_ref())?;
    let records = records_of(snapshot.as_ref())?;
    for database in 0..snapshot.info().databases.len() {
        let all = collect(records.scan(database, None))?;
        for parts in [0, 1, 2, 3, 8, 1000] {
            let cuts = records.splits(database, parts).block_on()?;
            assert!(cuts.len() < parts.max(1), "{} cuts make more than {parts} ranges", cuts.len());
            let joined = read_ranges(snapshot.as_ref(), database, &cuts)?;
            assert!(joined == all, "{parts} ranges, read one by one, give each record once");
        }
    }
    Ok(())
}

/// Reads each range from its cut to the next one, as parallel readers do.
fn read_ranges(
    snapshot: &dyn Snapshot,
    database: usize,
    cuts: &[RecordKey],
) -> Result<Vec<(RecordKey, Vec<u8>)>> {
    let records = records_of(snapshot)?;
    let by_key = snapshot.info().databases[database].order == Order::Key;
    let mut joined = Vec::new();
    for range in 0..=cuts.len() {
        let from = range.checked_sub(1).map(|cut| &cuts[cut]);
        let mut found = collect(records.scan(database, from))?;
        let end = match cuts.get(range) {
            None => found.len(),
            Some(cut) if by_key => found.partition_point(|(at, _)| at < cut),
            // In an order of the engine's own, a cut is where its own scan begins.
            Some(cut) => found.len() - collect(records.scan(database, Some(cut)))?.len(),
        };
        found.truncate(end);
        joined.append(&mut found);
    }
    Ok(joined)
}

fn long_values(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::long_values();
    let place = subject.filled(&expected)?;
    let snapshot = snapshot(place.as_ref())?;
    let found = snapshot_contents(snapshot.as_ref()).block_on()?;
    expected.assert_same(&found, "long values, put together again");
    let database = index(snapshot.as_ref(), FIRST);
    let mut batches = records_of(snapshot.as_ref())?.scan(database, None);
    let mut summer = Summer::new(FIRST.as_bytes());
    while let Some(batch) = batches.try_next().block_on()? {
        summer.add(&batch)?;
        for record in batch.iter() {
            if record.total > MAX_WHOLE_VALUE as u64 {
                assert!(record.value.len() <= PART_BYTES, "a part of {}", record.value.len());
            } else {
                assert!(record.is_whole(), "{} bytes travel in one piece", record.total);
            }
        }
    }
    assert_eq!(summer.finish()?, expected.sums()?[FIRST], "the sum of long values");
    Ok(())
}

fn batches_bounded(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(40_000, 200))?;
    let snapshot = snapshot(place.as_ref())?;
    let database = index(snapshot.as_ref(), FIRST);
    let records = records_of(snapshot.as_ref())?;
    assert_eq!(collect(records.scan(database, None))?.len(), 40_000);
    let mut batches = records.scan(database, None);
    let (mut count, mut bytes) = (0, 0);
    while let Some(batch) = batches.try_next().block_on()? {
        let bound = BATCH_BYTES + MAX_WHOLE_VALUE + 2 * MAX_KEY_BYTES;
        assert!(batch.bytes() <= bound, "a batch of {} bytes", batch.bytes());
        count += 1;
        bytes += batch.bytes();
    }
    assert!(bytes / count >= BATCH_BYTES / 4, "{bytes} bytes came in {count} batches, too many");
    assert!(count >= 4, "{bytes} bytes came in {count} batches, too few");
    Ok(())
}

fn empty(subject: &Subject<'_>) -> Result<()> {
    let mut contents = sample::many(3, 3);
    if subject.abilities.source.databases {
        contents.add_database("empty");
    } else {
        contents.databases.values_mut().for_each(std::collections::BTreeMap::clear);
    }
    let place = subject.filled(&contents)?;
    let snapshot = snapshot(place.as_ref())?;
    let records = records_of(snapshot.as_ref())?;
    let name = if subject.abilities.source.databases { "empty" } else { FIRST };
    let database = index(snapshot.as_ref(), name);
    assert_eq!(collect(records.scan(database, None))?, []);
    assert_eq!(collect(records.scan(database, Some(&sample::at(b"a"))))?, []);
    assert_eq!(records.splits(database, 8).block_on()?, []);
    Ok(())
}

fn layout(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(3, 3))?;
    assert_eq!(snapshot(place.as_ref())?.info().layout, Layout::Plain, "no root key is used");
    if subject.abilities.source.partitions {
        let place = subject.filled(&sample::nasty(subject.abilities.source))?;
        assert_eq!(snapshot(place.as_ref())?.info().layout, Layout::Partitioned);
    }
    Ok(())
}

fn unknown(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(3, 3))?;
    let snapshot = snapshot(place.as_ref())?;
    let records = records_of(snapshot.as_ref())?;
    let beyond = snapshot.info().databases.len();
    assert!(collect(records.scan(beyond, None)).is_err(), "a scan of database number {beyond}");
    assert!(records.splits(beyond, 2).block_on().is_err(), "splits of database number {beyond}");
    Ok(())
}

fn outlive(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(40_000, 200))?;
    let snapshot = snapshot(place.as_ref())?;
    let database = index(snapshot.as_ref(), FIRST);
    let batches = records_of(snapshot.as_ref())?.scan(database, None);
    drop(snapshot);
    assert_eq!(collect(batches)?.len(), 40_000);
    Ok(())
}

/// A reader that has enough drops its stream. A thread that goes on reading for nobody is a leak.
fn dropped(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(40_000, 200))?;
    let snapshot = snapshot(place.as_ref())?;
    let database = index(snapshot.as_ref(), FIRST);
    let before = threads();
    for _ in 0..64 {
        let mut batches = records_of(snapshot.as_ref())?.scan(database, None);
        assert!(batches.try_next().block_on()?.is_some());
    }
    // Other tests of this process have threads of their own, so a few more are nothing.
    let ended = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        threads() < before + 32
    });
    assert!(ended, "{} threads are left of 64 dropped streams", threads() - before);
    let whole = collect(records_of(snapshot.as_ref())?.scan(database, None))?;
    assert_eq!(whole.len(), 40_000, "a scan after others were dropped");
    Ok(())
}

fn threads() -> usize {
    std::fs::read_dir("/proc/self/task").map_or(0, Iterator::count)
}

fn cancelled_before(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(3, 3))?;
    let view = if subject.abilities.source.records { View::Records } else { View::Files };
    let context = Context::default();
    context.cancel();
    let answer = place.source()?.snapshot(view, &context).block_on();
    assert!(matches!(answer, Err(Error::Cancelled)), "expected Cancelled");
    Ok(())
}

/// Whether a scan asks is the backend's choice; to end early without an error is not.
fn cancelled_scan(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(40_000, 200))?;
    let context = Context::default();
    let snapshot = place.source()?.snapshot(View::Records, &context).block_on()?;
    let database = index(snapshot.as_ref(), FIRST);
    let mut batches = records_of(snapshot.as_ref())?.scan(database, None);
    let mut found = batches.try_next().block_on()?.map_or(0, |batch| batch.len());
    context.cancel();
    loop {
        match batches.try_next().block_on() {
            Ok(Some(batch)) => found += batch.len(),
            Ok(None) => break assert_eq!(found, 40_000, "the scan ended early without an error"),
            Err(Error::Cancelled) => break,
            Err(other) => return Err(other),
        }
    }
    Ok(())
}

fn sums(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::nasty(subject.abilities.source);
    let place = subject.filled(&expected)?;
    let snapshot: Arc<dyn Snapshot> = Arc::from(snapshot(place.as_ref())?);
    for (name, sum) in expected.sums()? {
        let database = index(snapshot.as_ref(), &name);
        // Two scans at once, taken turn by turn.
        let mut scans =
            [(); 2].map(|()| (records_scan(&snapshot, database), Summer::new(name.as_bytes())));
        let mut running = true;
        while running {
            running = false;
            for (batches, summer) in &mut scans {
                if let Some(batch) = batches.try_next().block_on()? {
                    summer.add(&batch)?;
                    running = true;
                }
            }
        }
        for (_, summer) in scans {
            assert_eq!(summer.finish()?, sum, "the sum of {name:?}");
        }
    }
    Ok(())
}

fn records_scan(snapshot: &Arc<dyn Snapshot>, database: usize) -> BatchStream {
    snapshot.records().expect("the view asked for records").scan(database, None)
}

fn left_as_it_is(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(200, 1000))?;
    let Some(folder) = place.untouched() else { return Ok(()) };
    let before = tree(&folder)?;
    assert!(!before.is_empty(), "{} must hold something to compare", folder.display());
    let can = subject.abilities.source;
    for view in [View::Records, View::Files, View::Both] {
        if (view.records() && !can.records) || (view.files() && !can.files) {
            continue;
        }
        let snapshot = place.source()?.snapshot(view, &Context::default()).block_on()?;
        if view.records() {
            let found = snapshot_contents(snapshot.as_ref()).block_on()?;
            assert_ne!(found, Contents::new());
        }
        drop(snapshot);
        assert_eq!(tree(&folder)?, before, "a snapshot with the view {view:?} changed the source");
    }
    Ok(())
}
