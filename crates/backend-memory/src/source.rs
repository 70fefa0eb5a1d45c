//! The store as something that is backed up.

use async_trait::async_trait;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, Layout, SnapshotInfo, StoreDescription, View,
    no_such_view,
};
use backup_core::{Error, Files, Result, Snapshot, Source};
use futures_util::{StreamExt, stream};

use crate::MemoryStore;
use crate::records::{Cursor, Records};
use crate::store::{ENGINE, State};

#[async_trait]
impl Source for MemoryStore {
    fn describe(&self) -> StoreDescription {
        self.description()
    }

    fn capabilities(&self) -> Capabilities {
        Self::abilities()
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        context.check()?;
        if view.files() {
            return Err(no_such_view(ENGINE, view, "memory has no files; ask for records only"));
        }
        Ok(Box::new(MemorySnapshot::of(self.state().clone(), context)))
    }
}

/// A state of the store, which nothing changes any more.
pub(crate) struct MemorySnapshot {
    info: SnapshotInfo,
    state: State,
    context: Context,
}

fn info(state: &State) -> SnapshotInfo {
    let database = |(name, records): (&String, &Records)| DatabaseInfo {
        estimated_records: Some(records.len() as u64),
        ..DatabaseInfo::new(name)
    };
    let partitioned = state.databases.values().any(Records::is_partitioned);
    SnapshotInfo {
        position: Position::Version(state.version),
        consistency: Consistency::PointInTime,
        layout: if partitioned { Layout::Partitioned } else { Layout::Plain },
        databases: state.databases.iter().map(database).collect(),
        pause: None,
        ownership: None,
        notes: Vec::new(),
        unusual: Vec::new(),
    }
}

impl MemorySnapshot {
    pub(crate) fn of(state: State, context: &Context) -> Self {
        Self { info: info(&state), state, context: context.clone() }
    }

    fn database(&self, index: usize) -> Result<&Records> {
        self.state.databases.values().nth(index).ok_or_else(|| Error::NotFound {
            what: format!("database number {index}"),
            hint: format!("the snapshot has {}", self.info.databases.len()),
        })
    }
}

impl Snapshot for MemorySnapshot {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn backup_core::Records> {
        Some(self)
    }

    fn files(&self) -> Option<&dyn Files> {
        None
    }
}

#[async_trait]
impl backup_core::Records for MemorySnapshot {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        Ok(self.database(database)?.splits(parts))
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let records = match self.database(database) {
            Ok(records) => records.clone(),
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let context = self.context.clone();
        let begin = Some(Cursor::new(from));
        stream::try_unfold(begin, move |cursor| {
            let step = next_step(&records, &context, cursor);
            async { step }
        })
        .boxed()
    }
}

/// A batch of a scan and where it goes on.
type Step = (backup_core::record::RecordBatch, Option<Cursor>);

fn next_step(records: &Records, context: &Context, at: Option<Cursor>) -> Result<Option<Step>> {
    let Some(cursor) = at else { return Ok(None) };
    context.check()?;
    let (batch, next) = records.next_batch(&cursor)?;
    Ok((!batch.is_empty()).then_some((batch, next)))
}
