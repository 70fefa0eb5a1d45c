//! A folder as it lies on disk, to be compared before and after.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use backup_core::{Error, Result};

/// What can be seen of a file or folder.
#[derive(Clone, PartialEq, Eq)]
pub struct Entry {
    /// The permission bits.
    pub mode: u32,
    /// When the content was last changed.
    pub modified: SystemTime,
    /// The inode's number, which tells a file from its copy.
    pub inode: u64,
    /// The content of a file; `None` for a folder.
    pub content: Option<Vec<u8>>,
}

impl std::fmt::Debug for Entry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let length = self.content.as_ref().map(Vec::len);
        write!(
            f,
            "mode {:o}, inode {}, {:?}, {length:?} bytes",
            self.mode, self.inode, self.modified
        )
    }
}

/// Every file and folder below `root`, and itself, by its path from there.
///
/// # Errors
/// [`Error::Io`].
pub fn tree(root: &Path) -> Result<BTreeMap<PathBuf, Entry>> {
    let mut found = BTreeMap::new();
    add(root, root, &mut found)?;
    Ok(found)
}

fn add(root: &Path, path: &Path, found: &mut BTreeMap<PathBuf, Entry>) -> Result<()> {
    let seen = fs::symlink_metadata(path).map_err(Error::io("look at", path))?;
    let content =
        if seen.is_file() { Some(fs::read(path).map_err(Error::io("read", path))?) } else { None };
    let entry = Entry {
        mode: seen.permissions().mode() & 0o7777,
        modified: seen.modified().map_err(Error::io("look at", path))?,
        inode: seen.ino(),
        content,
    };
    found.insert(path.strip_prefix(root).unwrap_or(path).to_owned(), entry);
    if seen.is_dir() {
        for child in fs::read_dir(path).map_err(Error::io("list", path))? {
            add(root, &child.map_err(Error::io("list", path))?.path(), found)?;
        }
    }
    Ok(())
}
