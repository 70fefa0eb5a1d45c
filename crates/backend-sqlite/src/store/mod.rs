//! A SQLite file as a key-value store.

mod beside;
mod build;
mod connections;
mod database;
mod estimates;
mod failure;
mod layout;
mod limits;
mod partition;
mod records;
mod restore;
mod table;
mod value;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backup_core::kv::OpenTable;
use backup_core::{Error, KeyValueDatabase, KeyValueStore, Result, thread};
use rusqlite::{OpenFlags, TransactionBehavior};

pub(crate) use layout::is_store;
pub(crate) use records::StoreRecords;
pub(crate) use restore::begin as begin_restore;

use beside::{length_of, no_log_beside};
use connections::{Connections, Settings, begin_to_write, open};
use database::SqliteDatabase;
use failure::failed;
use table::Table;

/// How long a call waits for another process that writes, unless it is told otherwise.
const PATIENCE: Duration = Duration::from_secs(30);

/// When a batch that was written is durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// When the call returns: the log is synced with each batch.
    #[default]
    Full,
    /// Soon after: a crash of the process loses nothing, one of the system may lose the last batches.
    /// Whatever is there is whole, and in order.
    Normal,
}

/// How a store is opened.
///
/// ```
/// use backend_sqlite::{Durability, StoreOptions};
/// # let folder = tempfile::tempdir().unwrap();
/// # let path = folder.path().join("store.db");
/// let store = StoreOptions::new().durability(Durability::Normal).create(&path)?;
/// # drop(store);
/// # Ok::<(), backup_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct StoreOptions(Settings);

impl StoreOptions {
    /// Durable batches, and half a minute's patience with other processes.
    pub fn new() -> Self {
        Self(Settings { durability: Durability::Full, patience: PATIENCE })
    }

    /// Chooses when batches are durable.
    #[must_use]
    pub fn durability(mut self, durability: Durability) -> Self {
        self.0.durability = durability;
        self
    }

    /// Chooses how long a call waits for another process that writes, before it answers
    /// [`Error::InUse`].
    #[must_use]
    pub fn patience(mut self, patience: Duration) -> Self {
        self.0.patience = patience;
        self
    }

    /// As [`SqliteStore::open`], with these options.
    ///
    /// # Errors
    /// As there.
    pub fn open(&self, path: impl AsRef<Path>) -> Result<SqliteStore> {
        let path = absolute(path.as_ref())?;
        let store = path.display().to_string();
        if length_of(&path)?.unwrap_or(0) == 0 {
            let hint = "make one with SqliteStore::create".into();
            return Err(Error::NotFound { what: format!("the key-value store {store}"), hint });
        }
        let writer = open(&path, OpenFlags::SQLITE_OPEN_READ_WRITE, &self.0)?;
        layout::check(&writer, &store)?;
        begin_to_write(&writer, &path, &self.0)?;
        Ok(SqliteStore::of(Connections::new(path, self.0, writer)))
    }

    /// As [`SqliteStore::create`], with these options.
    ///
    /// # Errors
    /// As there.
    pub fn create(&self, path: impl AsRef<Path>) -> Result<SqliteStore> {
        let path = absolute(path.as_ref())?;
        if length_of(&path)?.unwrap_or(0) == 0 {
            no_log_beside(&path)?;
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
        let mut writer = open(&path, flags, &self.0)?;
        make(&mut writer, &path)?;
        begin_to_write(&writer, &path, &self.0)?;
        Ok(SqliteStore::of(Connections::new(path, self.0, writer)))
    }
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// A SQLite file that is open as a key-value store.
///
/// Databases, root keys and batches are tables, columns and transactions; readers see one moment each and
/// never wait for the writer, nor it for them. Clones are the same open store; the last one closes it,
/// which writes the log back into the file and may take a moment.
///
/// The file is marked as a store by its `application_id`: another program's database is refused by name,
/// and never adopted. Several processes may have it open: each batch is whole for all of them.
/// [`Access`](backup_core::kv::Access) is told apart among the clones of one open store only.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    inner: Arc<Inner>,
}

/// What the clones of a store share.
#[derive(Debug)]
struct Inner {
    connections: Connections,
    /// Held while a database is made, deleted or opened.
    naming: Mutex<()>,
    open: OpenTable,
}

impl SqliteStore {
    /// Opens the store in a file.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, [`Error::Invalid`] where the file is something else,
    /// [`Error::Unsupported`] where a later version wrote it, [`Error::InUse`] where another process
    /// keeps it locked.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::new().open(path)
    }

    /// Makes an empty store in a file that is not there yet, or empty.
    ///
    /// # Errors
    /// [`Error::Occupied`] where something is there, also where it is only the log or the journal of a
    /// file that is gone: they may hold what is left of it.
    pub fn create(path: impl AsRef<Path>) -> Result<Self> {
        StoreOptions::new().create(path)
    }

    fn of(connections: Connections) -> Self {
        let (naming, open) = (Mutex::new(()), OpenTable::new());
        Self { inner: Arc::new(Inner { connections, naming, open }) }
    }

    /// The store's file.
    pub fn path(&self) -> &Path {
        self.inner.connections.path()
    }
}

impl Inner {
    /// Runs `work` while no database is made, deleted or opened by others.
    fn alone<T>(&self, work: impl FnOnce() -> Result<T>) -> Result<T> {
        // It guards no data of its own, so a panic elsewhere leaves nothing half done.
        let _naming = self.naming.lock().unwrap_or_else(PoisonError::into_inner);
        work()
    }

    /// Reads a little, from a state that does not change meanwhile.
    fn read<T>(&self, read: impl FnOnce(&rusqlite::Connection) -> Result<T>) -> Result<T> {
        let _turn = self.connections.turn();
        let reader = self.connections.reader()?;
        let store = self.connections.path().display().to_string();
        let _moment = reader.unchecked_transaction().map_err(failed("read from", &store))?;
        read(&reader)
    }

    fn find(&self, name: &str) -> Result<Table> {
        self.read(|reader| layout::find(reader, name))?.ok_or_else(|| not_there(name))
    }
}

/// Makes a store of what was just opened, if that is empty.
fn make(writer: &mut rusqlite::Connection, path: &Path) -> Result<()> {
    let store = path.display().to_string();
    let transaction = writer
        .transaction_with_behavior(TransactionBehavior::Immediate)
        .map_err(failed("make", &store))?;
    if !layout::is_blank(&transaction)? {
        return Err(Error::Occupied { path: path.to_owned() });
    }
    layout::make(&transaction)?;
    transaction.commit().map_err(failed("make", &store))
}

fn absolute(path: &Path) -> Result<PathBuf> {
    std::path::absolute(path).map_err(Error::io("find", path))
}

fn not_there(name: &str) -> Error {
    Error::NotFound { what: format!("the database {name:?}"), hint: "create it first".into() }
}

#[async_trait]
impl KeyValueStore for SqliteStore {
    async fn databases(&self) -> Result<Vec<String>> {
        let inner = self.inner.clone();
        thread::call("sqlite databases", move || {
            let tables = inner.read(layout::databases)?;
            Ok(tables.iter().map(|table| table.name().to_owned()).collect())
        })
        .await
    }

    async fn create(&self, name: &str) -> Result<()> {
        layout::check_name(name)?;
        let (inner, name) = (self.inner.clone(), name.to_owned());
        thread::call("sqlite create", move || {
            inner.alone(|| {
                inner.connections.change(|writer| {
                    if layout::find(writer, &name)?.is_some() {
                        let detail = "is taken; choose another, or open it";
                        return Err(Error::invalid(format!("the database name {name:?}"), detail));
                    }
                    layout::add_database(writer, &name).map(drop)
                })
            })
        })
        .await
    }

    async fn delete(&self, name: &str) -> Result<()> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        thread::call("sqlite delete", move || {
            inner.alone(|| {
                let table = inner.find(&name)?;
                if inner.open.is_open(&name) {
                    let hint = "close its partitions first".into();
                    return Err(Error::InUse { what: format!("the database {name:?}"), hint });
                }
                inner.connections.change(|writer| layout::remove_database(writer, &table))
            })
        })
        .await
    }

    async fn database(&self, name: &str) -> Result<Arc<dyn KeyValueDatabase>> {
        let (inner, name) = (self.inner.clone(), name.to_owned());
        thread::call("sqlite database", move || {
            inner.find(&name)?;
            Ok(Arc::new(SqliteDatabase::new(inner, &name)) as Arc<dyn KeyValueDatabase>)
        })
        .await
    }
}
