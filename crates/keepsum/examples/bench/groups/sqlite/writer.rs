//! What a backup costs who writes meanwhile: the 99th percentile of the time of a commit.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use rusqlite::{Connection, params};

use super::database;
use crate::clock::median;
use crate::database::Database;
use crate::figure::{Figure, Limit, Table};
use crate::groups::GIB;
use crate::noise::Noise;
use crate::setting::Setting;
use crate::store::Shape;

/// How long the writer rests between two commits.
const PAUSE: Duration = Duration::from_millis(1);

/// How long commits are measured without a backup.
const ALONE: Duration = Duration::from_secs(4);

/// A round's 99th percentiles in seconds.
#[derive(Default)]
struct Measured {
    alone: Vec<f64>,
    beside: Vec<f64>,
    commits: usize,
}

pub(in crate::groups) fn measure(setting: &mut Setting) -> Result<Table> {
    let database = database(setting, 2 * GIB)?;
    let mut figures = Vec::new();
    let mut notes = vec![format!(
        "The database: {database}. The writer gives one row a new value in each transaction and rests for \
         1 ms; the medians of the rounds' 99th percentiles are compared."
    )];
    for synchronous in ["NORMAL", "FULL"] {
        for shape in ["--files", "--records"] {
            let mut measured = Measured::default();
            setting.each_round(u32::MAX, || {
                round(setting, &database, (synchronous, shape), &mut measured)
            })?;
            let Measured { alone, beside, commits } = measured;
            notes.push(format!(
                "{commits} commits were measured beside `backup {shape}`, synchronous={synchronous}."
            ));
            figures.push(figure(synchronous, shape, &alone, &beside));
        }
    }
    database.remove()?;
    Ok(Table { notes, figures })
}

fn figure(synchronous: &str, shape: &str, alone: &[f64], beside: &[f64]) -> Figure {
    let [alone, beside] = [alone, beside].map(|all| median(all.iter().copied()));
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "microseconds of a commit"
    )]
    let micros = |seconds: f64| (seconds * 1e6) as u64;
    let said = |seconds: f64| format!("{:.2} ms", seconds * 1e3);
    Figure::sizes(
        format!("p99 of a commit during `backup {shape}`, synchronous={synchronous}"),
        (said(beside), micros(beside)),
        (format!("without one: {}", said(alone)), micros(alone)),
        Limit::Time(1.1),
    )
}

fn round(
    setting: &Setting,
    database: &Database,
    (synchronous, shape): (&str, &str),
    measured: &mut Measured,
) -> Result<()> {
    database.checkpoint()?;
    rustix::fs::sync();
    let sleep = || {
        thread::sleep(ALONE);
        Ok(())
    };
    measured.alone.push(percentile(commits_beside(database, synchronous, sleep)?));
    let keepsum = setting.keepsum()?;
    database.checkpoint()?;
    rustix::fs::sync();
    let backup = || keepsum.backup(&database.url(), &[shape]);
    let times = commits_beside(database, synchronous, backup)?;
    measured.commits += times.len();
    measured.beside.push(percentile(times));
    keepsum.remove()
}

/// The times of commits, in seconds, while `work` runs.
fn commits_beside(
    database: &Database,
    synchronous: &str,
    work: impl FnOnce() -> Result<()>,
) -> Result<Vec<f64>> {
    let ended = AtomicBool::new(false);
    let (path, shape) = (&database.path, database.shape);
    thread::scope(|scope| {
        let writer = scope.spawn(|| write(path, shape, synchronous, &ended));
        let outcome = work();
        ended.store(true, Ordering::Relaxed);
        let times = writer.join().map_err(|_| anyhow!("the writer panicked"))?;
        outcome.and(times)
    })
}

#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn write(path: &Path, shape: Shape, synchronous: &str, ended: &AtomicBool) -> Result<Vec<f64>> {
    let connection = Connection::open(path).context("cannot open the database")?;
    connection.execute_batch(&format!("PRAGMA synchronous = {synchronous}"))?;
    let mut update = connection.prepare("UPDATE records SET value = ?2 WHERE id = ?1")?;
    let (mut noise, mut times) = (Noise(shape.records), Vec::new());
    while !ended.load(Ordering::Relaxed) {
        let row = noise.next() % shape.records;
        let value = noise.value(shape.value_bytes());
        let started = Instant::now();
        update.execute(params![row.cast_signed(), value]).context("a writer failed")?;
        times.push(started.elapsed().as_secs_f64());
        thread::sleep(PAUSE);
    }
    Ok(times)
}

fn percentile(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() * 99 / 100).copied().unwrap_or(f64::NAN)
}
