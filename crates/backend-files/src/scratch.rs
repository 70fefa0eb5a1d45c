//! A hidden folder beside the source that holds what a snapshot captured.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File, Permissions};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use backup_core::{Error, Result};
use rustix::fs::FlockOperation;

/// How the name of every scratch folder ends, before its random part.
const MARK: &str = ".keepsum-snapshot-";

/// A folder that is removed with everything in it when dropped. It is locked while it is in use, so
/// that the next snapshot can tell what a crash left behind from what another process works with.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: PathBuf,
    _lock: File,
}

impl Scratch {
    /// Makes a folder in `parent` for a source named `name`, and sweeps what crashed ones left there.
    pub(crate) fn new(parent: &Path, name: &OsStr) -> Result<Self> {
        let mut prefix = OsString::from(".");
        prefix.push(name);
        prefix.push(MARK);
        sweep(parent, &prefix)?;
        loop {
            // What it holds may be more private than the folder it lies in.
            let made = tempfile::Builder::new()
                .prefix(&prefix)
                .permissions(Permissions::from_mode(0o700))
                .tempdir_in(parent);
            let folder = made.map_err(Error::io("create a scratch folder in", parent))?.keep();
            // Another process may have taken it for a leftover before it was locked.
            if let Some(lock) = lock(&folder)? {
                return Ok(Self { folder, _lock: lock });
            }
        }
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        &self.folder
    }

    /// Removes everything in it.
    pub(crate) fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))? {
            let path = entry.map_err(Error::io("list", &self.folder))?.path();
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// The time, in seconds and nanoseconds, that the file system gives a file that changes now.
    pub(crate) fn file_time(&self) -> Result<(i64, i64)> {
        let path = self.folder.join("now");
        let made = File::create(&path).and_then(|file| file.metadata());
        let seen = made.map_err(Error::io("create", &path))?;
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        Ok((seen.ctime(), seen.ctime_nsec()))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_dir_all(&self.folder) {
            let folder = self.folder.display();
            tracing::warn!(%folder, %error, "a scratch folder is left; the next snapshot sweeps it");
        }
    }
}

/// Whether a name is that of a scratch folder.
pub(crate) fn is_scratch(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b".") && bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes())
}

/// Removes the scratch folders of this prefix that nobody holds. One that cannot be removed, say
/// another user's, is no reason to take no snapshot.
fn sweep(parent: &Path, prefix: &OsStr) -> Result<()> {
    for entry in fs::read_dir(parent).map_err(Error::io("list", parent))? {
        let entry = entry.map_err(Error::io("list", parent))?;
        let folder = entry.path();
        let ours = entry.file_name().as_bytes().starts_with(prefix.as_bytes());
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let swept = lock(&folder).and_then(|held| {
            let removed = held.map(|_lock| fs::remove_dir_all(&folder)).transpose();
            removed.map_err(Error::io("sweep", &folder))
        });
        match swept {
            Ok(None) => {}
            Ok(Some(())) => {
                tracing::info!(folder = %folder.display(), "swept an old scratch folder");
            }
            Err(error) => tracing::warn!(%error, "a scratch folder of an earlier snapshot stays"),
        }
    }
    Ok(())
}

/// Locks a folder; `None` where somebody else holds it or has removed it.
fn lock(folder: &Path) -> Result<Option<File>> {
    let gone = |error: &std::io::Error| error.kind() == ErrorKind::NotFound;
    let file = match File::open(folder) {
        Ok(file) => file,
        Err(error) if gone(&error) => return Ok(None),
        Err(error) => return Err(Error::io("open", folder)(error)),
    };
    match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => return Ok(None),
        Err(errno) => return Err(Error::io("lock", folder)(errno.into())),
    }
    let inode = |seen: fs::Metadata| (seen.dev(), seen.ino());
    let held = file.metadata().map(inode).map_err(Error::io("look at", folder))?;
    match fs::symlink_metadata(folder).map(inode) {
        Ok(there) if there == held => Ok(Some(file)),
        Ok(_) => Ok(None),
        Err(error) if gone(&error) => Ok(None),
        Err(error) => Err(Error::io("look at", folder)(error)),
    }
}
