//! Property tests whose failures can be run again: the seed is drawn once, printed, and taken from
//! the environment where it is given.

use std::hash::{BuildHasher, RandomState};

use proptest::strategy::Strategy;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};

use crate::noise::noise;

/// The variable that holds the seed to run with.
pub const SEED: &str = "KEEPSUM_SEED";

/// The seed of this run: [`SEED`], or a new one.
///
/// # Panics
/// Where [`SEED`] is no number.
pub fn seed() -> u64 {
    match std::env::var(SEED) {
        Ok(given) => given.parse().unwrap_or_else(|_| panic!("{SEED}={given} is no number")),
        // A hasher's keys are what the standard library draws from the system.
        Err(_) => RandomState::new().hash_one(SEED),
    }
}

/// Runs `test` on `cases` values of `strategy`.
///
/// # Panics
/// With the seed and the smallest value that failed.
pub fn check<S: Strategy>(
    cases: u32,
    strategy: &S,
    test: impl Fn(S::Value) -> Result<(), TestCaseError>,
) {
    let seed = seed();
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &noise(seed, 32));
    // The seed is all that is needed to run again; nothing is written beside the sources.
    let config =
        Config { cases, max_shrink_iters: 300, failure_persistence: None, ..Config::default() };
    match TestRunner::new_with_rng(config, rng).run(strategy, test) {
        Ok(()) => {}
        Err(TestError::Fail(reason, value)) => {
            panic!(
                "{reason}\nrun again with {SEED}={seed}\nthe smallest input that fails: {value:?}"
            )
        }
        Err(TestError::Abort(reason)) => panic!("{reason}\nrun again with {SEED}={seed}"),
    }
}

/// An error of the code under test as the failure of a case.
pub fn failed(error: &backup_core::Error) -> TestCaseError {
    TestCaseError::fail(crate::error::chain(error))
}
