//! A bare iterator scan, which stores nothing.

use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use backend_rocksdb::rocksdb::{DB, Options, ReadOptions};

use crate::store::{Shape, Store};

/// Reads every record through iterators of `threads` even ranges.
pub(crate) fn scan(store: &Store, threads: usize) -> Result<()> {
    let db = DB::open_for_read_only(&Options::default(), &store.path, false)
        .with_context(|| format!("cannot open {}", store.path.display()))?;
    let counts: Vec<Result<(u64, u64)>> = thread::scope(|scope| {
        let range = |index| {
            let db = &db;
            scope.spawn(move || scan_range(db, store.shape, index, threads))
        };
        let scans: Vec<_> = (0..threads).map(range).collect();
        let joined =
            scans.into_iter().map(|scan| scan.join().map_err(|_| anyhow!("a scan panicked"))?);
        joined.collect()
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

fn scan_range(db: &DB, shape: Shape, index: usize, ranges: usize) -> Result<(u64, u64)> {
    let boundary = |index: usize| {
        let part = shape.records / ranges as u64;
        shape.key(part * index as u64)
    };
    let mut options = ReadOptions::default();
    options.fill_cache(false);
    options.set_readahead_size(4 << 20);
    options.set_iterate_lower_bound(boundary(index));
    if index + 1 < ranges {
        options.set_iterate_upper_bound(boundary(index + 1));
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
