//! A folder of files as something that is restored into.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::check::none_alone;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::progress::Context;
use backup_core::source::{Capabilities, StoreDescription};
use backup_core::staging::{self, BuiltStore, Form, Placing, is_occupied};
use backup_core::target::{Content, RestorePlan};
use backup_core::{Error, Restore, Result, Target, thread};

use crate::{ABILITIES, ENGINE, describe};

/// A folder whose files may come in any order.
const FORM: Form = Form::Folder { last: None };

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

    fn beside(&self) -> Result<Option<PathBuf>> {
        staging::beside(&self.folder).map(Some)
    }

    async fn is_occupied(&self) -> Result<bool> {
        let folder = self.folder.clone();
        thread::call("files-look", move || is_occupied(&folder, FORM)).await
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        none_alone(ENGINE, plan.check)?;
        let files = match plan.content {
            Content::Records { .. } => return Err(no_records()),
            Content::Files { engine, files } if engine == ENGINE => files,
            Content::Files { engine, .. } => return Err(other_engine(&engine)),
        };
        let (disk, folder) = (Arc::clone(&self.disk), self.folder.clone());
        let (origin, context) = (plan.origin, context.clone());
        thread::call("files-begin", move || {
            let existing = plan.existing;
            let placing = if origin.salvaged {
                Placing::begin_with_holes(disk, &folder, FORM, files, existing, &context)?
            } else {
                Placing::begin(disk, &folder, FORM, files, existing, &origin, &context)?
            };
            let build =
                move |placing: Placing| Ok(BuiltStore::new(placing.complete()?, origin, &context));
            Ok(placing.restore(build))
        })
        .await
    }
}

fn no_records() -> Error {
    let why = "its records have no files yet; restore them into a key-value engine (rocksdb:PATH)";
    Error::unsupported("restoring records as files", why)
}

fn other_engine(engine: &str) -> Error {
    let why = format!("they belong to {engine}; restore them into {engine}:PATH");
    Error::unsupported(format!("placing files of {engine} with files:PATH"), why)
}
