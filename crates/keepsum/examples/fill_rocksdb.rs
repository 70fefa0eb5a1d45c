//! A RocksDB store of real data, for `cargo xtask demo`: written by the RocksDB crate alone, as any
//! other program would.
//!
//! - `fill` reads folders into a new store: `files` (path → content), `lines` (path and line number →
//!   line), `default` (what was read).
//! - `change` changes it for some seconds. Each change is one atomic batch over all three databases
//!   and has a number, so that `check` can tell a torn state from a true point in time.
//! - `check` does so.
//!
//! Each prints lines of JSON.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use backend_rocksdb::rocksdb::{DB, IteratorMode, Options, WriteBatch};
use clap::Parser;
use serde_json::json;

const FILES: &str = "files";
const LINES: &str = "lines";
/// The largest file taken, in bytes.
const LARGEST_FILE: u64 = 1 << 20;
/// Bytes of one write batch while filling.
const BATCH: usize = 1 << 20;
/// How often changes are written, and progress is printed.
const TICK: Duration = Duration::from_millis(20);
/// Every so many changes, one removes its file instead of rewriting it.
const REMOVE_EVERY: u64 = 10;
/// In `default`: the number of the last change.
const LAST_CHANGE: &[u8] = b"last change";
/// In `lines`: the prefix of the record of each change, before its number. No path begins so.
const CHANGE: &[u8] = b"\0change ";

#[derive(Parser)]
#[command(about = "Writes, changes and checks a RocksDB store of files found on this machine")]
enum Task {
    /// Make a new store of the files below some folders
    Fill {
        /// The store, which must not exist
        #[arg(long)]
        store: PathBuf,
        /// A folder to read; each gets an equal share of the limit
        #[arg(long, required = true)]
        from: Vec<PathBuf>,
        /// Millions of bytes of keys and values to stop at
        #[arg(long, default_value_t = 300)]
        limit_mb: u64,
    },
    /// Change a store for some time, saying how far it is
    Change {
        /// The store
        #[arg(long)]
        store: PathBuf,
        /// How many changes to make
        #[arg(long)]
        change: u64,
        /// The time they are spread over
        #[arg(long)]
        for_seconds: u64,
    },
    /// Check that a store holds every change up to the last one, and nothing of a later one
    Check {
        /// The store
        #[arg(long)]
        store: PathBuf,
    },
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

fn open(store: &Path) -> Result<DB> {
    let options = Options::default();
    DB::open_cf(&options, store, [FILES, LINES])
        .with_context(|| format!("cannot open {}", store.display()))
}

fn fill(store: &Path, folders: &[PathBuf], limit: u64) -> Result<()> {
    ensure!(!store.exists(), "{} exists; name a new folder", store.display());
    let mut options = Options::default();
    options.create_if_missing(true);
    options.create_missing_column_families(true);
    let db = DB::open_cf(&options, store, [FILES, LINES])
        .with_context(|| format!("cannot make {}", store.display()))?;
    let mut filling = Filling { db: &db, batch: WriteBatch::default(), counts: Counts::default() };
    for (index, folder) in folders.iter().enumerate() {
        let share = (limit - filling.counts.bytes.min(limit)) / (folders.len() - index) as u64;
        let before = filling.counts;
        filling.folder(folder, before.bytes + share)?;
        let said = format!("{} files", filling.counts.files - before.files);
        filling.put_default(folder.to_string_lossy().as_bytes(), said.as_bytes())?;
    }
    // Not flushed: like in any store that is in use, the last writes are in the log alone.
    filling.write()?;
    let Counts { files, lines, bytes, left_out } = filling.counts;
    println!("{}", json!({"files": files, "lines": lines, "bytes": bytes, "left_out": left_out}));
    Ok(())
}

#[derive(Clone, Copy, Default)]
struct Counts {
    files: u64,
    lines: u64,
    /// Of all keys and values.
    bytes: u64,
    /// Files that could not be read or are larger than [`LARGEST_FILE`].
    left_out: u64,
}

struct Filling<'a> {
    db: &'a DB,
    batch: WriteBatch,
    counts: Counts,
}

impl Filling<'_> {
    /// Takes the files below a folder, in the order of their names, until `limit` bytes are stored.
    fn folder(&mut self, folder: &Path, limit: u64) -> Result<()> {
        let Ok(entries) = fs::read_dir(folder) else {
            self.counts.left_out += 1;
            return Ok(());
        };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            if self.counts.bytes >= limit {
                return Ok(());
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => self.folder(&entry.path(), limit)?,
                Ok(kind) if kind.is_file() => self.file(&entry.path())?,
                _ => {}
            }
        }
        Ok(())
    }

    fn file(&mut self, path: &Path) -> Result<()> {
        let small = fs::metadata(path).is_ok_and(|data| data.len() <= LARGEST_FILE);
        let Some(content) = small.then(|| fs::read(path).ok()).flatten() else {
            self.counts.left_out += 1;
            return Ok(());
        };
        let name = path.to_string_lossy();
        self.put(FILES, name.as_bytes(), &content)?;
        self.counts.files += 1;
        // A text line by line as well: many small records beside the large ones.
        let text = std::str::from_utf8(&content).unwrap_or_default();
        for (number, line) in (0_u32..).zip(text.lines()) {
            let key = [name.as_bytes(), b"\0", &number.to_be_bytes()].concat();
            self.put(LINES, &key, line.as_bytes())?;
            self.counts.lines += 1;
        }
        Ok(())
    }

    fn put(&mut self, database: &str, key: &[u8], value: &[u8]) -> Result<()> {
        let handle = self.db.cf_handle(database).context("the store was made with it")?;
        self.batch.put_cf(&handle, key, value);
        self.counts.bytes += (key.len() + value.len()) as u64;
        if self.batch.size_in_bytes() >= BATCH {
            self.write()?;
        }
        Ok(())
    }

    fn put_default(&mut self, key: &[u8], value: &[u8]) -> Result<()> {
        self.db.put(key, value).context("cannot write")
    }

    fn write(&mut self) -> Result<()> {
        self.db.write(std::mem::take(&mut self.batch)).context("cannot write")
    }
}

#[expect(clippy::disallowed_methods, reason = "the changes are spread over real time")]
fn change_for(store: &Path, changes: u64, duration: Duration) -> Result<()> {
    let db = open(store)?;
    let files = db.cf_handle(FILES).context("the store has its files")?;
    let mut keys = Vec::new();
    for record in db.iterator_cf(&files, IteratorMode::Start) {
        keys.push(record.context("cannot read")?.0);
    }
    ensure!(!keys.is_empty(), "{} holds no files to change", store.display());
    let first = last_change(&db)? + 1;
    let mut made = 0;
    let started = Instant::now();
    while made < changes {
        let elapsed = started.elapsed().min(duration);
        let due = u128::from(changes) * elapsed.as_millis() / duration.as_millis().max(1);
        while made < changes && u128::from(made) <= due {
            write_change(&db, &keys, first + made)?;
            made += 1;
        }
        println!("{}", json!({"last_change": first + made - 1}));
        std::io::stdout().flush().context("cannot say how far this is")?;
        thread::sleep(TICK);
    }
    Ok(())
}

/// One atomic batch over three databases.
fn write_change(db: &DB, keys: &[Box<[u8]>], number: u64) -> Result<()> {
    let files = db.cf_handle(FILES).context("the store has its files")?;
    let lines = db.cf_handle(LINES).context("the store has its lines")?;
    // A large odd step meets the keys in no order of theirs.
    let index = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) % keys.len() as u64;
    let key = usize::try_from(index).ok().and_then(|index| keys.get(index)).context("a key")?;
    let mut batch = WriteBatch::default();
    if number.is_multiple_of(REMOVE_EVERY) {
        batch.delete_cf(&files, key);
    } else {
        let mut content = db.get_cf(&files, key).context("cannot read")?.unwrap_or_default();
        content.extend_from_slice(format!("\nchange {number}\n").as_bytes());
        batch.put_cf(&files, key, content);
    }
    batch.put_cf(&lines, change_key(number), key);
    batch.put(LAST_CHANGE, number.to_be_bytes());
    db.write(batch).context("cannot write")
}

fn change_key(number: u64) -> Vec<u8> {
    [CHANGE, &number.to_be_bytes()].concat()
}

fn last_change(db: &DB) -> Result<u64> {
    let Some(bytes) = db.get(LAST_CHANGE).context("cannot read")? else { return Ok(0) };
    let bytes = bytes.try_into().ok().context("the number of the last change has eight bytes")?;
    Ok(u64::from_be_bytes(bytes))
}

fn check(store: &Path) -> Result<()> {
    let db = open(store)?;
    let last = last_change(&db)?;
    let lines = db.cf_handle(LINES).context("the store has its lines")?;
    let mut found = 0;
    for record in db.prefix_iterator_cf(&lines, CHANGE) {
        let (key, _) = record.context("cannot read")?;
        if !key.starts_with(CHANGE) {
            break;
        }
        found += 1;
        if *key != *change_key(found) {
            bail!("{} lacks change {found}, or holds it twice", store.display());
        }
    }
    ensure!(
        found == last,
        "{} says {last} changes and holds {found}: no point in time",
        store.display()
    );
    println!("{}", json!({"changes": found}));
    Ok(())
}
