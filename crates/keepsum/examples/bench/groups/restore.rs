//! Restores of files and of records.

use std::path::Path;

use anyhow::Result;

use super::GIB;
use crate::arithmetic::Arithmetic;
use crate::clock::Times;
use crate::figure::{Figure, Limit, Table};
use crate::folder;
use crate::instead::{copy_durably, ingest, write_batches};
use crate::setting::Setting;
use crate::store::{Shape, Store};

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    let mut table = Table { notes: Vec::new(), figures: Vec::new() };
    let shape = setting.files_shape(2 * GIB)?;
    let store = setting.store(shape)?;
    let copy = |from: &Store, to: &Path| copy_durably(&from.path, to);
    let (ours, theirs) = compare(setting, &store, "--files", copy)?;
    table.figures.push(Figure::times(
        "restore of files",
        &ours,
        ("`cp -r` and fsync", &theirs),
        store.bytes_on_disk,
        Limit::Speed(0.8),
    ));
    table.notes.push(format!("The store of files: {store}."));
    setting.keep(store);
    for value_bytes in [1024, 100] {
        measure_records(setting, value_bytes, &mut table)?;
    }
    table.notes.push(
        "A restore proves what it wrote and makes it durable. `write_batch` reads the records from \
         the store and writes them in the order of their keys into a new one with RocksDB's default \
         options, in batches of 1 MiB. What explains a figure: the same records written into tables \
         that a store takes in, by one thread, without a repository and without a proof; and the \
         LtHash of records in memory, which is the proof."
            .to_owned(),
    );
    Ok(table)
}

fn measure_records(setting: &mut Setting, value_bytes: usize, table: &mut Table) -> Result<()> {
    let shape = Shape::of_records(setting.scaled(GIB), value_bytes);
    let store = setting.store(shape)?;
    let arithmetic = Arithmetic::new(shape)?;
    let (mut tables, mut lthash) = (Times::default(), Times::default());
    let target = setting.path("target");
    let threads = setting.threads;
    setting.each_round(u32::MAX, || {
        tables.measure(|| ingest(&store, &target))?;
        folder::remove(&target)?;
        lthash.measure(|| arithmetic.sum(threads))
    })?;
    let (ours, theirs) = compare(setting, &store, "--records", write_batches)?;
    let values = format!("values of {value_bytes} B");
    for (what, times, limit) in [
        (format!("restore of records, {values}"), &ours, Limit::Speed(2.0)),
        (format!("{values}: tables alone"), &tables, Limit::Explains),
        (format!("{values}: LtHash alone, {threads} threads"), &lthash, Limit::Explains),
    ] {
        let beside = ("`write_batch`, flush and fsync", &theirs);
        table.figures.push(Figure::times(what, times, beside, shape.bytes(), limit));
    }
    table.notes.push(format!("A store of records: {store}."));
    setting.keep(store);
    Ok(())
}

/// The times of a restore of a snapshot of this shape, and of what stands beside it.
fn compare(
    setting: &Setting,
    store: &Store,
    shape: &str,
    instead: impl Fn(&Store, &Path) -> Result<()>,
) -> Result<(Times, Times)> {
    let (mut ours, mut theirs) = (Times::default(), Times::default());
    let target = setting.path("target");
    let into = format!("rocksdb:{}", target.display());
    let keepsum = setting.keepsum()?;
    keepsum.backup(&store.url(), &[shape])?;
    setting.each_round(u32::MAX, || {
        theirs.measure(|| instead(store, &target))?;
        folder::remove(&target)?;
        ours.measure(|| keepsum.restore(&into))?;
        folder::remove(&target)
    })?;
    keepsum.remove()?;
    Ok((ours, theirs))
}
