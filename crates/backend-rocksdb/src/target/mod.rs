//! RocksDB as something that is restored into.

mod files;
mod records;
mod tables;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::check::none_alone;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::progress::Context;
use backup_core::source::{Capabilities, StoreDescription};
use backup_core::staging::{self, Form, Placing, Staging, is_occupied};
use backup_core::target::{Content, RestorePlan};
use backup_core::{Error, Restore, Result, Target, thread};

use crate::ENGINE;
use crate::format::file_name::CURRENT;
use crate::lock;

/// A folder, in which CURRENT comes last.
const FORM: Form = Form::Folder { last: Some(CURRENT) };

/// A folder that a RocksDB store is restored into.
///
/// The store is built in a hidden folder beside it and put in its place only when it is complete,
/// checked and durable.
#[derive(Debug, Clone)]
pub struct RocksTarget {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
}

impl RocksTarget {
    /// The folder that the restored store gets.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be made absolute.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let folder = std::path::absolute(path).map_err(Error::io("find", path))?;
        Ok(Self { folder, disk: Arc::new(LocalDisk) })
    }

    /// Does keepsum's own file operations through `disk`; the engine does its own itself.
    #[must_use]
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    fn start(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        none_alone(ENGINE, plan.check)?;
        if let Content::Files { engine, .. } = &plan.content
            && engine != ENGINE
        {
            return Err(Error::unsupported(
                format!("placing files of {engine} as a RocksDB store"),
                format!("restore them into {engine}, or restore a records snapshot"),
            ));
        }
        if let Some(process) = lock::holder(&self.folder) {
            return Err(Error::InUse {
                what: format!("the database {}", self.folder.display()),
                hint: format!("process {process} has it open: stop it first"),
            });
        }
        let (disk, folder, form) = (self.disk.clone(), &self.folder, FORM);
        Ok(match plan.content {
            Content::Records { layout, databases } => {
                let staging = Staging::begin(disk, folder, form, plan.existing)?;
                records::begin(staging, plan.origin, layout, databases, context)?
            }
            Content::Files { files, .. } => {
                let (existing, origin) = (plan.existing, plan.origin);
                let placing =
                    Placing::begin(disk, folder, form, files, existing, &origin, context)?;
                let context = context.clone();
                placing.restore(move |placing| files::complete(placing, origin, &context))
            }
        })
    }
}

#[async_trait]
impl Target for RocksTarget {
    fn describe(&self) -> StoreDescription {
        let location = format!("{ENGINE}:{}", self.folder.display());
        StoreDescription { engine: ENGINE.into(), location, identity: None }
    }

    fn capabilities(&self) -> Capabilities {
        crate::source::abilities(false)
    }

    fn beside(&self) -> Result<Option<PathBuf>> {
        staging::beside(&self.folder).map(Some)
    }

    async fn is_occupied(&self) -> Result<bool> {
        let folder = self.folder.clone();
        thread::call("rocksdb look", move || is_occupied(&folder, FORM)).await
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        let (target, context) = (self.clone(), context.clone());
        thread::call("rocksdb restore", move || target.start(plan, &context)).await
    }
}
