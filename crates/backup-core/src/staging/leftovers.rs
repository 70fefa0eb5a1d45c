//! What an interrupted restore left: a store that was to be kept aside, or a half-built one.

use std::path::Path;

use super::MARK;
use super::filling;
use super::names::{entries, exists, free_name, lock, parent_of};
use crate::Result;
use crate::disk::Disk;

/// Deals with the hidden folder of a restore that did not end.
///
/// # Errors
/// [`Error::InUse`](crate::Error::InUse) where that restore is at work.
pub(super) fn clear(disk: &dyn Disk, target: &Path, folder: &Path, inside: bool) -> Result<()> {
    let _lock = lock(folder, target)?;
    take_back(disk, target, folder, inside)
}

/// As [`clear`], for who has the lock.
pub(super) fn take_back(disk: &dyn Disk, target: &Path, folder: &Path, inside: bool) -> Result<()> {
    if inside {
        filling::undo(disk, target, folder)?;
    } else if !exists(&folder.join(MARK))? && !entries(folder)?.is_empty() {
        // The two were exchanged, and this is what the target was before.
        let aside = free_name(target)?;
        disk.rename(folder, &aside)?;
        let aside = aside.display();
        tracing::warn!(%aside, "a restore was interrupted; what was there before is kept aside");
        return disk.sync_folder(parent_of(target));
    }
    sweep(disk, folder)
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
