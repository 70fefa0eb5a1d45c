//! A snapshot: the captured files.

use std::fs::File;
use std::io::ErrorKind;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::ownership::Owners;
use backup_core::source::{FileInfo, SnapshotInfo, read_range};
use backup_core::stamp::Stamp;
use backup_core::{Error, Files, Records, Result, Snapshot, thread};
use bytes::Bytes;

use crate::capture::{Capture, Captured, Way};
use crate::scratch::Scratch;
use crate::selection::Change;

/// The captured files, until it is dropped.
pub(crate) struct FilesSnapshot {
    info: SnapshotInfo,
    list: Vec<FileInfo>,
    captured: Arc<Held>,
}

/// The captured files and the folder they lie in, which must not go before them.
struct Held {
    files: Vec<Captured>,
    _scratch: Scratch,
}

impl FilesSnapshot {
    pub(crate) fn new(info: SnapshotInfo, capture: Capture, scratch: Scratch) -> Self {
        let mut owners = info.ownership.as_ref().map(|store| Owners::of_store(&store.owner));
        let list = capture.files.iter().map(|file| describe(file, owners.as_mut())).collect();
        let held = Held { files: capture.files, _scratch: scratch };
        Self { info, list, captured: Arc::new(held) }
    }
}

fn describe(file: &Captured, owners: Option<&mut Owners>) -> FileInfo {
    FileInfo {
        path: file.path.clone(),
        bytes: file.seen.stamp.bytes,
        identity: file.seen.identity.clone(),
        mode: file.seen.stamp.mode & file.seen.reach,
        owner: owners.and_then(|owners| owners.of_file(file.seen.stamp.owner)),
        nature: file.seen.change.nature(),
    }
}

impl Snapshot for FilesSnapshot {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn Records> {
        None
    }

    fn files(&self) -> Option<&dyn Files> {
        Some(self)
    }
}

#[async_trait]
impl Files for FilesSnapshot {
    fn list(&self) -> &[FileInfo] {
        &self.list
    }

    async fn read(&self, file: usize, range: Range<u64>) -> Result<Bytes> {
        let Some(info) = self.list.get(file) else {
            let detail = format!("is not in the snapshot, which has {}", self.list.len());
            return Err(Error::invalid(format!("file number {file}"), detail));
        };
        if range.start > range.end || range.end > info.bytes {
            let detail = format!("has {} bytes, and no range {range:?}", info.bytes);
            return Err(Error::invalid(format!("the file {}", info.path), detail));
        }
        let held = Arc::clone(&self.captured);
        thread::call("files-read", move || read(&held.files[file], range)).await
    }
}

fn read(file: &Captured, range: Range<u64>) -> Result<Bytes> {
    let mut open = File::open(&file.at).map_err(Error::io("open", &file.at))?;
    let bytes = read_range(&mut open, range).map_err(|error| match error.kind() {
        ErrorKind::UnexpectedEof => changed(file),
        _ => Error::io("read", &file.at)(error),
    })?;
    if file.way == Way::HardLink {
        let seen = open.metadata().map_err(Error::io("look at", &file.at))?;
        check_promise(file, Stamp::new(&seen))?;
    }
    Ok(bytes.into())
}

/// A hard link is the original: what was just read is what was captured only if the original was
/// changed in no other way than was promised.
fn check_promise(file: &Captured, now: Stamp) -> Result<()> {
    let then = file.seen.stamp;
    let kept = match file.seen.change {
        Change::Never => now.bytes == then.bytes && now.modified == then.modified,
        Change::Appended => now.bytes >= then.bytes,
        Change::InPlace => true,
    };
    if kept { Ok(()) } else { Err(changed(file)) }
}

fn changed(file: &Captured) -> Error {
    let detail = format!(
        "it changed after it was captured, and the list promises {:?}; list it as {:?}",
        file.seen.change,
        Change::InPlace
    );
    Error::damaged(format!("the file {}", file.path), detail)
}
