//! The protocol of a repository under schedules: the real catalog, sessions and objects, and a
//! collector for tests, as processes of which one at a time makes a request. A number decides who
//! goes on, who sleeps, dies, or hears nothing of what it asked for; the same number gives the same
//! schedule.
//!
//! After each schedule, every live snapshot is whole, the catalog's chain holds, no snapshot that was
//! committed is missing unless somebody forgot it, and none is visible that was never finished.

#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

mod bucket;
mod check;
mod collector;
mod coverage;
mod ledger;
mod others;
mod process;
mod random;
mod schedule;
#[path = "../shared/manifest.rs"]
mod shared;
mod template;
mod writer;

use std::panic::catch_unwind;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use coverage::Coverage;
use schedule::Outcome;

/// How many schedules an ordinary run makes.
const SCHEDULES: u64 = 100_000;

/// How many to make instead: from another, random first number on.
const SCHEDULES_VARIABLE: &str = "KEEPSUM_SCHEDULES";

/// The one schedule to make instead.
const ONE_VARIABLE: &str = "KEEPSUM_SCHEDULE";

/// How many schedules a thread takes at a time.
const BATCH: u64 = 64;

fn given(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable}={value} is no number")))
}

/// Runs one schedule; what it broke, or how it panicked, is told with its number.
fn attempt(seed: u64) -> Result<Outcome, String> {
    let told = |what: &str| format!("schedule {seed}: {what}; repeat it: {ONE_VARIABLE}={seed}");
    match catch_unwind(|| schedule::run(seed)) {
        Ok(Outcome { broken: Some(broken), .. }) => Err(told(&broken)),
        Ok(outcome) => Ok(outcome),
        Err(panic) => {
            let said = panic.downcast_ref::<String>().map(String::as_str);
            let said = said.or_else(|| panic.downcast_ref::<&str>().copied());
            Err(told(&format!("it panicked: {}", said.unwrap_or("no message"))))
        }
    }
}

/// Runs `count` schedules on all processors, and stops at the first that breaks a promise.
fn run_all(first: u64, count: u64) -> Result<Coverage, String> {
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let result = Mutex::new((Coverage::default(), None::<String>));
    let work = || {
        let mut coverage = Coverage::default();
        let mut broken = None;
        while broken.is_none() && !stop.load(Ordering::Relaxed) {
            let start = next.fetch_add(BATCH, Ordering::Relaxed);
            if start >= count {
                break;
            }
            for number in start..(start + BATCH).min(count) {
                match attempt(first.wrapping_add(number)) {
                    Ok(outcome) => coverage.add(outcome.seen, outcome.requests),
                    Err(what) => {
                        stop.store(true, Ordering::Relaxed);
                        broken = Some(what);
                        break;
                    }
                }
            }
        }
        let mut result = result.lock().unwrap();
        result.0.merge(&coverage);
        result.1 = result.1.take().or(broken);
    };
    std::thread::scope(|scope| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let (coverage, broken) = result.into_inner().unwrap();
    broken.map_or(Ok(coverage), Err)
}

/// The promises hold in every schedule, and the schedules contain what could break them.
#[test]
fn no_schedule_loses_a_snapshot() {
    if let Some(seed) = given(ONE_VARIABLE) {
        attempt(seed).unwrap_or_else(|broken| panic!("{broken}"));
        return;
    }
    let (first, count) = match given(SCHEDULES_VARIABLE) {
        Some(count) => (testkit::seed::seed(), count),
        None => (0, SCHEDULES),
    };
    println!("schedules from number {first} on");
    let coverage = run_all(first, count).unwrap_or_else(|broken| panic!("{broken}"));
    println!("{coverage}");
    assert_eq!(coverage.lacking(), [], "(event, schedules that contain it, how many should)");
}

/// What a failure prints is enough to see it again.
#[test]
fn a_number_gives_the_same_schedule_each_time() {
    for seed in 1_000_000..1_000_200 {
        let (one, other) = (schedule::run(seed), schedule::run(seed));
        assert_eq!((one.course, one.requests), (other.course, other.requests), "{seed}");
        assert_eq!(one.broken, other.broken, "{seed}");
    }
}
