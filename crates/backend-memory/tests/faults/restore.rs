//! Targets with a fault.

use async_trait::async_trait;
use backend_memory::MemoryStore;
use backup_core::progress::Context;
use backup_core::record::{Record, RecordBatch};
use backup_core::source::{Capabilities, Layout, StoreDescription, View};
use backup_core::target::{Content, Existing, RestorePlan, Restored};
use backup_core::{
    Built, Error, KeyValueStore, Restore, RestoreExt, Result, Snapshot, Source, Target,
};
use bytes::Bytes;
use pollster::FutureExt as _;

use super::Fault;

pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    pub(crate) inner: MemoryStore,
}

struct FaultyRestore {
    fault: Fault,
    store: MemoryStore,
    inner: Option<Box<dyn Restore>>,
    empty: Vec<String>,
}

#[async_trait]
impl Target for Faulty {
    fn describe(&self) -> StoreDescription {
        Target::describe(&self.inner)
    }

    fn capabilities(&self) -> Capabilities {
        Target::capabilities(&self.inner)
    }

    async fn is_occupied(&self) -> Result<bool> {
        self.inner.is_occupied().await
    }

    async fn begin(&self, mut plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        let mut context = context.clone();
        let mut empty = Vec::new();
        match self.fault {
            Fault::ReplacesWithoutAsking => plan.existing = Existing::KeepAside,
            Fault::IgnoresCancel => context = Context::default(),
            Fault::SkipsEmptyDatabases => {
                if let Content::Records { databases, .. } = &plan.content {
                    empty = databases.iter().map(|info| info.name.clone()).collect();
                }
            }
            Fault::DropsRootKeys => {
                if let Content::Records { layout, .. } = &mut plan.content {
                    *layout = Layout::Plain;
                }
            }
            _ => {}
        }
        let inner = Some(self.inner.begin(plan, &context).await?);
        Ok(Box::new(FaultyRestore { fault: self.fault, store: self.inner.clone(), inner, empty }))
    }
}

impl FaultyRestore {
    fn inner(&mut self) -> &mut dyn Restore {
        self.inner.as_mut().expect("not finished yet").as_mut()
    }

    fn altered(&self, batch: RecordBatch) -> Result<RecordBatch> {
        let mut records: Vec<Record<'_>> = batch.iter().collect();
        match self.fault {
            Fault::DropsRootKeys => records.iter_mut().for_each(|record| record.root_key = b""),
            Fault::Sorts => records.sort_by_key(|record| (record.root_key, record.key)),
            Fault::LosesALoadedRecord => drop(records.pop()),
            Fault::ChangesALoadedRecord => {
                if let Some(last) = records.last_mut() {
                    last.value = b"another value";
                    (last.offset, last.total) = (0, last.value.len() as u64);
                }
            }
            _ => return Ok(batch),
        }
        let mut altered = RecordBatch::new();
        records.into_iter().try_for_each(|record| altered.push(record))?;
        Ok(altered)
    }
}

#[async_trait]
impl Restore for FaultyRestore {
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        let batch = self.altered(batch)?;
        if let Some(name) = self.empty.get_mut(database) {
            name.clear();
        }
        if self.fault != Fault::ForgetsRefusals {
            return self.inner().load(database, batch).await;
        }
        // Only what the inner restore will take reaches it, so that it does not remember either.
        let Ok(trial) = trial(&batch, database) else {
            return Err(Error::invalid("a batch", "is refused, and forgotten"));
        };
        self.inner().load(database, trial).await
    }

    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.inner().place(file, offset, bytes).await
    }

    async fn complete(mut self: Box<Self>) -> Result<Box<dyn Built>> {
        let inner = self.inner.take().expect("not finished yet").complete().await?;
        let (fault, store) = (self.fault, self.store.clone());
        if fault == Fault::PublishesWhenCompleted {
            inner.publish().await?;
            return Ok(Box::new(Published(store)));
        }
        Ok(Box::new(FaultyBuilt { fault, store, inner, empty: std::mem::take(&mut self.empty) }))
    }
}

struct FaultyBuilt {
    fault: Fault,
    store: MemoryStore,
    inner: Box<dyn Built>,
    empty: Vec<String>,
}

#[async_trait]
impl Built for FaultyBuilt {
    async fn records(&self) -> Result<Option<Box<dyn Snapshot>>> {
        match self.fault {
            // What is there now is not what was built.
            Fault::ReadsTheOldStore => {
                Ok(Some(self.store.snapshot(View::Records, &Context::default()).await?))
            }
            Fault::BuildsNothingToRead => Ok(None),
            _ => self.inner.records().await,
        }
    }

    async fn publish(self: Box<Self>) -> Result<Restored> {
        let mut done = self.inner.publish().await?;
        for name in self.empty.iter().filter(|name| !name.is_empty()) {
            self.store.delete(name).await?;
        }
        if self.fault == Fault::HoldsItsTongue {
            done.notes.clear();
        }
        Ok(done)
    }
}

/// A store that was published before anybody could look at it.
struct Published(MemoryStore);

#[async_trait]
impl Built for Published {
    async fn records(&self) -> Result<Option<Box<dyn Snapshot>>> {
        Ok(Some(self.0.snapshot(View::Records, &Context::default()).await?))
    }

    async fn publish(self: Box<Self>) -> Result<Restored> {
        Ok(Restored::default())
    }
}

/// The batch, if its records rise and it is one of database 0.
fn trial(batch: &RecordBatch, database: usize) -> Result<RecordBatch> {
    let rising = batch.iter().map(|record| (record.root_key, record.key, record.offset));
    if database == 0 && rising.is_sorted_by(|one, next| one < next) {
        return Ok(batch.clone());
    }
    Err(Error::invalid("a batch", "is not in order"))
}

impl Drop for FaultyRestore {
    fn drop(&mut self) {
        if self.fault == Fault::PublishesWhenDropped
            && let Some(inner) = self.inner.take()
        {
            // The fault is that it is published at all.
            drop(inner.finish().block_on());
        }
    }
}
