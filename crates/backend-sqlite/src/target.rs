//! SQLite as something that is restored into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::progress::Context;
use backup_core::source::{Capabilities, StoreDescription};
use backup_core::staging::{Form, Staging};
use backup_core::target::{Content, RestorePlan};
use backup_core::{Error, Restore, Result, Target, thread};

use crate::source::{abilities, describe};
use crate::store::StoreRestore;

/// A file that a database is restored into.
///
/// It is built in a hidden folder beside it and put in its place only when it is complete and durable.
#[derive(Debug, Clone)]
pub struct SqliteTarget {
    path: PathBuf,
    disk: Arc<dyn Disk>,
}

impl SqliteTarget {
    /// The file that the restored database gets.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be made absolute.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        Ok(Self { path, disk: Arc::new(LocalDisk) })
    }

    /// Does keepsum's own file operations through `disk`; the engine does its own itself.
    #[must_use]
    pub fn on_disk(mut self, disk: Arc<dyn Disk>) -> Self {
        self.disk = disk;
        self
    }

    fn start(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        let Content::Records { layout, databases } = plan.content else {
            return Err(Error::unsupported(
                "placing files as a SQLite database",
                "restore the snapshot's records instead",
            ));
        };
        let staging = Staging::begin(self.disk.clone(), &self.path, Form::File, plan.existing)?;
        let restore =
            StoreRestore::begin(&self.path, staging, plan.origin, layout, &databases, context)?;
        Ok(Box::new(restore))
    }
}

#[async_trait]
impl Target for SqliteTarget {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities()
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        let (target, context) = (self.clone(), context.clone());
        thread::call("sqlite restore", move || target.start(plan, &context)).await
    }
}
