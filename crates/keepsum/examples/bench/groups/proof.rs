//! What the logical proof of a files backup costs beside the physical one.

use anyhow::Result;

use super::GIB;
use crate::arithmetic::Arithmetic;
use crate::clock::Times;
use crate::figure::{Figure, Limit, Table};
use crate::instead::scan;
use crate::setting::Setting;

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    let shape = setting.files_shape(2 * GIB)?;
    let store = setting.store(shape)?;
    let arithmetic = Arithmetic::new(shape)?;
    let (mut physical, mut logical) = (Times::default(), Times::default());
    let (mut one, mut all) = (Times::default(), Times::default());
    let mut lthash = Times::default();
    let threads = setting.threads;
    setting.each_round(u32::MAX, || {
        for (times, proof) in [(&mut physical, "physical"), (&mut logical, "logical")] {
            let keepsum = setting.keepsum()?;
            times.measure(|| keepsum.backup(&store.url(), &["--files", "--proof", proof]))?;
            keepsum.remove()?;
        }
        one.measure(|| scan(&store, 1))?;
        all.measure(|| scan(&store, threads))?;
        lthash.measure(|| arithmetic.sum(threads))
    })?;
    let bytes = shape.bytes();
    let more = logical.beyond(&physical);
    let what = "`--proof logical` more than `--proof physical`";
    let bare = |threads: usize| match threads {
        1 => "a bare scan, 1 thread".to_owned(),
        more => format!("a bare scan, {more} threads"),
    };
    let figures = vec![
        Figure::times(what, &more, (&bare(1), &one), bytes, Limit::Time(1.0)),
        Figure::times(what, &more, (&bare(threads), &all), bytes, Limit::Explains),
        Figure::times(
            format!("the LtHash alone, {threads} threads"),
            &lthash,
            (&bare(1), &one),
            bytes,
            Limit::Explains,
        ),
    ];
    let notes = vec![format!(
        "The store: {store}. The time more is that of `backup --files --proof logical`, less that \
         of `backup --files`, each into a new, empty repository."
    )];
    setting.keep(store);
    Ok(Table { notes, figures })
}
