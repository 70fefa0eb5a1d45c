//! The suite that every backend runs, on a store that is read by its path and on one that is open.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use async_trait::async_trait;
use backend_rocksdb::{RocksSource, RocksStore, RocksTarget};
use backup_core::progress::Context;
use backup_core::source::{Capabilities, Layout, StoreDescription, View};
use backup_core::staging::SIDECAR;
use backup_core::target::Existing;
use backup_core::{Error, KeyValueStore, Result, Snapshot, Source, Target};
use tempfile::TempDir;
use testkit::conformance::{self, Factory, Place};
use testkit::contents::Contents;
use testkit::transfer::transfer;

/// How the stores of a factory are read.
#[derive(Debug, Clone, Copy)]
enum Way {
    Path,
    Open,
}

struct Rocks {
    way: Way,
}

impl Factory for Rocks {
    fn name(&self) -> &str {
        match self.way {
            Way::Path => "rocksdb by path",
            Way::Open => "rocksdb, open",
        }
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        let parent = tempfile::tempdir().map_err(Error::io("make", std::env::temp_dir()))?;
        let store = Arc::new(Opened { folder: parent.path().join("db"), store: Mutex::default() });
        Ok(Box::new(RocksPlace { way: self.way, store, _parent: parent }))
    }
}

struct RocksPlace {
    way: Way,
    store: Arc<Opened>,
    _parent: TempDir,
}

/// A store that is opened, or made, when it is first asked for.
struct Opened {
    folder: PathBuf,
    store: Mutex<Option<RocksStore>>,
}

impl Opened {
    fn get(&self) -> Result<RocksStore> {
        let mut store = self.store.lock().unwrap();
        if let Some(store) = store.as_ref() {
            return Ok(store.clone());
        }
        let opened = match RocksStore::open(&self.folder) {
            Err(Error::NotFound { .. }) => RocksStore::create(&self.folder, Layout::Partitioned)?,
            other => other?,
        };
        Ok(store.insert(opened).clone())
    }
}

#[async_trait]
impl Source for Opened {
    fn describe(&self) -> StoreDescription {
        let location = format!("rocksdb:{}", self.folder.display());
        StoreDescription { engine: "rocksdb".into(), location, identity: None }
    }

    fn capabilities(&self) -> Capabilities {
        let path = RocksSource::path(&self.folder).unwrap();
        Capabilities { point_in_time: true, ..path.capabilities() }
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        self.get()?.snapshot(view, context).await
    }
}

impl Place for RocksPlace {
    fn source(&self) -> Result<Arc<dyn Source>> {
        Ok(match self.way {
            Way::Path => Arc::new(RocksSource::path(&self.store.folder)?),
            Way::Open => self.store.clone(),
        })
    }

    /// A store that is open is no target.
    fn target(&self) -> Option<Arc<dyn Target>> {
        match self.way {
            Way::Path => Some(Arc::new(RocksTarget::path(&self.store.folder).unwrap())),
            Way::Open => None,
        }
    }

    fn fill(&self, contents: &Contents) -> Result<()> {
        let target = RocksTarget::path(&self.store.folder)?;
        pollster::block_on(transfer(contents, &target, Existing::Refuse)).map(drop)
    }

    fn store(&self) -> Result<Option<Arc<dyn KeyValueStore>>> {
        Ok(Some(Arc::new(self.store.get()?)))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        let path = self.store.folder.join(SIDECAR);
        if !path.exists() {
            return Ok(None);
        }
        std::fs::read_to_string(&path).map(Some).map_err(Error::io("read", path))
    }

    fn untouched(&self) -> Option<PathBuf> {
        matches!(self.way, Way::Path).then(|| self.store.folder.clone())
    }
}

#[test]
fn a_store_by_its_path() {
    conformance::run(&Rocks { way: Way::Path });
}

#[test]
fn an_open_store() {
    conformance::run(&Rocks { way: Way::Open });
}
