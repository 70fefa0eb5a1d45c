//! Wall time, and rounds that alternate between the sides.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;

/// The most memory that is touched before a measurement, in bytes: more than what is measured fills.
const TOUCHED: u64 = 8 << 30;

/// Writes to the memory that is free.
///
/// A virtual machine may have given it back to its host, which then takes seconds for each GiB that is
/// written to first: whichever side comes first after a pause would pay for it.
fn touch_free_memory() {
    let free = free_memory().unwrap_or(0);
    let bytes = usize::try_from((free / 8 * 7).min(TOUCHED)).unwrap_or(0);
    std::hint::black_box(vec![1_u8; bytes]);
}

/// The bytes of memory in which nothing lies, where the system says so.
fn free_memory() -> Option<u64> {
    let said = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = said.lines().find_map(|line| line.strip_prefix("MemFree:"))?;
    let kib: u64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
    Some(kib << 10)
}

/// The CPU time that a call's child processes took.
pub(crate) fn timed_children(call: impl FnOnce() -> Result<()>) -> Result<Duration> {
    let before = children()?;
    call()?;
    Ok(children()?.saturating_sub(before))
}

/// The CPU time of all children that ended.
fn children() -> Result<Duration> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("cannot read the usage of time")?;
    let micros = [usage.user_time(), usage.system_time()].map(|time| time.num_microseconds());
    let micros = u64::try_from(micros.iter().sum::<i64>()).context("a negative time")?;
    Ok(Duration::from_micros(micros))
}

/// What one side took, round by round.
#[derive(Clone, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// Times one more round of what fills memory, the system's cache of files included.
    pub(crate) fn measure(&mut self, call: impl FnOnce() -> Result<()>) -> Result<()> {
        touch_free_memory();
        self.measure_short(call)
    }

    /// Times one more round of what is done so soon that the system, still busy with all the memory it was just
    /// given back, would count. Nothing is left to write back when it starts.
    #[expect(clippy::disallowed_methods, reason = "a bench measures")]
    pub(crate) fn measure_short(&mut self, call: impl FnOnce() -> Result<()>) -> Result<()> {
        rustix::fs::sync();
        let started = Instant::now();
        call()?;
        self.add(started.elapsed());
        Ok(())
    }

    /// In seconds.
    pub(crate) fn median(&self) -> f64 {
        median(self.seconds())
    }

    pub(crate) fn seconds(&self) -> impl Iterator<Item = f64> {
        self.0.iter().map(Duration::as_secs_f64)
    }

    /// What so many of each round would take.
    pub(crate) fn repeated(&self, times: u64) -> Self {
        let times = u32::try_from(times).unwrap_or(u32::MAX);
        Self(self.0.iter().map(|time| *time * times).collect())
    }

    /// What this side took more than another one in each round; nothing where it took less.
    pub(crate) fn beyond(&self, other: &Self) -> Self {
        Self(self.0.iter().zip(&other.0).map(|(a, b)| a.saturating_sub(*b)).collect())
    }
}

/// The middle one, the higher of two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
