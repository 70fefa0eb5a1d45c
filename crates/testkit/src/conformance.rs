//! The suite that every backend runs: many short checks, chosen by what the backend declares.
//!
//! A backend's test file is a [`Factory`] and a call of [`run`]. `docs/BACKENDS.md` shows one.

mod files;
mod key_value;
mod model;
mod point_in_time;
mod restore;
mod restore_files;
mod sample;
mod source;
mod undeclared;

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;

use backup_core::kv::{Access, WriteBatch};
use backup_core::source::Capabilities;
use backup_core::target::Existing;
use backup_core::{Error, KeyValueStore, Result, Source, Target};
use pollster::FutureExt as _;

use crate::contents::Contents;
use crate::error::chain;
use crate::transfer::transfer;

/// The variable that names the only check to run, or the beginning of several names.
pub const ONLY: &str = "KEEPSUM_CHECK";

/// What the suite needs to know of a backend: how to make a place for a store.
pub trait Factory: Sync {
    /// The backend's name, as failures print it.
    fn name(&self) -> &str;

    /// A new place for one store, with nothing there yet. Dropping it removes what is there.
    fn place(&self) -> Result<Box<dyn Place>>;
}

/// A place for one store, and the ways to it.
pub trait Place: Send + Sync {
    /// What is there, as a source. It must be possible to make one before there is anything.
    fn source(&self) -> Result<Arc<dyn Source>>;

    /// The place as a target, where the backend restores.
    fn target(&self) -> Option<Arc<dyn Target>> {
        None
    }

    /// The store for applications, where the backend has one. It is the store that
    /// [`source`](Self::source) reads, open or opened by this call.
    fn store(&self) -> Result<Option<Arc<dyn KeyValueStore>>> {
        Ok(None)
    }

    /// Makes a store with exactly these records, where there is nothing. A backend whose records are
    /// none of the suite's business (files only) makes something that differs as the contents do.
    fn fill(&self, contents: &Contents) -> Result<()> {
        let Some(target) = self.target() else {
            return Err(Error::unsupported("filling a store", "implement Place::fill"));
        };
        transfer(contents, target.as_ref(), Existing::Refuse).block_on().map(drop)
    }

    /// Writes to the store that the source reads, while snapshots of it are taken. What is declared
    /// to be a point in time is checked against it.
    fn writer(&self) -> Result<Option<Box<dyn Writer>>> {
        Ok(self.store()?.map(|store| Box::new(store) as Box<dyn Writer>))
    }

    /// The sidecar that the last restore into this place left, if it left one.
    fn sidecar(&self) -> Result<Option<String>> {
        Ok(None)
    }

    /// The folder or file that taking and reading a snapshot must leave exactly as it is, where
    /// nothing else writes to it.
    fn untouched(&self) -> Option<PathBuf> {
        None
    }
}

/// A writer beside a snapshot.
pub trait Writer: Send {
    /// Applies a batch to a partition of a database that is there.
    fn write(&self, database: &str, root_key: &[u8], batch: WriteBatch) -> Result<()>;
}

impl Writer for Arc<dyn KeyValueStore> {
    fn write(&self, database: &str, root_key: &[u8], batch: WriteBatch) -> Result<()> {
        async {
            let database = self.database(database).await?;
            database.open(root_key, Access::Shared).await?.write_batch(batch).await
        }
        .block_on()
    }
}

/// Runs every check that applies to the backend, and fails with the names of all that failed.
///
/// # Panics
/// Where a check fails, or [`ONLY`] names none that applies.
pub fn run(factory: &dyn Factory) {
    let only = std::env::var(ONLY).unwrap_or_default();
    let lines: Vec<_> = failures(factory, &only).iter().map(ToString::to_string).collect();
    let count = lines.len();
    assert!(lines.is_empty(), "{}: {count} checks failed:\n{}", factory.name(), lines.join("\n"));
}

/// A check that failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The check's name.
    pub check: &'static str,
    /// What it found.
    pub reason: String,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.check, self.reason)
    }
}

/// Runs the checks that apply to the backend and whose names begin with `only`, and gives those that
/// failed.
///
/// # Panics
/// Where there is no such check, or the factory makes no place.
pub fn failures(factory: &dyn Factory, only: &str) -> Vec<Failure> {
    let subject = Subject::new(factory).expect("the factory makes a place");
    let mut chosen: Vec<_> = checks().filter(|check| check.name.starts_with(only)).collect();
    chosen.retain(|check| (check.applies)(&subject.abilities));
    assert!(!chosen.is_empty(), "{only:?} names no check that applies to {}", factory.name());
    let failure = |check: &Check| {
        println!("{}: {}", factory.name(), check.name);
        let reason = match catch_unwind(AssertUnwindSafe(|| (check.run)(&subject))) {
            Ok(Ok(())) => return None,
            Ok(Err(error)) => chain(&error),
            Err(panic) => message(panic.as_ref()),
        };
        Some(Failure { check: check.name, reason })
    };
    chosen.into_iter().filter_map(failure).collect()
}

fn checks() -> impl Iterator<Item = &'static Check> {
    [
        source::CHECKS,
        point_in_time::CHECKS,
        restore::CHECKS,
        key_value::CHECKS,
        model::CHECKS,
        files::CHECKS,
        restore_files::CHECKS,
        undeclared::CHECKS,
    ]
    .into_iter()
    .flatten()
}

/// One property of one trait.
struct Check {
    /// `trait::what_holds`.
    name: &'static str,
    /// Whether the backend declares what this is about.
    applies: fn(&Abilities) -> bool,
    /// Fails, by panic or error, where it does not hold.
    run: fn(&Subject<'_>) -> Result<()>,
}

const fn check(
    name: &'static str,
    applies: fn(&Abilities) -> bool,
    run: fn(&Subject<'_>) -> Result<()>,
) -> Check {
    Check { name, applies, run }
}

/// What a backend declares.
struct Abilities {
    source: Capabilities,
    target: Option<Capabilities>,
    store: bool,
    writer: bool,
}

impl Abilities {
    /// For every backend.
    fn any(_: &Self) -> bool {
        true
    }

    /// It gives records.
    fn records(&self) -> bool {
        self.source.records
    }

    /// It gives files.
    fn files(&self) -> bool {
        self.source.files
    }

    /// It gives records, and the suite can write while it does.
    fn live_records(&self) -> bool {
        self.source.records && self.writer
    }

    /// It restores records, which can be read back.
    fn loads(&self) -> bool {
        self.source.records && self.target.is_some_and(|target| target.load_records)
    }

    /// It restores files, which can be read back.
    fn places(&self) -> bool {
        self.source.files && self.target.is_some_and(|target| target.place_files)
    }

    /// It is a key-value store.
    fn stores(&self) -> bool {
        self.store
    }

    /// It is a key-value store whose records are backed up.
    fn stores_records(&self) -> bool {
        self.store && self.source.records
    }
}

/// The backend under test.
struct Subject<'a> {
    factory: &'a dyn Factory,
    abilities: Abilities,
}

impl<'a> Subject<'a> {
    fn new(factory: &'a dyn Factory) -> Result<Self> {
        let place = factory.place()?;
        let abilities = Abilities {
            source: place.source()?.capabilities(),
            target: place.target().map(|target| target.capabilities()),
            store: place.store()?.is_some(),
            writer: place.writer()?.is_some(),
        };
        Ok(Self { factory, abilities })
    }

    /// A place with nothing there.
    fn place(&self) -> Result<Box<dyn Place>> {
        self.factory.place()
    }

    /// A place that holds these records.
    fn filled(&self, contents: &Contents) -> Result<Box<dyn Place>> {
        let place = self.place()?;
        place.fill(contents)?;
        Ok(place)
    }
}

fn target_of(place: &dyn Place) -> Arc<dyn Target> {
    place.target().expect("a place that had a target has one")
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("panicked").to_owned()
}
