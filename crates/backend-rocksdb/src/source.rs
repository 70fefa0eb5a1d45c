//! RocksDB as something that is backed up.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::position::Consistency;
use backup_core::progress::Context;
use backup_core::source::{
    Capabilities, DatabaseInfo, Layout, SnapshotInfo, StoreDescription, View,
};
use backup_core::{Error, Result, Snapshot, Source, thread};
use globset::{Glob, GlobBuilder, GlobSetBuilder};

use crate::ENGINE;
use crate::caller::{Caller, CallersDatabase};
use crate::capture::{Capture, Whereabouts, find_store};
use crate::copy::OpenCopy;
use crate::files::CapturedFiles;
use crate::foreign::Survey;
use crate::format::file_name::{IDENTITY, LOCK};
use crate::format::manifest::Family;
use crate::keeper::{Found, Keeper, ListedFamily};
use crate::layout;
use crate::open_database::OpenDatabase;
use crate::snapshot::{RocksRecords, RocksSnapshot};
use crate::splits;

/// What a person should know of a store that is read by its path.
const MAY_BE_OPEN: &str = "if a process has the database open, its writes that are not yet in the write-ahead log are absent";

/// What a person should know who asks for an application's files beside records.
const NOT_IN_RECORDS: &str = "records were read, so the snapshot has none of the application's own files; back up the files to \
     carry them";

/// A RocksDB store that is backed up.
#[derive(Clone)]
pub struct RocksSource {
    origin: Origin,
    also: Vec<PathBuf>,
    wal_dir: Option<PathBuf>,
    include: Vec<Glob>,
    scratch: Option<PathBuf>,
    lists_default: bool,
}

#[derive(Clone)]
enum Origin {
    Path(PathBuf),
    Open(Arc<dyn CallersDatabase>),
}

impl RocksSource {
    /// The store in a folder, whichever program wrote it, and whether it has it open or not.
    ///
    /// The engine is never opened on it, its LOCK is not touched, and nothing in it is changed:
    /// tables are linked into a hidden folder beside it, and the rest is copied.
    ///
    /// # Errors
    /// [`Error::Io`] where the path cannot be made absolute. Whether there is a store is found out
    /// by each snapshot.
    pub fn path(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let absolute = std::path::absolute(path).map_err(Error::io("find", path))?;
        Ok(Self::new(Origin::Path(absolute)))
    }

    /// The caller's own open database.
    ///
    /// Records are read through an engine snapshot; files come through a checkpoint, for which the
    /// engine flushes its memtables first. Where writes bypass the write-ahead log and go on meanwhile,
    /// a checkpoint of several column families shows one moment only if `atomic_flush` is set; else the
    /// snapshot says [`Consistency::Crash`], and why.
    ///
    /// # Errors
    /// [`Error::Io`] where the database's folder cannot be found.
    pub fn open_db<D: OpenDatabase>(db: Arc<D>) -> Result<Self> {
        Ok(Self::new(Origin::Open(Arc::new(Caller::new(db)?))))
    }

    fn new(origin: Origin) -> Self {
        let (also, include) = (Vec::new(), Vec::new());
        Self { origin, also, wal_dir: None, include, scratch: None, lists_default: false }
    }

    /// Names a further folder with files of the store: one of its `db_paths` or `cf_paths`, which
    /// its OPTIONS do not say. Logs are looked for in it, too.
    #[must_use]
    pub fn also_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.also.push(folder.into());
        self
    }

    /// Names the folder that the write-ahead logs are in, whatever OPTIONS says. Without it they are looked for
    /// in the store's folder, where OPTIONS says, and beside the store.
    #[must_use]
    pub fn wal_dir(mut self, folder: impl Into<PathBuf>) -> Self {
        self.wal_dir = Some(folder.into());
        self
    }

    /// Copies files of the store's folder that are not RocksDB's as well, an application's own: those that the
    /// pattern matches. `*` and `?` stay within one name, `**` goes over several. A restore of the files puts
    /// them back; records have none. Without it, only files are copied without which their program does not open
    /// the database: `rocksdict-config.json` of rocksdict, `db_version` of Substrate and OpenEthereum.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is no pattern.
    pub fn include(mut self, pattern: &str) -> Result<Self> {
        let glob = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
        let glob = glob.map_err(|error| {
            Error::invalid(format!("the pattern {pattern:?}"), error.kind().to_string())
        })?;
        self.include.push(glob);
        Ok(self)
    }

    /// Chooses where scratch folders are made, instead of beside the store. On another file system
    /// than the store's, files are copied there.
    #[must_use]
    pub fn scratch_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = Some(folder.into());
        self
    }

    /// Lists the default column family even where it is empty, beside others. Every store has one, so that
    /// it says nothing in a store that was found; in one that was built, it may be a database of the plan.
    #[must_use]
    pub(crate) fn listing_default(mut self) -> Self {
        self.lists_default = true;
        self
    }

    fn folder(&self) -> &Path {
        match &self.origin {
            Origin::Path(path) => path,
            Origin::Open(db) => db.folder(),
        }
    }

    fn whereabouts(&self) -> Result<Whereabouts> {
        let folder = find_store(self.folder())?;
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut include = GlobSetBuilder::new();
        for glob in &self.include {
            include.add(glob.clone());
        }
        let include = include
            .build()
            .map_err(|error| Error::invalid("the patterns together", error.kind().to_string()))?;
        let (also, scratch) = (self.also.clone(), self.scratch.clone());
        let (wal_dir, lists_default) = (self.wal_dir.clone(), self.lists_default);
        let in_use = folder.clone();
        Ok(Whereabouts { folder, in_use, name, also, wal_dir, include, scratch, lists_default })
    }

    pub(crate) fn take(&self, view: View, context: &Context) -> Result<RocksSnapshot> {
        context.check()?;
        let store = self.whereabouts()?;
        let mut snapshot = match &self.origin {
            Origin::Path(_) => {
                let mut capture = Capture::take(&store, context)?;
                if store.folder.join(LOCK).exists() {
                    capture.notes.push(MAY_BE_OPEN.into());
                }
                of_capture(capture, view, &store, Consistency::Crash, context)?
            }
            Origin::Open(db) if view.files() => {
                let (capture, consistency) = db.checkpoint(&store, context)?;
                of_capture(capture, view, &store, consistency, context)?
            }
            Origin::Open(db) => db.snapshot(&store, context)?,
        };
        if !self.include.is_empty() && !view.files() {
            snapshot.info.unusual.push(NOT_IN_RECORDS.into());
        }
        Ok(snapshot)
    }
}

#[async_trait]
impl Source for RocksSource {
    fn describe(&self) -> StoreDescription {
        let identity = fs::read_to_string(self.folder().join(IDENTITY)).ok();
        StoreDescription {
            engine: ENGINE.into(),
            location: format!("{ENGINE}:{}", self.folder().display()),
            identity: identity.map(|id| id.trim().to_owned()).filter(|id| !id.is_empty()),
        }
    }

    fn capabilities(&self) -> Capabilities {
        abilities(matches!(self.origin, Origin::Open(_)))
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        let (source, context) = (self.clone(), context.clone());
        let snapshot =
            thread::call("rocksdb snapshot", move || source.take(view, &context)).await?;
        Ok(Box::new(snapshot))
    }
}

/// What RocksDB can do. A path's snapshots show what a crash would have left.
pub(crate) fn abilities(point_in_time: bool) -> Capabilities {
    Capabilities {
        records: true,
        files: true,
        load_records: true,
        place_files: true,
        partitions: true,
        databases: true,
        point_in_time,
    }
}

impl std::fmt::Debug for RocksSource {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksSource").field("folder", &self.folder()).finish_non_exhaustive()
    }
}

/// The snapshot that a captured copy gives.
fn of_capture(
    capture: Capture,
    view: View,
    store: &Whereabouts,
    consistency: Consistency,
    context: &Context,
) -> Result<RocksSnapshot> {
    let (notes, unusual) = (capture.notes.clone(), capture.unusual.clone());
    if view.records() && capture.is_encrypted() {
        return Err(Error::unsupported(
            format!("reading records of {}", store.folder.display()),
            "it is encrypted, and only its own program has the key; back up the files instead",
        ));
    }
    let position = capture.position.clone();
    let capture = Arc::new(capture);
    let files = view.files().then(|| CapturedFiles::new(capture.clone(), context.clone()));
    let (layout, databases, records) = if view.records() {
        let (layout, databases, records) = records_of(&capture, view, store, context)?;
        (layout, databases, Some(records))
    } else {
        let (layout, databases) = listed(&capture);
        (layout, databases, None)
    };
    let info = SnapshotInfo {
        position,
        consistency,
        layout,
        databases,
        pause: None,
        ownership: Some(store.ownership()?),
        notes,
        unusual,
    };
    Ok(RocksSnapshot { info, records, files })
}

/// Opens a copy with the engine, for its records.
fn records_of(
    capture: &Arc<Capture>,
    view: View,
    store: &Whereabouts,
    context: &Context,
) -> Result<(Layout, Vec<DatabaseInfo>, RocksRecords)> {
    let name = store.folder.display().to_string();
    let opened = match view {
        View::Both => OpenCopy::beside(capture, &name)?,
        _ => OpenCopy::of(capture, &name)?,
    };
    let OpenCopy { db, families, surveys } = opened;
    let always =
        |family: &ListedFamily| ListedFamily { always: store.lists_default, ..family.clone() };
    let list: Vec<_> = families.iter().map(always).collect();
    let (keeper, found) =
        Keeper::start(Arc::new(db), capture.clone(), name, move || Ok(list.clone()))?;
    let Found { databases: views, layout, .. } = found;
    let mut infos = Vec::new();
    let mut databases = Vec::new();
    for view in views {
        let place = families.iter().position(|family| family.name == view.name);
        let survey = place.and_then(|place| surveys.get(place));
        infos.push(DatabaseInfo {
            settings: settings(capture, &view.name),
            estimated_records: survey.map(Survey::records),
            estimated_bytes: survey.map(|survey| survey.bytes),
            ..DatabaseInfo::new(&view.name)
        });
        let boundaries = splits::boundaries(&capture.live, &view);
        databases.push((view, boundaries));
    }
    Ok((layout, infos, RocksRecords { keeper, databases, context: context.clone() }))
}

/// The databases of a copy that the engine does not open. Whether the default column family has
/// records is then seen from its tables and from whether the logs hold anything.
fn listed(capture: &Capture) -> (Layout, Vec<DatabaseInfo>) {
    let names = |family: &Family| layout::is_database(&family.shown_name());
    let families: Vec<_> = capture.live.families.values().filter(|family| names(family)).collect();
    let alone = families.len() == 1;
    let marked =
        capture.live.families.values().any(|family| family.name == layout::MARK_FAMILY.as_bytes());
    let mut databases = Vec::new();
    for family in families {
        let name = family.shown_name();
        let used = !family.tables.is_empty() || capture.batches_in_wals > 0;
        if name == layout::DEFAULT && !alone && !used {
            continue;
        }
        let tables: u64 = family.tables.values().map(|table| table.bytes).sum();
        let blobs: u64 = family.blobs().iter().map(|(_, bytes)| bytes).sum();
        databases.push(DatabaseInfo {
            settings: settings(capture, &name),
            estimated_bytes: Some(tables.saturating_add(blobs)),
            ..DatabaseInfo::new(name)
        });
    }
    (if marked { Layout::Partitioned } else { Layout::Plain }, databases)
}

fn settings(capture: &Capture, name: &str) -> Option<String> {
    capture.options.families.get(name).map(|family| family.text.clone())
}
