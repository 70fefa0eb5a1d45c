//! A place for one store: a file in a folder of its own.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use backend_sqlite::{SqliteSource, SqliteStore, SqliteTarget};
use backup_core::{Error, KeyValueStore, Result, Source, Target};
use tempfile::TempDir;
use testkit::conformance::{Factory, Place};

/// Stores in files.
pub(crate) struct Sqlite;

impl Factory for Sqlite {
    fn name(&self) -> &'static str {
        "sqlite"
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        let folder = tempfile::tempdir().map_err(Error::io("make", std::env::temp_dir()))?;
        let file = folder.path().join("store.db");
        Ok(Box::new(SqlitePlace { store: Mutex::default(), file, _folder: folder }))
    }
}

struct SqlitePlace {
    /// Opened, or made, when it is first asked for.
    store: Mutex<Option<SqliteStore>>,
    file: PathBuf,
    _folder: TempDir,
}

impl Place for SqlitePlace {
    fn source(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(SqliteSource::path(&self.file)?))
    }

    fn target(&self) -> Option<Arc<dyn Target>> {
        Some(Arc::new(SqliteTarget::path(&self.file).unwrap()))
    }

    fn store(&self) -> Result<Option<Arc<dyn KeyValueStore>>> {
        let mut open = self.store.lock().unwrap();
        if open.is_none() {
            *open = Some(match SqliteStore::open(&self.file) {
                Err(Error::NotFound { .. }) => SqliteStore::create(&self.file)?,
                other => other?,
            });
        }
        Ok(open.clone().map(|store| Arc::new(store) as Arc<dyn KeyValueStore>))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        let path = self.file.with_file_name("store.db.keepsum");
        if !path.exists() {
            return Ok(None);
        }
        std::fs::read_to_string(&path).map(Some).map_err(Error::io("read", path))
    }
}
