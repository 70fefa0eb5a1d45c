//! Stores that go from SQLite into memory and back come through as they were.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod place;

use std::sync::Arc;

use backend_memory::MemoryStore;
use backup_core::{Result, Source, Target};
use testkit::conformance::{Factory, Place};
use testkit::matrix;

use place::Sqlite;

struct Memory;

struct MemoryPlace(MemoryStore);

impl Factory for Memory {
    fn name(&self) -> &'static str {
        "memory"
    }

    fn place(&self) -> Result<Box<dyn Place>> {
        Ok(Box::new(MemoryPlace(MemoryStore::new())))
    }
}

impl Place for MemoryPlace {
    fn source(&self) -> Result<Arc<dyn Source>> {
        Ok(Arc::new(self.0.clone()))
    }

    fn target(&self) -> Option<Arc<dyn Target>> {
        Some(Arc::new(self.0.clone()))
    }
}

#[test]
fn memory_into_sqlite() {
    matrix::pair(&Memory, &Sqlite, 100);
}

#[test]
fn sqlite_into_memory() {
    matrix::pair(&Sqlite, &Memory, 100);
}

#[test]
fn sqlite_into_sqlite() {
    matrix::pair(&Sqlite, &Sqlite, 100);
}
