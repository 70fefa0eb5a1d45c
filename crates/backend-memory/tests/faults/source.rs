//! Sources with a fault.

use std::sync::Mutex;

use async_trait::async_trait;
use backend_memory::MemoryStore;
use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::record::{Assembler, RecordBatch, RecordKey, parts};
use backup_core::source::{
    BatchStream, Capabilities, Layout, SnapshotInfo, StoreDescription, View,
};
use backup_core::{Error, Files, Records, Result, Snapshot, Source};
use futures_util::{StreamExt, TryStreamExt, stream};
use pollster::FutureExt as _;

use super::Fault;

pub(crate) struct Faulty {
    pub(crate) fault: Fault,
    pub(crate) inner: MemoryStore,
}

struct FaultySnapshot {
    fault: Fault,
    store: MemoryStore,
    /// Where a fault reads the store again, that reading.
    inner: Mutex<Box<dyn Snapshot>>,
    info: SnapshotInfo,
    /// The index in the inner snapshot of each database that is listed.
    listed: Vec<usize>,
}

#[async_trait]
impl Source for Faulty {
    fn describe(&self) -> StoreDescription {
        Source::describe(&self.inner)
    }

    fn capabilities(&self) -> Capabilities {
        Source::capabilities(&self.inner)
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        let view = if self.fault == Fault::IgnoresTheView { View::Records } else { view };
        let inner = self.inner.snapshot(view, context).await?;
        let mut info = inner.info().clone();
        let mut listed: Vec<_> = (0..info.databases.len()).collect();
        match self.fault {
            Fault::SaysPlain => info.layout = Layout::Plain,
            Fault::StandsStill => info.position = Position::Version(7),
            Fault::HidesEmptyDatabases => {
                let full = |index: &usize| info.databases[*index].estimated_records != Some(0);
                listed.retain(full);
                info.databases =
                    listed.iter().map(|index| info.databases[*index].clone()).collect();
            }
            _ => {}
        }
        let (fault, store) = (self.fault, self.inner.clone());
        Ok(Box::new(FaultySnapshot { fault, store, inner: Mutex::new(inner), info, listed }))
    }
}

impl Snapshot for FaultySnapshot {
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
impl Records for FaultySnapshot {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        let inner = self.inner.lock().unwrap();
        let mut cuts = inner.records().unwrap().splits(self.index(database), parts).block_on()?;
        if self.fault == Fault::RepeatsACut
            && let Some(last) = cuts.last().cloned()
        {
            cuts.push(last);
        }
        Ok(cuts)
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        match self.fault {
            Fault::EndsInSilence => {
                let whole = self.inner.lock().unwrap().records().unwrap().scan(database, from);
                let ends = whole.take_while(|item| {
                    let cancelled = matches!(item, Err(Error::Cancelled));
                    async move { !cancelled }
                });
                return ends.boxed();
            }
            Fault::ScansNothingForUnknown if database >= self.listed.len() => {
                return stream::empty().boxed();
            }
            Fault::None | Fault::IgnoresTheView | Fault::StandsStill | Fault::SaysPlain => {
                return self.inner.lock().unwrap().records().unwrap().scan(database, from);
            }
            _ => {}
        }
        match self.altered(database, from) {
            Ok(batches) => stream::iter(batches.into_iter().map(Ok)).boxed(),
            Err(error) => stream::once(async { Err(error) }).boxed(),
        }
    }
}

impl FaultySnapshot {
    fn index(&self, database: usize) -> usize {
        self.listed.get(database).copied().unwrap_or(usize::MAX)
    }

    /// A scan's batches, with the fault in them.
    fn altered(&self, database: usize, from: Option<&RecordKey>) -> Result<Vec<RecordBatch>> {
        let mut inner = self.inner.lock().unwrap();
        // Once for the whole snapshot, or for each database.
        let again = match self.fault {
            Fault::ReadsWhatIsThereNow => true,
            Fault::ReadsDatabasesOneByOne => database > 0,
            _ => false,
        };
        if again {
            *inner = self.store.snapshot(View::Records, &Context::default()).block_on()?;
        }
        let mut records = Vec::new();
        let mut values = Assembler::new();
        let mut batches = inner.records().unwrap().scan(self.index(database), from);
        while let Some(batch) = batches.try_next().block_on()? {
            values.feed(&batch, u64::MAX, |root_key, key, value| {
                records.push((RecordKey::new(root_key, key), value.to_vec()));
                Ok(())
            })?;
        }
        self.alter(&mut records, from);
        let one_by_one = self.fault == Fault::OneRecordABatch;
        into_batches(&records, one_by_one)
    }

    fn alter(&self, records: &mut Vec<(RecordKey, Vec<u8>)>, from: Option<&RecordKey>) {
        match self.fault {
            Fault::LosesTheLastRecord => drop(records.pop()),
            Fault::RepeatsARecord => records.extend(records.last().cloned()),
            Fault::LosesEmptyValues => records.retain(|(_, value)| !value.is_empty()),
            Fault::LosesRootKeys => records.iter_mut().for_each(|(at, _)| at.root_key.clear()),
            Fault::SwapsTwoRecords if records.len() > 3 => records.swap(1, 2),
            Fault::BeginsAfterFrom => records.retain(|(at, _)| Some(at) != from),
            _ => {}
        }
    }
}

fn into_batches(records: &[(RecordKey, Vec<u8>)], one_by_one: bool) -> Result<Vec<RecordBatch>> {
    let mut batches = vec![RecordBatch::new()];
    for (at, value) in records {
        for part in parts(&at.root_key, &at.key, value) {
            let last = batches.len() - 1;
            if batches[last].is_full() || (one_by_one && !batches[last].is_empty()) {
                batches.push(RecordBatch::default());
            }
            let last = batches.len() - 1;
            batches[last].push(part)?;
        }
    }
    batches.retain(|batch| !batch.is_empty());
    Ok(batches)
}
