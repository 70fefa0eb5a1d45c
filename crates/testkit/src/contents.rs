//! What a store holds, in plain maps: what a test expects, and what it found.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use async_trait::async_trait;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::{Assembler, RecordBatch, RecordKey, parts};
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, Layout, SnapshotInfo, StoreDescription, View,
    no_such_view,
};
use backup_core::{Error, Files, Records, Result, Snapshot, Source};
use futures_util::{StreamExt, TryStreamExt, stream};

/// The records of a database.
pub type Database = BTreeMap<RecordKey, Vec<u8>>;

/// All records of a store by database.
///
/// It is a [`Source`] itself, so that [`transfer`](crate::transfer::transfer) fills any target with it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Contents {
    /// The records of each database; one may be empty.
    pub databases: BTreeMap<String, Database>,
}

impl Contents {
    /// A store with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds an empty database, unless it is there.
    pub fn add_database(&mut self, name: &str) -> &mut Database {
        self.databases.entry(name.to_owned()).or_default()
    }

    /// Adds a record, and its database where needed.
    pub fn put(&mut self, database: &str, root_key: &[u8], key: &[u8], value: impl Into<Vec<u8>>) {
        self.add_database(database).insert(RecordKey::new(root_key, key), value.into());
    }

    /// The number of records in all databases.
    pub fn records(&self) -> usize {
        self.databases.values().map(BTreeMap::len).sum()
    }

    /// Plain where every root key is empty.
    pub fn layout(&self) -> Layout {
        let root_keys = self.databases.values().flat_map(BTreeMap::keys).map(|at| &at.root_key);
        if root_keys.into_iter().all(Vec::is_empty) { Layout::Plain } else { Layout::Partitioned }
    }

    /// The sum of each database.
    pub fn sums(&self) -> Result<BTreeMap<String, DatabaseSum>> {
        let sum = |(name, records): (&String, &Database)| {
            let mut summer = Summer::new(name.as_bytes());
            batches(records)?.iter().try_for_each(|batch| summer.add(batch))?;
            Ok((name.clone(), summer.finish()?))
        };
        self.databases.iter().map(sum).collect()
    }

    /// The first difference to `found` in one short line; `None` where there is none.
    ///
    /// An engine that always has a database `default` lists it only where it has records or is the
    /// only one, so an empty `default` is the same as none.
    pub fn difference(&self, found: &Self) -> Option<String> {
        let names = |contents: &Self| {
            let mut names: Vec<_> = contents.databases.keys().cloned().collect();
            names.retain(|name| name != "default" || !contents.databases[name].is_empty());
            names
        };
        let (expected_names, found_names) = (names(self), names(found));
        if expected_names != found_names {
            return Some(format!("expected databases {expected_names:?}, found {found_names:?}"));
        }
        expected_names.iter().find_map(|name| {
            let line = database_difference(&self.databases[name], &found.databases[name])?;
            Some(format!("database {name:?}: {line}"))
        })
    }

    /// Fails with the first difference, in one line, however long the values are.
    #[track_caller]
    pub fn assert_same(&self, found: &Self, what: &str) {
        if let Some(difference) = self.difference(found) {
            panic!("{what}: {difference}");
        }
    }
}

impl std::fmt::Debug for Contents {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let short = |records: &Database| -> BTreeMap<String, String> {
            records.iter().map(|(at, value)| (place(at), bytes(value))).collect()
        };
        f.debug_map().entries(self.databases.iter().map(|(name, all)| (name, short(all)))).finish()
    }
}

fn database_difference(expected: &Database, found: &Database) -> Option<String> {
    for (at, value) in expected {
        match found.get(at) {
            None => return Some(format!("{} is missing", place(at))),
            Some(other) if other != value => {
                let (value, other) = (bytes(value), bytes(other));
                return Some(format!("{}: expected {value}, found {other}", place(at)));
            }
            Some(_) => {}
        }
    }
    let extra = found.keys().find(|at| !expected.contains_key(*at))?;
    Some(format!("{} is there and should not be", place(extra)))
}

fn place(at: &RecordKey) -> String {
    format!("record ({}, {})", bytes(&at.root_key), bytes(&at.key))
}

/// The beginning of some bytes in hex, with their length where there is more.
fn bytes(bytes: &[u8]) -> String {
    const SHOWN: usize = 24;
    let mut text = String::from("0x");
    for byte in bytes.iter().take(SHOWN) {
        // Writing to a string cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    if bytes.len() > SHOWN {
        let _ = write!(text, "… of {} bytes", bytes.len());
    }
    text
}

/// Everything that `source` holds now.
///
/// # Errors
/// Those of the source, and [`Error::Damaged`] for a record that comes twice.
pub async fn contents(source: &dyn Source) -> Result<Contents> {
    let snapshot = source.snapshot(View::Records, &Context::default()).await?;
    snapshot_contents(snapshot.as_ref()).await
}

/// Everything that a snapshot holds.
///
/// # Errors
/// As [`contents`].
pub async fn snapshot_contents(snapshot: &dyn Snapshot) -> Result<Contents> {
    let records = records_of(snapshot)?;
    let mut contents = Contents::new();
    for (index, info) in snapshot.info().databases.iter().enumerate() {
        let database = contents.add_database(&info.name);
        let mut values = Assembler::new();
        let mut batches = records.scan(index, None);
        while let Some(batch) = batches.try_next().await? {
            values.feed(&batch, u64::MAX, |root_key, key, value| {
                let at = RecordKey::new(root_key, key);
                if database.contains_key(&at) {
                    return Err(Error::damaged(&info.name, format!("{} comes twice", place(&at))));
                }
                database.insert(at, value.to_vec());
                Ok(())
            })?;
        }
        values.finish()?;
    }
    Ok(contents)
}

/// The sum of each database that `source` holds now, under its name as the integrity tag. Memory
/// is bounded, whatever the size of the store.
///
/// # Errors
/// Those of the source.
pub async fn sums(source: &dyn Source) -> Result<BTreeMap<String, DatabaseSum>> {
    let snapshot = source.snapshot(View::Records, &Context::default()).await?;
    let records = records_of(snapshot.as_ref())?;
    let mut sums = BTreeMap::new();
    for (index, info) in snapshot.info().databases.iter().enumerate() {
        let mut summer = Summer::new(info.name.as_bytes());
        let mut batches = records.scan(index, None);
        while let Some(batch) = batches.try_next().await? {
            summer.add(&batch)?;
        }
        sums.insert(info.name.clone(), summer.finish()?);
    }
    Ok(sums)
}

/// The records of a snapshot that was asked for them.
///
/// # Errors
/// [`Error::Invalid`] where it has none, which breaks the promise of
/// [`Snapshot::records`].
pub fn records_of(snapshot: &dyn Snapshot) -> Result<&dyn Records> {
    snapshot.records().ok_or_else(|| {
        Error::invalid("a snapshot with the view Records", "has no records, and must")
    })
}

#[async_trait]
impl Source for Contents {
    fn describe(&self) -> StoreDescription {
        let (engine, location) = ("contents".to_owned(), "contents:test".to_owned());
        StoreDescription { engine, location, identity: None }
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
            return Err(no_such_view("contents", view, "ask for records only"));
        }
        let info = SnapshotInfo {
            position: Position::Unknown,
            consistency: Consistency::PointInTime,
            layout: self.layout(),
            databases: self.databases.keys().map(DatabaseInfo::new).collect(),
            pause: None,
            ownership: None,
            notes: Vec::new(),
            unusual: Vec::new(),
        };
        Ok(Box::new(ContentsSnapshot {
            info,
            databases: self.databases.values().cloned().collect(),
        }))
    }
}

struct ContentsSnapshot {
    info: SnapshotInfo,
    databases: Vec<Database>,
}

impl Snapshot for ContentsSnapshot {
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
impl Records for ContentsSnapshot {
    async fn splits(&self, _database: usize, _parts: usize) -> Result<Vec<RecordKey>> {
        Ok(Vec::new())
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let first = from.cloned().unwrap_or_default();
        let found = self.databases.get(database).map(|all| batches(all.range(first..)));
        match found {
            Some(Ok(batches)) => stream::iter(batches).map(Ok).boxed(),
            Some(Err(error)) => stream::once(async { Err(error) }).boxed(),
            None => {
                let (what, hint) = (format!("database number {database}"), String::new());
                stream::once(async { Err(Error::NotFound { what, hint }) }).boxed()
            }
        }
    }
}

/// Records as they travel.
fn batches<'a>(
    records: impl IntoIterator<Item = (&'a RecordKey, &'a Vec<u8>)>,
) -> Result<Vec<RecordBatch>> {
    let mut all = Vec::new();
    let mut batch = RecordBatch::new();
    for (at, value) in records {
        for part in parts(&at.root_key, &at.key, value) {
            batch.push(part)?;
            if batch.is_full() {
                all.push(std::mem::take(&mut batch));
            }
        }
    }
    if !batch.is_empty() {
        all.push(batch);
    }
    Ok(all)
}
