//! Key-value stores: what layers wrap and applications use.
//!
//! A store holds databases by name; a database holds partitions by root key; a partition holds
//! values by key. An engine without partitions has the one with the empty root key.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use futures_core::stream::BoxStream;

use crate::{Error, Result};

/// Keys and values, in key order.
pub type PairStream = BoxStream<'static, Result<(Vec<u8>, Vec<u8>)>>;

/// The largest sizes an engine takes, in bytes. Larger input is refused with [`Error::Limit`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// A root key, and a key.
    pub key: u64,
    /// A value.
    pub value: u64,
    /// The keys and values of one [`WriteBatch`].
    pub batch: u64,
}

/// A store of databases. Connecting to one is each backend's own constructor.
#[async_trait]
pub trait KeyValueStore: Send + Sync {
    /// The names of all databases, sorted.
    async fn databases(&self) -> Result<Vec<String>>;

    /// Creates an empty database.
    ///
    /// # Errors
    /// [`Error::Invalid`] where the name is taken or the engine does not take it.
    async fn create(&self, name: &str) -> Result<()>;

    /// Deletes a database with all its records.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none, [`Error::InUse`] while a partition of it is open.
    async fn delete(&self, name: &str) -> Result<()>;

    /// The database of this name.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is none.
    async fn database(&self, name: &str) -> Result<Arc<dyn KeyValueDatabase>>;
}

/// A database of a store.
#[async_trait]
pub trait KeyValueDatabase: Send + Sync {
    /// The root keys under which there are records, sorted.
    async fn root_keys(&self) -> Result<Vec<Vec<u8>>>;

    /// Opens a partition; it need not have records yet.
    ///
    /// # Errors
    /// [`Error::InUse`] if it is open in a way that excludes `access`; [`Error::Unsupported`] for a
    /// root key that is not empty where the engine has no partitions.
    async fn open(&self, root_key: &[u8], access: Access) -> Result<Arc<dyn Partition>>;

    /// The largest sizes this database takes.
    fn limits(&self) -> Limits;
}

/// An open partition.
#[async_trait]
pub trait Partition: Send + Sync {
    /// The value of `key`.
    async fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>>;

    /// The values of `keys`, in their order.
    async fn multi_get(&self, keys: &[Vec<u8>]) -> Result<Vec<Option<Vec<u8>>>>;

    /// All keys that start with `prefix`, with their values, in bytewise key order, as of one
    /// moment not before the call.
    fn scan_prefix(&self, prefix: &[u8]) -> PairStream;

    /// Applies all operations in order, all or none, durably as the engine is configured. What was
    /// written is seen by every later read.
    ///
    /// # Errors
    /// [`Error::Limit`] for what is above [`KeyValueDatabase::limits`]; nothing is then written.
    async fn write_batch(&self, batch: WriteBatch) -> Result<()>;
}

/// One operation of a [`WriteBatch`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// Sets the value of a key.
    Put {
        /// The key.
        key: Vec<u8>,
        /// Its new value.
        value: Vec<u8>,
    },
    /// Removes a key, if it is there.
    Delete {
        /// The key.
        key: Vec<u8>,
    },
    /// Removes every key that starts with a prefix.
    DeletePrefix {
        /// The prefix; empty for the whole partition.
        prefix: Vec<u8>,
    },
}

/// Operations that are applied together. A later one sees what earlier ones did.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct WriteBatch {
    /// The operations, in order.
    pub operations: Vec<Operation>,
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a put.
    pub fn put(&mut self, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
        self.operations.push(Operation::Put { key: key.into(), value: value.into() });
    }

    /// Adds a delete.
    pub fn delete(&mut self, key: impl Into<Vec<u8>>) {
        self.operations.push(Operation::Delete { key: key.into() });
    }

    /// Adds a delete of all keys with a prefix.
    pub fn delete_prefix(&mut self, prefix: impl Into<Vec<u8>>) {
        self.operations.push(Operation::DeletePrefix { prefix: prefix.into() });
    }

    /// Checks every operation and the whole against an engine's limits.
    ///
    /// # Errors
    /// [`Error::Limit`].
    pub fn check(&self, limits: &Limits) -> Result<()> {
        let bounded = |what: &str, found: usize, limit: u64| {
            if found as u64 <= limit {
                return Ok(());
            }
            Err(Error::Limit { what: what.into(), found: found as u64, limit })
        };
        let mut total = 0;
        for operation in &self.operations {
            let (key, value) = match operation {
                Operation::Put { key, value } => (key, value.len()),
                Operation::Delete { key } | Operation::DeletePrefix { prefix: key } => (key, 0),
            };
            bounded("a key", key.len(), limits.key)?;
            bounded("a value", value, limits.value)?;
            total += key.len() + value;
        }
        bounded("a batch", total, limits.batch)
    }
}

/// How a partition is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// Together with other shared openings.
    Shared,
    /// Alone.
    Exclusive,
}

/// Enforces [`Access`] among the partitions that one store has open. Backends hold one, and an
/// [`OpenGuard`] in each open partition.
#[derive(Debug, Clone, Default)]
pub struct OpenTable(Arc<Mutex<Open>>);

/// Who holds each open partition, by (database, root key).
type Open = HashMap<(String, Vec<u8>), Holders>;

#[derive(Debug)]
enum Holders {
    Shared(usize),
    Exclusive,
}

/// An entry of an [`OpenTable`], removed when dropped.
#[derive(Debug)]
pub struct OpenGuard {
    table: OpenTable,
    place: (String, Vec<u8>),
}

impl OpenTable {
    /// A table with nothing open.
    pub fn new() -> Self {
        Self::default()
    }

    /// Enters an opening.
    ///
    /// # Errors
    /// [`Error::InUse`] where another one excludes it.
    pub fn open(&self, database: &str, root_key: &[u8], access: Access) -> Result<OpenGuard> {
        let place = (database.to_owned(), root_key.to_vec());
        let mut open = self.lock();
        match (open.get_mut(&place), access) {
            (None, Access::Shared) => drop(open.insert(place.clone(), Holders::Shared(1))),
            (None, Access::Exclusive) => drop(open.insert(place.clone(), Holders::Exclusive)),
            (Some(Holders::Shared(count)), Access::Shared) => *count += 1,
            (Some(_), _) => {
                return Err(Error::InUse {
                    what: format!("a partition of database {database:?}"),
                    hint: "close the other handle first".into(),
                });
            }
        }
        Ok(OpenGuard { table: self.clone(), place })
    }

    /// Whether any partition of `database` is open.
    pub fn is_open(&self, database: &str) -> bool {
        self.lock().keys().any(|(name, _)| name == database)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<(String, Vec<u8>), Holders>> {
        // The table is consistent after every statement, so a panic elsewhere leaves it usable.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        let mut open = self.table.lock();
        if let Some(Holders::Shared(count)) = open.get_mut(&self.place)
            && *count > 1
        {
            *count -= 1;
            return;
        }
        open.remove(&self.place);
    }
}
