//! The store: named databases behind one lock, changed as a whole.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};

use backup_core::kv::{Limits, OpenTable};
use backup_core::record::MAX_KEY_BYTES;
use backup_core::source::{Capabilities, StoreDescription};
use backup_core::target::Origin;
use backup_core::{Error, Result};

use crate::records::Records;

/// The engine's name in locations.
pub(crate) const ENGINE: &str = "memory";

/// What every database takes: keys that travel in a batch, and values that fit a portable file.
pub(crate) const LIMITS: Limits =
    Limits { key: MAX_KEY_BYTES as u64, value: i32::MAX as u64, batch: u64::MAX };

/// A key-value store in memory. A clone is another handle of the same store.
///
/// Databases are named, and their records lie under root keys. Every change is atomic: it is made to
/// a copy, which then takes the store's place. So a snapshot is the state that is there at that
/// moment, across all databases, and costs nothing to take or to keep, whatever is written later.
#[derive(Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
}

struct Shared {
    name: String,
    state: RwLock<State>,
    open: OpenTable,
    restoring: AtomicBool,
}

/// All that a store holds.
#[derive(Clone, Default)]
pub(crate) struct State {
    /// The number of changes so far.
    pub(crate) version: u64,
    /// The records of each database.
    pub(crate) databases: BTreeMap<String, Records>,
    /// Where a restore brought this from.
    pub(crate) origin: Option<Origin>,
}

impl State {
    /// The records of a database.
    pub(crate) fn records(&self, database: &str) -> Result<&Records> {
        self.databases.get(database).ok_or_else(|| no_database(database))
    }

    /// The records of a database, to be replaced.
    pub(crate) fn records_mut(&mut self, database: &str) -> Result<&mut Records> {
        self.databases.get_mut(database).ok_or_else(|| no_database(database))
    }
}

impl MemoryStore {
    /// An empty store named `unnamed`.
    pub fn new() -> Self {
        Self::named("unnamed")
    }

    /// An empty store. Its location is `memory:NAME`, which tells stores apart in a repository.
    pub fn named(name: impl Into<String>) -> Self {
        Self::with_state(name.into(), State::default())
    }

    /// Another store that begins with what this one holds now. It costs nothing: the two share what
    /// neither has changed.
    #[must_use]
    pub fn fork(&self, name: impl Into<String>) -> Self {
        Self::with_state(name.into(), self.state().clone())
    }

    /// What a restore into this store says of where it came from: the sidecar of a store that has no
    /// folder to put one in.
    pub fn origin(&self) -> Option<Origin> {
        self.state().origin.clone()
    }

    fn with_state(name: String, state: State) -> Self {
        let shared = Shared {
            name,
            state: RwLock::new(state),
            open: OpenTable::new(),
            restoring: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    pub(crate) fn description(&self) -> StoreDescription {
        let location = format!("{ENGINE}:{}", self.shared.name);
        StoreDescription { engine: ENGINE.into(), location, identity: None }
    }

    pub(crate) fn abilities() -> Capabilities {
        Capabilities {
            records: true,
            files: false,
            load_records: true,
            place_files: false,
            partitions: true,
            databases: true,
            point_in_time: true,
        }
    }

    /// The state as it is, for reading.
    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        // Only `change` writes, and it leaves the state consistent after every statement.
        self.shared.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes one change, alone. Where `change` fails it must have changed nothing.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut State) -> Result<T>) -> Result<T> {
        let mut state = self.shared.state.write().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut state)?;
        state.version += 1;
        Ok(done)
    }

    /// The partitions that are open.
    pub(crate) fn open_table(&self) -> &OpenTable {
        &self.shared.open
    }

    /// Enters a restore, of which there is one at a time.
    pub(crate) fn begin_restore(&self) -> Result<Restoring> {
        if self.shared.restoring.swap(true, Ordering::AcqRel) {
            return Err(Error::InUse {
                what: self.description().location,
                hint: "another restore is writing there; wait for it, or drop it".into(),
            });
        }
        Ok(Restoring { store: self.clone() })
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = self.state();
        f.debug_struct("MemoryStore")
            .field("name", &self.shared.name)
            .field("version", &state.version)
            .field("databases", &state.databases.keys())
            .finish_non_exhaustive()
    }
}

/// Held by the one restore that may be under way.
pub(crate) struct Restoring {
    pub(crate) store: MemoryStore,
}

impl Drop for Restoring {
    fn drop(&mut self) {
        self.store.shared.restoring.store(false, Ordering::Release);
    }
}

/// Checks the name of a database that is to be made.
pub(crate) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("the name of a database", "must not be empty"));
    }
    Ok(())
}

fn no_database(name: &str) -> Error {
    let hint = "create it first, or choose one that the store lists".into();
    Error::NotFound { what: format!("database {name:?}"), hint }
}
