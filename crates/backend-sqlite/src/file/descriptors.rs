//! Descriptors of databases that stay open for as long as the process lives.
//!
//! The locks that SQLite takes on a main file and on its `-shm` are those of the process: when *any* of
//! its descriptors of the file is closed, all its locks on that file are gone, in silence, and other
//! processes write where a reader of ours believes itself safe. SQLite keeps count of its own
//! descriptors for that reason, and cannot know of others. So whatever is opened here, is opened once
//! for each file (device and inode), shared by all that read it, and never closed while a lock could
//! hang on it.
//!
//! A file that is replaced is another inode, with a descriptor of its own; the old one keeps the room of
//! the removed file taken. It is closed when the file has no name any more and no other descriptor of
//! this process leads to it: nobody can then open it again, and no lock of ours is left on it. Where that
//! cannot be found out (there is no `/dev/fd`), it stays open.
//!
//! Logs and journals carry no locks; those are opened and closed as any file.

use std::collections::HashMap;
use std::fs::{self, File};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use backup_core::{Error, Result};

/// Device and inode to the one descriptor.
static OPENED: Mutex<Option<Opened>> = Mutex::new(None);

#[derive(Default)]
struct Opened {
    files: HashMap<(u64, u64), Arc<File>>,
    /// Those of a file that another thread's rename put under a name just before it was opened.
    spare: Vec<Arc<File>>,
}

/// The process's descriptor of a file, for reading. It must not be cloned into one that is closed.
///
/// # Errors
/// [`Error::Io`] where the file cannot be opened.
pub(crate) fn open(path: &Path) -> Result<Arc<File>> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let opened = opened.get_or_insert_default();
    opened.let_go_of_removed();
    let inode = |found: &fs::Metadata| (found.dev(), found.ino());
    // By its name first: a second descriptor could not be closed any more.
    let there = fs::metadata(path).map_err(Error::io("open", path))?;
    if let Some(file) = opened.files.get(&inode(&there)) {
        return Ok(Arc::clone(file));
    }
    let file = Arc::new(File::open(path).map_err(Error::io("open", path))?);
    let found = file.metadata().map_err(Error::io("look at", path))?;
    if let Some(known) = opened.files.get(&inode(&found)) {
        let known = Arc::clone(known);
        opened.spare.push(file);
        return Ok(known);
    }
    opened.files.insert(inode(&found), Arc::clone(&file));
    Ok(file)
}

/// Whether this process has a file open by another descriptor than those here: as a connection of the
/// application, or of another snapshot, has.
///
/// # Errors
/// [`Error::Io`] where the system does not list the descriptors.
pub(crate) fn is_open_elsewhere(file: (u64, u64)) -> Result<bool> {
    let mut opened = OPENED.lock().unwrap_or_else(PoisonError::into_inner);
    let ours = opened.get_or_insert_default().descriptors();
    let open = open_files().map_err(Error::io("list the descriptors in", "/dev/fd"))?;
    Ok(open.into_iter().any(|(number, found)| found == file && !ours.contains(&number)))
}

impl Opened {
    fn descriptors(&self) -> Vec<RawFd> {
        self.files.values().chain(&self.spare).map(AsRawFd::as_raw_fd).collect()
    }

    fn let_go_of_removed(&mut self) {
        let removed = |file: &Arc<File>| {
            let unnamed = file.metadata().is_ok_and(|found| found.nlink() == 0);
            unnamed && Arc::strong_count(file) == 1
        };
        if !self.files.values().any(removed) {
            return;
        }
        let Ok(open) = open_files() else { return };
        let once = |file: (u64, u64)| open.iter().filter(|(_, found)| *found == file).count() == 1;
        self.files.retain(|place, file| !(removed(file) && once(*place)));
    }
}

/// Each descriptor of this process with the device and inode of what it leads to.
fn open_files() -> std::io::Result<Vec<(RawFd, (u64, u64))>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/dev/fd")? {
        let entry = entry?;
        let number = entry.file_name().to_str().and_then(|name| name.parse().ok());
        // One that was closed meanwhile leads nowhere.
        if let (Some(number), Ok(seen)) = (number, fs::metadata(entry.path())) {
            found.push((number, (seen.dev(), seen.ino())));
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_opened_once_and_let_go_when_it_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("db");
        fs::write(&path, "one").unwrap();
        let first = open(&path).unwrap();
        assert!(Arc::ptr_eq(&first, &open(&path).unwrap()));
        let linked = folder.path().join("link");
        fs::hard_link(&path, &linked).unwrap();
        assert!(Arc::ptr_eq(&first, &open(&linked).unwrap()), "by its inode, not by its name");

        let seen = fs::metadata(&path).unwrap();
        let place = (seen.dev(), seen.ino());
        assert!(!is_open_elsewhere(place).unwrap());
        let other = File::open(&path).unwrap();
        assert!(is_open_elsewhere(place).unwrap());

        let number = first.as_raw_fd();
        let still_there = || {
            open(Path::new("/dev/null")).unwrap();
            open_files().unwrap().contains(&(number, place))
        };
        drop(first);
        assert!(still_there(), "a file with a name keeps its descriptor");
        fs::remove_file(&path).unwrap();
        fs::remove_file(&linked).unwrap();
        assert!(still_there(), "another descriptor could have locks");
        drop(other);
        assert!(!still_there());
    }
}
