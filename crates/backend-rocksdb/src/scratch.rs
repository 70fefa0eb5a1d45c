//! Scratch folders beside a store, on its file system, so that its files can be linked there.
//!
//! A scratch folder is hidden, locked while it is used, and removed when dropped. What a crashed
//! process left is found by its name and by its lock being free, and swept by the next one.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use backup_core::{Error, Result};
use rustix::fs::FlockOperation;

/// What the names of scratch folders end with, before their number.
const SUFFIX: &str = ".keepsum-reading-";

/// How many names are tried, of which each is taken only by a reader at work.
const MAX_READERS: u32 = 10_000;

/// A folder that is removed, with all it holds, when dropped.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    /// Held as long as the folder is used.
    _lock: File,
}

impl Scratch {
    /// Makes a scratch folder in `parent`, for the store named `name`, and sweeps what crashed
    /// readers of that store left there.
    pub(crate) fn create(parent: &Path, name: &str) -> Result<Self> {
        let prefix = format!(".{name}{SUFFIX}");
        sweep(parent, &prefix);
        for number in 1..=MAX_READERS {
            let folder = parent.join(format!("{prefix}{number}"));
            match fs::create_dir(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io("create the folder", folder)(error)),
            }
            if let Some(lock) = take(&folder)? {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(Error::InUse {
            what: format!("{} with {MAX_READERS} scratch folders", parent.display()),
            hint: format!("; remove those that end with {SUFFIX}NUMBER and try again"),
        })
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "a scratch folder could not be removed; the next backup sweeps it");
        }
    }
}

/// Locks a folder. None where another process has it, or swept it between its making and now.
fn take(folder: &Path) -> Result<Option<File>> {
    let lock = match File::open(folder) {
        Ok(lock) => lock,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("open", folder)(error)),
    };
    match rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(Error::io("lock", folder)(errno.into())),
    }
    let held = lock.metadata().map_err(Error::io("look at", folder))?;
    let there = fs::symlink_metadata(folder).is_ok_and(|found| found.ino() == held.ino());
    Ok(there.then_some(lock))
}

/// Removes scratch folders that nobody holds. Nothing here fails a backup.
fn sweep(parent: &Path, prefix: &str) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let number = name.to_str().and_then(|name| name.strip_prefix(prefix));
        if number.is_none_or(|number| number.parse::<u32>().is_err()) {
            continue;
        }
        if let Ok(Some(_lock)) = take(&entry.path())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            let folder = entry.path();
            tracing::warn!(folder = %folder.display(), %error, "a leftover could not be swept");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_removed_when_dropped_and_leftovers_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(".db.keepsum-reading-7");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("000001.sst"), "x").unwrap();
        let other = parent.path().join(".other.keepsum-reading-1");
        fs::create_dir(&other).unwrap();

        let one = Scratch::create(parent.path(), "db").unwrap();
        assert!(!left.exists());
        assert!(other.exists());
        let two = Scratch::create(parent.path(), "db").unwrap();
        assert_ne!(one.folder(), two.folder());
        assert!(one.folder().exists(), "a folder in use is not swept");
        let folder = one.folder().to_owned();
        drop(one);
        assert!(!folder.exists());
    }
}
