//! What an interrupted restore left: a store that was to be kept aside, or a half-built one.

use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::names::{entries, exists, free_name, parent_of};
use super::{Form, MARK, file, filling};
use crate::disk::Disk;
use crate::{Error, Result};

/// Undoes the publishing that an interrupted restore began. The caller holds the lock of the restore's hidden folder.
/// Where that folder is the store that was replaced, it goes aside and no hidden folder is left.
pub(super) fn undo(
    disk: &dyn Disk,
    target: &Path,
    folder: &Path,
    form: Form,
    inside: bool,
) -> Result<()> {
    match form {
        Form::File { companions, .. } => {
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
    super::mark::read(folder).is_some_and(|(built, _)| built == mark)
}

/// Whether only this user has been able to write into a folder. One that was about to be put in its place may be
/// another user's already.
///
/// A file system that keeps no owners or permissions shows no folder to be private, so that one is taken as it is.
pub(super) fn is_private(disk: &dyn Disk, folder: &Path) -> Result<bool> {
    Ok(looks_private(folder)? || !keeps_access(disk, parent_of(folder))?)
}

/// Whether a file system keeps to whom a new folder belongs, and who may use it.
fn keeps_access(disk: &dyn Disk, parent: &Path) -> Result<bool> {
    // A random name, which nobody can guess.
    let number = RandomState::new().hash_one(std::process::id());
    let probe = parent.join(format!(".keepsum-probe-{number:016x}"));
    disk.create_private_folder(&probe)?;
    let keeps = looks_private(&probe);
    disk.remove(&probe)?;
    keeps
}

fn looks_private(folder: &Path) -> Result<bool> {
    let found = fs::symlink_metadata(folder).map_err(Error::io("look at", folder))?;
    let own = rustix::process::geteuid().as_raw();
    let for_others = found.mode() & 0o077;
    Ok(found.is_dir() && found.uid() == own && for_others == 0)
}

/// Removes what has the name of the hidden folder and is a symbolic link: no restore makes one, and what it
/// leads to is not keepsum's.
pub(super) fn remove_link(disk: &dyn Disk, folder: &Path) -> Result<()> {
    match fs::symlink_metadata(folder) {
        Ok(found) if found.is_symlink() => disk.remove(folder),
        _ => Ok(()),
    }
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
