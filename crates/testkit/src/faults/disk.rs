//! keepsum's own file operations, failed where the test says, and written down.

use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use backup_core::disk::{Access, Disk, DiskFile, LocalDisk};
use backup_core::{Error, Result};

use super::Trigger;
use crate::crash::{Op, access_of, below};

/// The real file system below a folder, with a journal of what was done to it.
#[derive(Debug, Clone)]
pub struct FaultyDisk {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    trigger: Trigger,
    journal: Mutex<Vec<Op>>,
    exchanges: bool,
}

#[derive(Debug)]
struct FaultyFile {
    inner: Box<dyn DiskFile>,
    shared: Arc<Shared>,
    path: PathBuf,
    inode: u64,
}

impl FaultyDisk {
    /// The file system below `root`.
    pub fn new(root: &Path, trigger: Trigger) -> Self {
        let (root, journal) = (root.to_owned(), Mutex::default());
        Self { shared: Arc::new(Shared { root, trigger, journal, exchanges: true }) }
    }

    /// The same of a system that cannot exchange two names.
    ///
    /// # Panics
    /// Where it is in use already.
    #[must_use]
    pub fn without_exchange(self) -> Self {
        let shared = Arc::into_inner(self.shared).expect("it is asked for before the disk is used");
        Self { shared: Arc::new(Shared { exchanges: false, ..shared }) }
    }

    /// What was done so far.
    pub fn journal(&self) -> Vec<Op> {
        self.shared.journal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Its trigger.
    pub fn trigger(&self) -> &Trigger {
        &self.shared.trigger
    }

    fn opened(&self, inner: Box<dyn DiskFile>, path: &Path) -> Result<Box<dyn DiskFile>> {
        let inode = inode(path)?;
        self.shared.did(Op::Open { path: self.shared.below(path), inode });
        self.shared.has_access(path)?;
        let shared = Arc::clone(&self.shared);
        Ok(Box::new(FaultyFile { inner, shared, path: path.to_owned(), inode }))
    }
}

impl Shared {
    fn below(&self, path: &Path) -> PathBuf {
        below(&self.root, path)
    }

    fn did(&self, op: Op) {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner).push(op);
    }

    /// Writes down who may do what with a file or folder now.
    fn has_access(&self, path: &Path) -> Result<()> {
        let found = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
        self.did(Op::Access { inode: found.ino(), access: access_of(&found) });
        Ok(())
    }

    fn fail(&self, action: &'static str, path: &Path) -> Result<()> {
        if self.trigger.strikes() {
            return Err(Error::io(action, path)(io::Error::other("injected")));
        }
        Ok(())
    }

    fn sync(&self, path: &Path, inode: u64, sync: impl FnOnce() -> Result<()>) -> Result<()> {
        if let Err(error) = self.fail("sync", path) {
            self.did(Op::FailedSync { inode });
            return Err(error);
        }
        sync()?;
        self.did(Op::Sync { inode });
        Ok(())
    }

    fn make_folder(&self, path: &Path) -> Result<()> {
        if path.exists() {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.make_folder(parent)?;
        }
        LocalDisk.create_folder(path)?;
        self.did(Op::CreateFolder { path: self.below(path), inode: inode(path)? });
        self.has_access(path)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let Ok(found) = fs::symlink_metadata(path) else { return Ok(()) };
        self.fail("remove", path)?;
        if found.is_dir() {
            for entry in fs::read_dir(path).map_err(Error::io("list", path))? {
                self.remove(&entry.map_err(Error::io("list", path))?.path())?;
            }
        }
        LocalDisk.remove(path)?;
        self.did(Op::Remove { path: self.below(path) });
        Ok(())
    }
}

impl Disk for FaultyDisk {
    fn create_folder(&self, path: &Path) -> Result<()> {
        self.shared.fail("create the folder", path)?;
        self.shared.make_folder(path)
    }

    fn create_private_folder(&self, path: &Path) -> Result<()> {
        self.shared.fail("create the folder", path)?;
        let is_new = !path.exists();
        LocalDisk.create_private_folder(path)?;
        if is_new {
            let inode = inode(path)?;
            self.shared.did(Op::CreateFolder { path: self.shared.below(path), inode });
            self.shared.has_access(path)?;
        }
        Ok(())
    }

    fn set_access(&self, path: &Path, access: Access) -> Result<()> {
        self.shared.fail("set the owner of", path)?;
        LocalDisk.set_access(path, access)?;
        self.shared.has_access(path)
    }

    fn create_file(&self, path: &Path, mode: u32) -> Result<Box<dyn DiskFile>> {
        self.shared.fail("create", path)?;
        let inner = LocalDisk.create_file(path, mode)?;
        self.opened(inner, path)
    }

    fn open_file(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        self.shared.fail("open", path)?;
        let inner = LocalDisk.open_file(path)?;
        self.opened(inner, path)
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        self.shared.sync(path, inode(path)?, || LocalDisk.sync_folder(path))
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        self.shared.sync(path, inode(path)?, || LocalDisk.sync_file(path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        self.shared.fail("rename", from)?;
        LocalDisk.rename(from, to)?;
        self.shared.did(Op::Rename { from: self.shared.below(from), to: self.shared.below(to) });
        Ok(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        self.shared.fail("exchange", one)?;
        if !self.shared.exchanges {
            return Err(Error::unsupported("exchanging two folders", "not here"));
        }
        LocalDisk.exchange(one, other)?;
        let (one, other) = (self.shared.below(one), self.shared.below(other));
        self.shared.did(Op::Exchange { one, other });
        Ok(())
    }

    fn remove(&self, path: &Path) -> Result<()> {
        self.shared.remove(path)
    }
}

impl DiskFile for FaultyFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let failed = self.shared.fail("write to", &self.path);
        // A write that fails may have been done in part.
        let bytes = if failed.is_err() { &bytes[..bytes.len() / 2] } else { bytes };
        self.inner.write_at(offset, bytes)?;
        self.shared.did(Op::Write { inode: self.inode, offset, bytes: bytes.to_vec() });
        failed
    }

    fn sync(&mut self) -> Result<()> {
        let inner = &mut self.inner;
        self.shared.sync(&self.path, self.inode, || inner.sync())
    }
}

fn inode(path: &Path) -> Result<u64> {
    fs::metadata(path).map(|found| found.ino()).map_err(Error::io("look at", path))
}
