//! A portable file, or a folder of them, as something that is backed up.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use backup_core::ownership::Ownership;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::record::{RecordBatch, RecordKey};
use backup_core::source::{
    BatchStream, Capabilities, DatabaseInfo, Layout, SnapshotInfo, StoreDescription, View,
    no_such_view,
};
use backup_core::staging::SIDECAR;
use backup_core::{Error, Files, Records, Result, Snapshot, Source, thread};
use futures_util::{StreamExt, stream};

use super::pinned::{Cursor, Pinned};
use super::{
    Contents, ENGINE, FILE_DATABASE, PortableReader, abilities, database_name, describe,
    names_file, refused,
};
use crate::sort::{SORT_MEMORY, Sorted};

/// How many batches a scan reads ahead.
const BATCHES_AHEAD: usize = 2;

/// How often the files of a folder are opened again because the folder changed meanwhile.
const OPEN_TRIES: usize = 100;

/// A store of portable files: `FILE.bcs` with the one database `default`, or a folder with a file
/// for each database.
///
/// A snapshot opens the files once, so they may be replaced while it is read; a file that is written
/// to in place is found out, and the scan fails. It reads each file to its end first, so a damaged
/// one is refused before anything is done with it. Records come in key order: straight from the file
/// where its order is the same, else sorted through files without names in the spill folder, which
/// take as much room as the database until the snapshot is dropped. A snapshot holds one descriptor
/// for each database.
#[derive(Debug)]
pub struct PortableSource {
    path: PathBuf,
    spill: PathBuf,
    memory: usize,
}

impl PortableSource {
    /// The store at `path`, which is looked at when a snapshot is taken; `spill` is a folder for
    /// sorting.
    ///
    /// # Errors
    /// [`Error::Io`] where a relative path cannot be resolved.
    pub fn new(path: &Path, spill: impl Into<PathBuf>) -> Result<Self> {
        let path = std::path::absolute(path).map_err(Error::io("find", path))?;
        Ok(Self { path, spill: spill.into(), memory: SORT_MEMORY })
    }

    /// Sorts with about this many bytes of memory for each database that is read.
    #[must_use]
    pub fn with_memory(self, memory: usize) -> Self {
        Self { memory, ..self }
    }
}

#[async_trait]
impl Source for PortableSource {
    fn describe(&self) -> StoreDescription {
        describe(&self.path)
    }

    fn capabilities(&self) -> Capabilities {
        abilities(self.path.is_dir() || !names_file(&self.path))
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        context.check()?;
        if view.files() {
            let instead = "a portable file is read record by record; ask for records only";
            return Err(no_such_view(ENGINE, view, instead));
        }
        let (path, spill, memory) = (self.path.clone(), self.spill.clone(), self.memory);
        let context = context.clone();
        let snapshot = thread::call("checking portable files", move || {
            let opened = open_store(&path)?;
            let ownership = ownership(&path)?;
            let bytes = opened.databases.values().map(|file| file.bytes()).sum();
            context.phase("checking portable files", Some(bytes));
            let databases = opened.databases.into_iter().map(|(name, file)| {
                let (spill, context) = (spill.clone(), context.clone());
                Ok(Arc::new(Database::check(name, file, Sorting { spill, memory, context })?))
            });
            let databases: Vec<_> = databases.collect::<Result<_>>()?;
            let info =
                SnapshotInfo { ownership: Some(ownership), ..info(&databases, opened.notes) };
            Ok(PortableSnapshot { info, databases })
        });
        Ok(Box::new(snapshot.await?))
    }
}

fn ownership(path: &Path) -> Result<Ownership> {
    if path.is_dir() { Ownership::of_folder(path, None) } else { Ownership::of_file(path) }
}

/// The files of a store, by the names of their databases.
struct OpenedStore {
    databases: BTreeMap<String, Arc<Pinned>>,
    notes: Vec<String>,
}

fn open_store(path: &Path) -> Result<OpenedStore> {
    let found = fs::metadata(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => not_there(path),
        _ => Error::io("open", path)(error),
    })?;
    if !found.is_dir() {
        let file = Arc::new(Pinned::open(path)?);
        let databases = BTreeMap::from([(FILE_DATABASE.into(), file)]);
        return Ok(OpenedStore { databases, notes: Vec::new() });
    }
    for _ in 0..OPEN_TRIES {
        let listing = list(path)?;
        let open =
            |(name, path): (&String, &PathBuf)| Ok((name.clone(), Arc::new(Pinned::open(path)?)));
        let databases: BTreeMap<_, _> = listing.files.iter().map(open).collect::<Result<_>>()?;
        if databases.values().all(|file| file.is_in_place()) && list(path)? == listing {
            return Ok(OpenedStore { databases, notes: listing.notes });
        }
    }
    Err(Error::InUse {
        what: format!("the folder {}", path.display()),
        hint: "its files change while they are opened; try again when their writer is done".into(),
    })
}

/// What a folder holds.
#[derive(PartialEq, Eq)]
struct Listing {
    files: BTreeMap<String, PathBuf>,
    notes: Vec<String>,
}

fn list(folder: &Path) -> Result<Listing> {
    let read = || fs::read_dir(folder)?.map(|entry| Ok(entry?.path())).collect::<io::Result<_>>();
    let mut paths: Vec<PathBuf> = read().map_err(Error::io("list", folder))?;
    paths.sort();
    let mut listing = Listing { files: BTreeMap::new(), notes: Vec::new() };
    let mut restored = false;
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        match database_name(&name)? {
            Some(database) => {
                if let Some(other) = listing.files.insert(database.clone(), path) {
                    let what = format!("the files {name:?} and {}", other.display());
                    let detail = format!("both name the database {database:?}; remove one");
                    return Err(Error::invalid(what, detail));
                }
            }
            None if name == SIDECAR => restored = true,
            None if is_leftover(&name) => {}
            None => {
                let left_out = format!("{} is no .bcs file and was left out", path.display());
                listing.notes.push(left_out);
            }
        }
    }
    // A store without databases is one only where a restore says that it is meant.
    if listing.files.is_empty() && !restored { Err(not_there(folder)) } else { Ok(listing) }
}

/// Whether a name is a sidecar of a file, a restore's hidden folder, or a store it kept aside.
fn is_leftover(name: &str) -> bool {
    name.ends_with(".keepsum")
        || name.ends_with(".keepsum-restoring")
        || name.contains(".keepsum-old")
}

fn not_there(path: &Path) -> Error {
    let what = format!("a portable store at {}", path.display());
    let hint = "name a .bcs file, or a folder of them (`keepsum export` makes them)";
    Error::NotFound { what, hint: hint.into() }
}

/// What sorting needs.
struct Sorting {
    spill: PathBuf,
    memory: usize,
    context: Context,
}

/// A database whose file was read to its end and found canonical.
struct Database {
    name: String,
    file: Arc<Pinned>,
    contents: Contents,
    in_key_order: bool,
    partitioned: bool,
    sorting: Sorting,
    /// Made by the first scan, where the file's order is not the one that is wanted.
    sorted: Mutex<Option<Arc<Sorted>>>,
}

impl Database {
    fn check(name: String, file: Arc<Pinned>, sorting: Sorting) -> Result<Self> {
        let mut reader = PortableReader::new(file.cursor(), file.path());
        let mut partitioned = false;
        for batch in reader.by_ref() {
            sorting.context.check()?;
            let batch = batch.map_err(|error| unreadable(&file, error))?;
            sorting.context.advance(batch.bytes() as u64, batch.len() as u64);
            partitioned |= batch.iter().any(|record| !record.root_key.is_empty());
        }
        file.check_unchanged()?;
        let (contents, in_key_order) = (reader.contents(), reader.in_key_order());
        let sorted = Mutex::default();
        Ok(Self { name, file, contents, in_key_order, partitioned, sorting, sorted })
    }

    /// Sends the records from `from` on.
    fn send(&self, from: Option<&RecordKey>, sender: &thread::Sender<RecordBatch>) -> Result<()> {
        let send = |batch: RecordBatch| {
            self.sorting.context.check()?;
            match from {
                None => sender.send(batch),
                Some(from) => {
                    let rest = rest_from(batch, from)?;
                    if rest.is_empty() { Ok(()) } else { sender.send(rest) }
                }
            }
        };
        if !self.in_key_order {
            return self.sorted()?.batches()?.try_for_each(|batch| send(batch?));
        }
        for batch in self.reader() {
            send(batch.map_err(|error| unreadable(&self.file, error))?)?;
        }
        self.file.check_unchanged()
    }

    fn sorted(&self) -> Result<Arc<Sorted>> {
        // A scan that panicked left nothing in here.
        let mut sorted = self.sorted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(sorted) = &*sorted {
            return Ok(sorted.clone());
        }
        let Sorting { spill, memory, context } = &self.sorting;
        let made = self.reader().sorted(spill, *memory, context);
        let made = Arc::new(made.map_err(|error| unreadable(&self.file, error))?);
        self.file.check_unchanged()?;
        Ok(sorted.insert(made).clone())
    }

    fn reader(&self) -> PortableReader<Cursor> {
        PortableReader::new(self.file.cursor(), self.file.path())
    }
}

/// The error of a file that cannot be read: that it is written to explains what looks damaged.
fn unreadable(file: &Pinned, error: crate::Error) -> Error {
    match file.check_unchanged() {
        Err(changed) => changed,
        Ok(()) => refused(file.path(), error),
    }
}

/// The records of a batch in key order that are not before `from`.
fn rest_from(batch: RecordBatch, from: &RecordKey) -> Result<RecordBatch> {
    let is_before = |root_key: &[u8], key: &[u8]| from.compare(root_key, key).is_gt();
    if batch.iter().next().is_some_and(|first| !is_before(first.root_key, first.key)) {
        return Ok(batch);
    }
    let mut rest = RecordBatch::new();
    for record in batch.iter().filter(|record| !is_before(record.root_key, record.key)) {
        rest.push(record)?;
    }
    Ok(rest)
}

fn info(databases: &[Arc<Database>], mut notes: Vec<String>) -> SnapshotInfo {
    for Database { file, contents, .. } in databases.iter().map(AsRef::as_ref) {
        if contents.empty_partitions > 0 {
            notes.push(format!(
                "{} has {} root keys without records, which are left out",
                file.path().display(),
                contents.empty_partitions
            ));
        }
    }
    let describe = |database: &Arc<Database>| DatabaseInfo {
        estimated_records: Some(database.contents.records),
        estimated_bytes: Some(database.contents.bytes),
        ..DatabaseInfo::new(&database.name)
    };
    let partitioned = databases.iter().any(|database| database.partitioned);
    SnapshotInfo {
        position: Position::Unknown,
        consistency: Consistency::PointInTime,
        layout: if partitioned { Layout::Partitioned } else { Layout::Plain },
        databases: databases.iter().map(describe).collect(),
        pause: None,
        ownership: None,
        notes,
        unusual: Vec::new(),
    }
}

/// Files that were opened once.
struct PortableSnapshot {
    info: SnapshotInfo,
    databases: Vec<Arc<Database>>,
}

impl PortableSnapshot {
    fn database(&self, index: usize) -> Result<&Arc<Database>> {
        self.databases.get(index).ok_or_else(|| Error::NotFound {
            what: format!("database number {index}"),
            hint: format!("the snapshot has {}", self.databases.len()),
        })
    }
}

impl Snapshot for PortableSnapshot {
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
impl Records for PortableSnapshot {
    /// None: a file is read from its beginning, whichever record is wanted.
    async fn splits(&self, database: usize, _parts: usize) -> Result<Vec<RecordKey>> {
        self.database(database).map(|_| Vec::new())
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let database = match self.database(database) {
            Ok(database) => database.clone(),
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let from = from.cloned();
        thread::stream("reading a portable file", BATCHES_AHEAD, move |sender| {
            database.send(from.as_ref(), sender)
        })
    }
}
