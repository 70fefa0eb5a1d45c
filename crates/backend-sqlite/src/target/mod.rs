//! SQLite as something that is restored into.

mod holder;
mod pages;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::progress::Context;
use backup_core::source::{Capabilities, StoreDescription};
use backup_core::staging::{
    self, BuiltStore, Form, Placing, Staging, is_occupied, refuse_mounted_file,
};
use backup_core::target::{Content, Origin, RestorePlan};
use backup_core::{Error, Restore, Result, Target, thread};

use crate::ENGINE;
use crate::rows::{self, can_load};
use crate::source::{abilities, describe};
use crate::store;

/// One file, and what SQLite keeps beside it: its logs, which must not meet another database, and the
/// memory of its log.
const FORM: Form =
    Form::File { companions: &["-wal", "-shm", "-journal"], logs: &["-wal", "-journal"] };

/// A file that a database is restored into.
///
/// It is built in a hidden folder beside it and put in its place only when it is complete, checked and
/// durable. What was there goes aside together with its logs. A database that a process has open is
/// refused, as far as this process can see: processes of other users, of other containers and of other
/// hosts that share a file system are not seen.
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
        crate::version::check()?;
        refuse_mounted_file(&self.path)?;
        holder::refuse_open(&self.path)?;
        let RestorePlan { content, existing, check, origin } = plan;
        let disk = Arc::clone(&self.disk);
        match content {
            Content::Files { engine, files } if engine == ENGINE => {
                pages::check_plan(&files)?;
                let placing =
                    Placing::begin(disk, &self.path, FORM, files, existing, &origin, context)?;
                let context = context.clone();
                Ok(placing
                    .restore(move |placing| pages::complete(placing, origin, check, &context)))
            }
            Content::Files { engine, .. } => Err(Error::unsupported(
                format!("placing files of {engine} as a SQLite database"),
                format!("restore them into {engine}, or restore a records snapshot"),
            )),
            Content::Records { layout, databases } => {
                let are_rows = can_load(&databases)?;
                let staging = Staging::begin(disk, &self.path, FORM, existing)?;
                let begin = if are_rows { rows::begin_restore } else { store::begin_restore };
                begin(staging, origin, layout, &databases, check, context)
            }
        }
    }
}

/// A database that is complete, and that is put in its place unless somebody opens what is there meanwhile.
pub(crate) fn built(staging: Staging, origin: Origin, context: &Context) -> BuiltStore {
    let built = BuiltStore::new(staging, origin, context);
    built.before_publishing(|staging| holder::refuse_open(staging.target()))
}

#[async_trait]
impl Target for SqliteTarget {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities()
    }

    fn beside(&self) -> Result<Option<PathBuf>> {
        staging::beside(&self.path).map(Some)
    }

    async fn is_occupied(&self) -> Result<bool> {
        let path = self.path.clone();
        // Who has an empty file open is about to write into it.
        let look = move || Ok(is_occupied(&path, FORM)? || holder::holder(&path)?.is_some());
        thread::call("sqlite look", look).await
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        let (target, context) = (self.clone(), context.clone());
        thread::call("sqlite restore", move || target.start(plan, &context)).await
    }
}
