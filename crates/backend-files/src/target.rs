//! A folder of files as something that is restored into.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::disk::{Disk, DiskFile, LocalDisk};
use backup_core::progress::Context;
use backup_core::record::RecordBatch;
use backup_core::source::{Capabilities, FileInfo, StoreDescription};
use backup_core::staging::{Form, SIDECAR, Staging};
use backup_core::target::{Content, Origin, RestorePlan, Restored};
use backup_core::{Error, Restore, Result, Target, thread};
use bytes::Bytes;

use crate::{ABILITIES, ENGINE, describe};

/// A folder that is made from the files of a [`FilesSource`](crate::FilesSource).
#[derive(Debug, Clone)]
pub struct FilesTarget {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl FilesTarget {
    /// The folder to make; the folder above it must exist.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), disk: Arc::new(LocalDisk) }
    }

    /// Does its file operations through `disk`.
    #[must_use]
    pub fn with_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }
}

#[async_trait]
impl Target for FilesTarget {
    fn describe(&self) -> StoreDescription {
        describe(&self.folder)
    }

    fn capabilities(&self) -> Capabilities {
        ABILITIES
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        let files = match plan.content {
            Content::Records { .. } => return Err(no_records()),
            Content::Files { engine, files } if engine == ENGINE => files,
            Content::Files { engine, .. } => return Err(other_engine(&engine)),
        };
        check_plan(&files)?;
        let (disk, folder) = (Arc::clone(&self.disk), self.folder.clone());
        let form = Form::Folder { last: None };
        let begin = move || Staging::begin(disk, &folder, form, plan.existing);
        let staging = thread::call("files-begin", begin).await?;
        let files = files.into_iter().map(Building::planned).collect();
        let (origin, context) = (plan.origin, context.clone());
        Ok(Box::new(FilesRestore { staging, files, origin, context }))
    }
}

/// Files being written beside the target.
struct FilesRestore {
    staging: Staging,
    files: Vec<Building>,
    origin: Origin,
    context: Context,
}

/// A file of the plan, as far as it is written.
struct Building {
    info: FileInfo,
    written: u64,
    /// Open from its first piece to its last.
    file: Option<Box<dyn DiskFile>>,
}

impl Building {
    fn planned(info: FileInfo) -> Self {
        Self { info, written: 0, file: None }
    }

    /// Checks that a piece is the next one.
    fn check(&self, offset: u64, bytes: usize) -> Result<u64> {
        let Self { info, written, .. } = self;
        let end = offset.checked_add(bytes as u64).filter(|end| *end <= info.bytes);
        match end {
            Some(end) if offset == *written => Ok(end),
            _ => {
                let detail = format!(
                    "a piece of {bytes} bytes came at {offset}, where {written} of {} are written",
                    info.bytes
                );
                Err(Error::invalid(format!("the file {}", info.path), detail))
            }
        }
    }
}

#[async_trait]
impl Restore for FilesRestore {
    async fn load(&mut self, _database: usize, _batch: RecordBatch) -> Result<()> {
        Err(no_records())
    }

    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.context.check()?;
        let planned = self.files.len();
        let Some(building) = self.files.get_mut(file) else {
            let detail = format!("is not in the plan, which has {planned}");
            return Err(Error::invalid(format!("file number {file}"), detail));
        };
        let end = building.check(offset, bytes.len())?;
        if bytes.is_empty() {
            return Ok(());
        }
        let open = building.file.take();
        if open.is_none() && offset > 0 {
            let detail = "an earlier piece of it was not written to the end; begin again";
            return Err(Error::invalid(format!("the file {}", building.info.path), detail));
        }
        let (disk, folder) = (Arc::clone(self.staging.disk()), self.staging.folder().to_owned());
        let info = building.info.clone();
        let write = move || {
            let mut file = open.map_or_else(|| create(disk.as_ref(), &folder, &info), Ok)?;
            file.write_at(offset, &bytes)?;
            Ok(file)
        };
        let file = thread::call("files-place", write).await?;
        building.written = end;
        building.file = (end < building.info.bytes).then_some(file);
        Ok(())
    }

    async fn finish(self: Box<Self>) -> Result<Restored> {
        let Self { staging, files, origin, context } = *self;
        thread::call("files-finish", move || {
            for Building { info, written, .. } in &files {
                context.check()?;
                if *written < info.bytes {
                    let detail = format!("{written} of its {} bytes came", info.bytes);
                    return Err(Error::invalid(format!("the file {}", info.path), detail));
                }
                if info.bytes == 0 {
                    create(staging.disk().as_ref(), staging.folder(), info)?;
                }
            }
            context.check()?;
            let kept_aside = staging.publish(&origin)?;
            Ok(Restored { kept_aside, notes: Vec::new() })
        })
        .await
    }
}

fn create(disk: &dyn Disk, folder: &Path, info: &FileInfo) -> Result<Box<dyn DiskFile>> {
    let path = info.path.below(folder);
    if let Some(above) = path.parent() {
        disk.create_folder(above)?;
    }
    disk.create_file(&path, info.mode)
}

/// Checks that the files of a plan can all lie in one folder.
fn check_plan(files: &[FileInfo]) -> Result<()> {
    let refuse = |path: &str, detail: &str| {
        Err(Error::invalid(format!("the file {path:?} of the snapshot"), detail))
    };
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path >= pair[1].path) {
        return refuse(pair[1].path.as_str(), "comes twice, or not in the order of paths");
    }
    let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for path in &paths {
        let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
        if above.any(|folder| paths.contains(folder)) {
            return refuse(path, "lies below another file, where only a folder can be");
        }
    }
    if paths.contains(SIDECAR) {
        return refuse(SIDECAR, "has the name of keepsum's own mark of a restored store");
    }
    Ok(())
}

fn no_records() -> Error {
    let why = "its records have no files yet; restore them into a key-value engine (rocksdb:PATH)";
    Error::unsupported("restoring records as files", why)
}

fn other_engine(engine: &str) -> Error {
    let why = format!("they belong to {engine}; restore them into {engine}:PATH");
    Error::unsupported(format!("placing files of {engine} with files:PATH"), why)
}
