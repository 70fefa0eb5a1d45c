//! Rows by themselves: a source and a target of nothing but the records of tables.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::disk::LocalDisk;
use backup_core::progress::Context;
use backup_core::source::{Capabilities, SnapshotInfo, StoreDescription, View, no_such_view};
use backup_core::staging::{Form, Staging};
use backup_core::target::{Content, RestorePlan};
use backup_core::{Error, Files, Records, Restore, Result, Snapshot, Source, Target, thread};

use super::{RowRecords, RowsRestore, can_load};
use crate::ENGINE;
use crate::moment::Moment;

/// The rows of a database file.
#[derive(Debug, Clone)]
pub struct RowSource {
    path: PathBuf,
}

/// A file that rows of SQLite databases are restored into.
#[derive(Debug, Clone)]
pub struct RowTarget {
    path: PathBuf,
}

impl RowSource {
    /// The rows of the database at a path, which need not be there yet.
    pub fn path(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }
}

impl RowTarget {
    /// The file that is made.
    pub fn path(path: impl AsRef<Path>) -> Self {
        Self { path: path.as_ref().to_owned() }
    }
}

fn describe(path: &Path) -> StoreDescription {
    let location = format!("{ENGINE}:{}", path.display());
    StoreDescription { engine: ENGINE.into(), location, identity: None }
}

fn abilities() -> Capabilities {
    Capabilities {
        records: true,
        files: false,
        load_records: true,
        place_files: false,
        partitions: false,
        databases: true,
        point_in_time: true,
    }
}

struct RowSnapshot {
    info: SnapshotInfo,
    records: RowRecords,
}

impl Snapshot for RowSnapshot {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(&self.records)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }
}

#[async_trait]
impl Source for RowSource {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities()
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        context.check()?;
        if view.files() {
            return Err(no_such_view(ENGINE, view, "these are its rows alone"));
        }
        let (path, context) = (self.path.clone(), context.clone());
        let take = move || {
            if !path.exists() {
                let what = format!("the database {}", path.display());
                return Err(Error::NotFound { what, hint: String::new() });
            }
            RowRecords::read(Arc::new(Moment::open(&path)?), &context)
        };
        let records = thread::call("sqlite snapshot", take).await?;
        Ok(Box::new(RowSnapshot { info: records.info(), records }))
    }
}

#[async_trait]
impl Target for RowTarget {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities()
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        let RestorePlan { content, existing, origin } = plan;
        let (layout, databases) = match content {
            Content::Records { layout, databases } if can_load(&databases) => (layout, databases),
            Content::Records { .. } => {
                let what = "restoring these records as rows";
                return Err(Error::unsupported(what, "not all of them were rows of SQLite tables"));
            }
            Content::Files { .. } => {
                let what = "placing files where rows are restored";
                return Err(Error::unsupported(what, "restore the snapshot's records instead"));
            }
        };
        let (path, context) = (self.path.clone(), context.clone());
        let begin = move || {
            let staging = Staging::begin(Arc::new(LocalDisk), &path, Form::File, existing)?;
            RowsRestore::begin(staging, origin, layout, &databases, &context)
        };
        Ok(Box::new(thread::call("sqlite restore", begin).await?))
    }
}
