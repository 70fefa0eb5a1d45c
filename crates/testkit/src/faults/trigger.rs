//! When a fault comes.

use std::sync::atomic::{AtomicU64, Ordering};

/// How far a fault reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reach {
    /// One operation.
    Once,
    /// That operation and all after it.
    Onwards,
}

/// Counts operations, and says which of them are to fail.
#[derive(Debug)]
pub struct Trigger {
    at: u64,
    reach: Reach,
    count: AtomicU64,
}

impl Trigger {
    /// Never: it counts.
    pub fn never() -> Self {
        Self::at(u64::MAX, Reach::Once)
    }

    /// At the operation of this number, counted from 0.
    pub fn at(number: u64, reach: Reach) -> Self {
        Self { at: number, reach, count: AtomicU64::new(0) }
    }

    /// Counts an operation. True where it is to fail.
    pub fn strikes(&self) -> bool {
        let number = self.count.fetch_add(1, Ordering::Relaxed);
        match self.reach {
            Reach::Once => number == self.at,
            Reach::Onwards => number >= self.at,
        }
    }

    /// How many operations there were.
    pub fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// Whether the operation to fail has come.
    pub fn has_struck(&self) -> bool {
        self.count() > self.at
    }
}
