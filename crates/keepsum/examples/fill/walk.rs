//! Folders of files, read into a store.

use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::Store;

/// The largest file taken, in bytes.
const LARGEST_FILE: u64 = 1 << 20;

#[derive(Clone, Copy, Default)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    pub(crate) lines: u64,
    /// Of all paths, contents and lines.
    pub(crate) bytes: u64,
    /// Files that could not be read or are larger than [`LARGEST_FILE`].
    pub(crate) left_out: u64,
}

/// A store that is being filled.
pub(crate) struct Filling<'a> {
    store: &'a mut dyn Store,
    pub(crate) counts: Counts,
}

impl<'a> Filling<'a> {
    pub(crate) fn new(store: &'a mut dyn Store) -> Self {
        Self { store, counts: Counts::default() }
    }

    /// Takes the files below a folder until `limit` bytes are stored in all, and says so in the store.
    pub(crate) fn share(&mut self, folder: &Path, limit: u64) -> Result<()> {
        let before = self.counts.files;
        self.folder(folder, limit)?;
        let said = format!("{} files", self.counts.files - before);
        self.store.put_read(&folder.to_string_lossy(), &said)
    }

    /// Writes what is left. Not flushed: like in any store that is in use, the last writes are in the log
    /// alone.
    pub(crate) fn finish(self) -> Result<Counts> {
        self.store.write()?;
        Ok(self.counts)
    }

    fn folder(&mut self, folder: &Path, limit: u64) -> Result<()> {
        let Ok(entries) = fs::read_dir(folder) else {
            self.counts.left_out += 1;
            return Ok(());
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.counts.bytes >= limit {
                return Ok(());
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder(&entry.path(), limit)?,
                Ok(kind) if kind.is_file() => self.file(&entry.path())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let small = fs::metadata(path).is_ok_and(|data| data.len() <= LARGEST_FILE);
        let Some(content) = small.then(|| fs::read(path).ok()).flatten() else {
            self.counts.left_out += 1;
            return Ok(());
        };
        let name = path.to_string_lossy();
        self.store.put_file(&name, &content)?;
        self.counts.files += 1;
        self.counts.bytes += (name.len() + content.len()) as u64;
        // A text line by line as well: many small records beside the large ones.
        let text = std::str::from_utf8(&content).unwrap_or_default();
        for (number, line) in (0_u32..).zip(text.lines()) {
            self.store.put_line(&name, number, line)?;
            self.counts.lines += 1;
            self.counts.bytes += (name.len() + 5 + line.len()) as u64;
        }
        Ok(())
    }
}
