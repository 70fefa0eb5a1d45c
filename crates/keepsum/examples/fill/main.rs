//! A store of real data, for `cargo xtask demo`: written by the engine's own crate alone, as any other
//! program would.
//!
//! - `fill` reads folders into a new store: the files' contents, their lines, and what was read.
//! - `change` changes it for some seconds. Each change is one atomic batch over all of it and has a number,
//!   so that `check` can tell a torn state from a true point in time.
//! - `check` does so.
//!
//! Each prints lines of JSON.

#[cfg(feature = "rocksdb")]
mod rocksdb;
#[cfg(feature = "sqlite")]
mod sqlite;
mod walk;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::{Parser, ValueEnum};
use serde_json::json;

use crate::walk::Filling;

/// How often changes are written, and progress is printed.
const TICK: Duration = Duration::from_millis(20);
/// Every so many changes, one removes its file instead of rewriting it.
const REMOVE_EVERY: u64 = 10;

/// A store of files, their lines, and the changes that were made to it.
trait Store {
    /// Puts a file's content.
    fn put_file(&mut self, path: &str, content: &[u8]) -> Result<()>;

    /// Puts a line of a file.
    fn put_line(&mut self, path: &str, number: u32, line: &str) -> Result<()>;

    /// Puts what was read of a folder.
    fn put_read(&mut self, folder: &str, said: &str) -> Result<()>;

    /// Writes all that was put.
    fn write(&mut self) -> Result<()>;

    /// The paths of all files.
    fn paths(&self) -> Result<Vec<Vec<u8>>>;

    /// In one atomic batch: rewrites a file, or removes it, and says which change this is, in two places.
    fn change(&mut self, path: &[u8], number: u64, removes: bool) -> Result<()>;

    /// The number of the last change.
    fn last_change(&self) -> Result<u64>;

    /// The numbers of all changes, in order.
    fn changes(&self) -> Result<Vec<u64>>;
}

#[derive(Parser)]
#[command(about = "Writes, changes and checks a store of files found on this machine")]
enum Task {
    /// Make a new store of the files below some folders
    Fill {
        #[command(flatten)]
        store: At,
        /// A folder to read; each gets an equal share of the limit
        #[arg(long, required = true)]
        from: Vec<PathBuf>,
        /// Millions of bytes of keys and values to stop at
        #[arg(long, default_value_t = 300)]
        limit_mb: u64,
    },
    /// Change a store for some time, saying how far it is
    Change {
        #[command(flatten)]
        store: At,
        /// How many changes to make
        #[arg(long)]
        change: u64,
        /// The time they are spread over
        #[arg(long)]
        for_seconds: u64,
    },
    /// Check that a store holds every change up to the last one, and nothing of a later one
    Check {
        #[command(flatten)]
        store: At,
    },
}

/// Where a store is, and what it is written with.
#[derive(clap::Args)]
struct At {
    /// The engine
    #[arg(long)]
    engine: Engine,
    /// The store; a new one must not exist
    #[arg(long)]
    store: PathBuf,
}

#[derive(Clone, Copy, ValueEnum)]
enum Engine {
    Rocksdb,
    Sqlite,
}

fn main() -> Result<()> {
    match Task::parse() {
        Task::Fill { store, from, limit_mb } => fill(&store, &from, limit_mb * 1_000_000),
        Task::Change { store, change, for_seconds } => {
            change_for(&store, change, Duration::from_secs(for_seconds))
        }
        Task::Check { store } => check(&store),
    }
}

impl At {
    fn make(&self) -> Result<Box<dyn Store>> {
        ensure!(!self.store.exists(), "{} exists; name a new place", self.store.display());
        self.open()
    }

    fn open(&self) -> Result<Box<dyn Store>> {
        match self.engine {
            #[cfg(feature = "rocksdb")]
            Engine::Rocksdb => Ok(Box::new(rocksdb::RocksStore::open(&self.store)?)),
            #[cfg(feature = "sqlite")]
            Engine::Sqlite => Ok(Box::new(sqlite::SqliteStore::open(&self.store)?)),
            #[cfg(not(all(feature = "rocksdb", feature = "sqlite")))]
            _ => bail!("this program was built without that engine"),
        }
    }
}

fn fill(at: &At, folders: &[PathBuf], limit: u64) -> Result<()> {
    let mut store = at.make()?;
    let mut filling = Filling::new(store.as_mut());
    for (index, folder) in folders.iter().enumerate() {
        let bytes = filling.counts.bytes;
        let share = (limit - bytes.min(limit)) / (folders.len() - index) as u64;
        filling.share(folder, bytes + share)?;
    }
    let counts = filling.finish()?;
    println!(
        "{}",
        json!({
            "files": counts.files,
            "lines": counts.lines,
            "bytes": counts.bytes,
            "left_out": counts.left_out,
        })
    );
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "the changes are spread over real time")]
fn change_for(at: &At, changes: u64, duration: Duration) -> Result<()> {
    let mut store = at.open()?;
    let paths = store.paths()?;
    ensure!(!paths.is_empty(), "{} holds no files to change", at.store.display());
    let first = store.last_change()? + 1;
    let mut made = 0;
    let started = Instant::now();
    while made < changes {
        let elapsed = started.elapsed().min(duration);
        let due = u128::from(changes) * elapsed.as_millis() / duration.as_millis().max(1);
        while made < changes && u128::from(made) <= due {
            let number = first + made;
            store.change(chosen(&paths, number), number, number.is_multiple_of(REMOVE_EVERY))?;
            made += 1;
        }
        println!("{}", json!({"last_change": first + made - 1}));
        std::io::stdout().flush()?;
        thread::sleep(TICK);
    }
    Ok(())
}

/// The file that a change is of. A large odd step meets the paths in no order of theirs.
fn chosen(paths: &[Vec<u8>], number: u64) -> &[u8] {
    let index = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % paths.len() as u64;
    usize::try_from(index).ok().and_then(|index| paths.get(index)).map_or(&[], Vec::as_slice)
}

fn check(at: &At) -> Result<()> {
    let store = at.open()?;
    let (last, found) = (store.last_change()?, store.changes()?);
    for (expected, number) in (1..).zip(&found) {
        if *number != expected {
            bail!("{} lacks change {expected}, or holds it twice", shown(&at.store));
        }
    }
    ensure!(
        found.len() as u64 == last,
        "{} says {last} changes and holds {}: no point in time",
        shown(&at.store),
        found.len()
    );
    println!("{}", json!({"changes": last}));
    Ok(())
}

fn shown(path: &Path) -> String {
    path.display().to_string()
}
