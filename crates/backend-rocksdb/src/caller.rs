//! The caller's own open database as a source.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::source::{DatabaseInfo, SnapshotInfo};
use backup_core::{Error, Result};
use rocksdb::{ErrorKind, SnapshotWithThreadMode};

use crate::ENGINE;
use crate::capture::{Capture, Whereabouts, read_live_state, read_options, scratch_for};
use crate::foreign::{self, Survey};
use crate::format::file_name::{self, IDENTITY};
use crate::format::manifest::{Family, LiveState};
use crate::keeper::{Found, Keeper, ListedFamily};
use crate::layout;
use crate::open_database::OpenDatabase;
use crate::snapshot::{RocksRecords, RocksSnapshot};
use crate::splits;

/// How many checkpoints are made to find one that shows a single moment.
const CHECKPOINTS: u32 = 3;

/// An open database of any of the types.
pub(crate) trait CallersDatabase: Send + Sync {
    /// Its folder, made absolute.
    fn folder(&self) -> &Path;

    /// A snapshot of its records.
    fn snapshot(&self, store: &Whereabouts, context: &Context) -> Result<RocksSnapshot>;

    /// A copy of its files, and how exactly it is of one moment.
    fn checkpoint(&self, store: &Whereabouts, context: &Context) -> Result<(Capture, Consistency)>;
}

/// The caller's database.
pub(crate) struct Caller<D> {
    db: Arc<D>,
    folder: PathBuf,
}

impl<D: OpenDatabase> Caller<D> {
    pub(crate) fn new(db: Arc<D>) -> Result<Self> {
        let folder = db.folder();
        let folder = std::path::absolute(folder).map_err(Error::io("find", folder))?;
        Ok(Self { db, folder })
    }
}

impl<D: OpenDatabase> CallersDatabase for Caller<D> {
    fn folder(&self) -> &Path {
        &self.folder
    }

    fn snapshot(&self, store: &Whereabouts, context: &Context) -> Result<RocksSnapshot> {
        let name = store.folder.display().to_string();
        let (tell, told) = std::sync::mpsc::channel();
        let list = {
            let (folder, name) = (store.folder.clone(), name.clone());
            move || {
                let live = read_live_state(&folder)?;
                let families = families(&name, &live)?;
                // The receiver outlives this call.
                let _ = tell.send(live);
                Ok(families)
            }
        };
        let (keeper, found) = Keeper::start(self.db.clone(), (), name, list)?;
        // The families that were found are those of the last listing.
        let live = told.try_iter().last().unwrap_or_default();
        let Found { databases: views, layout, sequence } = found;
        let options = read_options(&store.folder);
        let mut infos = Vec::new();
        let mut databases = Vec::new();
        for view in views {
            context.check()?;
            let survey = live.family(&view.name).and_then(|family| survey(store, family));
            infos.push(DatabaseInfo {
                settings: options.families.get(&view.name).map(|family| family.text.clone()),
                estimated_records: survey.map(|survey| survey.records()),
                estimated_bytes: survey.map(|survey| survey.bytes),
                ..DatabaseInfo::new(&view.name)
            });
            let boundaries = splits::boundaries(&live, &view);
            databases.push((view, boundaries));
        }
        let info = SnapshotInfo {
            position: Position::RocksDb { sequence },
            consistency: Consistency::PointInTime,
            layout,
            databases: infos,
            pause: None,
            ownership: Some(store.ownership()?),
            notes: Vec::new(),
            unusual: Vec::new(),
        };
        let records = RocksRecords { keeper, databases, context: context.clone() };
        Ok(RocksSnapshot { info, records: Some(records), files: None })
    }

    fn checkpoint(&self, store: &Whereabouts, context: &Context) -> Result<(Capture, Consistency)> {
        for _ in 0..CHECKPOINTS {
            let before = self.sequence();
            let capture = self.capture(store, context)?;
            if self.sequence() == before || capture.is_one_moment() {
                return Ok((capture, Consistency::PointInTime));
            }
        }
        let mut capture = self.capture(store, context)?;
        capture.notes.push(
            "writes went on that are in no write-ahead log, and each column family was flushed for \
             itself: they may show different moments; set atomic_flush, or back up the records"
                .into(),
        );
        Ok((capture, Consistency::Crash))
    }
}

impl<D: OpenDatabase> Caller<D> {
    /// The number of the last write.
    fn sequence(&self) -> u64 {
        SnapshotWithThreadMode::new(self.db.as_ref()).sequence_number()
    }

    fn capture(&self, store: &Whereabouts, context: &Context) -> Result<Capture> {
        let mut notes = Vec::new();
        let scratch = scratch_for(store, &mut notes)?;
        let folder = scratch.folder().join("checkpoint");
        self.db.checkpoint(&folder).map_err(|error| refused(store, error))?;
        // A checkpoint is a database of its own to RocksDB, without the id of the one it shows.
        let (from, to) = (store.folder.join(IDENTITY), folder.join(IDENTITY));
        if !to.exists() && from.exists() {
            fs::copy(&from, &to).map_err(Error::io("copy", &from))?;
        }
        let beside = scratch.folder().parent().map(Path::to_owned);
        let name = store.name.clone();
        let checkpoint = Whereabouts {
            folder,
            in_use: store.in_use.clone(),
            name,
            also: Vec::new(),
            wal_dir: None,
            include: store.include.clone(),
            scratch: beside,
            lists_default: false,
        };
        let mut capture = Capture::take(&checkpoint, context)?;
        capture.notes.splice(0..0, notes);
        Ok(capture)
    }
}

fn refused(store: &Whereabouts, error: rocksdb::Error) -> Error {
    let folder = store.folder.display();
    if error.kind() == ErrorKind::NotSupported {
        return Error::unsupported(
            format!("a checkpoint of {folder}"),
            format!("RocksDB says {error}; back it up by its path, or back up its records"),
        );
    }
    Error::engine(ENGINE, format!("make a checkpoint of {folder}"))(error)
}

/// The column families of an open database, which the binding itself does not list.
fn families(store: &str, live: &LiveState) -> Result<Vec<ListedFamily>> {
    let mut families = Vec::new();
    for family in live.families.values() {
        let name = family.shown_name();
        if layout::is_implicit(&name) {
            continue;
        }
        foreign::check_name(store, family)?;
        let order = foreign::key_order(store, family)?;
        families.push(ListedFamily { name, order, always: false });
    }
    Ok(families)
}

/// What a column family's tables hold. None where one of them went away meanwhile: it is only an
/// estimate.
fn survey(store: &Whereabouts, family: &Family) -> Option<Survey> {
    let mut survey = Survey::default();
    for table in family.tables.values() {
        let path = store.folder.join(file_name::table(table.number));
        survey.add(&foreign::properties(&File::open(path).ok()?, table.bytes)?);
    }
    Some(survey)
}
