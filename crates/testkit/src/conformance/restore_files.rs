//! Restoring files: byte for byte, all of them, at once or not at all.

use std::collections::BTreeMap;
use std::sync::Arc;

use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::record::RecordBatch;
use backup_core::source::FileInfo;
use backup_core::target::{Existing, Restored};
use backup_core::{Error, Restore, RestoreExt, Result, Snapshot, Target};
use bytes::Bytes;
use pollster::FutureExt as _;

use super::files::snapshot;
use super::restore::assert_aside;
use super::{Abilities, Check, Place, Subject, check, sample, target_of};
use crate::contents::contents;
use crate::transfer::{files_of, files_plan, origin, transfer_files};

pub(super) const CHECKS: &[Check] = &[
    check("restore_files::round_trip", Abilities::places, round_trip),
    check("restore_files::records_come_back", |can| can.places() && can.records(), records),
    check("restore_files::dropped_leaves_the_old", Abilities::places, dropped),
    check("restore_files::goes_on_where_it_was_interrupted", Abilities::places, goes_on),
    check("restore_files::another_snapshot_begins_anew", Abilities::places, another_origin),
    check("restore_files::refuses_what_is_there", Abilities::places, refuse),
    check("restore_files::keeps_the_old_aside", Abilities::places, keep_aside),
    check("restore_files::half_a_file_is_not_published", Abilities::places, half),
    check("restore_files::gaps_are_refused", Abilities::places, gaps),
    check("restore_files::more_than_planned_is_refused", Abilities::places, too_long),
    check("restore_files::unknown_files_are_refused", Abilities::places, unknown),
    check("restore_files::plans_that_contradict_are_refused", Abilities::places, contradictions),
    check("restore_files::cancelled_is_not_published", Abilities::places, cancelled),
    check("restore_files::sidecar_tells_the_origin", Abilities::places, sidecar),
    check("restore_files::takes_no_records_with_files", Abilities::places, no_records),
];

/// What a file is, apart from its path: permission bits and bytes.
type Content = (u32, Vec<u8>);

/// The files of a snapshot.
fn all(snapshot: &dyn Snapshot) -> Result<BTreeMap<FilePath, Content>> {
    let files = files_of(snapshot)?;
    let read = |(index, file): (usize, &FileInfo)| {
        let bytes = files.read(index, 0..file.bytes).block_on()?;
        Ok((file.path.clone(), (file.mode, bytes.to_vec())))
    };
    files.list().iter().enumerate().map(read).collect()
}

fn assert_same_files(
    expected: &BTreeMap<FilePath, Content>,
    found: &BTreeMap<FilePath, Content>,
    what: &str,
) {
    let names = |files: &BTreeMap<FilePath, Content>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(expected), names(found), "{what}: the paths");
    for (path, (mode, bytes)) in expected {
        let (found_mode, found_bytes) = &found[path];
        assert_eq!(mode, found_mode, "{what}: the mode of {path}");
        assert!(bytes == found_bytes, "{what}: the bytes of {path}");
    }
}

/// Places every file of a snapshot and publishes.
pub(super) fn place_all(
    snapshot: &dyn Snapshot,
    engine: &str,
    target: &dyn Target,
) -> Result<Restored> {
    let files = files_of(snapshot)?;
    let plan = files_plan(engine, files.list(), Existing::Refuse);
    let mut restore = target.begin(plan, &Context::default()).block_on()?;
    for (index, file) in files.list().iter().enumerate().filter(|(_, file)| file.bytes > 0) {
        let bytes = files.read(index, 0..file.bytes).block_on()?;
        restore.place(index, 0, bytes).block_on()?;
    }
    restore.finish().block_on()
}

/// A filled place, its files, and a free place to restore them into.
struct Pair {
    from: Box<dyn Place>,
    snapshot: Box<dyn Snapshot>,
    engine: String,
    to: Box<dyn Place>,
    target: Arc<dyn Target>,
}

impl Pair {
    fn new(subject: &Subject<'_>) -> Result<Self> {
        // Few records: a backend may keep each in a file of its own, and syncs each.
        let from = subject.filled(&sample::many(25, 5000))?;
        let to = subject.place()?;
        Ok(Self {
            snapshot: snapshot(from.as_ref())?,
            engine: from.source()?.describe().engine,
            target: target_of(to.as_ref()),
            from,
            to,
        })
    }

    fn list(&self) -> Result<&[FileInfo]> {
        Ok(files_of(self.snapshot.as_ref())?.list())
    }

    fn begin(&self) -> Result<Box<dyn Restore>> {
        let plan = files_plan(&self.engine, self.list()?, Existing::Refuse);
        self.target.begin(plan, &Context::default()).block_on()
    }

    fn bytes(&self, index: usize) -> Result<Bytes> {
        let files = files_of(self.snapshot.as_ref())?;
        files.read(index, 0..files.list()[index].bytes).block_on()
    }

    /// Places all files but one.
    fn place_others(&self, restore: &mut dyn Restore, left_out: usize) -> Result<()> {
        for (index, file) in self.list()?.iter().enumerate() {
            if index != left_out && file.bytes > 0 {
                restore.place(index, 0, self.bytes(index)?).block_on()?;
            }
        }
        Ok(())
    }

    /// The longest file.
    fn longest(&self) -> Result<usize> {
        let list = self.list()?;
        let longest = (0..list.len()).max_by_key(|index| list[*index].bytes);
        Ok(longest.expect("a filled store has files"))
    }

    /// The target holds nothing, and the same restore succeeds.
    fn assert_free(&self) -> Result<()> {
        place_all(self.snapshot.as_ref(), &self.engine, self.target.as_ref())?;
        let found = all(snapshot(self.to.as_ref())?.as_ref())?;
        assert_same_files(&all(self.snapshot.as_ref())?, &found, "the same again");
        Ok(())
    }
}

fn round_trip(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let source = pair.from.source()?;
    let done =
        transfer_files(source.as_ref(), pair.target.as_ref(), Existing::Refuse).block_on()?;
    assert_eq!(done.kept_aside, None, "nothing was there before");
    let found = all(snapshot(pair.to.as_ref())?.as_ref())?;
    assert_same_files(&all(pair.snapshot.as_ref())?, &found, "restored files");
    Ok(())
}

fn records(subject: &Subject<'_>) -> Result<()> {
    let expected = sample::nasty(subject.abilities.source);
    let from = subject.filled(&expected)?;
    let to = subject.place()?;
    let target = target_of(to.as_ref());
    transfer_files(from.source()?.as_ref(), target.as_ref(), Existing::Refuse).block_on()?;
    let found = contents(to.source()?.as_ref()).block_on()?;
    expected.assert_same(&found, "the records of restored files");
    Ok(())
}

fn dropped(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let mut restore = pair.begin()?;
    pair.place_others(restore.as_mut(), pair.longest()?)?;
    drop(restore);
    pair.assert_free()?;
    let before = all(snapshot(pair.to.as_ref())?.as_ref())?;
    let plan = files_plan(&pair.engine, pair.list()?, Existing::KeepAside);
    let mut restore = pair.target.begin(plan, &Context::default()).block_on()?;
    pair.place_others(restore.as_mut(), pair.longest()?)?;
    drop(restore);
    let after = all(snapshot(pair.to.as_ref())?.as_ref())?;
    assert_same_files(&before, &after, "the old files, after a restore was dropped");
    Ok(())
}

/// What an interrupted restore left is offered as it was placed, never more than that; and whatever it is,
/// what is placed over it counts.
fn goes_on(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let longest = pair.longest()?;
    let mut restore = pair.begin()?;
    pair.place_others(restore.as_mut(), longest)?;
    let half = pair.bytes(longest)?.len() / 2;
    restore.place(longest, 0, pair.bytes(longest)?.slice(..half)).block_on()?;
    restore.interrupt();
    let restore = pair.begin()?;
    let Some(left) = restore.left_over() else { return pair.assert_free() };
    assert_eq!(left.list().len(), pair.list()?.len(), "it is numbered as the plan is");
    for (index, there) in left.list().iter().enumerate() {
        let found = left.read(index, 0..there.bytes).block_on()?;
        let placed = pair.bytes(index)?;
        assert!(placed.starts_with(&found), "{}: what is there was never placed", there.path);
        assert!(index != longest || found.len() <= half, "more is there than was placed");
    }
    drop(restore);
    let restore = pair.begin()?;
    assert!(restore.left_over().is_none(), "a restore that was dropped left something");
    drop(restore);
    pair.assert_free()
}

/// What a restore of one snapshot left is nothing to that of another.
fn another_origin(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let longest = pair.longest()?;
    let mut restore = pair.begin()?;
    restore.place(longest, 0, pair.bytes(longest)?).block_on()?;
    restore.interrupt();
    let mut plan = files_plan(&pair.engine, pair.list()?, Existing::Refuse);
    plan.origin.snapshot = "another".into();
    let restore = pair.target.begin(plan, &Context::default()).block_on()?;
    assert!(restore.left_over().is_none(), "another snapshot's files are offered");
    drop(restore);
    pair.assert_free()
}

fn refuse(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    pair.assert_free()?;
    match pair.begin() {
        Err(Error::Occupied { .. }) => Ok(()),
        Err(other) => panic!("expected Occupied, found {other:?}"),
        Ok(_) => panic!("a restore over a store that is there began"),
    }
}

fn keep_aside(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let filled = subject.filled(&sample::many(10, 5000))?;
    let target = target_of(filled.as_ref());
    let source = pair.from.source()?;
    let done = transfer_files(source.as_ref(), target.as_ref(), Existing::KeepAside).block_on()?;
    assert_aside(&done);
    let found = all(snapshot(filled.as_ref())?.as_ref())?;
    assert_same_files(&all(pair.snapshot.as_ref())?, &found, "the new files");
    Ok(())
}

/// A restore that took less than the plan said must not finish.
fn half(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let longest = pair.longest()?;
    let mut restore = pair.begin()?;
    pair.place_others(restore.as_mut(), longest)?;
    assert!(restore.finish().block_on().is_err(), "a file was missing, and published");
    let mut restore = pair.begin()?;
    pair.place_others(restore.as_mut(), longest)?;
    let bytes = pair.bytes(longest)?;
    restore.place(longest, 0, bytes.slice(..bytes.len() - 1)).block_on()?;
    assert!(restore.finish().block_on().is_err(), "a file's last byte was missing, and published");
    pair.assert_free()
}

fn gaps(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let longest = pair.longest()?;
    let bytes = pair.bytes(longest)?;
    let mut restore = pair.begin()?;
    let gap = restore.place(longest, 1, bytes.slice(1..)).block_on();
    assert!(matches!(gap, Err(Error::Invalid { .. })), "a file without its first byte: {gap:?}");
    drop(restore);
    let mut restore = pair.begin()?;
    restore.place(longest, 0, bytes.slice(..2)).block_on()?;
    let back = restore.place(longest, 1, bytes.slice(1..)).block_on();
    assert!(matches!(back, Err(Error::Invalid { .. })), "the same byte twice: {back:?}");
    drop(restore);
    pair.assert_free()
}

fn too_long(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let longest = pair.longest()?;
    let mut restore = pair.begin()?;
    restore.place(longest, 0, pair.bytes(longest)?).block_on()?;
    let end = pair.list()?[longest].bytes;
    let more = restore.place(longest, end, Bytes::from_static(b"x")).block_on();
    assert!(matches!(more, Err(Error::Invalid { .. })), "a byte more than planned: {more:?}");
    drop(restore);
    pair.assert_free()
}

fn unknown(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let mut restore = pair.begin()?;
    let beyond = pair.list()?.len();
    let placed = restore.place(beyond, 0, Bytes::from_static(b"x")).block_on();
    assert!(matches!(placed, Err(Error::Invalid { .. })), "a file not in the plan: {placed:?}");
    drop(restore);
    pair.assert_free()
}

/// Two files of one path, or a file where another one needs a folder.
fn contradictions(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let list = pair.list()?;
    let mut twice = list.to_vec();
    twice.push(list[0].clone());
    let mut below = list.to_vec();
    below.push(FileInfo {
        path: FilePath::new(format!("{}/below", list[0].path))?,
        ..list[0].clone()
    });
    for files in [twice, below] {
        let plan = files_plan(&pair.engine, &files, Existing::Refuse);
        match pair.target.begin(plan, &Context::default()).block_on() {
            Err(Error::Invalid { .. }) => {}
            Err(other) => panic!("expected Invalid, found {other:?}"),
            Ok(_) => panic!("a plan that contradicts itself was taken"),
        }
    }
    pair.assert_free()
}

fn cancelled(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let context = Context::default();
    let plan = files_plan(&pair.engine, pair.list()?, Existing::Refuse);
    let mut restore = pair.target.begin(plan, &context).block_on()?;
    context.cancel();
    let mut answers = Vec::new();
    for (index, file) in pair.list()?.iter().enumerate().filter(|(_, file)| file.bytes > 0) {
        assert!(file.bytes > 0);
        answers.extend(restore.place(index, 0, pair.bytes(index)?).block_on().err());
    }
    let finished = restore.finish().block_on().err();
    assert!(finished.is_some(), "a cancelled restore was published");
    answers.extend(finished);
    assert!(answers.iter().any(|error| matches!(error, Error::Cancelled)), "{answers:?}");
    pair.assert_free()
}

fn sidecar(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    place_all(pair.snapshot.as_ref(), &pair.engine, pair.target.as_ref())?;
    assert_eq!(pair.to.sidecar()?, Some(origin().sidecar()));
    Ok(())
}

fn no_records(subject: &Subject<'_>) -> Result<()> {
    let pair = Pair::new(subject)?;
    let mut restore = pair.begin()?;
    assert!(restore.load(0, RecordBatch::new()).block_on().is_err(), "records with files");
    drop(restore);
    pair.assert_free()
}
