//! What is not declared answers `Unsupported`, and says what is possible.

use backup_core::kv::Access;
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};
use backup_core::source::{DatabaseInfo, FileInfo, FileNature, Layout};
use backup_core::target::{Content, Existing, RestorePlan};
use backup_core::{Error, Result};
use pollster::FutureExt as _;

use super::key_value::{first, store_of};
use super::{Check, Subject, check, target_of};
use crate::transfer::{files_plan, origin};

pub(super) const CHECKS: &[Check] = &[
    check(
        "undeclared::records_are_not_loaded",
        |can| can.target.is_some_and(|target| !target.load_records),
        no_records,
    ),
    check(
        "undeclared::files_are_not_placed",
        |can| can.target.is_some_and(|target| !target.place_files),
        no_files,
    ),
    check(
        "undeclared::files_of_another_engine_are_not_placed",
        |can| can.target.is_some(),
        foreign_files,
    ),
    check(
        "undeclared::several_databases_are_not_loaded",
        |can| can.target.is_some_and(|target| target.load_records && !target.databases),
        no_databases,
    ),
    check(
        "undeclared::partitions_are_not_loaded",
        |can| can.target.is_some_and(|target| target.load_records && !target.partitions),
        no_partitions,
    ),
    check(
        "undeclared::partitions_are_not_opened",
        |can| can.store && !can.source.partitions,
        not_opened,
    ),
];

/// Begins a restore that must not begin, and leaves nothing.
fn refused(subject: &Subject<'_>, plan: RestorePlan) -> Result<()> {
    let place = subject.place()?;
    match target_of(place.as_ref()).begin(plan, &Context::default()).block_on() {
        Err(Error::Unsupported { why, .. }) => {
            assert!(!why.is_empty(), "an answer must say what is possible instead");
            Ok(())
        }
        Err(other) => panic!("expected Unsupported, found {other:?}"),
        Ok(_) => panic!("what is not declared began"),
    }
}

fn records(layout: Layout, names: &[&str]) -> RestorePlan {
    let databases = names.iter().map(|name| DatabaseInfo::new(*name)).collect();
    let content = Content::Records { layout, databases };
    RestorePlan { content, existing: Existing::Refuse, check: None, origin: origin() }
}

fn file() -> Result<FileInfo> {
    Ok(FileInfo {
        path: FilePath::new("file")?,
        bytes: 0,
        identity: None,
        mode: 0o644,
        owner: None,
        nature: FileNature::Immutable,
    })
}

fn no_records(subject: &Subject<'_>) -> Result<()> {
    refused(subject, records(Layout::Plain, &["default"]))
}

fn no_files(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let engine = target_of(place.as_ref()).describe().engine;
    refused(subject, files_plan(&engine, &[file()?], Existing::Refuse))
}

fn foreign_files(subject: &Subject<'_>) -> Result<()> {
    refused(subject, files_plan("an engine of somebody else's", &[file()?], Existing::Refuse))
}

fn no_databases(subject: &Subject<'_>) -> Result<()> {
    refused(subject, records(Layout::Plain, &["default", "another"]))
}

/// The root key is refused when the restore begins or when it comes, and never dropped.
fn no_partitions(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let plan = records(Layout::Partitioned, &["default"]);
    let begun = target_of(place.as_ref()).begin(plan, &Context::default()).block_on();
    let answer = begun.and_then(|mut restore| {
        let mut batch = RecordBatch::new();
        batch.push(Record::whole(b"root", b"key", b"value"))?;
        restore.load(0, batch).block_on()
    });
    assert!(matches!(answer, Err(Error::Unsupported { .. })), "found {answer:?}");
    Ok(())
}

fn not_opened(subject: &Subject<'_>) -> Result<()> {
    let place = subject.place()?;
    let database = first(store_of(place.as_ref())?.as_ref())?;
    let answer = database.open(b"root", Access::Shared).block_on().map(drop);
    assert!(matches!(answer, Err(Error::Unsupported { .. })), "found {answer:?}");
    Ok(())
}
