//! Backups of files: the first one, the same again, and after a change.

use anyhow::Result;

use super::GIB;
use crate::clock::Times;
use crate::figure::{Figure, Limit, Table};
use crate::folder;
use crate::instead::{Restic, backup_engine, copy_durably};
use crate::setting::Setting;
use crate::store::Store;

/// One record in so many is changed.
const CHANGED: u64 = 100;

const FILES: &[&str] = &["--files"];

#[derive(Default)]
struct Measured {
    copy: Times,
    first: Times,
    again: Times,
    engine: Times,
    restic: Times,
    /// Bytes that the second backup wrote, at most.
    again_bytes: u64,
}

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    let shape = setting.files_shape(2 * GIB)?;
    let store = setting.store(shape)?;
    let mut measured = Measured::default();
    setting.each_round(u32::MAX, || round(setting, &store, &mut measured))?;
    let after_change = change(setting, &store)?;
    let Measured { copy, first, again, engine, restic, again_bytes } = measured;
    let bytes = store.bytes_on_disk;
    let first_backup = "first backup";
    let beside_restic = if setting.restic.is_some() {
        let beside = ("`restic backup`", &restic);
        Figure::times(first_backup, &first, beside, bytes, Limit::Speed(1.0))
    } else {
        Figure::unmeasured(first_backup, "restic is not installed", Limit::Speed(1.0))
    };
    let figures = vec![
        Figure::times(first_backup, &first, ("`cp -r` and fsync", &copy), bytes, Limit::Speed(0.8)),
        Figure::times(
            first_backup,
            &first,
            ("RocksDB's BackupEngine", &engine),
            bytes,
            Limit::Speed(1.0),
        ),
        beside_restic,
        Figure::times(
            "the same again, unchanged",
            &again,
            ("the first backup", &first),
            bytes,
            Limit::Time(0.02),
        ),
        Figure::bytes(
            "the same again, unchanged: bytes written",
            again_bytes,
            ("allowed", 1 << 20),
            Limit::Size(1.0),
        ),
        after_change,
    ];
    let notes = vec![format!(
        "The store: {store}. Times of `backup --files` and of the others are of a new, empty \
         repository each. The BackupEngine syncs and uses {} threads.",
        setting.threads
    )];
    setting.keep(store);
    Ok(Table { notes, figures })
}

fn round(setting: &Setting, store: &Store, measured: &mut Measured) -> Result<()> {
    let copy = setting.path("copy");
    measured.copy.measure(|| copy_durably(&store.path, &copy))?;
    folder::remove(&copy)?;

    let keepsum = setting.keepsum()?;
    measured.first.measure(|| keepsum.backup(&store.url(), FILES))?;
    let before = folder::bytes(&keepsum.repository)?;
    measured.again.measure_short(|| keepsum.backup(&store.url(), FILES))?;
    let written = folder::bytes(&keepsum.repository)? - before;
    measured.again_bytes = measured.again_bytes.max(written);
    keepsum.remove()?;

    // Opened for writing, a database changes a little: it gets a checkpoint.
    let checkpoint = store.checkpoint(&setting.path("checkpoint"))?;
    let db = checkpoint.open()?;
    let backups = setting.path("backups");
    measured.engine.measure(|| backup_engine(&db, &backups, setting.threads))?;
    drop(db);
    checkpoint.remove()?;
    folder::remove(&backups)?;

    if let Some(program) = &setting.restic {
        let restic = Restic {
            program: program.clone(),
            repository: setting.path("restic"),
            cache: setting.path("restic-cache"),
        };
        restic.init()?;
        measured.restic.measure(|| restic.backup(&store.path))?;
        restic.remove()?;
    }
    Ok(())
}

/// What a backup writes after one record in a hundred changed.
fn change(setting: &Setting, store: &Store) -> Result<Figure> {
    let mut changing = store.checkpoint(&setting.path("changing"))?;
    let keepsum = setting.keepsum()?;
    keepsum.backup(&changing.url(), FILES)?;
    let new_tables = changing.change(CHANGED)?;
    let before = folder::bytes(&keepsum.repository)?;
    keepsum.backup(&changing.url(), FILES)?;
    let written = folder::bytes(&keepsum.repository)? - before;
    keepsum.remove()?;
    changing.remove()?;
    Ok(Figure::bytes(
        "after 1% of the keys changed: bytes written",
        written,
        ("the new tables", new_tables),
        Limit::Size(1.2),
    ))
}
