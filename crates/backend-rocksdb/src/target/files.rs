//! Restoring files as they were, without the engine, so that every release that could open them
//! still can.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::disk::{Disk, DiskFile};
use backup_core::progress::Context;
use backup_core::record::RecordBatch;
use backup_core::source::FileInfo;
use backup_core::staging::Staging;
use backup_core::target::{Origin, Restored};
use backup_core::{Error, Restore, Result, thread};
use bytes::Bytes;

use crate::capture::encrypted::is_encrypted;
use crate::format::file_name::{self, CURRENT};
use crate::format::manifest::{LiveState, Unreadable};

/// A restore of files under way.
pub(super) struct FilesRestore {
    staging: Staging,
    origin: Origin,
    files: Vec<FileInfo>,
    /// The files that were begun, with what they have so far in bytes; none once they are whole.
    begun: BTreeMap<usize, Begun>,
    /// A piece was refused or not written: nothing is published without it.
    failed: bool,
    context: Context,
}

struct Begun {
    file: Option<Box<dyn DiskFile>>,
    written: u64,
}

impl FilesRestore {
    pub(super) fn begin(
        staging: Staging,
        origin: Origin,
        files: Vec<FileInfo>,
        context: &Context,
    ) -> Self {
        let context = context.clone();
        Self { staging, origin, files, begun: BTreeMap::new(), failed: false, context }
    }

    /// The files that have not all their bytes; empty ones are made here.
    fn complete(&mut self) -> Result<()> {
        for (index, info) in self.files.iter().enumerate() {
            let written = self.begun.get(&index).map(|begun| begun.written);
            if info.bytes == 0 && written.is_none() {
                create(self.staging.disk(), self.staging.folder(), info)?;
            } else if written.unwrap_or(0) != info.bytes {
                let detail = format!(
                    "{} of its {} bytes came; restore it again",
                    written.unwrap_or(0),
                    info.bytes
                );
                return Err(Error::invalid(format!("the file {}", info.path), detail));
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Restore for FilesRestore {
    async fn load(&mut self, _database: usize, _batch: RecordBatch) -> Result<()> {
        self.failed = true;
        Err(Error::invalid("a restore of files", "takes no records; it was begun for files"))
    }

    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        let placed = self.piece(file, offset, bytes).await;
        self.failed |= placed.is_err();
        placed
    }

    async fn finish(mut self: Box<Self>) -> Result<Restored> {
        thread::call("rocksdb restore", move || {
            self.context.check()?;
            if self.failed {
                return Err(Error::invalid("a restore of files", "goes on after it failed"));
            }
            self.complete()?;
            let mut notes = Vec::new();
            if is_encrypted(self.staging.folder())? {
                notes.push("the store is encrypted, so it was not checked as a database".into());
            } else {
                check(self.staging.folder())?;
            }
            let kept_aside = self.staging.publish(&self.origin)?;
            Ok(Restored { kept_aside, notes })
        })
        .await
    }
}

impl FilesRestore {
    async fn piece(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.context.check()?;
        let info = self.files.get(file).ok_or_else(|| {
            Error::invalid("a restore of files", format!("has no file number {file}"))
        })?;
        let begun = self.begun.entry(file).or_insert(Begun { file: None, written: 0 });
        let end = offset.checked_add(bytes.len() as u64);
        if offset != begun.written || end.is_none_or(|end| end > info.bytes) {
            let detail = format!(
                "got {} bytes at {offset}; expected them at {} of {}",
                bytes.len(),
                begun.written,
                info.bytes
            );
            return Err(Error::invalid(format!("the file {}", info.path), detail));
        }
        let (disk, folder) = (self.staging.disk().clone(), self.staging.folder().to_owned());
        let (info, open) = (info.clone(), begun.file.take());
        let done = end == Some(info.bytes);
        let length = bytes.len() as u64;
        let open = thread::call("rocksdb restore", move || {
            let mut file = match open {
                Some(file) => file,
                None => create(&disk, &folder, &info)?,
            };
            file.write_at(offset, &bytes)?;
            // A whole file is closed; publishing makes it durable.
            Ok((!done).then_some(file))
        })
        .await?;
        begun.file = open;
        begun.written += length;
        Ok(())
    }
}

fn create(disk: &Arc<dyn Disk>, folder: &Path, info: &FileInfo) -> Result<Box<dyn DiskFile>> {
    let path = info.path.below(folder);
    if let Some(parent) = path.parent().filter(|parent| *parent != folder) {
        disk.create_folder(parent)?;
    }
    disk.create_file(&path, info.mode)
}

/// Checks that the placed files are a whole database: what CURRENT names, and every table, blob
/// file and log that the MANIFEST lists, with its length. The engine itself is not asked: opening a
/// database writes a new MANIFEST, which older releases might not read.
fn check(folder: &Path) -> Result<()> {
    let path = folder.join(CURRENT);
    let current = match fs::read(&path) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::damaged("the restored database", "it has no CURRENT file"));
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let name = file_name::manifest_of(&current).ok_or_else(|| {
        Error::damaged("the restored database", "its CURRENT does not name a MANIFEST")
    })?;
    let path = folder.join(&name);
    let manifest = File::open(&path).map_err(Error::io("open", &path))?;
    let live = LiveState::read(io::BufReader::new(manifest)).map_err(|error| match error {
        Unreadable::Io(error) => Error::io("read", &path)(error),
        Unreadable::Damaged { records, reason } => Error::damaged(
            format!("the restored {name}"),
            format!("after {records} records: {reason}"),
        ),
    })?;
    for family in live.families.values() {
        for table in family.tables.values() {
            let new = file_name::table(table.number);
            let names = [new, file_name::old_table(table.number)];
            expect(folder, &names, |bytes| bytes == table.bytes)?;
        }
        for (number, length) in family.blobs() {
            expect(folder, &[file_name::blob(number)], |bytes| bytes == length)?;
        }
    }
    for (number, synced) in live.tracked_wals.iter().filter(|(number, _)| live.needs_wal(**number))
    {
        expect(folder, &[format!("{number:06}.log")], |bytes| bytes >= *synced)?;
    }
    Ok(())
}

/// Checks that no path comes twice, and none is a folder of another.
pub(super) fn check_plan(files: &[FileInfo]) -> Result<()> {
    let mut paths: Vec<_> = files.iter().map(|file| file.path.as_str().split('/')).collect();
    paths.sort_by(|a, b| a.clone().cmp(b.clone()));
    for pair in paths.windows(2) {
        let mut longer = pair[1].clone();
        if pair[0].clone().all(|part| longer.next() == Some(part)) {
            let path: Vec<_> = pair[0].clone().collect();
            let detail = "comes twice, or as a file and as a folder";
            return Err(Error::invalid(format!("the file {}", path.join("/")), detail));
        }
    }
    Ok(())
}

fn expect(folder: &Path, names: &[String], fits: impl Fn(u64) -> bool) -> Result<()> {
    let found = names.iter().find_map(|name| fs::metadata(folder.join(name)).ok());
    match found {
        Some(found) if fits(found.len()) => Ok(()),
        Some(found) => Err(Error::damaged(
            format!("the restored {}", names[0]),
            format!("it has {} bytes, which is not what the MANIFEST says", found.len()),
        )),
        None => Err(Error::damaged(
            format!("the restored {}", names[0]),
            "it is missing, and the MANIFEST lists it",
        )),
    }
}
