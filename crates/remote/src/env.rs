//! What a repository needs of the machine it runs on: a name, a clock and randomness, passed in so
//! that tests can choose them.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::Result;

/// Tells the time. Nothing in a repository trusts it: it is recorded for people.
pub trait Clock: Send + Sync + fmt::Debug {
    /// Milliseconds of Unix time.
    fn now_ms(&self) -> u64;
}

/// Gives random bytes. Ids and nonces are unique only as far as these are.
pub trait Entropy: Send + Sync + fmt::Debug {
    /// Fills `bytes` with random bytes.
    ///
    /// # Errors
    /// Whatever the system says where it has none.
    fn fill(&self, bytes: &mut [u8]) -> Result<()>;
}

/// The system's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The system's source of randomness.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemEntropy;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the clock that is passed in")]
    fn now_ms(&self) -> u64 {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
    }
}

impl Entropy for SystemEntropy {
    #[expect(clippy::disallowed_methods, reason = "this is the randomness that is passed in")]
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        getrandom::fill(bytes)
            .map_err(backup_core::Error::engine("the system", "give random bytes"))?;
        Ok(())
    }
}

/// The machine a repository is used from.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its name, as snapshots and pins record it.
    pub name: String,
    /// Its clock.
    pub clock: Arc<dyn Clock>,
    /// Its randomness.
    pub entropy: Arc<dyn Entropy>,
}

impl Host {
    /// A host of this name with the system's clock and randomness.
    pub fn system(name: impl Into<String>) -> Self {
        Self { name: name.into(), clock: Arc::new(SystemClock), entropy: Arc::new(SystemEntropy) }
    }

    /// `N` random bytes.
    pub fn random<const N: usize>(&self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.entropy.fill(&mut bytes)?;
        Ok(bytes)
    }
}
