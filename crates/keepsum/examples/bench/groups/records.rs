//! Backups of records, beside a scan that stores nothing.

use anyhow::Result;

use super::GIB;
use crate::arithmetic::Arithmetic;
use crate::clock::{Times, timed_children};
use crate::figure::{Figure, Limit, Table};
use crate::instead::scan;
use crate::setting::Setting;
use crate::store::Shape;

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    let mut table = Table { notes: Vec::new(), figures: Vec::new() };
    for value_bytes in [1024, 100] {
        measure_values(setting, value_bytes, &mut table)?;
    }
    table.notes.push(
        "What explains a figure ran on records in memory: the LtHash and zstd alone, at the \
         level that such values get (-1), which every records backup computes for all that it stores."
            .to_owned(),
    );
    Ok(table)
}

fn measure_values(setting: &mut Setting, value_bytes: usize, table: &mut Table) -> Result<()> {
    let shape = Shape::of_records(setting.scaled(GIB), value_bytes);
    let store = setting.store(shape)?;
    let arithmetic = Arithmetic::new(shape)?;
    let threads = setting.threads;
    let (mut backup, mut bare) = (Times::default(), Times::default());
    let mut lthash = vec![Times::default(); threads.min(2)];
    let mut zstd = lthash.clone();
    let mut cpu = Times::default();
    setting.each_round(u32::MAX, || {
        bare.measure(|| scan(&store, threads))?;
        let keepsum = setting.keepsum()?;
        cpu.add(timed_children(|| {
            backup.measure(|| keepsum.backup(&store.url(), &["--records"]))
        })?);
        keepsum.remove()?;
        for (index, (lthash, zstd)) in lthash.iter_mut().zip(&mut zstd).enumerate() {
            lthash.measure(|| arithmetic.sum(index + 1))?;
            zstd.measure(|| arithmetic.compress(index + 1))?;
        }
        Ok(())
    })?;
    let beside = format!("a bare scan, {threads} threads");
    let mut add = |what: String, ours: &Times, limit: Limit| {
        let figure = Figure::times(what, ours, (&beside, &bare), shape.bytes(), limit);
        table.figures.push(figure);
    };
    add(format!("values of {value_bytes} B: backup"), &backup, Limit::Speed(0.5));
    for (index, (lthash, zstd)) in lthash.iter().zip(&zstd).enumerate() {
        let on = if index == 0 { "one thread" } else { "two threads" };
        let of = |what| format!("values of {value_bytes} B: {what} alone, {on}");
        add(of("LtHash"), lthash, Limit::Explains);
        add(of("zstd"), zstd, Limit::Explains);
    }
    if let Some(lthash) = lthash.first() {
        let what = format!("values of {value_bytes} B: LtHash's share of the backup");
        let beside = ("CPU time of the backup", &cpu);
        table.figures.push(Figure::times(what, lthash, beside, shape.bytes(), Limit::Share));
    }
    table.notes.push(format!("The store: {store}."));
    setting.keep(store);
    Ok(())
}
