//! SQLite as something that is backed up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::position::Consistency;
use backup_core::progress::Context;
use backup_core::source::{Capabilities, SnapshotInfo, StoreDescription, View, no_such_view};
use backup_core::{Error, Files, Records, Result, Snapshot, Source, thread};

use crate::ENGINE;
use crate::moment::Moment;
use crate::store::{StoreRecords, is_store};

/// A SQLite file that is backed up.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    path: PathBuf,
}

impl SqliteSource {
    /// The database in a file, whether a process has it open or not.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be made absolute. Whether there is a database is found out by
    /// each snapshot.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        Ok(Self { path })
    }

    fn take(&self, context: &Context) -> Result<SqliteSnapshot> {
        context.check()?;
        let store = self.path.display().to_string();
        if !self.path.exists() {
            let hint = "; name the file of a database".into();
            return Err(Error::NotFound { what: format!("the database {store}"), hint });
        }
        let moment = Arc::new(Moment::open(&self.path)?);
        if !moment.with(is_store)? {
            return Err(Error::unsupported(
                format!("reading records of {store}"),
                "it is no key-value store of keepsum's",
            ));
        }
        let records = StoreRecords::open(&moment, &store, context)?;
        let info = SnapshotInfo {
            position: records.position(),
            consistency: Consistency::PointInTime,
            layout: records.layout(),
            databases: records.databases(),
            pause: None,
            notes: moment.notes().to_vec(),
        };
        Ok(SqliteSnapshot { info, records })
    }
}

#[async_trait]
impl Source for SqliteSource {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities()
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        if view.files() {
            return Err(no_such_view(ENGINE, view, "ask for records only"));
        }
        let (source, context) = (self.clone(), context.clone());
        let snapshot = thread::call("sqlite snapshot", move || source.take(&context)).await?;
        Ok(Box::new(snapshot))
    }
}

/// A database at one moment.
struct SqliteSnapshot {
    info: SnapshotInfo,
    records: StoreRecords,
}

impl Snapshot for SqliteSnapshot {
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

/// What a file is called.
pub(crate) fn describe(path: &Path) -> StoreDescription {
    let location = format!("{ENGINE}:{}", path.display());
    StoreDescription { engine: ENGINE.into(), location, identity: None }
}

/// What SQLite can do.
pub(crate) fn abilities() -> Capabilities {
    Capabilities {
        records: true,
        files: false,
        load_records: true,
        place_files: false,
        partitions: true,
        databases: true,
        point_in_time: true,
    }
}
