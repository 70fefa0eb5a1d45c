//! A folder's content as plain data.

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::disk::Access;

/// What has a name in a folder.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Leaf {
    /// A folder.
    Folder,
    /// A file: its inode's number, the same for all its names, and its content.
    File(u64, Arc<Vec<u8>>),
}

/// Everything below a folder, by path, folders before what is in them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tree {
    /// The names and what has them.
    pub entries: BTreeMap<PathBuf, Leaf>,
    /// Their owners and permission bits, as far as they are known.
    pub access: BTreeMap<PathBuf, Access>,
}

impl Tree {
    /// Makes it real in the empty folder `root`.
    ///
    /// # Errors
    /// Where something cannot be written, or has a name already.
    pub fn write_to(&self, root: &Path) -> io::Result<()> {
        let mut written: BTreeMap<u64, PathBuf> = BTreeMap::new();
        for (path, leaf) in &self.entries {
            let path = root.join(path);
            match leaf {
                Leaf::Folder => fs::create_dir(&path)?,
                Leaf::File(inode, content) => {
                    if let Some(other) = written.get(inode) {
                        fs::hard_link(other, &path)?;
                    } else {
                        fs::write(&path, content.as_slice())?;
                        written.insert(*inode, path);
                    }
                }
            }
        }
        // What is in a folder comes before it: the folder may be closed.
        for (path, access) in self.access.iter().rev() {
            let path = root.join(path);
            let found = fs::symlink_metadata(&path)?;
            let owner = access.owner.filter(|owner| *owner != (found.uid(), found.gid()));
            if let Some((user, group)) = owner {
                lchown(&path, Some(user), Some(group))?;
            }
            fs::set_permissions(&path, Permissions::from_mode(access.mode))?;
        }
        Ok(())
    }

    /// A number that tells trees apart, so that each is looked at once.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.hash(&mut hasher);
        hasher.finish()
    }

    /// The names, without their content.
    pub fn names(&self) -> Vec<String> {
        self.entries.keys().map(|path| path.display().to_string()).collect()
    }
}
