//! Files without names that hold what does not fit memory, and windows that move over them.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::{Error, Result};

/// A file without a name in the spill folder: closed, it is gone.
#[derive(Debug)]
pub(super) struct Spill {
    file: File,
    folder: PathBuf,
}

impl Spill {
    pub(super) fn create(folder: &Path) -> Result<Self> {
        let file =
            tempfile::tempfile_in(folder).map_err(Error::io("make a spill file in", folder))?;
        Ok(Self { file, folder: folder.to_owned() })
    }

    pub(super) fn write_at(&self, offset: u64, bytes: &[u8]) -> Result<()> {
        let failed = Error::io("write a spill file in", &self.folder);
        self.file.write_all_at(bytes, offset).map_err(failed)
    }

    pub(super) fn read_at(&self, offset: u64, bytes: &mut [u8]) -> Result<()> {
        let failed = Error::io("read a spill file in", &self.folder);
        self.file.read_exact_at(bytes, offset).map_err(failed)
    }

    /// The error of a spill file that does not hold what was written to it.
    pub(super) fn damaged(&self) -> Error {
        let what = format!("a spill file in {}", self.folder.display());
        Error::damaged(what, "it does not hold what was written to it; check the disk")
    }
}

/// The bytes of a spill file, one after the other, through a buffer.
#[derive(Debug)]
pub(super) struct Window {
    spill: Arc<Spill>,
    /// What is buffered: the bytes before `next` in the file.
    buffer: Vec<u8>,
    /// How many bytes of the buffer were passed.
    passed: usize,
    next: u64,
    end: u64,
    size: usize,
}

impl Window {
    /// A window of `size` bytes at the beginning of a file of `bytes` bytes.
    pub(super) fn new(spill: Arc<Spill>, bytes: u64, size: usize) -> Self {
        Self { spill, buffer: Vec::new(), passed: 0, next: 0, end: bytes, size }
    }

    /// The bytes that were not passed yet.
    pub(super) fn left(&self) -> u64 {
        self.end - self.next + (self.buffer.len() - self.passed) as u64
    }

    /// The next `count` bytes, without passing them.
    pub(super) fn peek(&mut self, count: usize) -> Result<&[u8]> {
        if self.buffer.len() - self.passed < count {
            self.fill(count)?;
        }
        Ok(&self.buffer[self.passed..self.passed + count])
    }

    /// What [`peek`](Self::peek) gave before, at most as long.
    pub(super) fn peeked(&self, count: usize) -> &[u8] {
        &self.buffer[self.passed..self.passed + count]
    }

    /// Goes on by `count` bytes, which need not be buffered.
    pub(super) fn pass(&mut self, count: u64) -> Result<()> {
        if count > self.left() {
            return Err(self.spill.damaged());
        }
        let buffered = self.buffer.len() - self.passed;
        match usize::try_from(count) {
            Ok(count) if count <= buffered => self.passed += count,
            _ => {
                self.next += count - buffered as u64;
                self.buffer.clear();
                self.passed = 0;
            }
        }
        Ok(())
    }

    pub(super) fn damaged(&self) -> Error {
        self.spill.damaged()
    }

    fn fill(&mut self, count: usize) -> Result<()> {
        if count as u64 > self.left() {
            return Err(self.spill.damaged());
        }
        self.buffer.drain(..self.passed);
        self.passed = 0;
        let kept = self.buffer.len();
        let room = (self.size.max(count) - kept) as u64;
        let more = room.min(self.end - self.next);
        self.buffer.resize(kept + usize::try_from(more).unwrap_or(0), 0);
        self.spill.read_at(self.next, &mut self.buffer[kept..])?;
        self.next += more;
        Ok(())
    }
}
