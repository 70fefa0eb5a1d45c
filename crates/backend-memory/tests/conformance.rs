//! The memory store on the suite of every backend.

use std::sync::Arc;

use backend_memory::MemoryStore;
use backup_core::{KeyValueStore, Result, Source, Target};
use testkit::conformance::{self, Factory, Place};
use testkit::matrix;

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

    fn store(&self) -> Result<Option<Arc<dyn KeyValueStore>>> {
        Ok(Some(Arc::new(self.0.clone())))
    }

    fn sidecar(&self) -> Result<Option<String>> {
        Ok(self.0.origin().map(|origin| origin.sidecar()))
    }
}

#[test]
fn conforms() {
    conformance::run(&Memory);
}

#[test]
fn any_store_comes_through() {
    matrix::pair(&Memory, &Memory, 100);
}
