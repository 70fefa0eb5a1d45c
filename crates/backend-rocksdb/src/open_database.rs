//! The caller's own open databases, of all types that the `rocksdb` crate has.

use std::path::Path;
use std::sync::Arc;

use rocksdb::checkpoint::{Checkpoint, TransactionDBCheckpoint};
use rocksdb::{
    AsColumnFamilyRef, BoundColumnFamily, ColumnFamily, DBAccess, DBWithThreadMode, Error,
    MultiThreaded, OptimisticTransactionDB, SingleThreaded, TransactionDB,
};

mod sealed {
    /// Keeps [`OpenDatabase`](super::OpenDatabase) to the types that were tried.
    pub trait Sealed {}
}

/// A database that the caller has open: `DB`, `TransactionDB` or `OptimisticTransactionDB`, with
/// column families of one thread or of several.
pub trait OpenDatabase: DBAccess + sealed::Sealed + Send + Sync + 'static {
    /// A handle of a column family.
    type Handle<'a>: AsColumnFamilyRef + Send + Sync
    where
        Self: 'a;

    /// The database's folder.
    fn folder(&self) -> &Path;

    /// The handle of the column family of this name, if it is open.
    fn handle(&self, family: &str) -> Option<Self::Handle<'_>>;

    /// Makes a checkpoint in a folder that does not exist yet, after a flush.
    fn checkpoint(&self, folder: &Path) -> Result<(), Error>;
}

impl sealed::Sealed for DBWithThreadMode<SingleThreaded> {}
impl OpenDatabase for DBWithThreadMode<SingleThreaded> {
    type Handle<'a> = &'a ColumnFamily;

    fn folder(&self) -> &Path {
        self.path()
    }

    fn handle(&self, family: &str) -> Option<&ColumnFamily> {
        self.cf_handle(family)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        Checkpoint::new(self)?.create_checkpoint(folder)
    }
}

impl sealed::Sealed for DBWithThreadMode<MultiThreaded> {}
impl OpenDatabase for DBWithThreadMode<MultiThreaded> {
    type Handle<'a> = Arc<BoundColumnFamily<'a>>;

    fn folder(&self) -> &Path {
        self.path()
    }

    fn handle(&self, family: &str) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.cf_handle(family)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        Checkpoint::new(self)?.create_checkpoint(folder)
    }
}

impl sealed::Sealed for OptimisticTransactionDB<SingleThreaded> {}
impl OpenDatabase for OptimisticTransactionDB<SingleThreaded> {
    type Handle<'a> = &'a ColumnFamily;

    fn folder(&self) -> &Path {
        self.path()
    }

    fn handle(&self, family: &str) -> Option<&ColumnFamily> {
        self.cf_handle(family)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        Checkpoint::new(self)?.create_checkpoint(folder)
    }
}

impl sealed::Sealed for OptimisticTransactionDB<MultiThreaded> {}
impl OpenDatabase for OptimisticTransactionDB<MultiThreaded> {
    type Handle<'a> = Arc<BoundColumnFamily<'a>>;

    fn folder(&self) -> &Path {
        self.path()
    }

    fn handle(&self, family: &str) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.cf_handle(family)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        Checkpoint::new(self)?.create_checkpoint(folder)
    }
}

impl sealed::Sealed for TransactionDB<SingleThreaded> {}
impl OpenDatabase for TransactionDB<SingleThreaded> {
    type Handle<'a> = &'a ColumnFamily;

    fn folder(&self) -> &Path {
        self.path()
    }

    fn handle(&self, family: &str) -> Option<&ColumnFamily> {
        self.cf_handle(family)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        TransactionDBCheckpoint::new(self)?.create_checkpoint(folder)
    }
}

impl sealed::Sealed for TransactionDB<MultiThreaded> {}
impl OpenDatabase for TransactionDB<MultiThreaded> {
    type Handle<'a> = Arc<BoundColumnFamily<'a>>;

    fn folder(&self) -> &Path {
        self.path()
    }

    fn handle(&self, family: &str) -> Option<Arc<BoundColumnFamily<'_>>> {
        self.cf_handle(family)
    }

    fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
        TransactionDBCheckpoint::new(self)?.create_checkpoint(folder)
    }
}
