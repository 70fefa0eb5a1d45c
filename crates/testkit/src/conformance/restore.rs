//! Restoring records: all of them, at once or not at all, and nothing that is not in order.

use std::sync::Arc;

use backup_core::progress::Context;
use backup_core::record::{PART_BYTES, Record, RecordBatch};
use backup_core::source::{DatabaseInfo, Layout};
use backup_core::target::{Content, Existing, RestorePlan, Restored};
use backup_core::{Built, Error, Restore, RestoreExt, Result, Target};
use bytes::Bytes;
use pollster::FutureExt as _;

use super::sample::{self, FIRST};
use super::source::snapshot;
use super::{Abilities, Check, Subject, check, target_of};
use crate::contents::{Contents, contents, snapshot_contents, sums};
use crate::transfer::{load, origin, transfer};

pub(super) const CHECKS: &[Check] = &[
    check("restore::round_trip", Abilities::loads, round_trip),
    check("restore::long_values", Abilities::loads, long_values),
    check("restore::many_batches", Abilities::loads, many_batches),
    check("restore::empty_databases_are_made", Abilities::loads, empty_databases),
    check("restore::nothing_is_a_store_too", Abilities::loads, nothing),
    check("restore::dropped_leaves_nothing", Abilities::loads, dropped_free),
    check("restore::dropped_leaves_the_old", Abilities::loads, dropped_old),
    check("restore::refuses_what_is_there", Abilities::loads, refuse),
    check("restore::keeps_the_old_aside", Abilities::loads, keep_aside),
    check("restore::the_old_is_read_until_the_end", Abilities::loads, old_is_read),
    check("restore::one_at_a_time", Abilities::loads, one_at_a_time),
    check("restore::cancelled_is_not_published", Abilities::loads, cancelled),
    check("restore::unsorted_is_refused", Abilities::loads, unsorted),
    check("restore::duplicates_are_refused", Abilities::loads, duplicates),
    check("restore::unsorted_root_keys_are_refused", loads_partitions, unsorted_root_keys),
    check("restore::order_holds_across_batches", Abilities::loads, across_batches),
    check("restore::parts_out_of_order_are_refused", Abilities::loads, parts_out_of_order),
    check("restore::half_a_value_is_not_published", Abilities::loads, half_value),
    check("restore::databases_out_of_order_are_refused", loads_databases, databases_out_of_order),
    check("restore::unknown_databases_are_refused", Abilities::loads, unknown_database),
    check("restore::the_same_database_twice_is_refused", Abilities::loads, twice),
    check("restore::plain_refuses_root_keys", Abilities::loads, plain_root_keys),
    check("restore::sidecar_tells_the_origin", Abilities::loads, sidecar),
    check("restore::takes_no_files_with_records", Abilities::loads, no_files),
    check("restore::built_is_read_as_it_is", Abilities::loads, built_is_read),
    check("restore::built_and_dropped_leaves_nothing", Abilities::loads, built_dropped_free),
    check("restore::built_and_dropped_leaves_the_old", Abilities::loads, built_dropped_old),
];

fn loads_partitions(can: &Abilities) -> bool {
    can.loads() && can.target.is_some_and(|target| target.partitions)
}

fn loads_databases(can: &Abilities) -> bool {
    can.loads() && can.target.is_some_and(|target| target.databases)
}

/// A plan of plain or partitioned databases.
fn plan(layout: Layout, names: &[&str], existing: Existing) -> RestorePlan {
    let databases = names.iter().map(|name| DatabaseInfo::new(*name)).collect();
    RestorePlan {
        content: Content::Records { layout, databases },
        existing,
        check: None,
        origin: origin(),
    }
}

fn begin(target: &Arc<dyn Target>, existing: Existing) -> Result<Box<dyn Restore>> {
    target.begin(plan(Layout::Plain, &[FIRST], existing), &Context::default()).block_on()
}

fn batch(records: &[Record<'_>]) -> Result<RecordBatch> {
    let mut batch = RecordBatch::new();
    records.iter().try_for_each(|record| batch.push(*record))?;
    Ok(batch)
}

/// A batch of plain records with one value.
fn keys(keys: &[&[u8]]) -> Result<RecordBatch> {
    batch(&keys.iter().map(|key| Record::whole(b"", key, b"value")).collect::<Vec<_>>())
}

/// Loads everything and publishes it.
fn round_trip_of(subject: &Subject<'_>, expected: &Contents) -> Result<()> {
    let place = subject.place()?;
    let target = target_of(place.as_ref());
    let done = transfer(expected, target.as_ref(), Existing::Refuse).block_on()?;
    assert_eq!(done.kept_aside, None, "nothing was there before");
    let source = place.source()?;
    expected.assert_same(&contents(source.as_ref()).block_on()?, "what was loaded and read back");
    let mut found = sums(source.as_ref()).block_on()?;
    let mut expected = expected.sums()?;
    for sums in [&mut found, &mut expected] {
        sums.retain(|name, sum| name != FIRST || sum.records > 0);
    }
    assert_eq!(found, expected, "the sums before and after");
    Ok(())
}

/// Loads `batches` into database 0, which must be refused at the latest by `finish`, and then leaves
/// a place where the same restore succeeds.
fn refused(subject: &Subject<'_>, layout: Layout, batches: Vec<RecordBatch>) -> Result<Error> {
    let place = subject.place()?;
    let target = target_of(place.as_ref());
    let plan = || plan(layout, &[FIRST], Existing::Refuse);
    let mut restore = target.begin(plan(), &Context::default()).block_on()?;
    let mut refusal = None;
    for batch in batches {
        if let Err(error) = restore.load(0, batch).block_on() {
            refusal = refusal.or(Some(error));
        }
    }
    let error = match (refusal, restore.finish().block_on()) {
        (_, Ok(_)) => panic!("what must be refused was published"),
        (Some(refusal), Err(_)) => refusal,
        (None, Err(late)) => late,
    };
    let mut again = target.begin(plan(), &Context::default()).block_on()?;
    again.load(0, keys(&[b"a", b"b"])?).block_on()?;
    again.finish().block_on()?;
    let found = contents(place.source()?.as_ref()).block_on()?;
    assert_eq!(found.records(), 2, "the restore after a refused one: {found:?}");
    Ok(error)
}

fn assert_invalid(error: &Error) {
    assert!(matches!(error, Error::Invalid { .. }), "expected Invalid, found {error:?}");
}

fn round_trip(subject: &Subject<'_>) -> Result<()> {
    round_trip_of(subject, &sample::nasty(subject.abilities.source))
}

fn long_values(subject: &Subject<'_>) -> Result<()> {
    round_trip_of(subject, &sample::long_values())
}

fn many_batches(subject: &Subject<'_>) -> Result<()> {
    round_trip_of(subject, &sample::many(60_000, 100))
}

fn empty_databases(subject: &Subject<'_>) -> Result<()> {
    let mut expected = Contents::new();
    for name in sample::databases(subject.abilities.source) {
        expected.add_database(name);
    }
    round_trip_of(subject, &expected)
}

fn nothing(subject: &Subject<'_>) -> Result<()> {
    round_trip_of(subject, &Contents::new())
}

/// Loads everything and makes the store of it, which nobody sees yet.
fn complete(
    expected: &Contents,
    target: &dyn Target,
    existing: Existing,
) -> Result<Box<dyn Built>> {
    load(expected, target, existing).block_on()?.complete().block_on()
}

/// The databases of what was built that hold anything.
fn assert_holds(expected: &Contents, built: &dyn Built) -> Result<()> {
    let snapshot = built.records().block_on()?.expect("a store of records that was built is read");
    let found = snapshot_contents(snapshot.as_ref()).block_on()?;
    expected.assert_same(&found, "what was built, before it was published");
    Ok(())
}

fn built_is_read(subject: &Subject<'_>) -> Result<()> {
    let old = sample::many(10, 10);
    let place = subject.filled(&old)?;
    for expected in [sample::nasty(subject.abilities.source), sample::long_values()] {
        let before = contents(place.source()?.as_ref()).block_on()?;
        let target = target_of(place.as_ref());
        let built = complete(&expected, target.as_ref(), Existing::KeepAside)?;
        // As often as one likes.
        assert_holds(&expected, built.as_ref())?;
        assert_holds(&expected, built.as_ref())?;
        let found = contents(place.source()?.as_ref()).block_on()?;
        before.assert_same(&found, "the old store, while the new one is read");
        built.publish().block_on()?;
        let found = contents(place.source()?.as_ref()).block_on()?;
        expected.assert_same(&found, "the new store, which was read before");
    }
    Ok(())
}

fn built_dropped_free(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let target = target_of(place.as_ref());
    let expected = sample::many(10, 10);
    let built = complete(&expected, target.as_ref(), Existing::Refuse)?;
    assert_holds(&expected, built.as_ref())?;
    drop(built);
    match snapshot(place.as_ref()) {
        Err(Error::NotFound { .. }) => {}
        Err(other) => return Err(other),
        Ok(left) => assert_eq!(snapshot_contents(left.as_ref()).block_on()?.records(), 0),
    }
    assert_eq!(place.sidecar()?, None, "a store that was dropped tells no origin");
    begin(&target, Existing::Refuse)?.finish().block_on().map(drop)
}

fn built_dropped_old(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::nasty(subject.abilities.source);
    let place = subject.filled(&expected)?;
    let target = target_of(place.as_ref());
    drop(complete(&sample::many(10, 10), target.as_ref(), Existing::KeepAside)?);
    let found = contents(place.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "the old store, after one that was built was dropped");
    Ok(())
}

fn dropped_free(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let target = target_of(place.as_ref());
    let mut restore = begin(&target, Existing::Refuse)?;
    restore.load(0, keys(&[b"a", b"b"])?).block_on()?;
    drop(restore);
    match snapshot(place.as_ref()) {
        Err(Error::NotFound { .. }) => {}
        Err(other) => return Err(other),
        Ok(left) => assert_eq!(snapshot_contents(left.as_ref()).block_on()?.records(), 0),
    }
    assert_eq!(place.sidecar()?, None, "a dropped restore tells no origin");
    let restore = begin(&target, Existing::Refuse)?;
    restore.finish().block_on().map(drop)
}

fn dropped_old(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::nasty(subject.abilities.source);
    let place = subject.filled(&expected)?;
    let target = target_of(place.as_ref());
    let mut restore = begin(&target, Existing::KeepAside)?;
    restore.load(0, keys(&[b"a", b"b"])?).block_on()?;
    drop(restore);
    let found = contents(place.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "the old store, after a restore was dropped");
    Ok(())
}

fn refuse(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::many(10, 10);
    let free = subject.place()?;
    assert!(!target_of(free.as_ref()).is_occupied().block_on()?, "a place where nothing is");
    let place = subject.filled(&expected)?;
    assert!(target_of(place.as_ref()).is_occupied().block_on()?, "a store that is there");
    match begin(&target_of(place.as_ref()), Existing::Refuse) {
        Err(Error::Occupied { .. }) => {}
        Err(other) => panic!("expected Occupied, found {other:?}"),
        Ok(_) => panic!("a restore over a store that is there began"),
    }
    expected.assert_same(&contents(place.source()?.as_ref()).block_on()?, "the refused target");
    Ok(())
}

fn keep_aside(subject: &Subject<'_>) -> Result<()> {
    let place = subject.filled(&sample::nasty(subject.abilities.source))?;
    let expected = sample::many(10, 10);
    let target = target_of(place.as_ref());
    let done = transfer(&expected, target.as_ref(), Existing::KeepAside).block_on()?;
    let found = contents(place.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "the new store, with nothing of the old one");
    assert_aside(&done);
    Ok(())
}

/// The old store is where the restore says it is, or the restore says that it is gone.
pub(super) fn assert_aside(done: &Restored) {
    match &done.kept_aside {
        Some(path) => assert!(path.exists(), "{} is where the old store is", path.display()),
        None => assert!(!done.notes.is_empty(), "the old store is gone, and no note says so"),
    }
}

fn old_is_read(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::many(10, 10);
    let place = subject.filled(&expected)?;
    let mut restore = begin(&target_of(place.as_ref()), Existing::KeepAside)?;
    restore.load(0, keys(&[b"a"])?).block_on()?;
    let found = contents(place.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "the old store while a restore is under way");
    restore.finish().block_on()?;
    let found = contents(place.source()?.as_ref()).block_on()?;
    assert_eq!(found.records(), 1, "the new store after it: {found:?}");
    Ok(())
}

fn one_at_a_time(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let target = target_of(place.as_ref());
    let mut first = begin(&target, Existing::Refuse)?;
    match begin(&target, Existing::Refuse) {
        Err(Error::InUse { .. }) => {}
        Err(other) => panic!("expected InUse, found {other:?}"),
        Ok(_) => panic!("two restores into one target began"),
    }
    first.load(0, keys(&[b"a"])?).block_on()?;
    first.finish().block_on()?;
    let found = contents(place.source()?.as_ref()).block_on()?;
    assert_eq!(found.records(), 1, "the first restore, beside a refused one: {found:?}");
    Ok(())
}

fn cancelled(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::many(10, 10);
    let place = subject.filled(&expected)?;
    let target = target_of(place.as_ref());
    let context = Context::default();
    let plan = || plan(Layout::Plain, &[FIRST], Existing::KeepAside);
    let mut restore = target.begin(plan(), &context).block_on()?;
    restore.load(0, keys(&[b"a"])?).block_on()?;
    context.cancel();
    let loaded = restore.load(0, keys(&[b"b"])?).block_on();
    let finished = restore.finish().block_on();
    let answers = [loaded.err(), finished.err()];
    let told = answers.iter().flatten().any(|error| matches!(error, Error::Cancelled));
    assert!(told && answers[1].is_some(), "expected Cancelled, found {answers:?}");
    let found = contents(place.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "the old store, after a restore was cancelled");
    let begun = target.begin(plan(), &context).block_on();
    assert!(matches!(begun, Err(Error::Cancelled)), "a restore cancelled before it began");
    Ok(())
}

fn unsorted(subject: &Subject<'_>) -> Result<()> {
    assert_invalid(&refused(subject, Layout::Plain, vec![keys(&[b"a", b"c", b"b"])?])?);
    Ok(())
}

fn duplicates(subject: &Subject<'_>) -> Result<()> {
    assert_invalid(&refused(subject, Layout::Plain, vec![keys(&[b"a", b"b", b"b"])?])?);
    assert_invalid(&refused(subject, Layout::Plain, vec![keys(&[b"", b""])?])?);
    Ok(())
}

fn unsorted_root_keys(subject: &Subject<'_>) -> Result<()> {
    let records = [Record::whole(b"b", b"a", b""), Record::whole(b"a", b"z", b"")];
    assert_invalid(&refused(subject, Layout::Partitioned, vec![batch(&records)?])?);
    // Joined without a frame these two are one key.
    let records = [Record::whole(b"a", b"bc", b"1"), Record::whole(b"ab", b"c", b"2")];
    let place = subject.place()?;
    let plan = plan(Layout::Partitioned, &[FIRST], Existing::Refuse);
    let target = target_of(place.as_ref());
    let mut restore = target.begin(plan, &Context::default()).block_on()?;
    restore.load(0, batch(&records)?).block_on()?;
    restore.finish().block_on()?;
    let mut expected = Contents::new();
    expected.put(FIRST, b"a", b"bc", "1");
    expected.put(FIRST, b"ab", b"c", "2");
    expected.assert_same(&contents(place.source()?.as_ref()).block_on()?, "root keys and keys");
    Ok(())
}

fn across_batches(subject: &Subject<'_>) -> Result<()> {
    let unsorted = vec![keys(&[b"b"])?, keys(&[b"a"])?];
    assert_invalid(&refused(subject, Layout::Plain, unsorted)?);
    let twice = vec![keys(&[b"a", b"b"])?, keys(&[b"b", b"c"])?];
    assert_invalid(&refused(subject, Layout::Plain, twice)?);
    Ok(())
}

/// A value of three parts, of which only `chosen` come.
fn some_parts(chosen: &[usize]) -> Result<RecordBatch> {
    let part = vec![7; PART_BYTES];
    let total = 3 * PART_BYTES as u64;
    let mut batch = RecordBatch::new();
    for index in chosen {
        let offset = (index * PART_BYTES) as u64;
        batch.push(Record { root_key: b"", key: b"long", value: &part, offset, total })?;
    }
    Ok(batch)
}

fn parts_out_of_order(subject: &Subject<'_>) -> Result<()> {
    for wrong in [&[1, 0, 2][..], &[0, 2, 1], &[0, 0, 1, 2], &[1, 2]] {
        assert_invalid(&refused(subject, Layout::Plain, vec![some_parts(wrong)?])?);
    }
    let interrupted = vec![some_parts(&[0, 1])?, keys(&[b"m"])?, some_parts(&[2])?];
    assert_invalid(&refused(subject, Layout::Plain, interrupted)?);
    Ok(())
}

fn half_value(subject: &Subject<'_>) -> Result<()> {
    assert_invalid(&refused(subject, Layout::Plain, vec![some_parts(&[0, 1])?])?);
    Ok(())
}

fn databases_out_of_order(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let plan = plan(Layout::Plain, &[FIRST, "second"], Existing::Refuse);
    let target = target_of(place.as_ref());
    let mut restore = target.begin(plan, &Context::default()).block_on()?;
    restore.load(1, keys(&[b"a"])?).block_on()?;
    let back = restore.load(0, keys(&[b"a"])?).block_on();
    assert!(matches!(back, Err(Error::Invalid { .. })), "back to an earlier database: {back:?}");
    assert!(restore.finish().block_on().is_err(), "a restore with a refused batch was published");
    Ok(())
}

fn unknown_database(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let mut restore = begin(&target_of(place.as_ref()), Existing::Refuse)?;
    let answer = restore.load(1, keys(&[b"a"])?).block_on();
    assert!(matches!(answer, Err(Error::Invalid { .. })), "a database not in the plan: {answer:?}");
    assert!(restore.finish().block_on().is_err(), "a restore with a refused batch was published");
    Ok(())
}

fn twice(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let plan = plan(Layout::Plain, &[FIRST, FIRST], Existing::Refuse);
    let answer = target_of(place.as_ref()).begin(plan, &Context::default()).block_on();
    match answer {
        Err(Error::Invalid { .. } | Error::Unsupported { .. }) => Ok(()),
        Err(other) => panic!("expected Invalid, found {other:?}"),
        Ok(_) => panic!("a plan with one database twice was taken"),
    }
}

/// A root key that the layout cannot keep must not be dropped in silence.
fn plain_root_keys(subject: &Subject<'_>) -> Result<()> {
    let record = batch(&[Record::whole(b"root", b"key", b"value")])?;
    let error = refused(subject, Layout::Plain, vec![record])?;
    let kind = matches!(error, Error::Unsupported { .. } | Error::Invalid { .. });
    assert!(kind, "expected Unsupported, found {error:?}");
    Ok(())
}

fn sidecar(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let expected = sample::many(3, 3);
    transfer(&expected, target_of(place.as_ref()).as_ref(), Existing::Refuse).block_on()?;
    assert_eq!(place.sidecar()?, Some(origin().sidecar()));
    // The sidecar is no record of the store's.
    expected.assert_same(&contents(place.source()?.as_ref()).block_on()?, "beside a sidecar");
    Ok(())
}

fn no_files(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let mut restore = begin(&target_of(place.as_ref()), Existing::Refuse)?;
    let placed = restore.place(0, 0, Bytes::from_static(b"bytes")).block_on();
    assert!(placed.is_err(), "a file was placed in a restore of records");
    Ok(())
}
