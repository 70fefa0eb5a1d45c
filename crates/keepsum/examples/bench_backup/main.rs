//! Backups beside what a user would do instead, in one run, as ratios: `cargo xtask bench`.
//!
//! - *files*: the `keepsum` command against `cp -r` of the same checkpoint and an fsync of every file;
//! - *records*: the command against a bare iterator scan of the same records, which stores nothing.
//!
//! Rounds alternate, so that a machine that slows down slows both; medians are compared. All data
//! was just written and is in the page cache for both sides.

mod baseline;
mod store;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Parser;

use crate::store::{Shape, Store};
use crate::table::{Row, Table};

#[derive(Parser)]
#[command(about = "Compares backups with cp and with a bare scan")]
struct Args {
    /// The keepsum command to measure
    #[arg(long)]
    keepsum: PathBuf,
    /// An empty or new folder on the disk to measure; what is written there is removed again
    #[arg(long)]
    folder: PathBuf,
    /// Size of the store, in MiB of keys and values
    #[arg(long, default_value_t = 1024)]
    store_mib: u64,
    /// Bytes of each value
    #[arg(long, default_value_t = 1024)]
    value_bytes: usize,
    /// How often each is measured
    #[arg(long, default_value_t = 5)]
    rounds: u32,
    /// Threads of the bare scan; without it, as many as this machine runs at once
    #[arg(long)]
    scan_threads: Option<usize>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    ensure!(args.rounds > 0, "--rounds must be at least 1");
    fs::create_dir_all(&args.folder)
        .with_context(|| format!("cannot make {}", args.folder.display()))?;
    let empty = fs::read_dir(&args.folder).is_ok_and(|mut entries| entries.next().is_none());
    ensure!(empty, "{} is not empty; name another folder", args.folder.display());
    let shape = Shape::of(args.store_mib << 20, args.value_bytes);
    let store = Store::make(&args.folder.join("store"), shape)?;
    println!("store: {store}");
    let table = measure(&args, &store)?;
    println!("\n{table}");
    fs::remove_dir_all(&args.folder)
        .with_context(|| format!("cannot remove {}", args.folder.display()))
}

fn measure(args: &Args, store: &Store) -> Result<Table> {
    let threads = match args.scan_threads {
        Some(threads) => threads.max(1),
        None => std::thread::available_parallelism().map_or(1, Into::into),
    };
    let [copy, repository, state] =
        ["copy", "repository", "state"].map(|name| args.folder.join(name));
    let keepsum = Keepsum { program: &args.keepsum, repository: &repository, state: &state };
    let mut files = Row::new("files backup", "cp -r and fsync", store.bytes_on_disk);
    let mut again = Row::new("the same again", "first files backup", store.bytes_on_disk);
    let mut records =
        Row::new("records backup", &format!("bare scan, {threads} threads"), store.shape.bytes());
    for round in 1..=args.rounds {
        println!("round {round} of {}", args.rounds);
        let copied = timed(|| baseline::copy_durably(&store.path, &copy))?;
        fs::remove_dir_all(&copy).with_context(|| format!("cannot remove {}", copy.display()))?;

        keepsum.init()?;
        let first = timed(|| keepsum.backup(&store.path, "--files"))?;
        let second = timed(|| keepsum.backup(&store.path, "--files"))?;
        keepsum.remove()?;
        files.add(first, copied);
        again.add(second, first);

        let scanned = timed(|| baseline::scan(store, threads))?;
        keepsum.init()?;
        let recorded = timed(|| keepsum.backup(&store.path, "--records"))?;
        keepsum.remove()?;
        records.add(recorded, scanned);
    }
    Ok(Table::new(vec![files, again, records]))
}

/// Wall time of a call, started with nothing left to write back.
#[expect(clippy::disallowed_methods, reason = "a bench measures")]
fn timed(call: impl FnOnce() -> Result<()>) -> Result<Duration> {
    rustix::fs::sync();
    let started = Instant::now();
    call()?;
    Ok(started.elapsed())
}

/// The command, with a repository that lives for one measurement.
struct Keepsum<'a> {
    program: &'a Path,
    repository: &'a Path,
    state: &'a Path,
}

impl Keepsum<'_> {
    fn init(&self) -> Result<()> {
        self.run(&["init"])
    }

    fn backup(&self, store: &Path, shape: &str) -> Result<()> {
        self.run(&["backup", &format!("rocksdb:{}", store.display()), shape])
    }

    fn remove(&self) -> Result<()> {
        fs::remove_dir_all(self.repository)
            .with_context(|| format!("cannot remove {}", self.repository.display()))
    }

    fn run(&self, args: &[&str]) -> Result<()> {
        let mut command = Command::new(self.program);
        command.arg("--repo").arg(self.repository).args(args).args(["--json", "--quiet"]);
        command.env("KEEPSUM_STATE", self.state).stdout(Stdio::null());
        let status =
            command.status().with_context(|| format!("cannot start {}", self.program.display()))?;
        ensure!(status.success(), "`keepsum {}` failed: {status}", args.join(" "));
        Ok(())
    }
}
