//! A RocksDB store that applications read and write.

mod database;
mod partition;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};

use async_trait::async_trait;
use backup_core::kv::OpenTable;
use backup_core::progress::Context;
use backup_core::source::{Capabilities, Layout, StoreDescription, View};
use backup_core::{Error, KeyValueDatabase, KeyValueStore, Result, Snapshot, Source, thread};
use rocksdb::{
    BoundColumnFamily, ColumnFamilyDescriptor, DBWithThreadMode, MultiThreaded, Options,
};

use crate::capture::{find_store, read_live_state, read_options};
use crate::foreign::{self, KeyOrder};
use crate::layout::{self, DEFAULT, MARK_FAMILY, MARK_KEY, PARTITIONED};
use crate::settings::Applied;
use crate::{ENGINE, RocksSource, lock};
use database::RocksDatabase;

/// The database that a [`RocksStore`] has open.
type Db = DBWithThreadMode<MultiThreaded>;

/// A RocksDB store that is open for reading and writing, each database a column family.
///
/// Clones are the same open store; the last one closes it.
#[derive(Clone)]
pub struct RocksStore {
    inner: Arc<Inner>,
}

struct Inner {
    db: Arc<Db>,
    folder: PathBuf,
    layout: Layout,
    /// The databases that are there. Held while one is made or deleted.
    names: Mutex<BTreeSet<String>>,
    open: OpenTable,
    /// Held shared by a batch, and alone by one that first looks where the last key is.
    writing: RwLock<()>,
}

impl RocksStore {
    /// Opens an existing store, with the options its OPTIONS file names and the layout it was made
    /// with.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, [`Error::InUse`] where another process or handle
    /// has it open, [`Error::Unsupported`] for a comparator, merge operator or prefix extractor
    /// that only its own program has.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let folder = find_store(path.as_ref())?;
        let store = folder.display().to_string();
        let (live, options) = (read_live_state(&folder)?, read_options(&folder));
        if live.folders() > 1 {
            return Err(Error::unsupported(
                format!("opening {store} for key-value access"),
                "its tables lie in several folders (db_paths); use rocksdb itself",
            ));
        }
        let mut names = BTreeSet::new();
        let mut descriptors = Vec::new();
        for family in live.families.values() {
            let name = family.shown_name();
            if layout::is_implicit(&name) {
                continue;
            }
            let stated = options.families.get(&name).cloned().unwrap_or_default();
            foreign::check_options(&store, family, &stated)?;
            if foreign::key_order(&store, family)? == KeyOrder::Reverse {
                return Err(Error::unsupported(
                    format!("opening {store} for key-value access"),
                    format!(
                        "column family {name:?} has its keys in reverse order; use rocksdb itself"
                    ),
                ));
            }
            let applied = Applied::for_writing(&stated).options;
            descriptors.push(ColumnFamilyDescriptor::new(&name, applied));
            names.insert(name);
        }
        let db_options = Applied::for_database(&options.database).options;
        let db = open_db(&folder, &db_options, descriptors)?;
        let layout =
            if names.contains(MARK_FAMILY) { mark_of(&db, &store)? } else { Layout::Plain };
        Ok(Self::of(db, folder, layout, names))
    }

    /// Makes an empty store with this layout.
    ///
    /// # Errors
    /// [`Error::Occupied`] where a RocksDB store is there already.
    pub fn create(path: impl AsRef<Path>, layout: Layout) -> Result<Self> {
        let path = path.as_ref();
        let folder = std::path::absolute(path).map_err(Error::io("find", path))?;
        match find_store(&folder) {
            Err(Error::NotFound { .. }) => {}
            Ok(path) => return Err(Error::Occupied { path }),
            Err(other) => return Err(other),
        }
        let mut options = Options::default();
        options.create_if_missing(true);
        options.create_missing_column_families(true);
        let mut names = BTreeSet::from([DEFAULT.to_owned()]);
        if layout == Layout::Partitioned {
            names.insert(MARK_FAMILY.into());
        }
        let descriptor = |name: &String| ColumnFamilyDescriptor::new(name, Options::default());
        let db = open_db(&folder, &options, names.iter().map(descriptor).collect())?;
        if let Some(mark) = db.cf_handle(MARK_FAMILY) {
            let mut sync = rocksdb::WriteOptions::default();
            sync.set_sync(true);
            db.put_cf_opt(&mark, MARK_KEY, PARTITIONED, &sync)
                .map_err(Error::engine(ENGINE, "mark the layout"))?;
        }
        Ok(Self::of(db, folder, layout, names))
    }

    fn of(db: Db, folder: PathBuf, layout: Layout, names: BTreeSet<String>) -> Self {
        let inner = Inner {
            db: Arc::new(db),
            folder,
            layout,
            names: Mutex::new(names),
            open: OpenTable::new(),
            writing: RwLock::new(()),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The open database itself.
    pub fn db(&self) -> &Arc<DBWithThreadMode<MultiThreaded>> {
        &self.inner.db
    }

    /// How the store keeps records.
    pub fn layout(&self) -> Layout {
        self.inner.layout
    }

    /// The store as a source: its own open database, not a copy of its files.
    ///
    /// # Errors
    /// As [`RocksSource::open_db`].
    pub fn source(&self) -> Result<RocksSource> {
        RocksSource::open_db(self.inner.db.clone())
    }
}

impl std::fmt::Debug for RocksStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RocksStore").field("folder", &self.inner.folder).finish_non_exhaustive()
    }
}

fn open_db(folder: &Path, options: &Options, families: Vec<ColumnFamilyDescriptor>) -> Result<Db> {
    Db::open_cf_descriptors(options, folder, families).map_err(|error| match lock::holder(folder) {
        Some(process) => Error::InUse {
            what: format!("the database {}", folder.display()),
            hint: format!("process {process} has it open"),
        },
        None => Error::engine(ENGINE, format!("open {}", folder.display()))(error),
    })
}

fn mark_of(db: &Db, store: &str) -> Result<Layout> {
    let mark = match db.cf_handle(MARK_FAMILY) {
        Some(handle) => db
            .get_cf(&handle, MARK_KEY)
            .map_err(Error::engine(ENGINE, format!("read the layout of {store}")))?,
        None => None,
    };
    layout::of_mark(store, mark.as_deref())
}

impl Inner {
    fn names(&self) -> MutexGuard<'_, BTreeSet<String>> {
        // The set is consistent after every statement, so a panic elsewhere leaves it usable.
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn has(&self, name: &str) -> bool {
        layout::is_database(name) && self.names().contains(name)
    }

    fn handle(&self, name: &str) -> Result<Arc<BoundColumnFamily<'_>>> {
        self.db.cf_handle(name).ok_or_else(|| not_there(name))
    }
}

fn not_there(name: &str) -> Error {
    Error::NotFound { what: format!("the database {name:?}"), hint: "create it first".into() }
}

/// An [`Error::Engine`] that names the database; its sentence is made only once there is one.
fn failed<'a>(
    action: &'a str,
    database: &'a str,
) -> impl FnOnce(rocksdb::Error) -> Error + use<'a> {
    move |error| Error::engine(ENGINE, format!("{action} database {database:?}"))(error)
}

#[async_trait]
impl KeyValueStore for RocksStore {
    /// RocksDB always has a database `default`.
    async fn databases(&self) -> Result<Vec<String>> {
        let names = self.inner.names();
        Ok(names.iter().filter(|name| layout::is_database(name)).cloned().collect())
    }

    async fn create(&self, name: &str) -> Result<()> {
        layout::check_name(name)?;
        let (inner, name) = (self.inner.clone(), name.to_owned());
        thread::call("rocksdb create", move || {
            let mut names = inner.names();
            if names.contains(&name) {
                let detail = "is taken; choose another, or open it";
                return Err(Error::invalid(format!("the database name {name:?}"), detail));
            }
            inner.db.create_cf(&name, &Options::default()).map_err(failed("create", &name))?;
            names.insert(name);
            Ok(())
        })
        .await
    }

    /// # Errors
    /// [`Error::Unsupported`] for `default`, which RocksDB cannot be without.
    async fn delete(&self, name: &str) -> Result<()> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        thread::call("rocksdb delete", move || {
            let mut names = inner.names();
            if !layout::is_database(&name) || !names.contains(&name) {
                return Err(not_there(&name));
            }
            if inner.open.is_open(&name) {
                let hint = "close its partitions first".into();
                return Err(Error::InUse { what: format!("the database {name:?}"), hint });
            }
            if name == DEFAULT {
                return Err(Error::unsupported(
                    "deleting the database \"default\"",
                    "RocksDB always has it; delete its records instead",
                ));
            }
            inner.db.drop_cf(&name).map_err(failed("delete", &name))?;
            names.remove(&name);
            Ok(())
        })
        .await
    }

    async fn database(&self, name: &str) -> Result<Arc<dyn KeyValueDatabase>> {
        if !self.inner.has(name) {
            return Err(not_there(name));
        }
        Ok(Arc::new(RocksDatabase::new(self.inner.clone(), name)))
    }
}

#[async_trait]
impl Source for RocksStore {
    fn describe(&self) -> StoreDescription {
        let folder = self.inner.folder.display();
        match self.source() {
            Ok(source) => source.describe(),
            Err(_) => StoreDescription {
                engine: ENGINE.into(),
                location: format!("{ENGINE}:{folder}"),
                identity: None,
            },
        }
    }

    fn capabilities(&self) -> Capabilities {
        crate::source::abilities(true)
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        self.source()?.snapshot(view, context).await
    }
}
