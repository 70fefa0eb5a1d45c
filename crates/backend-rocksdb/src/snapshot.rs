//! A RocksDB snapshot: records under an engine snapshot, files of a captured copy, or both.

use async_trait::async_trait;
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{BatchStream, SnapshotInfo};
use backup_core::{Error, Files, Records, Result, Snapshot};
use futures_util::{StreamExt, stream};

use crate::files::CapturedFiles;
use crate::keeper::Keeper;
use crate::scan::FamilyView;
use crate::splits::{self, Boundaries};

/// A snapshot of a RocksDB store.
pub(crate) struct RocksSnapshot {
    pub(crate) info: SnapshotInfo,
    pub(crate) records: Option<RocksRecords>,
    pub(crate) files: Option<CapturedFiles>,
}

/// The records of a snapshot.
pub(crate) struct RocksRecords {
    pub(crate) keeper: Keeper,
    /// How each database is read, and where it can be cut.
    pub(crate) databases: Vec<(FamilyView, Boundaries)>,
    pub(crate) context: Context,
}

impl Snapshot for RocksSnapshot {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn Records> {
        self.records.as_ref().map(|records| records as &dyn Records)
    }

    fn files(&self) -> Option<&dyn Files> {
        self.files.as_ref().map(|files| files as &dyn Files)
    }
}

impl RocksRecords {
    fn database(&self, index: usize) -> Result<&(FamilyView, Boundaries)> {
        self.databases.get(index).ok_or_else(|| Error::NotFound {
            what: format!("database number {index}"),
            hint: format!("the snapshot has {}", self.databases.len()),
        })
    }
}

#[async_trait]
impl Records for RocksRecords {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        let (view, boundaries) = self.database(database)?;
        Ok(splits::splits(view, boundaries, parts))
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let view = match self.database(database) {
            Ok((view, _)) => view,
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let from = from.map(|from| view.engine_key(from));
        let batches = self.keeper.scan(database, from);
        let context = self.context.clone();
        batches.map(move |batch| context.check().and(batch)).boxed()
    }
}
