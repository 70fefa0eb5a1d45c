//! Large stores that are made while they are read, for benches and tests of memory.

use async_trait::async_trait;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::{RecordBatch, RecordKey, parts};
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, Layout, SnapshotInfo, StoreDescription, View,
    no_such_view,
};
use backup_core::{Error, Files, Records, Result, Snapshot, Source};
use futures_util::{StreamExt, stream};

use crate::noise::noise;

/// A store of any size, the same for the same fields. It is a [`Source`], so that
/// [`transfer`](crate::transfer::transfer) fills any target with it, in memory for a few batches.
///
/// ```
/// use testkit::contents::sums;
/// use testkit::filler::Filler;
/// let filler = Filler { seed: 1, databases: 2, partitions: 10, records: 100, value_bytes: 50 };
/// let sums = pollster::block_on(sums(&filler)).unwrap();
/// assert_eq!(sums["database-1"].records, 1000);
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Filler {
    /// Decides every byte of every value.
    pub seed: u64,
    /// The number of databases; the first is `default`.
    pub databases: u32,
    /// The number of root keys in each; with 1 it is the empty one.
    pub partitions: u32,
    /// The number of records under each root key.
    pub records: u32,
    /// The length of each value in bytes. They do not compress.
    pub value_bytes: usize,
}

impl Filler {
    /// The bytes of all root keys, keys and values.
    pub fn bytes(&self) -> u64 {
        let root_key = if self.partitions > 1 { 4 } else { 0 };
        let record = root_key + 4 + self.value_bytes as u64;
        u64::from(self.databases) * self.per_database() * record
    }

    fn per_database(&self) -> u64 {
        u64::from(self.partitions) * u64::from(self.records)
    }

    /// The place of a database's record with this number. Places rise with the number.
    fn at(&self, number: u64) -> RecordKey {
        let bytes = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes();
        let records = u64::from(self.records);
        let root_key = bytes(number / records);
        let root_key = if self.partitions > 1 { &root_key[..] } else { &[] };
        RecordKey::new(root_key, &bytes(number % records))
    }

    fn value(&self, database: usize, number: u64) -> Vec<u8> {
        let seed = self.seed ^ (database as u64) << 48 ^ number << 8;
        noise(seed, self.value_bytes)
    }

    /// The number of the first record at or after a place.
    fn first_from(&self, from: &RecordKey) -> u64 {
        let (mut below, mut above) = (0, self.per_database());
        while below < above {
            let middle = below + (above - below) / 2;
            if self.at(middle) < *from { below = middle + 1 } else { above = middle }
        }
        below
    }
}

#[async_trait]
impl Source for Filler {
    fn describe(&self) -> StoreDescription {
        let location = format!("filler:{}", self.seed);
        StoreDescription { engine: "filler".into(), location, identity: None }
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities {
            records: true,
            files: false,
            load_records: false,
            place_files: false,
            partitions: true,
            databases: true,
            point_in_time: true,
        }
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        context.check()?;
        if view.files() {
            return Err(no_such_view("filler", view, "ask for records only"));
        }
        let database = |number: u32| DatabaseInfo {
            estimated_records: Some(self.per_database()),
            estimated_bytes: Some(self.bytes() / u64::from(self.databases)),
            ..DatabaseInfo::new(name(number))
        };
        let info = SnapshotInfo {
            position: Position::Unknown,
            consistency: Consistency::PointInTime,
            layout: if self.partitions > 1 { Layout::Partitioned } else { Layout::Plain },
            databases: (0..self.databases).map(database).collect(),
            pause: None,
            ownership: None,
            notes: Vec::new(),
            unusual: Vec::new(),
        };
        Ok(Box::new(FillerSnapshot { filler: *self, info, context: context.clone() }))
    }
}

/// `default`, `database-1`, …: sorted as numbered, for up to ten.
fn name(number: u32) -> String {
    if number == 0 { "default".into() } else { format!("database-{number}") }
}

struct FillerSnapshot {
    filler: Filler,
    info: SnapshotInfo,
    context: Context,
}

impl FillerSnapshot {
    fn check(&self, database: usize) -> Result<()> {
        if database < self.info.databases.len() {
            return Ok(());
        }
        let (what, hint) = (format!("database number {database}"), String::new());
        Err(Error::NotFound { what, hint })
    }
}

impl Snapshot for FillerSnapshot {
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
impl Records for FillerSnapshot {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        self.check(database)?;
        let (total, parts) = (self.filler.per_database(), parts.max(1) as u64);
        let mut cuts: Vec<_> = (1..parts).map(|part| total * part / parts).collect();
        cuts.dedup();
        cuts.retain(|number| *number > 0);
        Ok(cuts.into_iter().map(|number| self.filler.at(number)).collect())
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        if let Err(error) = self.check(database) {
            return stream::once(async { Err(error) }).boxed();
        }
        let (filler, context) = (self.filler, self.context.clone());
        let first = from.map_or(0, |from| filler.first_from(from));
        let begin = Cursor { number: first, sent: 0 };
        stream::try_unfold(begin, move |cursor| {
            let step = context.check().and_then(|()| next_batch(&filler, database, cursor));
            async { step }
        })
        .boxed()
    }
}

/// Where a scan goes on: at this record, with so many parts of its value already sent.
struct Cursor {
    number: u64,
    sent: usize,
}

fn next_batch(
    filler: &Filler,
    database: usize,
    mut cursor: Cursor,
) -> Result<Option<(RecordBatch, Cursor)>> {
    let mut batch = RecordBatch::new();
    while cursor.number < filler.per_database() {
        let (at, value) = (filler.at(cursor.number), filler.value(database, cursor.number));
        for part in parts(&at.root_key, &at.key, &value).skip(cursor.sent) {
            batch.push(part)?;
            cursor.sent += 1;
            if batch.is_full() {
                return Ok(Some((batch, cursor)));
            }
        }
        cursor = Cursor { number: cursor.number + 1, sent: 0 };
    }
    Ok((!batch.is_empty()).then_some((batch, cursor)))
}
