//! Portable files that were written and are not in their place yet, read as they stand.

use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{BatchStream, DatabaseInfo, Layout, SnapshotInfo};
use backup_core::{Error, Files, Records, Result, Snapshot, thread};
use futures_util::{StreamExt, stream};

use super::pinned::Pinned;
use super::{PortableReader, refused};

/// How many batches a scan reads ahead.
const BATCHES_AHEAD: usize = 2;

/// The files of a store by the databases that they hold. Records come in the order of a file, which is what
/// their sum needs, and not sorted once more.
pub(super) struct BuiltFiles {
    info: SnapshotInfo,
    files: Vec<Arc<Pinned>>,
    context: Context,
}

impl BuiltFiles {
    /// Opens the files.
    pub(super) fn open(files: &[(String, PathBuf)], context: &Context) -> Result<Self> {
        let open = |(_, path): &(String, PathBuf)| Pinned::open(path).map(Arc::new);
        let opened: Vec<_> = files.iter().map(open).collect::<Result<_>>()?;
        let databases = files.iter().zip(&opened).map(|((name, _), file)| DatabaseInfo {
            estimated_bytes: Some(file.bytes()),
            ..DatabaseInfo::new(name)
        });
        let info = SnapshotInfo {
            position: Position::Unknown,
            consistency: Consistency::PointInTime,
            layout: Layout::Partitioned,
            databases: databases.collect(),
            pause: None,
            ownership: None,
            notes: Vec::new(),
            unusual: Vec::new(),
        };
        Ok(Self { info, files: opened, context: context.clone() })
    }
}

impl Snapshot for BuiltFiles {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn Records> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }
}

#[async_trait]
impl Records for BuiltFiles {
    /// None: a file is read from its beginning, in its own order.
    async fn splits(&self, _database: usize, _parts: usize) -> Result<Vec<RecordKey>> {
        Ok(Vec::new())
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let file = match (self.files.get(database), from) {
            (Some(file), None) => Arc::clone(file),
            (Some(_), Some(_)) => {
                let what = "reading a portable file that is being built from a key on";
                let error = Error::unsupported(what, "read it from its first record");
                return stream::once(async { Err(error) }).boxed();
            }
            (None, _) => {
                let hint = format!("the store has {}", self.files.len());
                let error = Error::NotFound { what: format!("database number {database}"), hint };
                return stream::once(async { Err(error) }).boxed();
            }
        };
        let context = self.context.clone();
        thread::stream("reading a portable file", BATCHES_AHEAD, move |sender| {
            for batch in PortableReader::new(file.cursor(), file.path()) {
                context.check()?;
                sender.send(batch.map_err(|error| refused(file.path(), error))?)?;
            }
            Ok(())
        })
    }
}
