//! What a folder needs, beyond what `object_store` does, to be a durable object store.
//!
//! `LocalFileSystem` with `fsync` syncs a new file before it links it under its name, and the folder
//! after. It does not sync deletions; it makes folders that are missing, which would hide that a disk
//! is no longer mounted; and it answers "exists" for a name that another process has just linked and
//! not yet synced.

use std::collections::BTreeSet;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::disk::Disk;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::{Error, Result, blocking};

/// How many files are synced at the same time.
const SYNCS_AT_ONCE: usize = 8;

/// A repository's folder on a local disk.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

/// What is at a path where a repository is, or is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    Nothing,
    Folder,
}

impl Folder {
    pub(crate) fn new(path: PathBuf, disk: Arc<dyn Disk>) -> Self {
        Self { path, disk }
    }

    /// The folder `path` in this one.
    pub(crate) fn below(self, path: &str) -> Self {
        Self { path: self.path.join(path), ..self }
    }

    /// What is at the path.
    ///
    /// # Errors
    /// Where it is not a folder, or cannot be looked at: never taken for nothing.
    pub(crate) async fn look(&self) -> Result<Found> {
        let path = self.path.clone();
        blocking::run("look at a folder", move || match fs::metadata(&path) {
            Ok(found) if found.is_dir() => Ok(Found::Folder),
            Ok(_) => Err(backup_core::Error::invalid(
                path.display().to_string(),
                "is not a folder; a local repository is one",
            )
            .into()),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(Found::Nothing),
            Err(error) => Err(backup_core::Error::io("look at", path)(error).into()),
        })
        .await
    }

    /// Makes the folder, and each folder above it that is missing, durably.
    pub(crate) async fn make(&self) -> Result<()> {
        let Self { path, disk } = self.clone();
        blocking::run("make a folder", move || make(disk.as_ref(), &path)).await
    }

    /// Makes `children`, relative and each after its parent, durably.
    pub(crate) async fn make_below(&self, children: Vec<String>) -> Result<()> {
        let Self { path, disk } = self.clone();
        blocking::run("make a repository's folders", move || {
            for child in &children {
                disk.create_folder(&path.join(child))?;
            }
            for child in children.iter().rev() {
                disk.sync_folder(&path.join(child))?;
            }
            disk.sync_folder(&path)?;
            Ok(())
        })
        .await
    }

    /// Makes the entries of the folder that holds `file` durable.
    pub(crate) async fn settle(&self, file: &str) -> Result<()> {
        let (folder, disk) = (self.parent(file), Arc::clone(&self.disk));
        blocking::run("sync a folder", move || Ok(disk.sync_folder(&folder)?)).await
    }

    /// Makes files durable, and then their names. Some are synced at the same time: a journal that is
    /// written for one of them then holds the others as well.
    pub(crate) async fn sync(&self, files: Vec<String>) -> Result<()> {
        let files: Vec<_> = files.iter().map(|file| self.path.join(file)).collect();
        let folders: BTreeSet<_> =
            files.iter().filter_map(|file| file.parent().map(Path::to_path_buf)).collect();
        self.sync_all(files).await?;
        self.sync_all(folders).await
    }

    /// Syncs files or folders.
    async fn sync_all(&self, paths: impl IntoIterator<Item = PathBuf>) -> Result<()> {
        let sync = |path: PathBuf| {
            let disk = Arc::clone(&self.disk);
            blocking::run("sync a file", move || Ok(disk.sync_file(&path)?))
        };
        stream::iter(paths).map(sync).buffer_unordered(SYNCS_AT_ONCE).try_collect().await
    }

    /// Checks that the folder that is to hold `file` is there. `init` made all of them.
    pub(crate) async fn check_parent(&self, file: &str) -> Result<()> {
        let folder = self.parent(file);
        blocking::run("look at a folder", move || match fs::metadata(&folder) {
            Ok(_) => Ok(()),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Error::Missing { what: format!("the folder {}", folder.display()) })
            }
            Err(error) => Err(backup_core::Error::io("look at", folder)(error).into()),
        })
        .await
    }

    fn parent(&self, file: &str) -> PathBuf {
        let below = self.path.join(file);
        below.parent().map_or(below.clone(), Path::to_path_buf)
    }
}

/// Makes a folder, and each folder above it that is missing, durably.
pub(crate) fn make(disk: &dyn Disk, path: &Path) -> Result<()> {
    let missing: Vec<_> = path
        .ancestors()
        .take_while(|folder| !folder.as_os_str().is_empty() && !folder.exists())
        .collect();
    for folder in missing.into_iter().rev() {
        disk.create_folder(folder)?;
        match folder.parent() {
            Some(parent) if parent.as_os_str().is_empty() => disk.sync_folder(Path::new("."))?,
            Some(parent) => disk.sync_folder(parent)?,
            None => {}
        }
    }
    Ok(())
}
