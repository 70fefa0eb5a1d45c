//! The most memory that backups and restores have at a time.

use anyhow::{Context, Result};
use backend_rocksdb::rocksdb::properties::{BLOCK_CACHE_CAPACITY, ESTIMATE_TABLE_READERS_MEM};
use backend_rocksdb::rocksdb::{DB, Options};

use super::GIB;
use crate::command::Keepsum;
use crate::figure::{Figure, Limit, Table, mebibytes};
use crate::folder;
use crate::peak::peak;
use crate::setting::Setting;
use crate::store::Store;

/// What is promised beside RocksDB's own.
const ALLOWED: u64 = 256 << 20;

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    setting.keep_nothing()?;
    let shape = setting.files_shape(4 * GIB)?;
    let store = Store::make(&setting.path("large"), shape)?;
    let engine = engines_own(&store)?;
    let source = format!("rocksdb:{}", store.path.display());
    let target = setting.path("target");
    let into = format!("rocksdb:{}", target.display());
    let mut figures = Vec::new();
    for (word, own) in [("files", 0), ("records", engine)] {
        let keepsum: Keepsum = setting.keepsum()?;
        println!("{word}: backup");
        let backup = peak(&keepsum.command(&["backup", &source, &format!("--{word}")]))?;
        println!("{word}: restore");
        let restore = peak(&keepsum.command(&["restore", "latest", &into]))?;
        keepsum.remove()?;
        folder::remove(&target)?;
        for (what, peak) in [("backup", backup), ("restore", restore)] {
            let allowed = format!("allowed: 256 MiB and RocksDB's {}", mebibytes(own));
            figures.push(Figure::sizes(
                format!("peak memory of a {what} of {word}"),
                (mebibytes(peak), peak),
                (allowed, own + ALLOWED),
                Limit::Size(1.0),
            ));
        }
    }
    let notes = vec![format!(
        "The store: {store}. Peak memory is `ru_maxrss`, the program's own pages included. \
         RocksDB's own is what it says itself of this store, opened with its default options: the \
         capacity of the block cache and the memory of the table readers, which hold the indexes. \
         Files are copied without opening RocksDB, so there its share is nothing."
    )];
    store.remove()?;
    Ok(Table { notes, figures })
}

/// The memory, in bytes, that RocksDB is configured to use for reading the store.
fn engines_own(store: &Store) -> Result<u64> {
    let db = DB::open_for_read_only(&Options::default(), &store.path, false)
        .with_context(|| format!("cannot open {}", store.path.display()))?;
    let mut own = 0;
    for property in [BLOCK_CACHE_CAPACITY, ESTIMATE_TABLE_READERS_MEM] {
        let value = db.property_int_value(property).context("cannot read a property")?;
        own += value.context("RocksDB does not know a property")?;
    }
    Ok(own)
}
