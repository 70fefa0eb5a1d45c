//! The engines whose stores an operation opens by itself.

use std::collections::BTreeMap;
use std::fmt;
use std::path::Path;
use std::sync::Arc;

use backup_core::{Source, Target};

use crate::Result;

/// An engine that reads records from its own files.
pub trait Engine: Send + Sync {
    /// The store at `path`, to be read.
    ///
    /// # Errors
    /// What the backend says of the path.
    fn source(&self, path: &Path) -> Result<Box<dyn Source>>;

    /// The store at `path`, to be restored into. It takes files of this engine.
    ///
    /// # Errors
    /// What the backend says of the path.
    fn target(&self, path: &Path) -> Result<Box<dyn Target>>;
}

/// Engines by their names, which are those that snapshots have.
///
/// Where the records of a snapshot of files are asked for, its files are put into a scratch folder, and their
/// engine opens them there. [`default`](Self::default) has the engines that this build has; [`with`](Self::with)
/// adds one of your own.
#[derive(Clone)]
pub struct Engines {
    named: BTreeMap<String, Arc<dyn Engine>>,
}

impl Engines {
    /// No engine: records are read from records alone.
    pub fn none() -> Self {
        Self { named: BTreeMap::new() }
    }

    /// With `engine` for the snapshots whose engine has this name, in place of one that had it.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, engine: impl Engine + 'static) -> Self {
        self.named.insert(name.into(), Arc::new(engine));
        self
    }

    pub(crate) fn find(&self, name: &str) -> Option<&dyn Engine> {
        self.named.get(name).map(AsRef::as_ref)
    }
}

impl Default for Engines {
    fn default() -> Self {
        let engines = Self::none();
        #[cfg(feature = "rocksdb")]
        let engines = engines.with("rocksdb", Rocksdb);
        #[cfg(feature = "sqlite")]
        let engines = engines.with("sqlite", Sqlite);
        engines
    }
}

impl fmt::Debug for Engines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.named.keys()).finish()
    }
}

#[cfg(feature = "rocksdb")]
struct Rocksdb;

#[cfg(feature = "rocksdb")]
impl Engine for Rocksdb {
    fn source(&self, path: &Path) -> Result<Box<dyn Source>> {
        Ok(Box::new(backend_rocksdb::RocksSource::path(path)?))
    }

    fn target(&self, path: &Path) -> Result<Box<dyn Target>> {
        Ok(Box::new(backend_rocksdb::RocksTarget::path(path)?))
    }
}

#[cfg(feature = "sqlite")]
struct Sqlite;

#[cfg(feature = "sqlite")]
impl Engine for Sqlite {
    fn source(&self, path: &Path) -> Result<Box<dyn Source>> {
        Ok(Box::new(backend_sqlite::SqliteSource::path(path)?))
    }

    fn target(&self, path: &Path) -> Result<Box<dyn Target>> {
        Ok(Box::new(backend_sqlite::SqliteTarget::path(path)?))
    }
}
