//! What a user would do instead.

use std::fs::{self, File};
use std::path::Path;
use std::process::Command;
use std::thread;

use anyhow::{Context, Result, ensure};
use backend_rocksdb::rocksdb::{DB, Options, ReadOptions};

use crate::store::Store;

/// `cp -r`, and then an fsync of every file and of the folder.
pub(crate) fn copy_durably(from: &Path, to: &Path) -> Result<()> {
    let status =
        Command::new("cp").arg("-r").args([from, to]).status().context("cannot start cp")?;
    ensure!(status.success(), "cp -r failed: {status}");
    for entry in fs::read_dir(to).with_context(|| format!("cannot list {}", to.display()))? {
        sync(&entry.context("cannot list the copy")?.path())?;
    }
    sync(to)
}

fn sync(path: &Path) -> Result<()> {
    let file = File::open(path).with_context(|| format!("cannot open {}", path.display()))?;
    file.sync_all().with_context(|| format!("cannot sync {}", path.display()))
}

/// Reads every record through iterators of `threads` even ranges, and stores nothing.
pub(crate) fn scan(store: &Store, threads: usize) -> Result<()> {
    let db = DB::open_for_read_only(&Options::default(), &store.path, false)
        .with_context(|| format!("cannot open {}", store.path.display()))?;
    let counts: Vec<Result<(u64, u64)>> = thread::scope(|scope| {
        let scans: Vec<_> = (0..threads)
            .map(|index| {
                scope.spawn({
                    let db = &db;
                    move || scan_range(db, index, threads)
                })
            })
            .collect();
        scans
            .into_iter()
            .map(|scan| scan.join().map_err(|_| anyhow::anyhow!("a scan panicked"))?)
            .collect()
    });
    let mut total = (0, 0);
    for count in counts {
        let (records, bytes) = count?;
        total = (total.0 + records, total.1 + bytes);
    }
    let expected = (store.shape.records, store.shape.bytes());
    ensure!(total == expected, "the scan met {total:?} records and bytes instead of {expected:?}");
    Ok(())
}

fn scan_range(db: &DB, index: usize, ranges: usize) -> Result<(u64, u64)> {
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(4 << 20);
    options.set_iterate_lower_bound(boundary(index, ranges));
    if index + 1 < ranges {
        options.set_iterate_upper_bound(boundary(index + 1, ranges));
    }
    let mut iterator = db.raw_iterator_opt(options);
    iterator.seek_to_first();
    let (mut records, mut bytes) = (0, 0);
    while let Some((key, value)) = iterator.item() {
        records += 1;
        bytes += (key.len() + value.len()) as u64;
        iterator.next();
    }
    iterator.status().context("cannot scan")?;
    Ok((records, bytes))
}

/// Keys begin with 64 even bits, so equal steps through them are equal shares.
fn boundary(index: usize, ranges: usize) -> Vec<u8> {
    (u64::MAX / ranges as u64 * index as u64).to_be_bytes().to_vec()
}
