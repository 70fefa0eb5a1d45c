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

/// The same for each type: what differs is the handle, and who makes a checkpoint.
macro_rules! open_database {
    ($database:ty, $handle:ty, $checkpoint:ident) => {
        impl sealed::Sealed for $database {}
        impl OpenDatabase for $database {
            type Handle<'a> = $handle;

            fn folder(&self) -> &Path {
                self.path()
            }

            fn handle(&self, family: &str) -> Option<Self::Handle<'_>> {
                self.cf_handle(family)
            }

            fn checkpoint(&self, folder: &Path) -> Result<(), Error> {
                $checkpoint::new(self)?.create_checkpoint(folder)
            }
        }
    };
}

open_database!(DBWithThreadMode<SingleThreaded>, &'a ColumnFamily, Checkpoint);
open_database!(DBWithThreadMode<MultiThreaded>, Arc<BoundColumnFamily<'a>>, Checkpoint);
open_database!(OptimisticTransactionDB<SingleThreaded>, &'a ColumnFamily, Checkpoint);
open_database!(OptimisticTransactionDB<MultiThreaded>, Arc<BoundColumnFamily<'a>>, Checkpoint);
open_database!(TransactionDB<SingleThreaded>, &'a ColumnFamily, TransactionDBCheckpoint);
open_database!(TransactionDB<MultiThreaded>, Arc<BoundColumnFamily<'a>>, TransactionDBCheckpoint);
