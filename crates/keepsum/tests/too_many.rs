//! A store with more databases than a snapshot holds is refused before anything of them is read.

use archive::limits::MAX_DATABASES;
use async_trait::async_trait;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, Files, Layout, Snapshot, SnapshotInfo,
    StoreDescription, View,
};
use backup_core::{Records, Source};
use keepsum::backup::{BackupOptions, backup};
use keepsum::{ExitCode, Host, Repository, RepositoryLocation};

/// A store of so many databases, of which nothing may be read.
struct Store(u64);

struct Taken(SnapshotInfo);

#[async_trait]
impl Source for Store {
    fn describe(&self) -> StoreDescription {
        let (engine, location) = ("memory".to_owned(), "memory:many".to_owned());
        StoreDescription { engine, location, identity: None }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            records: true,
            files: false,
            load_records: false,
            place_files: false,
            partitions: false,
            databases: true,
            point_in_time: true,
        }
    }

    async fn snapshot(&self, _: View, _: &Context) -> backup_core::Result<Box<dyn Snapshot>> {
        Ok(Box::new(Taken(SnapshotInfo {
            position: Position::Unknown,
            consistency: Consistency::PointInTime,
            layout: Layout::Plain,
            databases: (0..self.0).map(|number| DatabaseInfo::new(number.to_string())).collect(),
            pause: None,
            ownership: None,
            notes: Vec::new(),
            unusual: Vec::new(),
        })))
    }
}

impl Snapshot for Taken {
    fn info(&self) -> &SnapshotInfo {
        &self.0
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }
}

#[async_trait]
impl Records for Taken {
    async fn splits(&self, database: usize, _: usize) -> backup_core::Result<Vec<RecordKey>> {
        panic!("database {database} is read")
    }

    fn scan(&self, database: usize, _: Option<&RecordKey>) -> BatchStream {
        panic!("database {database} is read")
    }
}

#[tokio::test]
async fn too_many_databases_are_refused_before_they_are_read() {
    let (host, context) = (Host::system("test"), Context::default());
    let location = RepositoryLocation::memory();
    let repository = Repository::init(&location, &host, &context).await.unwrap();
    let (store, options) = (Store(MAX_DATABASES + 1), BackupOptions::default());
    let error = backup(&repository, &store, &options).await.unwrap_err();
    assert_eq!(error.exit_code(), ExitCode::Refused, "{error}");
    let said = error.to_string();
    assert!(said.contains("1000001 databases") && said.contains("back up its files"), "{said}");
    assert_eq!(repository.head().await.unwrap().state.snapshots.len(), 0);
}
