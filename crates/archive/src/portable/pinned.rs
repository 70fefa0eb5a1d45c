//! A file that is read as it was when it was opened, or not at all.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use backup_core::{Error, Result};

/// An open file and what it looked like then.
///
/// A file that is replaced by another one of its name stays readable here. One that is written to
/// in place does not: that is found by its length and time of change.
#[derive(Debug)]
pub(super) struct Pinned {
    file: File,
    path: PathBuf,
    stamp: Stamp,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    bytes: u64,
    modified: SystemTime,
}

impl Stamp {
    fn of(found: &Metadata) -> io::Result<Self> {
        Ok(Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: found.modified()?,
        })
    }
}

impl Pinned {
    /// Opens the file at `path`.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Invalid`] for what is not a regular file.
    pub(super) fn open(path: &Path) -> Result<Self> {
        // Looked at first: opening a pipe would wait for its writer.
        let found = std::fs::metadata(path).map_err(Error::io("open", path))?;
        if !found.is_file() {
            let detail = "is not a file; name a .bcs file, or a folder of them";
            return Err(Error::invalid(path.display().to_string(), detail));
        }
        let file = File::open(path).map_err(Error::io("open", path))?;
        let stamp = file.metadata().and_then(|found| Stamp::of(&found));
        let stamp = stamp.map_err(Error::io("look at", path))?;
        Ok(Self { file, path: path.to_owned(), stamp })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn bytes(&self) -> u64 {
        self.stamp.bytes
    }

    /// Whether the path still names this file, unchanged.
    pub(super) fn is_in_place(&self) -> bool {
        let found = std::fs::metadata(&self.path).and_then(|found| Stamp::of(&found));
        found.is_ok_and(|found| found == self.stamp)
    }

    /// Checks that the file was not written to since it was opened.
    ///
    /// # Errors
    /// [`Error::InUse`] if it was.
    pub(super) fn check_unchanged(&self) -> Result<()> {
        let found = self.file.metadata().and_then(|found| Stamp::of(&found));
        if found.map_err(Error::io("look at", &self.path))? == self.stamp {
            return Ok(());
        }
        Err(Error::InUse {
            what: format!("the portable file {}", self.path.display()),
            hint: "it was written to while it was read; try again when its writer is done".into(),
        })
    }

    /// Reads from the beginning; each cursor on its own.
    pub(super) fn cursor(self: &Arc<Self>) -> Cursor {
        Cursor { file: self.clone(), offset: 0 }
    }
}

/// A place in a pinned file.
#[derive(Debug)]
pub(super) struct Cursor {
    file: Arc<Pinned>,
    offset: u64,
}

impl Read for Cursor {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let read = self.file.file.read_at(into, self.offset)?;
        self.offset += read as u64;
        Ok(read)
    }
}
