//! Whose a store is, and who may read it.
//!
//! A snapshot keeps the owner, the group and the permission bits of its source, so that a restored store
//! can be used by who used the source, and read by nobody else. Users and groups are kept with their names
//! as well: the same name has other numbers on other hosts.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::fs::{self, Metadata};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use nix::unistd::{Gid, Group, Uid, User};
use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// The permission bits of a file that are kept. Whoever can write to a repository could else have a restore
/// by root make programs that run as root.
pub(crate) const FILE_BITS: u32 = 0o777;

/// The permission bits of a folder that are kept: that what is made in it gets its group, and that only
/// owners remove, too.
pub(crate) const FOLDER_BITS: u32 = 0o3777;

/// Whose a store is, and who may read it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ownership {
    /// Whose its file or folder is.
    pub owner: Owner,
    /// The permission bits of its file or folder.
    pub mode: u32,
    /// For a folder, the permission bits of the files that its engine writes there.
    pub files_mode: Option<u32>,
}

/// A user and a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Owner {
    /// The user.
    pub user: Account,
    /// The group.
    pub group: Account,
}

/// A user or a group of a host.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Account {
    /// Its number on that host.
    pub number: u32,
    /// Its name, where the host knew one.
    pub name: Option<String>,
}

impl Ownership {
    /// That of a store that is one file; a symbolic link is followed.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn of_file(path: &Path) -> Result<Self> {
        let found = fs::metadata(path).map_err(Error::io("look at", path))?;
        let (owner, mode) = (Owner::of(&found), found.mode() & FILE_BITS);
        Ok(Self { owner, mode, files_mode: None })
    }

    /// That of a store that is a folder; a symbolic link is followed. `like` is the name of a file in it that
    /// has the permission bits of the engine's files; where it is not there, most of them decide.
    ///
    /// # Errors
    /// [`Error::Io`].
    pub fn of_folder(path: &Path, like: Option<&str>) -> Result<Self> {
        let found = fs::metadata(path).map_err(Error::io("look at", path))?;
        let (owner, mode) = (Owner::of(&found), found.mode() & FOLDER_BITS);
        Ok(Self { owner, mode, files_mode: Some(files_mode(path, mode, like)?) })
    }

    /// The permission bits of a store of one file that may be read by the same users.
    pub(crate) fn as_file(&self) -> u32 {
        match self.files_mode {
            None => self.mode & FILE_BITS,
            // Who may not enter a folder may not read a file of it.
            Some(files) => files & FILE_BITS & readable(self.mode),
        }
    }

    /// The permission bits of a store's folder that may be entered by the same users.
    pub(crate) fn as_folder(&self) -> u32 {
        match self.files_mode {
            Some(_) => self.mode & FOLDER_BITS,
            None => enterable(self.mode),
        }
    }

    /// The permission bits of a file that an engine writes into a store's folder.
    pub(crate) fn as_file_in_folder(&self) -> u32 {
        self.files_mode.unwrap_or(self.mode) & FILE_BITS
    }
}

/// The permission bits of what a folder's users may read and write at most.
fn readable(folder: u32) -> u32 {
    (folder & 0o111) * 7
}

/// The permission bits of a folder that lets those in who may read a file of these.
fn enterable(file: u32) -> u32 {
    (file & 0o666) | (file & 0o444) >> 2
}

/// The permission bits of the files in a folder: those of one that is named, or of most of them.
fn files_mode(folder: &Path, mode: u32, like: Option<&str>) -> Result<u32> {
    if let Some(found) = like.and_then(|name| fs::symlink_metadata(folder.join(name)).ok())
        && found.is_file()
    {
        return Ok(found.mode() & FILE_BITS);
    }
    let mut modes: BTreeMap<u32, u64> = BTreeMap::new();
    for entry in fs::read_dir(folder).map_err(Error::io("list", folder))? {
        // What is gone by now has no say.
        let found = entry.map_err(Error::io("list", folder))?.metadata();
        if let Some(found) = found.ok().filter(Metadata::is_file) {
            *modes.entry(found.mode() & FILE_BITS).or_default() += 1;
        }
    }
    // Of two that are as frequent, the narrower one.
    let most = modes.into_iter().rev().max_by_key(|(_, count)| *count);
    Ok(most.map_or(mode & 0o666, |(mode, _)| mode))
}

impl Owner {
    /// Whose a file or folder is.
    pub fn of(found: &Metadata) -> Self {
        Self::of_numbers(found.uid(), found.gid())
    }

    /// A user and a group by their numbers here, with the names that they have here.
    pub fn of_numbers(user: u32, group: u32) -> Self {
        // A host whose list of users cannot be read knows no name.
        let user_name = User::from_uid(Uid::from_raw(user)).ok().flatten().map(|user| user.name);
        let group_name =
            Group::from_gid(Gid::from_raw(group)).ok().flatten().map(|group| group.name);
        Self {
            user: Account { number: user, name: user_name },
            group: Account { number: group, name: group_name },
        }
    }

    /// The numbers that this user and this group have here: by name where this host knows the name.
    pub fn here(&self) -> Here {
        let user = self.user.name.as_deref();
        let user = user.and_then(|name| User::from_name(name).ok().flatten());
        let group = self.group.name.as_deref();
        let group = group.and_then(|name| Group::from_name(name).ok().flatten());
        Here {
            by_name: user.is_some() && group.is_some(),
            user: user.map_or(self.user.number, |user| user.uid.as_raw()),
            group: group.map_or(self.group.number, |group| group.gid.as_raw()),
        }
    }

    /// The two numbers.
    pub fn numbers(&self) -> (u32, u32) {
        (self.user.number, self.group.number)
    }
}

/// The owners of single files of a store.
#[derive(Debug)]
pub struct Owners {
    store: (u32, u32),
    known: HashMap<(u32, u32), Owner>,
}

impl Owners {
    /// Of a store that belongs to this owner.
    pub fn of_store(store: &Owner) -> Self {
        Self { store: store.numbers(), known: HashMap::new() }
    }

    /// The owner of a file by its numbers, where it is not that of the store.
    pub fn of_file(&mut self, numbers: (u32, u32)) -> Option<Owner> {
        let other = numbers != self.store;
        other.then(|| {
            self.known
                .entry(numbers)
                .or_insert_with(|| Owner::of_numbers(numbers.0, numbers.1))
                .clone()
        })
    }
}

/// The numbers of a user and a group on this host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Here {
    /// That of the user.
    pub user: u32,
    /// That of the group.
    pub group: u32,
    /// This host knows both names.
    pub by_name: bool,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (user, group) = self.numbers();
        match (&self.user.name, &self.group.name) {
            (None, None) => write!(f, "{user}:{group}"),
            _ => write!(f, "{}:{} ({user}:{group})", self.user, self.group),
        }
    }
}

impl fmt::Display for Account {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => f.write_str(name),
            None => write!(f, "{}", self.number),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn chmod(path: &Path, mode: u32) {
        fs::set_permissions(path, Permissions::from_mode(mode)).unwrap();
    }

    fn ownership(mode: u32, files_mode: Option<u32>) -> Ownership {
        Ownership { owner: Owner::of_numbers(0, 0), mode, files_mode }
    }

    /// A store of another form may be read by the same users, and by no others.
    #[test]
    fn who_may_read_a_file_may_enter_its_folder_and_nobody_else() {
        let of_file = ownership(0o640, None);
        assert_eq!((of_file.as_file(), of_file.as_folder()), (0o640, 0o750));
        assert_eq!(of_file.as_file_in_folder(), 0o640);
        let group_writes = ownership(0o660, None);
        assert_eq!(group_writes.as_folder(), 0o770);
        let of_folder = ownership(0o2750, Some(0o644));
        assert_eq!((of_folder.as_file(), of_folder.as_folder()), (0o640, 0o2750));
        let closed = ownership(0o700, Some(0o666));
        assert_eq!((closed.as_file(), closed.as_file_in_folder()), (0o600, 0o666));
        assert_eq!(ownership(0o4755, None).as_file(), 0o755, "no program gets another's rights");
    }

    #[test]
    fn a_folder_s_files_have_the_bits_of_the_one_that_is_named_or_of_most() {
        let home = tempfile::tempdir().unwrap();
        for (name, mode) in [("CURRENT", 0o600), ("a", 0o640), ("b", 0o640), ("notes", 0o444)] {
            fs::write(home.path().join(name), name).unwrap();
            chmod(&home.path().join(name), mode);
        }
        chmod(home.path(), 0o755);
        let found = |like| Ownership::of_folder(home.path(), like).unwrap().files_mode;
        assert_eq!(found(Some("CURRENT")), Some(0o600));
        assert_eq!(found(Some("absent")), Some(0o640));
        assert_eq!(found(None), Some(0o640));
    }

    #[test]
    fn a_name_is_found_again_by_its_name_and_else_by_its_number() {
        let root = Owner::of_numbers(0, 0);
        assert_eq!(root.user.name.as_deref(), Some("root"));
        let moved = Owner {
            user: Account { number: 4_000_000, ..root.user.clone() },
            group: Account { number: 4_000_001, ..root.group.clone() },
        };
        assert_eq!(moved.here(), Here { user: 0, group: 0, by_name: true });
        let unknown = Account { number: 77, name: Some("no such user of this host".into()) };
        let unknown = Owner { user: unknown.clone(), group: unknown };
        assert_eq!(unknown.here(), Here { user: 77, group: 77, by_name: false });
        assert_eq!(Owner::of_numbers(4_000_000, 4_000_000).to_string(), "4000000:4000000");
        assert_eq!(root.to_string(), "root:root (0:0)");
    }
}
