//! What has which name around a target.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::{Form, MARK, SIDECAR_OF_FILE};
use crate::folder_lock::{self, Taken};
use crate::fork::outlasts_a_fork;
use crate::target::Existing;
use crate::{Error, Result};

/// The folder above a target must be there.
pub(super) fn check_above(target: &Path) -> Result<()> {
    let parent = parent_of(target);
    if exists(parent)? {
        return Ok(());
    }
    let hint = "; create it first, or name another target".into();
    Err(Error::NotFound { what: format!("the folder {}", parent.display()), hint })
}

/// Where the store for a target is built.
pub(super) fn hidden_folder(target: &Path, inside: bool) -> Result<PathBuf> {
    let hidden = format!(".{}.keepsum-restoring", name_of(target)?);
    Ok(if inside { target.join(hidden) } else { target.with_file_name(hidden) })
}

/// The sidecar of a file.
pub(super) fn sidecar_of(file: &Path) -> PathBuf {
    with_suffix(file, SIDECAR_OF_FILE)
}

/// The path whose name ends in `suffix` as well.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

pub(super) fn check_free(target: &Path, form: Form, existing: Existing) -> Result<()> {
    let Some(found) = metadata(target)? else { return Ok(()) };
    let occupied = match form {
        Form::File { .. } if found.is_dir() => {
            let detail = "is a folder, and this restores one file; name a file";
            return Err(Error::invalid(target.display().to_string(), detail));
        }
        Form::Folder { .. } if !found.is_dir() => {
            let detail = "is a file, and this restores a folder; name a folder";
            return Err(Error::invalid(target.display().to_string(), detail));
        }
        Form::File { .. } => true,
        Form::Folder { .. } => {
            let hidden = hidden_folder(target, true)?;
            let ours = |path: &PathBuf| *path == hidden || path.ends_with(MARK) || is_aside(path);
            !entries(target)?.iter().all(ours)
        }
    };
    match existing {
        Existing::Refuse if occupied => Err(Error::Occupied { path: target.to_owned() }),
        _ => Ok(()),
    }
}

/// Locks a folder; none where there is no such folder.
///
/// # Errors
/// [`Error::InUse`] while another restore into the target has the lock.
pub(super) fn lock(folder: &Path, target: &Path) -> Result<Option<File>> {
    loop {
        let mut taken = Ok(Taken::Gone);
        outlasts_a_fork(|| {
            taken = folder_lock::take(folder);
            matches!(taken, Ok(Taken::InUse))
        });
        match taken? {
            Taken::Held(lock) => return Ok(Some(lock)),
            Taken::Gone if metadata(folder)?.is_some() => {}
            Taken::Gone => return Ok(None),
            Taken::InUse => {
                return Err(Error::InUse {
                    what: format!("the target {}", target.display()),
                    hint: ": another restore is writing there; wait for it, or stop it".into(),
                });
            }
        }
    }
}

/// The first name beside `target` that nothing has: `<name>.keepsum-old`, `<name>.keepsum-old-2`, …
pub(super) fn free_name(target: &Path) -> Result<PathBuf> {
    free_name_of(target, &[])
}

/// The same, where no name that ends in one of `companions` as well is taken either.
pub(super) fn free_name_of(target: &Path, companions: &[&str]) -> Result<PathBuf> {
    let name = name_of(target)?;
    for number in 1_u32.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let aside = target.with_file_name(format!("{name}.keepsum-old{suffix}"));
        let mut taken = exists(&aside)?;
        for suffix in companions {
            taken |= exists(&with_suffix(&aside, suffix))?;
        }
        if !taken {
            return Ok(aside);
        }
    }
    Err(Error::invalid(target.display().to_string(), "has too many old copies beside it"))
}

/// Whether an entry of a mount point is a store that an earlier restore kept aside.
pub(super) fn is_aside(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(".keepsum-old"))
}

pub(super) fn is_mount_point(target: &Path) -> Result<bool> {
    let Some(found) = metadata(target)? else { return Ok(false) };
    let parent = parent_of(target);
    let above = fs::metadata(parent).map_err(Error::io("look at", parent))?;
    // A bind mount of a folder of the same file system has the same device; renaming over it
    // answers EBUSY, which is an error like any other and changes nothing.
    Ok(found.is_dir() && (found.dev() != above.dev() || found.ino() == above.ino()))
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

pub(super) fn name_of(path: &Path) -> Result<String> {
    match path.file_name() {
        Some(name) => Ok(name.to_string_lossy().into_owned()),
        None => Err(Error::invalid(path.display().to_string(), "is no name of a file or folder")),
    }
}

fn metadata(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

pub(super) fn exists(path: &Path) -> Result<bool> {
    fs::symlink_metadata(path).map(|_| true).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(false),
        _ => Err(Error::io("look at", path)(error)),
    })
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    read().map_err(Error::io("list", folder))
}
