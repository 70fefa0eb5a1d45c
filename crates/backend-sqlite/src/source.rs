//! SQLite as something that is backed up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use backup_core::ownership::Ownership;
use backup_core::position::Consistency;
use backup_core::progress::Context;
use backup_core::source::{Capabilities, SnapshotInfo, StoreDescription, View};
use backup_core::{Error, Files, Records, Result, Snapshot, Source, thread};

use crate::ENGINE;
use crate::check;
use crate::moment::Moment;
use crate::pages::{self, Clock, Options, PageSnapshot};
use crate::patience::Patience;
use crate::rows::{RowRecords, read_what_can_be};
use crate::store::{StoreRecords, is_store};

/// A SQLite file that is backed up: any database as its pages or its rows, and a key-value store of
/// keepsum's as its pages or its records.
#[derive(Debug, Clone)]
pub struct SqliteSource {
    path: PathBuf,
    options: Options,
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
        Ok(Self { path, options: Options::default() })
    }

    /// Lets the writers of a database in rollback-journal mode wait until it is read.
    #[must_use]
    pub fn block_writers(mut self) -> Self {
        self.options.block_writers = true;
        self
    }

    /// Where scratch copies are made. On the database's own file system, where that shares blocks between
    /// files, a database in rollback-journal mode is read from one that takes no room.
    #[must_use]
    pub fn scratch_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.options.scratch = Some(folder.into());
        self
    }

    /// How long programs that are in the way are waited for, in all, while one snapshot is taken and read:
    /// ten seconds where nothing else is said.
    #[must_use]
    pub fn wait_for(mut self, total: Duration) -> Self {
        self.options.patience = Patience::of(total);
        self
    }

    /// What time it is. Without a clock, no file is known to be old enough to be taken for unchanged.
    #[must_use]
    pub fn with_clock(mut self, clock: Clock) -> Self {
        self.options.clock = clock;
        self
    }

    fn take(&self, view: View, context: &Context) -> Result<SqliteSnapshot> {
        context.check()?;
        let (pages, moment) = match view {
            View::Files => (Some(pages::capture(&self.path, &self.options, context)?), None),
            View::Records => {
                (None, Some(Arc::new(Moment::open_with(&self.path, &self.options, context)?)))
            }
            View::Both => {
                let (pages, moment) = pages::capture_both(&self.path, &self.options, context)?;
                (Some(pages), Some(moment))
            }
        };
        let records = match moment {
            None => None,
            Some(moment) => Some(match self.records(&moment, context) {
                // SQLite calls a page damaged, too, that the disk failed to give it this once.
                Err(Error::Damaged { .. }) => self.records(&moment, context)?,
                found => found?,
            }),
        };
        let mut snapshot = SqliteSnapshot::new(pages, records)?;
        snapshot.info.ownership = Some(Ownership::of_file(&self.path)?);
        Ok(snapshot)
    }

    fn records(&self, moment: &Arc<Moment>, context: &Context) -> Result<Content> {
        records(moment, &self.path.display().to_string(), context)
    }
}

/// The records of a moment of the database at `store`.
fn records(moment: &Arc<Moment>, store: &str, context: &Context) -> Result<Content> {
    let unread = moment.with(read_what_can_be)?;
    moment.with(|connection| check::takes_schema(connection, store))?;
    if moment.with(is_store)? {
        let records = StoreRecords::open(moment, store, context)?;
        return Ok(Content::Store(records, Arc::clone(moment)));
    }
    Ok(Content::Rows(RowRecords::read(Arc::clone(moment), context)?.with_notes(unread)))
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
        let (source, context) = (self.clone(), context.clone());
        let snapshot = thread::call("sqlite snapshot", move || source.take(view, &context)).await?;
        Ok(Box::new(snapshot))
    }

    fn patience(&self) -> Duration {
        self.options.patience.total()
    }
}

/// What the records of a database are.
enum Content {
    /// Those of a key-value store of keepsum's, and the moment that they are read at.
    Store(StoreRecords, Arc<Moment>),
    /// The rows of its tables.
    Rows(RowRecords),
}

impl Content {
    fn info(&self) -> SnapshotInfo {
        match self {
            Self::Rows(rows) => rows.info(),
            Self::Store(records, moment) => SnapshotInfo {
                position: records.position(),
                consistency: Consistency::PointInTime,
                layout: records.layout(),
                databases: records.databases(),
                pause: None,
                ownership: None,
                notes: moment.notes().to_vec(),
                unusual: moment.unusual().to_vec(),
            },
        }
    }
}

/// A database at one moment.
struct SqliteSnapshot {
    info: SnapshotInfo,
    pages: Option<PageSnapshot>,
    records: Option<Content>,
}

impl SqliteSnapshot {
    fn new(pages: Option<PageSnapshot>, records: Option<Content>) -> Result<Self> {
        let of_pages = |pages: &PageSnapshot| SnapshotInfo {
            position: pages.position().clone(),
            consistency: pages.consistency(),
            layout: backup_core::source::Layout::Plain,
            databases: Vec::new(),
            pause: pages.pause(),
            ownership: None,
            notes: pages.notes().to_vec(),
            unusual: pages.unusual().to_vec(),
        };
        let info = match (pages.as_ref().map(of_pages), records.as_ref().map(Content::info)) {
            (Some(pages), Some(records)) => {
                let SnapshotInfo { layout, databases, .. } = records;
                let mut notes = pages.notes.clone();
                notes.extend(records.notes.into_iter().filter(|note| !pages.notes.contains(note)));
                SnapshotInfo { layout, databases, notes, ..pages }
            }
            (Some(info), None) | (None, Some(info)) => info,
            (None, None) => return Err(Error::invalid("a snapshot", "is of nothing")),
        };
        Ok(Self { info, pages, records })
    }
}

impl Snapshot for SqliteSnapshot {
    fn info(&self) -> &SnapshotInfo {
        &self.info
    }

    fn records(&self) -> Option<&dyn Records> {
        self.records.as_ref().map(|content| match content {
            Content::Store(records, _) => records as &dyn Records,
            Content::Rows(records) => records,
        })
    }

    fn files(&self) -> Option<&dyn Files> {
        self.pages.as_ref().map(|pages| pages as &dyn Files)
    }
}

/// The rows of a database that was built, and that nobody but its restore knows of.
pub(crate) fn rows_of_built(
    path: &Path,
    has_schema: bool,
    context: &Context,
) -> Result<Box<dyn Snapshot>> {
    let moment = Moment::of_built(path)?;
    moment.with(read_what_can_be)?;
    let rows = RowRecords::of_built(Arc::new(moment), has_schema, context)?;
    Ok(Box::new(SqliteSnapshot::new(None, Some(Content::Rows(rows)))?))
}

/// The records of a store that was built, and that nobody but its restore knows of.
pub(crate) fn store_of_built(path: &Path, context: &Context) -> Result<Box<dyn Snapshot>> {
    let moment = Arc::new(Moment::of_built(path)?);
    let records = StoreRecords::open(&moment, &path.display().to_string(), context)?;
    Ok(Box::new(SqliteSnapshot::new(None, Some(Content::Store(records, moment)))?))
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
        files: true,
        load_records: true,
        place_files: true,
        partitions: true,
        databases: true,
        point_in_time: true,
    }
}
