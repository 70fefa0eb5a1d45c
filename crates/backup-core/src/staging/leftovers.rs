//! What an interrupted restore left: a store that was to be kept aside, or a half-built one.

use std::fs;
use std::path::Path;

use super::names::{entries, exists, free_name, parent_of};
use super::{Form, MARK, file, filling};
use crate::Result;
use crate::disk::Disk;

/// Takes back what a restore that did not end began of publishing, for who has the lock of the folder.
/// Where the folder is the store that was there before, it is kept aside, and no folder is left.
pub(super) fn undo(
    disk: &dyn Disk,
    target: &Path,
    folder: &Path,
    form: Form,
    inside: bool,
) -> Result<()> {
    match form {
        Form::File { companions } => {
            return file::finish_moves(disk, target, folder, companions);
        }
        Form::Folder { .. } if inside => return filling::undo(disk, target, folder),
        Form::Folder { .. } => {}
    }
    if exists(&folder.join(MARK))? || entries(folder)?.is_empty() {
        return Ok(());
    }
    // The two were exchanged, and this is what the target was before.
    let aside = free_name(target)?;
    disk.rename(folder, &aside)?;
    let aside = aside.display();
    tracing::warn!(%aside, "a restore was interrupted; what was there before is kept aside");
    disk.sync_folder(parent_of(target))
}

/// Whether a folder was being built by a restore with this mark.
pub(super) fn is_marked(folder: &Path, mark: &str) -> bool {
    fs::read(folder.join(MARK)).is_ok_and(|found| found == mark.as_bytes())
}

/// Removes a folder that was being built, its mark last: without it, the folder would be a store.
pub(super) fn sweep(disk: &dyn Disk, folder: &Path) -> Result<()> {
    for entry in entries(folder)? {
        if !entry.ends_with(MARK) {
            disk.remove(&entry)?;
        }
    }
    disk.sync_folder(folder)?;
    disk.remove(folder)
}

/// Removes the mark of a folder that is in its place.
pub(super) fn unmark(disk: &dyn Disk, target: &Path) -> Result<()> {
    let mark = target.join(MARK);
    if target.is_dir() && exists(&mark)? {
        disk.remove(&mark)?;
        disk.sync_folder(target)?;
    }
    Ok(())
}
