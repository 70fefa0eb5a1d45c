//! A portable file, or a folder of them, as something that is restored into.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::check::none_alone;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch, RecordKey};
use backup_core::source::{Capabilities, Layout, StoreDescription};
use backup_core::staging::{self, Form, is_occupied};
use backup_core::target::{Content, Origin, RestorePlan};
use backup_core::{Built, Error, Restore, Result, Target, thread};
use bytes::Bytes;

use super::build::{Build, Building};
use super::{abilities, describe, names_file};
use crate::sort::{SORT_MEMORY, shown};

/// Nothing is kept beside a portable file.
const FILE: Form = Form::File { companions: &[], logs: &[] };

/// A portable file, or a folder with one for each database, that is restored into.
///
/// A file takes exactly one database, whatever its name; it is read back as `default`. Spill files
/// are made beside the target, on its own file system.
#[derive(Debug, Clone)]
pub struct PortableTarget {
    path: PathBuf,
    form: Form,
    disk: Arc<dyn Disk>,
    memory: usize,
}

impl PortableTarget {
    /// The file at `path` where its name ends in `.bcs`, else the folder.
    ///
    /// # Errors
    /// [`Error::Io`] where a relative path cannot be resolved.
    pub fn new(path: &Path) -> Result<Self> {
        if names_file(path) { Self::file(path) } else { Self::folder(path) }
    }

    /// The file at `path`, whatever its name.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn file(path: &Path) -> Result<Self> {
        Self::of_form(path, FILE)
    }

    /// The folder at `path`, whatever its name.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn folder(path: &Path) -> Result<Self> {
        Self::of_form(path, Form::Folder { last: None })
    }

    fn of_form(path: &Path, form: Form) -> Result<Self> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        Ok(Self { path, form, disk: Arc::new(LocalDisk), memory: SORT_MEMORY })
    }

    /// Does its file operations through `disk`.
    #[must_use]
    pub fn with_disk(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    /// Sorts with about this many bytes of memory.
    #[must_use]
    pub fn with_memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }
}

#[async_trait]
impl Target for PortableTarget {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities(matches!(self.form, Form::Folder { .. }))
    }

    fn beside(&self) -> Result<Option<PathBuf>> {
        staging::beside(&self.path).map(Some)
    }

    async fn is_occupied(&self) -> Result<bool> {
        let (path, form) = (self.path.clone(), self.form);
        thread::call("looking for a portable file", move || is_occupied(&path, form)).await
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        none_alone("memory", plan.check)?;
        let Content::Records { layout, databases } = plan.content else {
            return Err(no_files());
        };
        let (this, context) = (self.clone(), context.clone());
        let loading = thread::call("beginning a portable file", move || {
            let build = Build::begin(Building {
                disk: this.disk,
                path: &this.path,
                form: this.form,
                existing: plan.existing,
                databases: databases.into_iter().map(|database| database.name).collect(),
                memory: this.memory,
                context,
            })?;
            Ok(Loading { build, layout, database: 0, last: None })
        });
        Ok(Box::new(PortableRestore { loading: Some(loading.await?), origin: plan.origin }))
    }
}

/// A restore under way.
struct PortableRestore {
    /// Moved to a thread while it works, with all it would clean up; gone after an error.
    loading: Option<Loading>,
    origin: Origin,
}

impl PortableRestore {
    fn loading(&mut self) -> Result<Loading> {
        self.loading.take().ok_or_else(|| {
            let detail = "a step of it failed or was given up before; begin it again";
            Error::invalid("the restore is not complete", detail)
        })
    }
}

#[async_trait]
impl Restore for PortableRestore {
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        let mut loading = self.loading()?;
        let loaded = thread::call("writing a portable file", move || {
            loading.load(database, &batch)?;
            Ok(loading)
        });
        self.loading = Some(loaded.await?);
        Ok(())
    }

    async fn place(&mut self, _file: usize, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(no_files())
    }

    async fn complete(mut self: Box<Self>) -> Result<Box<dyn Built>> {
        let loading = self.loading()?;
        let origin = self.origin;
        let complete = move || loading.build.complete(origin);
        Ok(Box::new(thread::call("completing a portable file", complete).await?))
    }
}

/// A build that takes records only in the order a restore has to give them.
struct Loading {
    build: Build,
    layout: Layout,
    database: usize,
    last: Option<RecordKey>,
}

impl Loading {
    fn load(&mut self, database: usize, batch: &RecordBatch) -> Result<()> {
        if database != self.database {
            self.last = None;
            self.database = database;
        }
        for record in batch.iter().filter(Record::starts_value) {
            let (root_key, key) = (record.root_key, record.key);
            if self.layout == Layout::Plain && !root_key.is_empty() {
                let what = format!("{} in the plain layout", shown(root_key, key));
                return Err(Error::unsupported(
                    what,
                    "choose the partitioned layout, which keeps root keys",
                ));
            }
            if self.last.as_ref().is_some_and(|last| last.compare(root_key, key).is_ge()) {
                let detail = "comes out of order, or twice";
                return Err(Error::invalid(shown(root_key, key), detail));
            }
            let last = self.last.get_or_insert_default();
            last.root_key.clear();
            last.root_key.extend_from_slice(root_key);
            last.key.clear();
            last.key.extend_from_slice(key);
        }
        self.build.load(database, batch)
    }
}

fn no_files() -> Error {
    let what = "placing an engine's files in a portable file";
    Error::unsupported(what, "restore the snapshot's records instead")
}
