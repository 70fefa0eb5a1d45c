//! How time grows: with the bytes of a first backup, with the change of an incremental one.

use anyhow::Result;

use super::GIB;
use crate::clock::Times;
use crate::command::Keepsum;
use crate::figure::{Figure, Limit, Table};
use crate::setting::Setting;
use crate::store::Store;

/// The sizes in GiB; the first is what the others are compared with.
const SIZES: [u64; 3] = [1, 2, 4];

/// How much longer than in proportion a larger store may take.
const LINEAR: f64 = 1.25;

/// How much longer the same change may take in a store of four times the size.
const SAME_CHANGE: f64 = 1.5;

/// Bytes of new tables that a change makes.
const CHANGE: u64 = 10 << 20;

/// Large stores are measured less often.
const ROUNDS: u32 = 3;

/// A store of one size, with its times.
struct Sized {
    gib: u64,
    store: Store,
    files: Times,
    records: Times,
    incremental: Times,
}

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    setting.keep_nothing()?;
    let mut sizes = Vec::new();
    for gib in SIZES {
        let shape = setting.files_shape(gib * GIB)?;
        let store = Store::make(&setting.path(&format!("store-{gib}")), shape)?;
        let times = Times::default;
        sizes.push(Sized { gib, store, files: times(), records: times(), incremental: times() });
    }
    setting.each_round(ROUNDS, || {
        for size in &mut sizes {
            let keepsum = setting.keepsum()?;
            size.files.measure(|| keepsum.backup(&size.store.url(), &["--files"]))?;
            keepsum.remove()?;
            let keepsum = setting.keepsum()?;
            size.records.measure(|| keepsum.backup(&size.store.url(), &["--records"]))?;
            keepsum.remove()?;
        }
        Ok(())
    })?;
    let change = setting.scaled(CHANGE);
    for size in &mut sizes {
        incremental(setting, size, change)?;
    }
    let figures = figures(&sizes);
    let stores = sizes.iter().map(|size| format!("{} GiB: {}", size.gib, size.store));
    let notes = vec![
        format!("The stores, by their size on disk: {}.", stores.collect::<Vec<_>>().join("; ")),
        "What stands beside a larger store is the time of the smallest one, in proportion; beside \
         an incremental backup, the same change in the smallest store."
            .to_owned(),
    ];
    for size in sizes {
        size.store.remove()?;
    }
    Ok(Table { notes, figures })
}

/// Backs up, changes, and measures the next backup, as often as there are rounds.
fn incremental(setting: &Setting, size: &mut Sized, change: u64) -> Result<()> {
    let step = (size.store.bytes_on_disk / change).max(1);
    let keepsum: Keepsum = setting.keepsum()?;
    keepsum.backup(&size.store.url(), &["--files"])?;
    setting.each_round(u32::MAX, || {
        let new = size.store.change(step)?;
        println!("changed: {new} bytes of new tables");
        size.incremental.measure_short(|| keepsum.backup(&size.store.url(), &["--files"]))
    })?;
    keepsum.remove()
}

fn figures(sizes: &[Sized]) -> Vec<Figure> {
    let Some((smallest, larger)) = sizes.split_first() else { return Vec::new() };
    let mut figures = Vec::new();
    for size in larger {
        let times = size.gib / smallest.gib;
        let beside = format!("{times} times that of {} GiB", smallest.gib);
        for (what, ours, theirs, bytes) in [
            ("files", &size.files, &smallest.files, size.store.bytes_on_disk),
            ("records", &size.records, &smallest.records, size.store.shape.bytes()),
        ] {
            figures.push(Figure::times(
                format!("{} GiB: first backup of {what}", size.gib),
                ours,
                (&beside, &theirs.repeated(times)),
                bytes,
                Limit::Time(LINEAR),
            ));
        }
    }
    for size in larger {
        figures.push(Figure::times(
            format!("{} GiB: incremental backup of files, the same change", size.gib),
            &size.incremental,
            (&format!("in {} GiB", smallest.gib), &smallest.incremental),
            CHANGE,
            Limit::Time(SAME_CHANGE),
        ));
    }
    figures
}
