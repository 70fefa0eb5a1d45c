//! The plain copy from a source into a target, as tests use it: no pipeline, no parallel readers.

use backup_core::progress::Context;
use backup_core::source::{FileInfo, View};
use backup_core::target::{Content, Existing, Origin, RestorePlan, Restored};
use backup_core::{Error, Files, Restore, RestoreExt, Result, Snapshot, Source, Target};
use futures_util::TryStreamExt;

use crate::contents::records_of;

/// The length in bytes of the pieces in which files are copied.
const PIECE: u64 = 1 << 20;

/// The origin that restores of this crate name.
pub fn origin() -> Origin {
    Origin {
        snapshot: "0123456789abcdef".into(),
        position: "version 7".into(),
        taken: "2026-01-02T03:04:05Z".into(),
        salvaged: false,
        ownership: None,
    }
}

/// The plan that brings all records of a snapshot.
pub fn records_plan(snapshot: &dyn Snapshot, existing: Existing) -> RestorePlan {
    let info = snapshot.info();
    let content = Content::Records { layout: info.layout, databases: info.databases.clone() };
    RestorePlan { content, existing, check: None, origin: origin() }
}

/// The plan that brings `files` of `engine`.
pub fn files_plan(engine: &str, files: &[FileInfo], existing: Existing) -> RestorePlan {
    let content = Content::Files { engine: engine.to_owned(), files: files.to_vec() };
    RestorePlan { content, existing, check: None, origin: origin() }
}

/// Copies all records of `source`, as they are now, into `target`, batch by batch.
///
/// # Errors
/// Those of the source and the target.
pub async fn transfer(
    source: &dyn Source,
    target: &dyn Target,
    existing: Existing,
) -> Result<Restored> {
    load(source, target, existing).await?.finish().await
}

/// Loads all records of `source`, as they are now, into `target`, and leaves it to the caller to complete
/// the restore.
///
/// # Errors
/// Those of the source and the target.
pub async fn load(
    source: &dyn Source,
    target: &dyn Target,
    existing: Existing,
) -> Result<Box<dyn Restore>> {
    let context = Context::default();
    let snapshot = source.snapshot(View::Records, &context).await?;
    let records = records_of(snapshot.as_ref())?;
    let mut restore = target.begin(records_plan(snapshot.as_ref(), existing), &context).await?;
    for database in 0..snapshot.info().databases.len() {
        let mut batches = records.scan(database, None);
        while let Some(batch) = batches.try_next().await? {
            restore.load(database, batch).await?;
        }
    }
    Ok(restore)
}

/// Copies all files of `source`, as they are now, into `target`, piece by piece.
///
/// # Errors
/// Those of the source and the target.
pub async fn transfer_files(
    source: &dyn Source,
    target: &dyn Target,
    existing: Existing,
) -> Result<Restored> {
    let context = Context::default();
    let snapshot = source.snapshot(View::Files, &context).await?;
    let files = files_of(snapshot.as_ref())?;
    let plan = files_plan(&source.describe().engine, files.list(), existing);
    let mut restore = target.begin(plan, &context).await?;
    for (index, file) in files.list().iter().enumerate() {
        let mut offset = 0;
        while offset < file.bytes {
            let end = file.bytes.min(offset + PIECE);
            let bytes = files.read(index, offset..end).await?;
            restore.place(index, offset, bytes).await?;
            offset = end;
        }
    }
    restore.finish().await
}

/// The files of a snapshot that was asked for them.
///
/// # Errors
/// [`Error::Invalid`] where it has none, which breaks the promise of [`Snapshot::files`].
pub fn files_of(snapshot: &dyn Snapshot) -> Result<&dyn Files> {
    snapshot
        .files()
        .ok_or_else(|| Error::invalid("a snapshot with the view Files", "has no files, and must"))
}
