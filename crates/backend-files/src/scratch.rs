//! A hidden folder beside the source that holds what a snapshot captured.

use std::ffi::{OsStr, OsString};
use std::fs::{self, File};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use backup_core::staging::with_room;
use backup_core::{Error, Result};

/// How the name of every scratch folder ends, before its number.
const MARK: &str = ".keepsum-snapshot-";

/// How many bytes that has, with the dot before the name and a number after it.
const AROUND: usize = 1 + MARK.len() + "10000".len();

/// A scratch folder for what a snapshot captured.
#[derive(Debug)]
pub(crate) struct Scratch {
    inner: backup_core::scratch::Scratch,
}

impl Scratch {
    /// Makes a folder in `parent` for a source named `name`, and sweeps what crashed ones left there.
    pub(crate) fn new(parent: &Path, name: &OsStr) -> Result<Self> {
        let mut prefix = OsString::from(".");
        prefix.push(with_room(name, AROUND));
        prefix.push(MARK);
        Ok(Self { inner: backup_core::scratch::Scratch::create(parent, &prefix)? })
    }

    /// The folder.
    pub(crate) fn path(&self) -> &Path {
        self.inner.folder()
    }

    /// Removes everything in it.
    pub(crate) fn empty(&self) -> Result<()> {
        for entry in fs::read_dir(self.path()).map_err(Error::io("list", self.path()))? {
            let path = entry.map_err(Error::io("list", self.path()))?.path();
            fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        }
        Ok(())
    }

    /// The time, in seconds and nanoseconds, that the file system gives a file that changes now.
    pub(crate) fn file_time(&self) -> Result<(i64, i64)> {
        let path = self.path().join("now");
        let made = File::create(&path).and_then(|file| file.metadata());
        let seen = made.map_err(Error::io("create", &path))?;
        fs::remove_file(&path).map_err(Error::io("remove", &path))?;
        Ok((seen.ctime(), seen.ctime_nsec()))
    }
}

/// Whether a name is that of a scratch folder.
pub(crate) fn is_scratch(name: &OsStr) -> bool {
    let bytes = name.as_bytes();
    bytes.starts_with(b".") && bytes.windows(MARK.len()).any(|part| part == MARK.as_bytes())
}
