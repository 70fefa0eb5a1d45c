//! Restoring records: sorted tables are written beside the engine, which then takes them in whole.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::thread;

use backup_core::loading::{Batches, Loading};
use backup_core::progress::Context;
use backup_core::source::{DatabaseInfo, Layout, View};
use backup_core::staging::{BuiltStore, Staging};
use backup_core::target::{Origin, each_once};
use backup_core::{Error, Restore, Result};
use rocksdb::{ColumnFamilyDescriptor, DB, IngestExternalFileOptions, Options};

use super::tables::{Place, Tables, Written};
use crate::ENGINE;
use crate::foreign::KeyOrder;
use crate::format::options::FamilyOptions;
use crate::layout::{self, DEFAULT, MARK_FAMILY, MARK_KEY, PARTITIONED};
use crate::settings::{Applied, REVERSE_BYTEWISE};
use crate::source::RocksSource;

/// The folder for tables that the engine has not taken in yet, in the staging folder.
const TABLES: &str = "keepsum-tables";

/// The most threads that compress a table.
const MAX_COMPRESSORS: usize = 8;

/// A database that is built of records.
struct Plan {
    databases: Vec<DatabaseInfo>,
    layout: Layout,
    origin: Origin,
    context: Context,
}

/// Begins to write tables in `staging`.
pub(super) fn begin(
    staging: Staging,
    origin: Origin,
    layout: Layout,
    databases: Vec<DatabaseInfo>,
    context: &Context,
) -> Result<Box<dyn Restore>> {
    databases.iter().try_for_each(|info| layout::check_name(&info.name))?;
    each_once(databases.iter().map(|info| info.name.as_str()))?;
    let folder = staging.folder().join(TABLES);
    staging.disk().create_folder(&folder)?;
    let plan = Plan { databases: databases.clone(), layout, origin, context: context.clone() };
    let count = databases.len();
    let work = move |batches: &Batches| write_tables(&folder, layout, &databases, batches);
    let loading = Loading::start(ENGINE, count, context, work)?;
    Ok(loading.restore(staging, move |written, staging| plan.complete(written, staging)))
}

impl Plan {
    fn complete(self, written: Vec<Written>, staging: Staging) -> Result<BuiltStore> {
        let folder = staging.folder().to_owned();
        self.take_in(&folder, written)?;
        let notes = self.options_left_out(&folder);
        // Where the tables were is room for what reads the store, which nobody sees.
        let tables = folder.join(TABLES);
        let source = RocksSource::path(&folder)?.scratch_in(&tables).listing_default();
        let Self { origin, context, .. } = self;
        let built = BuiltStore::new(staging, origin, &context).with_notes(notes);
        let built = built
            .read_by(move || Ok(Box::new(source.take(View::Records, &context)?)))
            .before_publishing(move |staging| staging.disk().remove(&tables));
        Ok(built)
    }

    /// Makes the database and lets it take in the tables.
    fn take_in(&self, folder: &Path, written: Vec<Written>) -> Result<()> {
        let db = open(folder, self.layout, &self.databases)?;
        for (info, written) in self.databases.iter().zip(written) {
            self.context.check()?;
            ingest(&db, &info.name, written)?;
        }
        if self.layout == Layout::Partitioned {
            let handle = handle(&db, MARK_FAMILY)?;
            db.put_cf(handle, MARK_KEY, PARTITIONED)
                .and_then(|()| db.flush_cf(handle))
                .map_err(Error::engine(ENGINE, "mark the layout"))?;
        }
        db.cancel_all_background_work(true);
        Ok(())
    }

    /// Compares the options that the restored store has with those that were recorded.
    fn options_left_out(&self, folder: &Path) -> Vec<String> {
        let restored = crate::capture::read_options(folder);
        // Most stores have the same options in each: one sentence for all that lost the same.
        let mut lost: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for DatabaseInfo { name, settings, .. } in &self.databases {
            let Some(wanted) = settings.as_deref().and_then(FamilyOptions::parse) else { continue };
            let found = restored.families.get(name).cloned().unwrap_or_default();
            let options = wanted.differences(&found);
            if !options.is_empty() {
                lost.entry(options.join(", ")).or_default().push(format!("{name:?}"));
            }
        }
        lost.into_iter()
            .map(|(options, names)| {
                format!(
                    "options that this RocksDB does not have were left out: {options} (in {})",
                    names.join(", ")
                )
            })
            .collect()
    }
}

/// Writes what comes into tables, database by database.
fn write_tables(
    folder: &Path,
    layout: Layout,
    databases: &[DatabaseInfo],
    batches: &Batches,
) -> Result<Vec<Written>> {
    let mut written: Vec<Written> = Vec::new();
    let mut next = batches.next();
    while let Some((number, first)) = next.take() {
        // Databases come in order and are all of the plan: that was checked before.
        let info = &databases[number];
        written.resize_with(number, Written::default);
        let (mut options, order) = table_options(info);
        options.set_compression_options_parallel_threads(compressors());
        let database = info.name.as_str();
        let place = Place { options: &options, order, layout, folder, database, number };
        let mut tables = Tables::begin(place);
        tables.add(&first)?;
        while let Some((other, batch)) = batches.next() {
            if other != number {
                next = Some((other, batch));
                break;
            }
            tables.add(&batch)?;
        }
        written.push(tables.finish()?);
    }
    written.resize_with(databases.len(), Written::default);
    Ok(written)
}

/// The options a database had, as far as this build has them, and the order they give.
fn table_options(info: &DatabaseInfo) -> (Options, KeyOrder) {
    let Some(family) = info.settings.as_deref().and_then(FamilyOptions::parse) else {
        return (Options::default(), KeyOrder::Forward);
    };
    let order = match family.object("comparator") {
        Some(REVERSE_BYTEWISE) => KeyOrder::Reverse,
        _ => KeyOrder::Forward,
    };
    (Applied::for_writing(&family).options, order)
}

fn compressors() -> i32 {
    let threads = thread::available_parallelism().map_or(1, usize::from).min(MAX_COMPRESSORS);
    i32::try_from(threads).unwrap_or(1)
}

/// Makes an empty store with these databases.
fn open(folder: &Path, layout: Layout, databases: &[DatabaseInfo]) -> Result<DB> {
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    // Some kinds of memtables are written by one thread only, and nothing is written to one here.
    options.set_allow_concurrent_memtable_write(false);
    let mut families: Vec<_> = databases
        .iter()
        .map(|info| ColumnFamilyDescriptor::new(&info.name, table_options(info).0))
        .collect();
    if !databases.iter().any(|info| info.name == DEFAULT) {
        families.push(ColumnFamilyDescriptor::new(DEFAULT, Options::default()));
    }
    if layout == Layout::Partitioned {
        families.push(ColumnFamilyDescriptor::new(MARK_FAMILY, Options::default()));
    }
    DB::open_cf_descriptors(&options, folder, families)
        .map_err(Error::engine(ENGINE, format!("make a database in {}", folder.display())))
}

fn ingest(db: &DB, name: &str, written: Written) -> Result<()> {
    let handle = handle(db, name)?;
    if !written.paths.is_empty() {
        let mut options = IngestExternalFileOptions::default();
        options.set_move_files(true);
        let paths: Vec<PathBuf> = written.paths;
        db.ingest_external_file_cf_opts(handle, &options, paths)
            .map_err(Error::engine(ENGINE, format!("take in the tables of database {name:?}")))?;
    }
    let found = db
        .property_int_value_cf(handle, rocksdb::properties::ESTIMATE_NUM_KEYS)
        .map_err(Error::engine(ENGINE, format!("count the records of database {name:?}")))?;
    // An estimate that is exact in a store of tables without deletions.
    if found != Some(written.records) {
        let detail = format!("it has {found:?} records, and {} were loaded", written.records);
        return Err(Error::damaged(format!("the restored database {name:?}"), detail));
    }
    Ok(())
}

fn handle<'a>(db: &'a DB, name: &str) -> Result<&'a rocksdb::ColumnFamily> {
    db.cf_handle(name).ok_or_else(|| Error::NotFound {
        what: format!("the column family {name:?}"),
        hint: "the store was just made with it".into(),
    })
}
