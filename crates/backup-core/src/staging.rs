//! Building a store beside its target, and publishing it at once or not at all.
//!
//! A restore writes into a hidden folder, [`Staging::folder`], on the target's own file system.
//! [`Staging::publish`] makes it durable and puts it in place by renames; what was there before is
//! kept aside. A crash leaves the old store, the new one, or nothing with the old one aside; the
//! same restore again sweeps what was left and finishes. A restore of files, which can check what was
//! left against the snapshot, goes on from there ([`Placing`]); any other restore sweeps it.
//!
//! Where the system can, the hidden folder and the target are exchanged, and for a moment the hidden
//! folder is the old store. What tells the two apart is a file in the folder that is being built,
//! [`MARK`]: it is the first to be made durable there and goes only after the old store is aside, so a
//! hidden folder without it holds a store, and is never swept.
//!
//! A target that is a mount point cannot be renamed over: the hidden folder is then made inside it,
//! and the entries are moved one by one, the one that makes the store a store last; what is left of
//! that by a crash is taken back (`filling`).

mod belonging;
mod built;
mod file;
mod files_restore;
mod filling;
mod leftovers;
mod mark;
mod mounts;
mod names;
mod place;
mod placing;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::folder_lock::is_at;
use crate::ownership::Ownership;
use crate::source::FileInfo;
use crate::target::{Existing, Origin, Restored};
use crate::{Error, Result};

use belonging::Belonging;
use names::{
    Found, absolute, built_file, check_free, entries, exists, free_name, hidden_folder,
    is_mount_point, lock, look, parent_of,
};

pub use built::BuiltStore;
pub use mounts::refuse_mounted_file;
pub use names::{sidecar_of, with_room};
pub use place::{beside, resolve};
pub use placing::Placing;

/// The permission bits of a file while it is built: its owner's alone.
const PRIVATE: u32 = 0o600;

/// How often a restore makes the folder it builds in, while others remove it or put theirs there.
const MAX_BEGUN: u32 = 1000;

/// The name of the sidecar in a restored folder.
pub const SIDECAR: &str = "KEEPSUM_RESTORED";

/// How the name of the sidecar of a restored file ends.
const SIDECAR_OF_FILE: &str = ".keepsum";

/// The name of the file that says that the folder it is in is being built, and, where a restore may go on
/// from it, from what. A crash while the folder is put in place may leave it there; the next restore
/// removes it.
pub const MARK: &str = ".keepsum-restoring";

/// Whether a restore would find something at a target that it must not replace unasked: where a symbolic
/// link leads, if it is one. A file without a byte and an empty folder are nothing, and so is whatever a
/// restore that was interrupted left there.
///
/// # Errors
/// [`Error::Io`]; [`Error::Invalid`] for a folder where a file is to be, or the other way round;
/// [`Error::Unsupported`] where nothing can be restored there: a link leads into a folder that does not
/// exist, or an empty file is mounted.
pub fn is_occupied(target: &Path, form: Form) -> Result<bool> {
    let target = match resolve(target) {
        Err(Error::NotFound { .. }) => return Ok(false),
        resolved => resolved?,
    };
    let found = look(&target, form)?;
    if found == Found::Free && matches!(form, Form::File { .. }) {
        refuse_mounted_file(&target)?;
    }
    Ok(found == Found::Store)
}

/// What a target is on disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A folder. Where it must be filled entry by entry, the entry of this name comes last.
    Folder {
        /// The entry without which an engine finds no store (RocksDB's `CURRENT`), if there is one.
        last: Option<&'static str>,
    },
    /// One file.
    File {
        /// How the names of the files end that its engine keeps beside it (SQLite's `-wal`); what is
        /// there is moved aside together with the file.
        companions: &'static [&'static str],
        /// Those of them that may hold what is not in the file yet: with such a one, a file without a byte is
        /// a store.
        logs: &'static [&'static str],
    },
}

/// A store being built beside its target.
#[derive(Debug)]
pub struct Staging {
    disk: Arc<dyn Disk>,
    /// The target as it was named: a symbolic link may be in it.
    given: PathBuf,
    /// Where that leads.
    target: PathBuf,
    folder: PathBuf,
    form: Form,
    existing: Existing,
    inside: bool,
    /// The folder holds what an interrupted restore of the same snapshot left.
    resumed: bool,
    end: End,
    /// What a restore that was cut off had begun to replace, where nothing is in its place.
    replaced: Option<Ownership>,
    /// The files of the plan, sorted by path, where they were placed; an engine wrote all others.
    placed: Vec<FileInfo>,
    /// Held until the end: another restore into the same target is refused.
    lock: File,
}

/// What becomes of the hidden folder when a restore ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Swept,
    /// It stays, for the same restore to go on from.
    Kept,
    Published,
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
        Self::start(disk, target, form, existing, None)
    }

    /// As [`begin`](Self::begin), for a restore that goes on from what an interrupted one of the same
    /// `origin` left.
    fn resume(
        disk: Arc<dyn Disk>,
        target: &Path,
        form: Form,
        existing: Existing,
        origin: &Origin,
    ) -> Result<Self> {
        Self::start(disk, target, form, existing, Some(&origin.sidecar()))
    }

    /// `mark` is what a folder that may be kept is marked with.
    fn start(
        disk: Arc<dyn Disk>,
        target: &Path,
        form: Form,
        existing: Existing,
        mark: Option<&str>,
    ) -> Result<Self> {
        let given = absolute(target)?;
        let target = resolve(&given)?;
        let inside = matches!(form, Form::Folder { .. }) && is_mount_point(&target)?;
        let folder = hidden_folder(&target, inside)?;
        let free = || -> Result<()> {
            check_free(&target, form, existing)?;
            leftovers::unmark(disk.as_ref(), &target)
        };
        let (mut created, mut replaced) = (0, None);
        let (lock, resumed) = loop {
            leftovers::remove_link(disk.as_ref(), &folder)?;
            if let Some(lock) = lock(&folder, &target)? {
                leftovers::undo(disk.as_ref(), &target, &folder, form, inside)?;
                replaced = mark::replaced(&folder).or(replaced);
                if mark.is_some_and(|mark| leftovers::is_marked(&folder, mark))
                    && leftovers::is_private(disk.as_ref(), &folder)?
                {
                    free()?;
                    break (lock, true);
                }
                if exists(&folder)? {
                    if created > 0
                        && entries(&folder)?.is_empty()
                        && leftovers::is_private(disk.as_ref(), &folder)?
                    {
                        break (lock, false);
                    }
                    leftovers::sweep(disk.as_ref(), &folder)?;
                }
            }
            free()?;
            // What is built may be for fewer eyes than what lies beside it.
            disk.create_private_folder(&folder)?;
            // Until it is locked, another restore that begins may sweep it, or build in it.
            created += 1;
            if created > MAX_BEGUN {
                let hint = "another user or program keeps making a folder of this name; stop that, or restore to another path".into();
                return Err(Error::InUse { what: folder.display().to_string(), hint });
            }
        };
        if !resumed {
            let mut file = disk.create_file(&folder.join(MARK), PRIVATE)?;
            let replaced = replaced.as_ref().map(mark::line).unwrap_or_default();
            file.write_at(0, format!("{}{replaced}", mark.unwrap_or_default()).as_bytes())?;
            file.sync()?;
            disk.sync_folder(&folder)?;
        }
        Ok(Self {
            disk,
            given,
            target,
            folder,
            form,
            existing,
            inside,
            resumed,
            end: End::Swept,
            replaced,
            placed: Vec::new(),
            lock,
        })
    }

    /// Where the store is put: where a symbolic link leads, if that is what was named.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// The hidden folder: what is in it becomes the target. For [`Form::File`] it must end up with
    /// the one file that [`file`](Self::file) names.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The file to build, for [`Form::File`]. Its name is the target's, cut to 64 bytes: SQLite opens no path of
    /// more than 512 bytes.
    pub fn file(&self) -> PathBuf {
        built_file(&self.folder, &self.target)
    }

    /// The disk that builds.
    pub fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// Writes the sidecar, gives all that was built the owner and the permission bits that it is to have,
    /// makes it durable, and puts it in place.
    ///
    /// They are those of the store that is replaced, else those of `origin`, else those that a new file gets.
    /// Only root gives a store to another user. What a person should know of it is among the notes.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where a symbolic link leads elsewhere by now; nothing was changed. After any other
    /// error the old store is in its place or aside, or the new one is in its place.
    pub fn publish(mut self, origin: &Origin) -> Result<Restored> {
        let mut belonging = Belonging::decide(&self, origin)?;
        let kept_aside = match self.form {
            Form::Folder { last } => {
                self.write_sidecar(&self.folder.join(SIDECAR), origin)?;
                belonging.give_entries(&self, &self.placed)?;
                sync_tree(self.disk.as_ref(), &self.folder)?;
                self.still_there()?;
                if self.inside {
                    self.fill(last, &mut belonging)?
                } else {
                    self.swap_folder(&mut belonging)?
                }
            }
            Form::File { companions, .. } => self.swap_file(companions, origin, &mut belonging)?,
        };
        self.end = End::Published;
        // The store is in its place and durable: what cannot be tidied up does not undo that.
        if let Err(error) = self.tidy_up() {
            tracing::warn!(%error, "a restore left something behind; the next one sweeps it");
        }
        Ok(Restored { kept_aside, notes: belonging.notes, ..Restored::default() })
    }

    fn tidy_up(&self) -> Result<()> {
        // Where the folder itself is in its place, another restore may have made one by now.
        if is_at(&self.lock, &self.folder)? {
            leftovers::sweep(self.disk.as_ref(), &self.folder)?;
        }
        leftovers::unmark(self.disk.as_ref(), &self.target)
    }

    fn write_sidecar(&self, path: &Path, origin: &Origin) -> Result<()> {
        let mut file = self.disk.create_file(path, PRIVATE)?;
        file.write_at(0, origin.sidecar().as_bytes())?;
        file.sync()
    }

    /// Puts the hidden folder where the target is, in one step where the system can.
    fn swap_folder(&self, belonging: &mut Belonging) -> Result<Option<PathBuf>> {
        let parent = parent_of(&self.target);
        belonging.give_folder(self.disk.as_ref(), &self.folder)?;
        self.disk.sync_folder(&self.folder)?;
        if !exists(&self.target)? || entries(&self.target)?.is_empty() {
            self.disk.rename(&self.folder, &self.target)?;
            self.disk.sync_folder(parent)?;
            return Ok(None);
        }
        self.still_allowed()?;
        let aside = free_name(&self.target)?;
        // Once they are exchanged, the hidden folder is the old store: nobody else may take it.
        let _old = lock(&self.target, &self.target)?;
        // With the mark of the restore that was cut off before it removed it, it would be swept.
        leftovers::unmark(self.disk.as_ref(), &self.target)?;
        match self.disk.exchange(&self.folder, &self.target) {
            Ok(()) => {
                self.disk.sync_folder(parent)?;
                self.disk.rename(&self.folder, &aside)?;
            }
            Err(Error::Unsupported { .. }) => {
                self.disk.rename(&self.target, &aside)?;
                let placed = self.disk.sync_folder(parent);
                let placed = placed.and_then(|()| self.disk.rename(&self.folder, &self.target));
                if let Err(error) = placed {
                    self.put_back(&aside, &self.target);
                    return Err(error);
                }
            }
            Err(error) => return Err(error),
        }
        self.disk.sync_folder(parent)?;
        Ok(Some(aside))
    }

    /// What is at the target now.
    fn found(&self) -> Result<Found> {
        look(&self.target, self.form)
    }

    /// A symbolic link may have been changed since [`begin`](Self::begin).
    fn still_there(&self) -> Result<()> {
        let now = resolve(&self.given)?;
        if now == self.target {
            return Ok(());
        }
        let what = format!("putting the restored store at {}", self.given.display());
        let (was, now) = (self.target.display(), now.display());
        let why =
            format!("it led to {was} when the restore began and leads to {now} now; restore again");
        Err(Error::unsupported(what, why))
    }

    /// The target may have been filled by somebody since [`begin`](Self::begin).
    fn still_allowed(&self) -> Result<()> {
        match self.existing {
            Existing::KeepAside => Ok(()),
            Existing::Refuse => Err(Error::Occupied { path: self.target.clone() }),
        }
    }
}

impl Staging {
    /// Takes back what was begun of publishing, and the folder with it unless it is to be kept.
    fn clear(&self) -> Result<()> {
        let disk = self.disk.as_ref();
        if !is_at(&self.lock, &self.folder)? {
            // It is in its place. What has its name is the old store, or what another restore builds.
            return match lock(&self.folder, &self.target) {
                Ok(Some(_lock)) => {
                    leftovers::undo(disk, &self.target, &self.folder, self.form, self.inside)
                }
                Ok(None) | Err(Error::InUse { .. }) => Ok(()),
                Err(error) => Err(error),
            };
        }
        leftovers::undo(disk, &self.target, &self.folder, self.form, self.inside)?;
        if !exists(&self.folder)? {
            return Ok(());
        }
        // The mark alone is nothing to go on from.
        if self.end == End::Kept && entries(&self.folder)?.len() > 1 {
            return Ok(());
        }
        leftovers::sweep(disk, &self.folder)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        if self.end != End::Published
            && let Err(error) = self.clear()
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
