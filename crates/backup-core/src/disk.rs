//! keepsum's own file operations, behind a small trait, so that tests can fail each of them.
//!
//! Engines do their file operations themselves; this is for what keepsum does around them: building
//! a store beside its target, making it durable, and publishing it.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
#[cfg(target_os = "linux")]
use std::num::NonZeroU64;
use std::os::unix::fs::{
    DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt, PermissionsExt, lchown,
};
use std::path::Path;

#[cfg(target_os = "linux")]
use rustix::fs::Advice;
use rustix::fs::{CWD, RenameFlags};
use rustix::io::Errno;

use crate::{Error, Result};

/// The most bytes of a file to write at a time. Some systems write a file several times more slowly where
/// they are given much at a time: Linux then looks for as much memory in one piece.
pub const WRITE_BYTES: usize = 1 << 20;

/// The file operations of a restore. Errors name the path.
pub trait Disk: Send + Sync + fmt::Debug {
    /// Creates a folder and the folders above it.
    fn create_folder(&self, path: &Path) -> Result<()>;

    /// Creates a folder of mode 0700, whose parent must exist. Where it exists already, nothing is done.
    fn create_private_folder(&self, path: &Path) -> Result<()>;

    /// Sets the permission bits of a file or folder, and before that its owner and group by their numbers.
    /// What it has already is not set again.
    fn set_access(&self, path: &Path, access: Access) -> Result<()>;

    /// Creates a file that must not exist, with these permission bits.
    fn create_file(&self, path: &Path, mode: u32) -> Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, to write over what it holds.
    fn open_file(&self, path: &Path) -> Result<Box<dyn DiskFile>>;

    /// Makes what was created, renamed or removed in a folder durable.
    fn sync_folder(&self, path: &Path) -> Result<()>;

    /// Makes a file's content durable.
    fn sync_file(&self, path: &Path) -> Result<()>;

    /// Renames; a file replaces a file, a folder an empty folder.
    fn rename(&self, from: &Path, to: &Path) -> Result<()>;

    /// Swaps two names in one step.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where the system cannot; nothing has then changed.
    fn exchange(&self, one: &Path, other: &Path) -> Result<()>;

    /// Removes a file, or a folder with all it holds; nothing there is no error.
    fn remove(&self, path: &Path) -> Result<()>;
}

/// Who may do what with a file or folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Access {
    /// The permission bits.
    pub mode: u32,
    /// The numbers of its owner and its group; none leaves them as they are.
    pub owner: Option<(u32, u32)>,
}

/// Whether an error says that a file system keeps no owners or permission bits, or not for this process.
pub(crate) fn is_refusal(error: &io::Error) -> bool {
    let refusals = [Errno::PERM, Errno::INVAL, Errno::NOTSUP, Errno::NOSYS];
    refusals.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// A file being written.
pub trait DiskFile: Send + fmt::Debug {
    /// Writes all of `bytes` at `offset`.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()>;

    /// Makes the content durable.
    fn sync(&mut self) -> Result<()>;
}

/// The real file system.
#[derive(Debug, Clone, Copy, Default)]
pub struct LocalDisk;

#[derive(Debug)]
struct LocalFile {
    file: File,
    path: std::path::PathBuf,
}

impl Disk for LocalDisk {
    fn create_folder(&self, path: &Path) -> Result<()> {
        fs::create_dir_all(path).map_err(Error::io("create the folder", path))
    }

    fn create_private_folder(&self, path: &Path) -> Result<()> {
        match DirBuilder::new().mode(0o700).create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            made => made.map_err(Error::io("create the folder", path)),
        }
    }

    fn set_access(&self, path: &Path, access: Access) -> Result<()> {
        let look = || fs::symlink_metadata(path).map_err(Error::io("look at", path));
        let mut found = look()?;
        // The owner first: with the bits of its end it may be open to the group that it has until then.
        if let Some((user, group)) = access.owner
            && (user, group) != (found.uid(), found.gid())
        {
            lchown(path, Some(user), Some(group)).map_err(Error::io("set the owner of", path))?;
            // That may have taken bits away.
            found = look()?;
        }
        if found.mode() & 0o7777 != access.mode {
            fs::set_permissions(path, Permissions::from_mode(access.mode))
                .map_err(Error::io("set the permissions of", path))?;
        }
        Ok(())
    }

    fn create_file(&self, path: &Path, mode: u32) -> Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(mode & 0o777)
            .open(path)
            .map_err(Error::io("create", path))?;
        // The process's umask took bits away when the file was made; the ones recorded are meant.
        match file.set_permissions(Permissions::from_mode(mode & 0o777)) {
            // It has those that its file system gives.
            Err(error) if is_refusal(&error) => {}
            set => set.map_err(Error::io("set the permissions of", path))?,
        }
        Ok(Box::new(LocalFile { file, path: path.to_owned() }))
    }

    fn open_file(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        let file = OpenOptions::new().write(true).open(path).map_err(Error::io("open", path))?;
        Ok(Box::new(LocalFile { file, path: path.to_owned() }))
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        self.sync_file(path)
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        File::open(path).and_then(|file| file.sync_all()).map_err(Error::io("sync", path))
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        fs::rename(from, to).map_err(Error::io("rename", from))
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        rustix::fs::renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE).map_err(|errno| {
            match errno {
                rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS => {
                    Error::unsupported("exchanging two folders", "this file system cannot")
                }
                _ => Error::io("exchange", one)(errno.into()),
            }
        })
    }

    fn remove(&self, path: &Path) -> Result<()> {
        let removed = match fs::symlink_metadata(path) {
            Ok(found) if found.is_dir() => fs::remove_dir_all(path),
            Ok(_) => fs::remove_file(path),
            Err(error) => Err(error),
        };
        match removed {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(Error::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }
}

impl LocalFile {
    /// Asks the system to bring to the disk now what was written, so that less is left for a sync. Linux
    /// does so when told that it is not needed soon; what is not on the disk yet stays in memory.
    fn begin_to_store(&self, offset: u64, length: usize) {
        #[cfg(target_os = "linux")]
        if let Some(length) = NonZeroU64::new(length as u64) {
            // It changes nothing but the time that a sync takes.
            let _ = rustix::fs::fadvise(&self.file, offset, Some(length), Advice::DontNeed);
        }
        #[cfg(not(target_os = "linux"))]
        let _ = (offset, length);
    }
}

impl DiskFile for LocalFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> Result<()> {
        let offsets = (offset..).step_by(WRITE_BYTES);
        for (part, offset) in bytes.chunks(WRITE_BYTES).zip(offsets) {
            self.file.write_all_at(part, offset).map_err(Error::io("write to", &self.path))?;
        }
        self.begin_to_store(offset, bytes.len());
        Ok(())
    }

    fn sync(&mut self) -> Result<()> {
        self.file.sync_all().map_err(Error::io("sync", &self.path))
    }
}
