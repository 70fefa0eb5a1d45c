//! Restoring pages as they were.

use backup_core::check::CheckLevel;
use backup_core::progress::Context;
use backup_core::source::FileInfo;
use backup_core::staging::{BuiltStore, Placing};
use backup_core::target::Origin;
use backup_core::{Error, Result};

use crate::check;

/// Checks that the files of a plan are one database.
pub(super) fn check_plan(files: &[FileInfo]) -> Result<()> {
    if files.len() == 1 {
        return Ok(());
    }
    let detail = format!("are {}, and a SQLite database is one", files.len());
    Err(Error::invalid("the files of the snapshot", detail))
}

/// Has the pages checked that were placed. Who placed them has proved them, so they are published whatever SQLite
/// says of them, unless somebody asked it.
pub(super) fn complete(
    placing: Placing,
    origin: Origin,
    asked: Option<CheckLevel>,
    context: &Context,
) -> Result<BuiltStore> {
    let (staging, built) = placing.complete_file()?;
    let check = check::file(&built, asked)?;
    check.decide(asked)?;
    let notes = check::note(&check, "the pages came back as they were").into_iter().collect();
    Ok(super::built(staging, origin, context).with_notes(notes).checked(check))
}
