//! A folder, and what of it is durable.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::disk::Access;

use super::op::Op;
use super::tree::{Leaf, Tree};
use crate::noise::split_mix;

/// What of the unsynced is there after a crash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Survival {
    /// Nothing.
    Synced,
    /// Everything: the process died and the machine went on.
    Everything,
    /// A part that the number chooses, with torn writes.
    Some(u64),
}

/// A folder as it is seen, with what of it is durable. See [`crate::crash`].
#[derive(Debug, Clone)]
pub struct Volume {
    root: u64,
    files: BTreeMap<u64, File>,
    folders: BTreeSet<u64>,
    /// Who may do what with each file and folder.
    access: BTreeMap<u64, Accesses>,
    /// The names as they are seen.
    seen: Names,
    durable: Names,
    pending: Vec<Pending>,
    /// The number of the operation that last changed a durable name.
    settled: BTreeMap<Name, usize>,
    number: usize,
}

/// A name in a folder.
type Name = (u64, OsString);
type Names = BTreeMap<Name, u64>;

#[derive(Debug, Clone, Default)]
struct File {
    content: Vec<u8>,
    durable: Arc<Vec<u8>>,
    /// What happened since the last sync.
    unsynced: Vec<Op>,
    /// A sync failed: nothing becomes durable any more.
    spoiled: bool,
}

/// An owner and permission bits, as they are seen and as they are durable.
#[derive(Debug, Clone, Copy)]
struct Accesses {
    seen: Access,
    durable: Access,
}

/// Changes of names that are durable together.
#[derive(Debug, Clone)]
struct Pending {
    number: usize,
    changes: Vec<(Name, Option<u64>)>,
}

impl Volume {
    /// The folder at `root` with all that is in it, all of it durable.
    ///
    /// # Errors
    /// Where something cannot be read, or is neither a file nor a folder.
    pub fn read(root: &Path) -> io::Result<Self> {
        let found = fs::metadata(root)?;
        let inode = found.ino();
        let mut volume = Self {
            root: inode,
            files: BTreeMap::new(),
            folders: BTreeSet::from([inode]),
            access: BTreeMap::new(),
            seen: Names::new(),
            durable: Names::new(),
            pending: Vec::new(),
            settled: BTreeMap::new(),
            number: 0,
        };
        volume.has_durably(&found);
        volume.read_folder(root, inode)?;
        volume.seen = volume.durable.clone();
        Ok(volume)
    }

    fn read_folder(&mut self, path: &Path, folder: u64) -> io::Result<()> {
        for entry in fs::read_dir(path)? {
            let entry = entry?;
            let found = fs::symlink_metadata(entry.path())?;
            let inode = found.ino();
            self.has_durably(&found);
            self.durable.insert((folder, entry.file_name()), inode);
            if found.is_dir() {
                self.folders.insert(inode);
                self.read_folder(&entry.path(), inode)?;
            } else if found.is_file() {
                let content = fs::read(entry.path())?;
                let durable = Arc::new(content.clone());
                self.files.insert(inode, File { content, durable, ..File::default() });
            } else {
                let what = format!("{} is no file and no folder", entry.path().display());
                return Err(io::Error::other(what));
            }
        }
        Ok(())
    }

    fn has_durably(&mut self, found: &fs::Metadata) {
        let access = access_of(found);
        self.access.insert(found.ino(), Accesses { seen: access, durable: access });
    }

    /// Follows one operation.
    ///
    /// # Panics
    /// Where it names a folder that does not exist: the journal is not the one of this volume.
    pub fn apply(&mut self, op: &Op) {
        self.number += 1;
        match op {
            Op::CreateFolder { path, inode } => {
                self.folders.insert(*inode);
                self.access.remove(inode);
                self.seen.retain(|(folder, _), _| folder != inode);
                let name = self.name(path);
                self.rename(vec![(name, Some(*inode))]);
            }
            Op::Open { path, inode } => {
                let name = self.name(path);
                if self.seen.get(&name) != Some(inode) {
                    // The number of a file that is gone may have been given to this one.
                    self.files.insert(*inode, File::default());
                    self.access.remove(inode);
                    self.rename(vec![(name, Some(*inode))]);
                }
            }
            Op::Write { inode, .. } | Op::Truncate { inode, .. } => {
                if let Some(file) = self.files.get_mut(inode) {
                    change(&mut file.content, op);
                    file.unsynced.push(op.clone());
                }
            }
            Op::Access { inode, access } => {
                let first = Accesses { seen: *access, durable: *access };
                self.access.entry(*inode).or_insert(first).seen = *access;
            }
            Op::Sync { inode } => self.sync(*inode),
            Op::FailedSync { inode } => {
                if let Some(file) = self.files.get_mut(inode) {
                    file.spoiled |= !file.unsynced.is_empty();
                }
            }
            Op::Link { from, to } => {
                let inode = self.seen.get(&self.name(from)).copied();
                let name = self.name(to);
                self.rename(vec![(name, inode)]);
            }
            Op::Rename { from, to } => {
                let (from, to) = (self.name(from), self.name(to));
                let inode = self.seen.get(&from).copied();
                // Two names of one file: the system does nothing.
                if self.seen.get(&to).copied() != inode {
                    self.rename(vec![(from, None), (to, inode)]);
                }
            }
            Op::Exchange { one, other } => {
                let (one, other) = (self.name(one), self.name(other));
                let inodes = (self.seen.get(&one).copied(), self.seen.get(&other).copied());
                self.rename(vec![(one, inodes.1), (other, inodes.0)]);
            }
            Op::Remove { path } => {
                let name = self.name(path);
                self.rename(vec![(name, None)]);
            }
        }
    }

    fn rename(&mut self, changes: Vec<(Name, Option<u64>)>) {
        for (name, inode) in &changes {
            match inode {
                Some(inode) => self.seen.insert(name.clone(), *inode),
                None => self.seen.remove(name),
            };
        }
        self.pending.push(Pending { number: self.number, changes });
    }

    fn sync(&mut self, inode: u64) {
        if let Some(access) = self.access.get_mut(&inode) {
            access.durable = access.seen;
        }
        if let Some(file) = self.files.get_mut(&inode) {
            if !file.spoiled {
                file.durable = Arc::new(file.content.clone());
                file.unsynced.clear();
            }
            return;
        }
        let touches = |pending: &Pending| pending.changes.iter().any(|((f, _), _)| *f == inode);
        let (now, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.pending).into_iter().partition(touches);
        self.pending = later;
        for pending in &now {
            settle(&mut self.durable, &mut self.settled, pending);
        }
    }

    /// The folder and the last part of a path.
    fn name(&self, path: &Path) -> Name {
        let mut folder = self.root;
        let mut parts: Vec<OsString> = path.iter().map(OsString::from).collect();
        let last = parts.pop().unwrap_or_default();
        for part in parts {
            let Some(inode) = self.seen.get(&(folder, part)) else {
                panic!("{} is not in the volume: {:?}", path.display(), self.seen_tree().names());
            };
            folder = *inode;
        }
        (folder, last)
    }

    /// The folder as processes see it.
    pub fn seen_tree(&self) -> Tree {
        self.after_crash(Survival::Everything)
    }

    /// The folder after a crash at this moment.
    pub fn after_crash(&self, survival: Survival) -> Tree {
        let mut names = self.durable.clone();
        let mut settled = self.settled.clone();
        match survival {
            Survival::Synced => {}
            Survival::Everything => names.clone_from(&self.seen),
            Survival::Some(seed) => {
                for pending in &self.pending {
                    if chance(seed, pending.number as u64) {
                        settle(&mut names, &mut settled, pending);
                    }
                }
            }
        }
        let mut tree = Tree::default();
        self.add_access(&mut tree, Path::new(""), self.root, survival);
        self.add(&mut tree, &names, survival, self.root, Path::new(""), &mut BTreeSet::new());
        tree
    }

    fn add_access(&self, tree: &mut Tree, path: &Path, inode: u64, survival: Survival) {
        if let Some(access) = self.access.get(&inode) {
            tree.access.insert(path.to_owned(), access.after_crash(inode, survival));
        }
    }

    fn add(
        &self,
        tree: &mut Tree,
        names: &Names,
        survival: Survival,
        folder: u64,
        at: &Path,
        above: &mut BTreeSet<u64>,
    ) {
        let first = (folder, OsString::new());
        for ((_, name), inode) in names.range(first..).take_while(|((of, _), _)| *of == folder) {
            let path = at.join(name);
            if self.folders.contains(inode) {
                // A folder has one name: of two that survived, only one is shown.
                if above.insert(*inode) {
                    self.add_access(tree, &path, *inode, survival);
                    tree.entries.insert(path.clone(), Leaf::Folder);
                    self.add(tree, names, survival, *inode, &path, above);
                }
            } else if let Some(file) = self.files.get(inode) {
                self.add_access(tree, &path, *inode, survival);
                tree.entries.insert(path, Leaf::File(*inode, file.after_crash(*inode, survival)));
            }
        }
    }
}

impl Accesses {
    fn after_crash(&self, inode: u64, survival: Survival) -> Access {
        match survival {
            Survival::Everything => self.seen,
            Survival::Some(seed) if chance(seed ^ 3, inode) => self.seen,
            Survival::Synced | Survival::Some(_) => self.durable,
        }
    }
}

/// The owner and the permission bits of what was found.
pub(crate) fn access_of(found: &fs::Metadata) -> Access {
    Access { mode: found.mode() & 0o7777, owner: Some((found.uid(), found.gid())) }
}

impl File {
    fn after_crash(&self, inode: u64, survival: Survival) -> Arc<Vec<u8>> {
        match survival {
            Survival::Synced => Arc::clone(&self.durable),
            Survival::Everything => Arc::new(self.content.clone()),
            Survival::Some(seed) => {
                let mut content = self.durable.to_vec();
                for (number, op) in self.unsynced.iter().enumerate() {
                    let number = inode.wrapping_mul(31).wrapping_add(number as u64);
                    match op {
                        Op::Write { offset, bytes, .. } if chance(seed ^ 1, number) => {
                            let torn = bytes[..bytes.len() / 2].to_vec();
                            let torn = Op::Write { inode, offset: *offset, bytes: torn };
                            let whole = chance(seed ^ 2, number);
                            change(&mut content, if whole { op } else { &torn });
                        }
                        Op::Truncate { .. } if chance(seed ^ 1, number) => change(&mut content, op),
                        _ => {}
                    }
                }
                Arc::new(content)
            }
        }
    }
}

fn change(content: &mut Vec<u8>, op: &Op) {
    let at = |number: u64| usize::try_from(number).expect("a test's files fit into memory");
    match op {
        Op::Truncate { length, .. } => content.resize(at(*length), 0),
        Op::Write { offset, bytes, .. } => {
            let end = at(*offset) + bytes.len();
            if content.len() < end {
                content.resize(end, 0);
            }
            content[at(*offset)..end].copy_from_slice(bytes);
        }
        _ => {}
    }
}

/// Makes changes of names durable, except where a later one of the same name is durable already.
fn settle(durable: &mut Names, settled: &mut BTreeMap<Name, usize>, pending: &Pending) {
    for (name, inode) in &pending.changes {
        if settled.get(name).is_some_and(|last| *last > pending.number) {
            continue;
        }
        settled.insert(name.clone(), pending.number);
        match inode {
            Some(inode) => durable.insert(name.clone(), *inode),
            None => durable.remove(name),
        };
    }
}

fn chance(seed: u64, number: u64) -> bool {
    let mut state = seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    split_mix(&mut state) & 1 == 1
}

/// A path below `root`, as operations have it.
pub(crate) fn below(root: &Path, path: &Path) -> PathBuf {
    path.strip_prefix(root).unwrap_or(path).to_owned()
}
