//! A host that gives the same times and ids in every run.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use keepsum::Host;
use remote::env::{Clock, Entropy};

/// The beginning of the fixtures' time, in milliseconds of Unix time.
const BEGINNING: u64 = 1_700_000_000_000;

#[derive(Debug)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_ms(&self) -> u64 {
        self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// Numbers mixed as in `splitmix64`.
#[derive(Debug)]
struct Mixed(AtomicU64);

impl Entropy for Mixed {
    fn fill(&self, bytes: &mut [u8]) -> remote::Result<()> {
        for chunk in bytes.chunks_mut(8) {
            let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let length = chunk.len();
            chunk.copy_from_slice(&(mixed ^ (mixed >> 31)).to_le_bytes()[..length]);
        }
        Ok(())
    }
}

/// A host whose clock ticks when it is looked at, and whose randomness comes from `seed`.
pub(crate) fn host(seed: u64) -> Host {
    Host {
        name: "fixture".into(),
        clock: Arc::new(Ticking(AtomicU64::new(BEGINNING))),
        entropy: Arc::new(Mixed(AtomicU64::new(seed))),
    }
}
