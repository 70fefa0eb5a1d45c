//! The store as something that is restored into.

use std::path::PathBuf;

use async_trait::async_trait;
use backup_core::check::none_alone;
use backup_core::progress::Context;
use backup_core::record::{Assembler, RecordBatch, RecordKey};
use backup_core::source::{Capabilities, Layout, StoreDescription};
use backup_core::target::{Content, Existing, Origin, RestorePlan, Restored, each_once};
use backup_core::{Built, Error, Restore, Result, Snapshot, Target};
use bytes::Bytes;

use crate::MemoryStore;
use crate::records::Records;
use crate::source::MemorySnapshot;
use crate::store::{LIMITS, Restoring, State, check_name};

#[async_trait]
impl Target for MemoryStore {
    fn describe(&self) -> StoreDescription {
        self.description()
    }

    fn capabilities(&self) -> Capabilities {
        Self::abilities()
    }

    async fn is_occupied(&self) -> Result<bool> {
        match check_free(self, &self.state(), Existing::Refuse) {
            Err(Error::Occupied { .. }) => Ok(true),
            free => free.map(|()| false),
        }
    }

    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>> {
        context.check()?;
        none_alone("memory", plan.check)?;
        let Content::Records { layout, databases } = plan.content else {
            return Err(no_files());
        };
        databases.iter().try_for_each(|info| check_name(&info.name))?;
        each_once(databases.iter().map(|info| info.name.as_str()))?;
        let built = databases.into_iter().map(|info| (info.name, Records::default())).collect();
        check_free(self, &self.state(), plan.existing)?;
        Ok(Box::new(MemoryRestore {
            restoring: self.begin_restore()?,
            layout,
            existing: plan.existing,
            origin: plan.origin,
            built,
            current: 0,
            values: Assembler::new(),
            refused: false,
            context: context.clone(),
        }))
    }
}

/// A state being built, which takes the store's place when it is complete.
struct MemoryRestore {
    restoring: Restoring,
    layout: Layout,
    existing: Existing,
    origin: Origin,
    built: Vec<(String, Records)>,
    current: usize,
    values: Assembler,
    /// A batch was refused, so the state lacks records.
    refused: bool,
    context: Context,
}

impl MemoryRestore {
    fn add(&mut self, database: usize, batch: &RecordBatch) -> Result<()> {
        if database != self.current {
            self.values.finish()?;
        }
        if database < self.current || database >= self.built.len() {
            let detail = "is not in the plan, or another one after it was begun already";
            return Err(Error::invalid(format!("database number {database} of a restore"), detail));
        }
        self.current = database;
        let (name, records) = &mut self.built[database];
        let layout = self.layout;
        self.values.feed(batch, LIMITS.value, |root_key, key, value| {
            if layout == Layout::Plain && !root_key.is_empty() {
                let what = format!("a root key in database {name:?}");
                return Err(Error::unsupported(
                    what,
                    "choose the partitioned layout, which keeps it",
                ));
            }
            let at = RecordKey::new(root_key, key);
            if records.last().is_some_and(|last| *last >= at) {
                let detail = "come unsorted, or one comes twice";
                return Err(Error::invalid(format!("the records of database {name:?}"), detail));
            }
            records.insert(at, value.to_vec());
            Ok(())
        })
    }
}

#[async_trait]
impl Restore for MemoryRestore {
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()> {
        self.context.check()?;
        let added = self.add(database, &batch);
        self.refused |= added.is_err();
        added
    }

    async fn place(&mut self, _file: usize, _offset: u64, _bytes: Bytes) -> Result<()> {
        Err(no_files())
    }

    async fn complete(self: Box<Self>) -> Result<Box<dyn Built>> {
        self.context.check()?;
        self.values.finish()?;
        if self.refused {
            let detail = "a batch of it was refused before; begin it again";
            return Err(Error::invalid("the restore is not complete", detail));
        }
        let Self { restoring, existing, origin, built, context, .. } = *self;
        let databases = built.into_iter().collect();
        let state = State { version: 0, databases, origin: Some(origin) };
        Ok(Box::new(MemoryBuilt { restoring, existing, state, context }))
    }
}

/// A state that is complete.
struct MemoryBuilt {
    restoring: Restoring,
    existing: Existing,
    state: State,
    context: Context,
}

#[async_trait]
impl Built for MemoryBuilt {
    async fn records(&self) -> Result<Option<Box<dyn Snapshot>>> {
        Ok(Some(Box::new(MemorySnapshot::of(self.state.clone(), &self.context))))
    }

    async fn publish(self: Box<Self>) -> Result<Restored> {
        self.context.check()?;
        let Self { restoring, existing, state: built, .. } = *self;
        let store = restoring.store.clone();
        store.change(|state| {
            check_free(&store, state, existing)?;
            let replaced = !state.databases.is_empty();
            *state = State { version: state.version, ..built };
            let notes = if replaced { vec![dropped(&store)] } else { Vec::new() };
            Ok(Restored { kept_aside: None, notes, ..Restored::default() })
        })
    }
}

/// Checks that the store may be replaced: a store with any database is there, and an open partition
/// would find itself in another one.
fn check_free(store: &MemoryStore, state: &State, existing: Existing) -> Result<()> {
    let location = store.description().location;
    if existing == Existing::Refuse && !state.databases.is_empty() {
        return Err(Error::Occupied { path: PathBuf::from(location) });
    }
    if state.databases.keys().any(|name| store.open_table().is_open(name)) {
        return Err(Error::InUse { what: location, hint: "close its partitions first".into() });
    }
    Ok(())
}

fn dropped(store: &MemoryStore) -> String {
    let location = store.description().location;
    format!("what {location} held before is gone: memory has no place to keep it aside")
}

fn no_files() -> Error {
    Error::unsupported("placing files in a memory store", "restore the snapshot's records instead")
}
