//! Scratch folders that outlive no crash for long.
//!
//! A scratch folder is hidden, its owner's alone, locked while it is used, and removed when dropped.
//! What a crashed process left is found by its name and by its lock being free, and swept by the next
//! one that makes a scratch folder of that name in that place, or that calls [`sweep`].

use std::ffi::{OsStr, OsString};
use std::fs::{self, DirBuilder, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use crate::folder_lock::{self, Taken};
use crate::{Error, Result};

/// How many names are tried, of which each is taken only by somebody at work.
const MAX_USERS: u32 = 10_000;

/// A folder that is removed, with all it holds, when dropped.
#[derive(Debug)]
pub struct Scratch {
    folder: PathBuf,
    /// Held as long as the folder is used.
    _lock: File,
}

impl Scratch {
    /// Makes a folder in `parent` whose name is `prefix` and a number, and sweeps those of this prefix
    /// that nobody holds. `prefix` should begin with a dot and say whose it is.
    ///
    /// # Errors
    /// [`Error::Io`] where none can be made; [`Error::InUse`] with more than 10,000 of them.
    pub fn create(parent: &Path, prefix: &OsStr) -> Result<Self> {
        sweep(parent, prefix);
        for number in 1..=MAX_USERS {
            let mut name = OsString::from(prefix);
            name.push(number.to_string());
            let folder = parent.join(name);
            // What it holds may be more private than the folder it lies in.
            match DirBuilder::new().mode(0o700).create(&folder) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(Error::io("create the folder", folder)(error)),
            }
            // Another process may have taken it for a leftover before it was locked.
            if let Taken::Held(lock) = folder_lock::take(&folder)? {
                return Ok(Self { folder, _lock: lock });
            }
        }
        Err(Error::InUse {
            what: format!("{} with {MAX_USERS} scratch folders", parent.display()),
            hint: format!(
                "remove those that are named {}NUMBER and try again",
                prefix.to_string_lossy()
            ),
        })
    }

    /// The folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "a scratch folder could not be removed; the next one sweeps it");
        }
    }
}

/// Removes the scratch folders in `parent` whose names begin with `prefix` and that nobody holds. What cannot be
/// removed stays, and is no error: the next one tries again.
pub fn sweep(parent: &Path, prefix: &OsStr) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let ours = entry.file_name().as_bytes().starts_with(prefix.as_bytes());
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        if let Ok(Taken::Held(_lock)) = folder_lock::take(&entry.path())
            && let Err(error) = fs::remove_dir_all(entry.path())
        {
            let folder = entry.path();
            tracing::warn!(folder = %folder.display(), %error, "a leftover could not be swept");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    const PREFIX: &str = ".db.keepsum-reading-";

    #[test]
    fn it_is_removed_when_dropped_and_leftovers_are_swept() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join(".db.keepsum-reading-7");
        fs::create_dir(&left).unwrap();
        fs::write(left.join("000001.sst"), "x").unwrap();
        let other = parent.path().join(".other.keepsum-reading-1");
        fs::create_dir(&other).unwrap();

        let one = Scratch::create(parent.path(), PREFIX.as_ref()).unwrap();
        assert!(!left.exists());
        assert!(other.exists());
        let two = Scratch::create(parent.path(), PREFIX.as_ref()).unwrap();
        assert_ne!(one.folder(), two.folder());
        assert!(one.folder().exists(), "a folder in use is not swept");
        let mode = fs::metadata(one.folder()).unwrap().mode();
        assert_eq!(mode & 0o077, 0, "{mode:o}");
        let folder = one.folder().to_owned();
        drop(one);
        assert!(!folder.exists());
    }
}
