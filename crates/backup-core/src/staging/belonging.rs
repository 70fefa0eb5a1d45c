//! What a restored store is given before it is put in its place: an owner, a group and permission bits.
//!
//! They are those of what it replaces, else those of its source, else what any new file gets. Only root
//! gives a store to another user. Everything is given in the hidden folder, which nobody else can enter, and
//! made durable there: at no moment may anybody read more than in the end.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::mark;
use super::names::{Found, entries, exists, is_aside, parent_of};
use super::{Form, MARK, PRIVATE, SIDECAR, Staging};
use crate::disk::{Access, Disk, is_refusal};
use crate::ownership::{FILE_BITS, FOLDER_BITS, Owner, Ownership};
use crate::source::FileInfo;
use crate::target::Origin;
use crate::{Error, Result};

/// The name of what is made to try something with, and removed.
const PROBE: &str = ".keepsum-probe";

/// What a store is given.
#[derive(Debug)]
pub(super) struct Belonging {
    /// That of the store's folder, and that of its file or of the files that an engine wrote into it.
    folder: u32,
    file: u32,
    /// Whose it becomes, by the numbers; none where it stays whose it is.
    owner: Option<(u32, u32)>,
    /// The most that a file of the folder that is replaced allowed to anybody.
    replaced: Option<u32>,
    /// The file system keeps no permission bits.
    without_modes: bool,
    is_root: bool,
    /// What owners of single files are here.
    known: HashMap<Owner, (u32, u32)>,
    pub(super) notes: Vec<String>,
}

/// Whose a store is to be.
struct Wish<'a> {
    numbers: (u32, u32),
    /// Where it is the source's owner.
    source: Option<&'a Owner>,
}

impl Belonging {
    /// Decides it for what is in the hidden folder now.
    pub(super) fn decide(staging: &Staging, origin: &Origin) -> Result<Self> {
        let source = origin.ownership.as_ref();
        let mut belonging = Self {
            folder: 0,
            file: 0,
            owner: None,
            replaced: None,
            without_modes: false,
            is_root: rustix::process::geteuid().is_root(),
            known: HashMap::new(),
            notes: Vec::new(),
        };
        let wish = if staging.found()? == Found::Store {
            let replaced = of_target(staging)?;
            mark::add(staging.disk.as_ref(), &staging.folder, &replaced)?;
            // The mark must not be lost with the name of its folder.
            staging.disk.sync_folder(parent_of(&staging.folder))?;
            belonging.folder = replaced.as_folder();
            belonging.file = replaced.files_mode.unwrap_or(replaced.mode);
            if let Form::Folder { .. } = staging.form {
                belonging.replaced = Some(widest(&staging.target, &staging.folder)?);
            }
            if let Some(source) = source {
                belonging.say_wider(source, staging.form);
            }
            Some(Wish { numbers: replaced.owner.numbers(), source: None })
        } else if let Some(replaced) = &staging.replaced {
            belonging.folder = replaced.as_folder();
            belonging.file = replaced.files_mode.unwrap_or(replaced.mode);
            Some(Wish { numbers: replaced.owner.numbers(), source: None })
        } else if let Some(source) = source {
            belonging.folder = source.as_folder();
            belonging.file = match staging.form {
                Form::File { .. } => source.as_file(),
                Form::Folder { .. } => source.as_file_in_folder(),
            };
            let here = source.owner.here();
            Some(Wish { numbers: (here.user, here.group), source: Some(&source.owner) })
        } else {
            let new = new_folder(&staging.folder)?;
            (belonging.folder, belonging.file) = (new, new & 0o666);
            // The one file of a plan may have another name than the target.
            if let (Form::File { .. }, [file]) = (staging.form, &staging.placed[..]) {
                belonging.file = file.mode & FILE_BITS;
            }
            None
        };
        if let Some(wish) = wish {
            belonging.own(staging, &wish)?;
        }
        Ok(belonging)
    }

    /// Finds out whose the store can become, and says what a person should know of it.
    fn own(&mut self, staging: &Staging, wish: &Wish<'_>) -> Result<()> {
        let found = fs::symlink_metadata(&staging.folder);
        let found = found.map_err(Error::io("look at", &staging.folder))?;
        let own = (found.uid(), found.gid());
        let whose = wish.source.map_or_else(|| whose(wish.numbers), ToString::to_string);
        if own == wish.numbers {
            self.owner = self.is_root.then_some(own);
            if whose != self::whose(own) {
                self.say_numbers(wish, &whose);
            }
            return Ok(());
        }
        // Who restores a store of one's own may give it to a group that one is in.
        let refused = if self.is_root || own.0 == wish.numbers.0 {
            Self::try_owner(staging, wish.numbers)?
        } else {
            None
        };
        self.owner = (self.is_root || own.0 == wish.numbers.0).then_some(wish.numbers);
        let of = if wish.source.is_some() { "the source" } else { "what was replaced" };
        let own = self::whose(own);
        match (self.owner, refused) {
            (Some(_), None) => self.say_numbers(wish, &whose),
            (Some(_), Some(error)) => {
                self.owner = None;
                self.notes.push(format!(
                    "the owner of {of} was {whose}, but the system refused to set that owner ({error}): the \
                     restored store belongs to {own}"
                ));
            }
            (None, _) => self.notes.push(format!(
                "the owner of {of} was {whose}; the restored store belongs to {own}, who restored it: \
                 only root can give it to another user"
            )),
        }
        Ok(())
    }

    /// Tries it on a file that becomes no part of the store; answers why it cannot be.
    fn try_owner(staging: &Staging, numbers: (u32, u32)) -> Result<Option<io::Error>> {
        let (disk, probe) = (staging.disk.as_ref(), staging.folder.join(PROBE));
        drop(disk.create_file(&probe, PRIVATE)?);
        let tried = disk.set_access(&probe, Access { mode: PRIVATE, owner: Some(numbers) });
        disk.remove(&probe)?;
        match tried {
            Err(Error::Io { source, .. }) if is_refusal(&source) => Ok(Some(source)),
            tried => tried.map(|()| None),
        }
    }

    /// Says that the store belongs to numbers of which this host does not know that they are the owner.
    fn say_numbers(&mut self, wish: &Wish<'_>, whose: &str) {
        let Some(owner) = wish.source else { return };
        let (here, now) = (owner.here(), self::whose(wish.numbers));
        if !here.by_name {
            let here = if now == whose { String::new() } else { format!(", which is {now} here") };
            self.notes.push(format!(
                "the owner of the source, {whose}, is not known by name on this host: the restored \
                 store belongs to the same numbers{here}"
            ));
        } else if wish.numbers != owner.numbers() {
            self.notes.push(format!(
                "the owner of the source was {whose}: the restored store belongs to {now}, the same \
                 names on this host"
            ));
        }
    }

    /// Says that what is replaced, whose permission bits the new store gets, may be read or written by more
    /// users than the source.
    fn say_wider(&mut self, source: &Ownership, form: Form) {
        let (was, now) = match form {
            Form::File { .. } => (source.as_file(), self.file),
            Form::Folder { .. } => {
                let within = |folder: u32, file: u32| file & ((folder & 0o111) * 7);
                let was = within(source.as_folder(), source.as_file_in_folder());
                (was, within(self.folder, self.file))
            }
        };
        if now & 0o666 & !was != 0 {
            self.notes.push(format!(
                "more users may use the restored store than its source: it has the permissions {now:04o} \
                 of what it replaced, its source had {was:04o}"
            ));
        }
    }

    /// Gives the file that was built, or the sidecar, what it is to have.
    pub(super) fn give_file(&mut self, disk: &dyn Disk, path: &Path) -> Result<()> {
        self.give(disk, path, Access { mode: self.file, owner: self.owner })
    }

    /// Gives the store's folder what it is to have.
    pub(super) fn give_folder(&mut self, disk: &dyn Disk, folder: &Path) -> Result<()> {
        self.give(disk, folder, Access { mode: self.folder, owner: self.owner })
    }

    /// Gives a mount point what the store's folder is to have, if it may be given anything.
    pub(super) fn give_mount_point(&mut self, disk: &dyn Disk, folder: &Path) -> Result<()> {
        match disk.set_access(folder, Access { mode: self.folder, owner: self.owner }) {
            Err(Error::Io { source, .. }) if is_refusal(&source) => {
                let note = "the mount point keeps its own owner and permissions";
                self.notes.push(format!("{note} ({source})"));
                Ok(())
            }
            given => given,
        }
    }

    /// Gives what is in the hidden folder what it is to have; `placed` are files of a plan.
    pub(super) fn give_entries(&mut self, staging: &Staging, placed: &[FileInfo]) -> Result<()> {
        self.give_below(staging, placed, &staging.folder)
    }

    fn give_below(&mut self, staging: &Staging, placed: &[FileInfo], folder: &Path) -> Result<()> {
        for path in entries(folder)? {
            if path == staging.folder.join(MARK) {
                continue;
            }
            let found = fs::symlink_metadata(&path).map_err(Error::io("look at", &path))?;
            let inside = path.strip_prefix(&staging.folder).unwrap_or(&path);
            let before = self.before(&staging.target, inside);
            let access = if found.is_dir() {
                self.give_below(staging, placed, &path)?;
                let before = before.filter(fs::Metadata::is_dir);
                self.like(before.as_ref(), self.folder, FOLDER_BITS)
            } else if inside == Path::new(SIDECAR) {
                Access { mode: self.file & 0o666, owner: self.owner }
            } else {
                let before = before.filter(fs::Metadata::is_file);
                let name = inside.to_str().unwrap_or_default();
                match placed.binary_search_by(|file| file.path.as_str().cmp(name)) {
                    Ok(number) => self.as_planned(before.as_ref(), &placed[number]),
                    Err(_) => self.like(before.as_ref(), self.file, FILE_BITS),
                }
            };
            self.give(staging.disk.as_ref(), &path, access)?;
        }
        Ok(())
    }

    /// What has a name in the store that is replaced.
    fn before(&self, target: &Path, inside: &Path) -> Option<fs::Metadata> {
        self.replaced?;
        fs::symlink_metadata(target.join(inside)).ok()
    }

    /// That of what is replaced, or `mode`.
    fn like(&self, before: Option<&fs::Metadata>, mode: u32, bits: u32) -> Access {
        let Some(before) = before else { return Access { mode, owner: self.owner } };
        let owner = self.owner.filter(|_| self.is_root).map(|_| (before.uid(), before.gid()));
        Access { mode: before.mode() & bits, owner: owner.or(self.owner) }
    }

    /// That of a file of the plan.
    fn as_planned(&mut self, before: Option<&fs::Metadata>, file: &FileInfo) -> Access {
        match (before, self.replaced) {
            (Some(_), _) => self.like(before, self.file, FILE_BITS),
            // It is new in this store: nobody may use it who could use nothing of it before.
            (None, Some(widest)) => {
                Access { mode: file.mode & FILE_BITS & widest, owner: self.owner }
            }
            (None, None) => {
                let owner = file.owner.as_ref().filter(|_| self.is_root && self.owner.is_some());
                let owner = owner.map(|owner| self.number(owner));
                Access { mode: file.mode & FILE_BITS, owner: owner.or(self.owner) }
            }
        }
    }

    /// The numbers that the owner of a single file has here.
    fn number(&mut self, owner: &Owner) -> (u32, u32) {
        if let Some(known) = self.known.get(owner) {
            return *known;
        }
        let here = owner.here();
        let numbers = (here.user, here.group);
        if !here.by_name {
            let whose = owner.to_string();
            let wish = Wish { numbers, source: Some(owner) };
            self.say_numbers(&wish, &whose);
        }
        self.known.insert(owner.clone(), numbers);
        numbers
    }

    fn give(&mut self, disk: &dyn Disk, path: &Path, access: Access) -> Result<()> {
        if self.without_modes {
            return Ok(());
        }
        match disk.set_access(path, access) {
            Err(Error::Io { source, .. }) if is_refusal(&source) => {
                self.without_modes = true;
                self.notes.push(format!(
                    "the file system keeps no permissions ({source}): the restored store has those that \
                     it gives"
                ));
            }
            given => given?,
        }
        // Some say that they took it.
        let found = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
        if !self.without_modes && found.mode() & 0o7777 != access.mode {
            self.without_modes = true;
            let note =
                "the file system keeps no permissions: the restored store has those that it gives";
            self.notes.push(note.into());
        }
        Ok(())
    }
}

/// A user and a group of this host, in words.
fn whose((user, group): (u32, u32)) -> String {
    Owner::of_numbers(user, group).to_string()
}

/// Whose the store is that is replaced.
fn of_target(staging: &Staging) -> Result<Ownership> {
    match staging.form {
        // Its logs may be there without it.
        Form::File { .. } if !exists(&staging.target)? => Err(Error::NotFound {
            what: staging.target.display().to_string(),
            hint: "it went away meanwhile; restore again".into(),
        }),
        Form::File { .. } => Ownership::of_file(&staging.target),
        Form::Folder { last } => Ownership::of_folder(&staging.target, last),
    }
}

/// All permission bits that any file below a folder has.
fn widest(folder: &Path, hidden: &Path) -> Result<u32> {
    let mut bits = 0;
    for path in entries(folder)?.into_iter().filter(|path| path != hidden && !is_aside(path)) {
        // What is gone by now allows nothing.
        let Ok(found) = fs::symlink_metadata(&path) else { continue };
        if found.is_dir() {
            bits |= widest(&path, hidden)?;
        } else if found.is_file() {
            bits |= found.mode() & FILE_BITS;
        }
    }
    Ok(bits)
}

/// The permission bits that a new folder gets here.
fn new_folder(hidden: &Path) -> Result<u32> {
    let probe = hidden.join(PROBE);
    let found = fs::create_dir(&probe).and_then(|()| fs::metadata(&probe));
    let mode = found.map_err(Error::io("create the folder", &probe))?.mode();
    fs::remove_dir(&probe).map_err(Error::io("remove", &probe))?;
    Ok(mode & 0o777)
}
