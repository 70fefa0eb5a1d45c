//! Building a store beside its target, and publishing it at once or not at all.
//!
//! A restore writes into a hidden folder, [`Staging::folder`], on the target's own file system.
//! [`Staging::publish`] makes it durable and puts it in place by renames; what was there before is
//! kept aside. A crash leaves the old store, the new one, or nothing with the old one aside; the
//! same restore again sweeps what was left and finishes.
//!
//! A target that is a mount point cannot be renamed over: the hidden folder is then made inside it,
//! and the entries are moved one by one, the one that makes the store a store last.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustix::fs::FlockOperation;

use crate::disk::Disk;
use crate::target::{Existing, Origin};
use crate::{Error, Result};

/// The name of the sidecar in a restored folder.
pub const SIDECAR: &str = "KEEPSUM_RESTORED";

/// What a target is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A folder. Where it must be filled entry by entry, the entry of this name comes last.
    Folder {
        /// The entry without which an engine finds no store (RocksDB's `CURRENT`), if there is one.
        last: Option<&'static str>,
    },
    /// One file.
    File,
}

/// A store being built beside its target.
#[derive(Debug)]
pub struct Staging {
    disk: Arc<dyn Disk>,
    target: PathBuf,
    folder: PathBuf,
    form: Form,
    existing: Existing,
    inside: bool,
    published: bool,
    /// Held until the end: another restore into the same target is refused.
    _lock: File,
}

impl Staging {
    /// Checks the target and makes the hidden folder, sweeping what a crashed restore left there.
    ///
    /// # Errors
    /// [`Error::Occupied`] where something is there and `existing` is [`Existing::Refuse`],
    /// [`Error::InUse`] while another restore builds for this target, [`Error::NotFound`] where the
    /// folder above the target does not exist.
    pub fn begin(
        disk: Arc<dyn Disk>,
        target: &Path,
        form: Form,
        existing: Existing,
    ) -> Result<Self> {
        let target = absolute(target)?;
        check_free(&target, form, existing)?;
        let inside = matches!(form, Form::Folder { .. }) && is_mount_point(&target)?;
        let hidden = format!(".{}.keepsum-restoring", name_of(&target)?);
        let folder = if inside { target.join(hidden) } else { target.with_file_name(hidden) };
        disk.create_folder(&folder)?;
        let lock = lock(&folder, &target)?;
        for entry in entries(&folder)? {
            disk.remove(&entry)?;
        }
        let published = false;
        Ok(Self { disk, target, folder, form, existing, inside, published, _lock: lock })
    }

    /// The hidden folder: what is in it becomes the target. For [`Form::File`] it must end up with
    /// one file named as the target.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file to build, for [`Form::File`].
    pub fn file(&self) -> PathBuf {
        self.folder.join(self.target.file_name().unwrap_or_default())
    }

    /// The disk that builds.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Writes the sidecar, makes all that was built durable, and puts it in place.
    ///
    /// Returns where the store that was there before is now.
    pub fn publish(mut self, origin: &Origin) -> Result<Option<PathBuf>> {
        let kept_aside = match self.form {
            Form::Folder { last } => {
                self.write_sidecar(&self.folder.join(SIDECAR), origin)?;
                sync_tree(self.disk.as_ref(), &self.folder)?;
                if self.inside { self.fill(last)? } else { self.swap_folder()? }
            }
            Form::File => self.swap_file(origin)?,
        };
        self.published = true;
        Ok(kept_aside)
    }

    fn write_sidecar(&self, path: &Path, origin: &Origin) -> Result<()> {
        let mut file = self.disk.create_file(path, 0o644)?;
        file.write_at(0, origin.sidecar().as_bytes())?;
        file.sync()
    }

    /// Puts the hidden folder where the target is, in one step where the system can.
    fn swap_folder(&self) -> Result<Option<PathBuf>> {
        let parent = parent_of(&self.target);
        if !exists(&self.target)? || entries(&self.target)?.is_empty() {
            self.disk.rename(&self.folder, &self.target)?;
            self.disk.sync_folder(parent)?;
            return Ok(None);
        }
        self.still_allowed()?;
        let aside = free_name(&self.target)?;
        match self.disk.exchange(&self.folder, &self.target) {
            Ok(()) => {
                self.disk.sync_folder(parent)?;
                self.disk.rename(&self.folder, &aside)?;
            }
            Err(Error::Unsupported { .. }) => {
                self.disk.rename(&self.target, &aside)?;
                self.disk.sync_folder(parent)?;
                self.disk.rename(&self.folder, &self.target)?;
            }
            Err(error) => return Err(error),
        }
        self.disk.sync_folder(parent)?;
        Ok(Some(aside))
    }

    /// Moves the hidden folder's entries into the mount point that holds it.
    fn fill(&self, last: Option<&str>) -> Result<Option<PathBuf>> {
        let rank = |path: &PathBuf| last.is_some_and(|last| path.ends_with(last));
        let mut old = entries(&self.target)?;
        old.retain(|path| *path != self.folder && !is_aside(path));
        // The entry that makes a store is the first to go and the last to come, so that at no
        // moment does an engine find half a store.
        old.sort_by_key(|path| !rank(path));
        let mut aside = None;
        if !old.is_empty() {
            self.still_allowed()?;
            let folder = free_name(&self.target.join(name_of(&self.target)?))?;
            self.disk.create_folder(&folder)?;
            for entry in old {
                self.disk.rename(&entry, &folder.join(name_of(&entry)?))?;
                self.disk.sync_folder(&self.target)?;
            }
            self.disk.sync_folder(&folder)?;
            aside = Some(folder);
        }
        let mut new = entries(&self.folder)?;
        new.sort_by_key(rank);
        for entry in new {
            if rank(&entry) {
                self.disk.sync_folder(&self.target)?;
            }
            self.disk.rename(&entry, &self.target.join(name_of(&entry)?))?;
        }
        self.disk.sync_folder(&self.target)?;
        self.disk.remove(&self.folder)?;
        Ok(aside)
    }

    fn swap_file(&self, origin: &Origin) -> Result<Option<PathBuf>> {
        let built = self.file();
        let beside = |path: &Path| {
            let mut name = path.as_os_str().to_owned();
            name.push(".keepsum");
            PathBuf::from(name)
        };
        let parent = parent_of(&self.target);
        self.write_sidecar(&beside(&built), origin)?;
        self.disk.sync_file(&built)?;
        let mut aside = None;
        if exists(&self.target)? {
            self.still_allowed()?;
            let name = free_name(&self.target)?;
            self.disk.rename(&self.target, &name)?;
            self.disk.sync_folder(parent)?;
            aside = Some(name);
        }
        self.disk.rename(&beside(&built), &beside(&self.target))?;
        self.disk.sync_folder(parent)?;
        self.disk.rename(&built, &self.target)?;
        self.disk.sync_folder(parent)?;
        self.disk.remove(&self.folder)?;
        Ok(aside)
    }

    /// The target may have been filled by somebody since [`begin`](Self::begin).
    fn still_allowed(&self) -> Result<()> {
        match self.existing {
            Existing::KeepAside => Ok(()),
            Existing::Refuse => Err(Error::Occupied { path: self.target.clone() }),
        }
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if !self.published
            && let Err(error) = self.disk.remove(&self.folder)
        {
            tracing::warn!(%error, "an unfinished restore could not be swept; the next one does it");
        }
    }
}

/// Makes every file and folder below `folder`, and itself, durable.
fn sync_tree(disk: &dyn Disk, folder: &Path) -> Result<()> {
    for entry in entries(folder)? {
        let kind = fs::symlink_metadata(&entry).map_err(Error::io("look at", &entry))?;
        if kind.is_dir() {
            sync_tree(disk, &entry)?;
        } else {
            disk.sync_file(&entry)?;
        }
    }
    disk.sync_folder(folder)
}

fn check_free(target: &Path, form: Form, existing: Existing) -> Result<()> {
    let parent = parent_of(target);
    if !exists(parent)? {
        let hint = "; create it first, or name another target".into();
        return Err(Error::NotFound { what: format!("the folder {}", parent.display()), hint });
    }
    let Some(found) = metadata(target)? else { return Ok(()) };
    let occupied = match form {
        Form::File if found.is_dir() => {
            let detail = "is a folder, and this restores one file; name a file";
            return Err(Error::invalid(target.display().to_string(), detail));
        }
        Form::Folder { .. } if !found.is_dir() => {
            let detail = "is a file, and this restores a folder; name a folder";
            return Err(Error::invalid(target.display().to_string(), detail));
        }
        Form::File => true,
        Form::Folder { .. } => {
            let hidden = format!(".{}.keepsum-restoring", name_of(target)?);
            entries(target)?.iter().any(|path| !path.ends_with(&hidden) && !is_aside(path))
        }
    };
    match existing {
        Existing::Refuse if occupied => Err(Error::Occupied { path: target.to_owned() }),
        _ => Ok(()),
    }
}

fn lock(folder: &Path, target: &Path) -> Result<File> {
    let file = File::open(folder).map_err(Error::io("open", folder))?;
    rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|errno| {
        if errno == rustix::io::Errno::WOULDBLOCK {
            return Error::InUse {
                what: format!("the target {}", target.display()),
                hint: ": another restore is writing there; wait for it, or stop it".into(),
            };
        }
        Error::io("lock", folder)(errno.into())
    })?;
    Ok(file)
}

/// The first name beside `target` that nothing has: `<name>.keepsum-old`, `<name>.keepsum-old-2`, …
fn free_name(target: &Path) -> Result<PathBuf> {
    let name = name_of(target)?;
    for number in 1_u32.. {
        let suffix = if number == 1 { String::new() } else { format!("-{number}") };
        let aside = target.with_file_name(format!("{name}.keepsum-old{suffix}"));
        if !exists(&aside)? {
            return Ok(aside);
        }
    }
    Err(Error::invalid(target.display().to_string(), "has too many old copies beside it"))
}

/// Whether an entry of a mount point is a store that an earlier restore kept aside.
fn is_aside(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().contains(".keepsum-old"))
}

fn is_mount_point(target: &Path) -> Result<bool> {
    let Some(found) = metadata(target)? else { return Ok(false) };
    let parent = parent_of(target);
    let above = fs::metadata(parent).map_err(Error::io("look at", parent))?;
    // A bind mount of a folder of the same file system has the same device; renaming over it
    // answers EBUSY, which is an error like any other and changes nothing.
    Ok(found.is_dir() && (found.dev() != above.dev() || found.ino() == above.ino()))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

fn parent_of(path: &Path) -> &Path {
    path.parent().unwrap_or(path)
}

fn name_of(path: &Path) -> Result<String> {
    match path.file_name() {
        Some(name) => Ok(name.to_string_lossy().into_owned()),
        None => Err(Error::invalid(path.display().to_string(), "is no name of a file or folder")),
    }
}

fn metadata(path: &Path) -> Result<Option<fs::Metadata>> {
    match fs::metadata(path) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}

fn exists(path: &Path) -> Result<bool> {
    fs::symlink_metadata(path).map(|_| true).or_else(|error| match error.kind() {
        io::ErrorKind::NotFound => Ok(false),
        _ => Err(Error::io("look at", path)(error)),
    })
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    read().map_err(Error::io("list", folder))
}
