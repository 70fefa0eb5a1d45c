//! Folders: their size, their files, their end.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

/// Every file below a folder, with its length in bytes.
pub(crate) fn files(folder: &Path) -> Result<BTreeMap<PathBuf, u64>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("cannot list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("cannot list {}", folder.display()))?;
            let data = entry.metadata().context("cannot read a size")?;
            if data.is_dir() {
                folders.push(entry.path());
            } else {
                found.insert(entry.path(), data.len());
            }
        }
    }
    Ok(found)
}

/// The bytes of all files below a folder.
pub(crate) fn bytes(folder: &Path) -> Result<u64> {
    Ok(files(folder)?.values().sum())
}

/// Removes a folder, where it is there.
pub(crate) fn remove(folder: &Path) -> Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)
            .with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    Ok(())
}

/// An fsync of every file below a folder, and of the folders.
pub(crate) fn sync(folder: &Path) -> Result<()> {
    for path in files(folder)?.keys() {
        sync_one(path)?;
    }
    sync_one(folder)
}

/// An fsync of one file or folder.
pub(crate) fn sync_one(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.sync_all().with_context(|| format!("cannot sync {}", path.display()))
}
