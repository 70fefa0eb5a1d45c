//! What has which name around a target.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::mounts::{is_mounted, refuse_mounted_file};
use super::{Form, MARK, SIDECAR_OF_FILE};
use crate::folder_lock::{self, Taken};
use crate::fork::outlasts_a_fork;
use crate::target::Existing;
use crate::{Error, Result};

/// The longest name that file systems have, in bytes.
const MAX_NAME_BYTES: usize = 255;

/// The longest name of a file that is being built, in bytes.
const MAX_BUILT_NAME_BYTES: usize = 64;

/// How the name of what is kept aside goes on, and the longest that comes after it: a number, and what an
/// engine keeps beside a file.
const ASIDE: &str = ".keepsum-old";
const AFTER_ASIDE: usize = "-9999".len() + "-journal".len();

/// What the name of the folder begins and ends with in which a store is built.
const HIDDEN: (&str, &str) = (".", ".keepsum-restoring");

/// Shortens a name so that `room` more bytes fit into the 255 of a file system. A name that fits is returned as it
/// is; else it is its beginning, `~` and 16 hexadecimal digits of the whole name.
///
/// The digits are FNV-1a with 64 bits of the name's bytes.
pub fn with_room(name: &OsStr, room: usize) -> OsString {
    let bytes = name.as_bytes();
    if bytes.len() + room <= MAX_NAME_BYTES {
        return name.to_owned();
    }
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    });
    let digits = format!("~{hash:016x}");
    let mut kept = MAX_NAME_BYTES.saturating_sub(room + digits.len());
    // No character is cut in two.
    while kept > 0 && bytes[kept] & 0xc0 == 0x80 {
        kept -= 1;
    }
    OsString::from_vec([&bytes[..kept], digits.as_bytes()].concat())
}

/// The name of a target with something before and after it, shortened where that is too long.
fn around(target: &Path, before: &str, after: &str, room: usize) -> Result<OsString> {
    let name = target.file_name().ok_or_else(|| no_name(target))?;
    let mut whole = OsString::from(before);
    whole.push(with_room(name, before.len() + after.len() + room));
    whole.push(after);
    Ok(whole)
}

/// Where the store for a target is built.
pub(super) fn hidden_folder(target: &Path, inside: bool) -> Result<PathBuf> {
    let hidden = around(target, HIDDEN.0, HIDDEN.1, 0)?;
    Ok(if inside { target.join(hidden) } else { target.with_file_name(hidden) })
}

/// The name that the file has while it is built. It is short: SQLite opens no path of more than 512 bytes, and a
/// long name would be in it twice.
pub(super) fn built_file(folder: &Path, target: &Path) -> PathBuf {
    let room = MAX_NAME_BYTES - MAX_BUILT_NAME_BYTES;
    folder.join(with_room(target.file_name().unwrap_or_default(), room))
}

/// The sidecar of a restored file: beside it, under its name and `.keepsum`. Where that is too long for a
/// file system, the name is its beginning, `~`, and 16 hexadecimal digits (FNV-1a with 64 bits) of the whole.
pub fn sidecar_of(file: &Path) -> PathBuf {
    let name = with_room(file.file_name().unwrap_or_default(), SIDECAR_OF_FILE.len());
    with_suffix(&file.with_file_name(name), SIDECAR_OF_FILE)
}

/// The path whose name ends in `suffix` as well.
pub(super) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// What is at a target, of what a restore may find there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    Nothing,
    /// An empty file or folder, or one with nothing in it but what an interrupted restore left.
    Free,
    Store,
}

/// Looks at a target whose path is resolved.
///
/// # Errors
/// [`Error::Invalid`] for a folder where a file is to be, or the other way round.
pub(super) fn look(target: &Path, form: Form) -> Result<Found> {
    let Some(found) = metadata(target)? else { return Ok(Found::Nothing) };
    let is_free = match form {
        Form::File { .. } if found.is_dir() => {
            let detail = "is a folder, and this restores one file; name a file";
            return Err(Error::invalid(target.display().to_string(), detail));
        }
        Form::Folder { .. } if !found.is_dir() => {
            let detail = "is a file, and this restores a folder; name a folder";
            return Err(Error::invalid(target.display().to_string(), detail));
        }
        Form::File { logs, .. } => {
            let mut is_free = found.is_file() && found.len() == 0;
            for suffix in logs {
                let log = metadata(&with_suffix(target, suffix))?;
                is_free &= log.is_none_or(|log| log.len() == 0);
            }
            is_free
        }
        Form::Folder { .. } => {
            let hidden = hidden_folder(target, true)?;
            let ours = |path: &PathBuf| *path == hidden || path.ends_with(MARK) || is_aside(path);
            entries(target)?.iter().all(ours)
        }
    };
    Ok(if is_free { Found::Free } else { Found::Store })
}

/// Refuses a target that nothing can be put in the place of, or may be.
pub(super) fn check_free(target: &Path, form: Form, existing: Existing) -> Result<()> {
    let found = look(target, form)?;
    if matches!(form, Form::File { .. }) {
        refuse_mounted_file(target)?;
    }
    match existing {
        Existing::Refuse if found == Found::Store => {
            Err(Error::Occupied { path: target.to_owned() })
        }
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
                    hint: "another restore is writing there; wait for it, or stop it".into(),
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
    let name = around(target, "", ASIDE, AFTER_ASIDE)?;
    for number in 1_u32..10_000 {
        let mut name = name.clone();
        if number > 1 {
            name.push(format!("-{number}"));
        }
        let aside = target.with_file_name(name);
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
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(ASIDE))
}

pub(super) fn is_mount_point(target: &Path) -> Result<bool> {
    let Some(found) = metadata(target)? else { return Ok(false) };
    let parent = parent_of(target);
    let above = fs::metadata(parent).map_err(Error::io("look at", parent))?;
    let other = found.dev() != above.dev() || found.ino() == above.ino();
    // A bind mount of a folder of the same file system has the same device.
    Ok(found.is_dir() && (other || is_mounted(target)))
}

pub(super) fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

pub(super) fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn no_name(path: &Path) -> Error {
    Error::invalid(path.display().to_string(), "does not end in the name of a file or folder")
}

pub(super) fn metadata(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

pub(super) fn exists(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if is_absent(&error) => Ok(false),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

/// Whether an error says that nothing has a name, or that nothing can have it because it is too long.
fn is_absent(error: &io::Error) -> bool {
    let too_long = rustix::io::Errno::NAMETOOLONG.raw_os_error();
    error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(too_long)
}

pub(super) fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    read().map_err(Error::io("list", folder))
}
