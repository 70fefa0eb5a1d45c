//! Snapshots while writers go on: unchanged by what comes later, and of one moment.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use backup_core::kv::WriteBatch;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::View;
use backup_core::{Result, Snapshot};
use pollster::FutureExt as _;

use super::sample::{self, FIRST};
use super::source::snapshot;
use super::{Abilities, Check, Place, Subject, Writer, check};
use crate::beside::beside;
use crate::contents::{Contents, snapshot_contents};
use crate::transfer::files_of;

pub(super) const CHECKS: &[Check] = &[
    check(
        "point_in_time::has_a_writer",
        |can| can.source.point_in_time && can.records(),
        has_writer,
    ),
    check("point_in_time::later_writes_are_not_seen", Abilities::live_records, later_writes),
    check("point_in_time::later_snapshots_see_more", Abilities::live_records, later_snapshots),
    check("point_in_time::positions_tell_states_apart", Abilities::live_records, positions),
    check("point_in_time::one_moment_across_databases", live_point_in_time, one_moment),
    check("point_in_time::files_do_not_change", |can| can.files() && can.writer, files_stay),
    check(
        "point_in_time::both_views_are_one_state",
        |can| can.files() && can.live_records(),
        both_views,
    ),
];

fn live_point_in_time(can: &Abilities) -> bool {
    can.live_records() && can.source.point_in_time
}

fn writer_of(place: &dyn Place) -> Result<Box<dyn Writer>> {
    Ok(place.writer()?.expect("a place that had a writer has one"))
}

fn put(key: &[u8], value: &[u8]) -> WriteBatch {
    let mut batch = WriteBatch::new();
    batch.put(key, value);
    batch
}

fn has_writer(subject: &Subject<'_>) -> Result<()> {
    let writer = subject.place()?.writer()?;
    let what = "a point in time beside writers is declared, so the factory must give a writer";
    assert!(writer.is_some(), "{what}");
    Ok(())
}

fn later_writes(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::nasty(subject.abilities.source);
    let place = subject.filled(&expected)?;
    let writer = writer_of(place.as_ref())?;
    let snapshot = snapshot(place.as_ref())?;
    for (number, root_key) in sample::root_keys(subject.abilities.source).iter().enumerate() {
        let mut batch = WriteBatch::new();
        if number % 2 == 0 {
            batch.delete_prefix("");
        }
        batch.put("a", "overwritten");
        batch.put("added", "later");
        batch.delete("b");
        writer.write(FIRST, root_key, batch)?;
    }
    let found = snapshot_contents(snapshot.as_ref()).block_on()?;
    expected.assert_same(&found, "a snapshot, after later writes");
    Ok(())
}

fn later_snapshots(subject: &Subject<'_>) -> Result<()> {
    let mut expected = sample::many(100, 10);
    let place = subject.filled(&expected)?;
    let writer = writer_of(place.as_ref())?;
    let mut snapshots = vec![(expected.clone(), snapshot(place.as_ref())?)];
    for round in 0..5_u8 {
        writer.write(FIRST, b"", put(&[0, 0, 0, round], b"changed"))?;
        expected.put(FIRST, b"", &[0, 0, 0, round], "changed");
        snapshots.push((expected.clone(), snapshot(place.as_ref())?));
    }
    for (expected, snapshot) in snapshots {
        let found = snapshot_contents(snapshot.as_ref()).block_on()?;
        expected.assert_same(&found, "one of several snapshots at once");
    }
    Ok(())
}

fn positions(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(10, 10))?;
    let writer = writer_of(place.as_ref())?;
    let position = || Ok(snapshot(place.as_ref())?.info().position.clone());
    let before: Position = position()?;
    assert_eq!(before, position()?, "nothing was written between two snapshots");
    writer.write(FIRST, b"", put(b"a", b"b"))?;
    let after: Position = position()?;
    let known = before != Position::Unknown;
    assert!(!known || before != after, "a write between two snapshots, both at {after}");
    Ok(())
}

/// A writer goes round over databases and root keys, and writes the round's number to each, in
/// two keys of one batch. At any one moment the numbers fall at most once, and by one.
fn one_moment(subject: &Subject<'_>) -> Result<()> {
    const SNAPSHOTS: usize = 40;
    let can = subject.abilities.source;
    let mut round_trip = Vec::new();
    for database in sample::databases(can) {
        round_trip.extend(sample::root_keys(can).iter().map(|root_key| (*database, *root_key)));
    }
    let place = subject.filled(&rounds(&round_trip))?;
    let writer = writer_of(place.as_ref())?;
    let goes_round = round_trip.clone();
    let write = move |round: u64| {
        goes_round.iter().try_for_each(|(database, root_key)| {
            let mut batch = put(b"first", &round.to_be_bytes());
            batch.put("second", round.to_be_bytes());
            writer.write(database, root_key, batch)
        })
    };
    beside(write, || {
        (0..SNAPSHOTS).try_for_each(|_| {
            let snapshot = snapshot(place.as_ref())?;
            assert_eq!(snapshot.info().consistency, Consistency::PointInTime);
            // Other snapshots and many writes go by while this one is read.
            thread::sleep(Duration::from_millis(3));
            check_moment(snapshot.as_ref(), &round_trip)
        })
    })
}

/// All numbers at zero, and ballast between the two keys so that a scan takes its time.
fn rounds(round_trip: &[(&str, &[u8])]) -> Contents {
    let mut contents = Contents::new();
    for (database, root_key) in round_trip {
        for key in [&b"first"[..], b"second"] {
            contents.put(database, root_key, key, 0_u64.to_be_bytes());
        }
        for number in 0..200_u8 {
            contents.put(database, root_key, &[b'm', number], [number; 100]);
        }
    }
    contents
}

fn check_moment(snapshot: &dyn Snapshot, round_trip: &[(&str, &[u8])]) -> Result<()> {
    let found = snapshot_contents(snapshot).block_on()?;
    let mut numbers = Vec::new();
    for (database, root_key) in round_trip {
        let number = |key: &[u8]| {
            let value = &found.databases[*database][&RecordKey::new(root_key, key)];
            u64::from_be_bytes(value.as_slice().try_into().expect("eight bytes were written"))
        };
        let (first, second) = (number(b"first"), number(b"second"));
        assert_eq!(first, second, "half a batch of {database:?}, root key {root_key:?}");
        numbers.push(first);
    }
    let (newest, oldest) = (numbers[0], numbers[numbers.len() - 1]);
    let falling = numbers.is_sorted_by(|one, next| one >= next);
    assert!(falling && newest - oldest <= 1, "no moment had these rounds: {numbers:?}");
    Ok(())
}

/// The bytes of all files.
fn all_files(snapshot: &dyn Snapshot) -> Result<BTreeMap<String, Vec<u8>>> {
    let files = files_of(snapshot)?;
    let read = |(index, file): (usize, &backup_core::source::FileInfo)| {
        let bytes = files.read(index, 0..file.bytes).block_on()?;
        Ok((file.path.to_string(), bytes.to_vec()))
    };
    files.list().iter().enumerate().map(read).collect()
}

fn files_stay(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(200, 1000))?;
    let writer = writer_of(place.as_ref())?;
    let snapshot = place.source()?.snapshot(View::Files, &Context::default()).block_on()?;
    let before = all_files(snapshot.as_ref())?;
    assert!(!before.is_empty(), "a filled store has files");
    for number in 0..300_u32 {
        writer.write(FIRST, b"", put(&number.to_be_bytes(), &[7; 500]))?;
    }
    let after = all_files(snapshot.as_ref())?;
    assert!(before == after, "the files of a snapshot changed while others wrote");
    Ok(())
}

fn both_views(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::many(1000, 100))?;
    let writer = writer_of(place.as_ref())?;
    let expected = snapshot_contents(snapshot(place.as_ref())?.as_ref()).block_on()?;
    let both = place.source()?.snapshot(View::Both, &Context::default()).block_on()?;
    writer.write(FIRST, b"", put(b"later", b"write"))?;
    let found = snapshot_contents(both.as_ref()).block_on()?;
    expected.assert_same(&found, "the records of a snapshot with both views");
    let copy = subject.place()?;
    let Some(target) = copy.target().filter(|target| target.capabilities().place_files) else {
        return Ok(());
    };
    super::restore_files::place_all(
        both.as_ref(),
        &place.source()?.describe().engine,
        target.as_ref(),
    )?;
    let placed = snapshot_contents(snapshot(copy.as_ref())?.as_ref()).block_on()?;
    expected.assert_same(&placed, "the files of a snapshot with both views, restored");
    Ok(())
}
