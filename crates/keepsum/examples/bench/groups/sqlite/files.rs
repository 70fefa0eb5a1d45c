//! A database's pages: the first backup, the same again, after a change, and the restore.

use anyhow::Result;

use super::database;
use crate::clock::Times;
use crate::database::Database;
use crate::figure::{Figure, Limit, Table};
use crate::folder;
use crate::groups::GIB;
use crate::instead::{copy_durably, dot_backup, vacuum_into};
use crate::setting::Setting;

/// One row in so many is changed, all of them neighbours.
const CHANGED: u64 = 100;

const FILES: &[&str] = &["--files"];

#[derive(Default)]
struct Measured {
    copy: Times,
    first: Times,
    again: Times,
    vacuum: Times,
    dot_backup: Times,
    restore: Times,
}

pub(in crate::groups) fn measure(setting: &mut Setting) -> Result<Table> {
    let database = database(setting, 2 * GIB)?;
    let mut measured = Measured::default();
    setting.each_round(u32::MAX, || round(setting, &database, &mut measured))?;
    let bytes = database.bytes_on_disk;
    let notes = vec![format!(
        "The database: {database}. The bench has it open meanwhile. Times of a backup are of \
         `backup --files` into a new, empty repository. `VACUUM INTO` and `.backup` are those of SQLite's \
         shell; the first leaves out an fsync, which is done after it. A restore checks the database with \
         `quick_check`, its page proof and the LtHash of its pieces, and makes it durable."
    )];
    let mut figures = figures(setting, &measured, bytes);
    figures.push(change(setting, &database)?);
    database.remove()?;
    Ok(Table { notes, figures })
}

fn figures(setting: &Setting, measured: &Measured, bytes: u64) -> Vec<Figure> {
    let Measured { copy, first, again, vacuum, dot_backup, restore } = measured;
    let cp = ("`cp -r` and fsync", copy);
    let beside_shell = |what: &str, times: &Times| {
        let figure = "first backup";
        if setting.sqlite3.is_none() {
            return Figure::unmeasured(figure, "sqlite3 is not installed", Limit::Speed(1.0));
        }
        Figure::times(figure, first, (what, times), bytes, Limit::Speed(1.0))
    };
    let unchanged = "the same again, unchanged";
    vec![
        Figure::times("first backup", first, cp, bytes, Limit::Speed(0.8)),
        beside_shell("`VACUUM INTO` and fsync", vacuum),
        beside_shell("`.backup`", dot_backup),
        Figure::times(unchanged, again, ("the first backup", first), bytes, Limit::Time(0.02)),
        Figure::times("restore", restore, cp, bytes, Limit::Speed(0.8)),
    ]
}

fn round(setting: &Setting, database: &Database, measured: &mut Measured) -> Result<()> {
    let copy = setting.path("copy");
    measured.copy.measure(|| copy_durably(&database.folder, &copy))?;
    folder::remove(&copy)?;

    let keepsum = setting.keepsum()?;
    measured.first.measure(|| keepsum.backup(&database.url(), FILES))?;
    measured.again.measure_short(|| keepsum.backup(&database.url(), FILES))?;
    std::fs::create_dir(&copy)?;
    let target = format!("sqlite:{}", copy.join("data.db").display());
    measured.restore.measure(|| keepsum.restore(&target))?;
    folder::remove(&copy)?;
    keepsum.remove()?;

    if let Some(shell) = &setting.sqlite3 {
        for (times, instead) in [
            (&mut measured.vacuum, vacuum_into as fn(&str, &Database, &std::path::Path) -> _),
            (&mut measured.dot_backup, dot_backup),
        ] {
            std::fs::create_dir(&copy)?;
            times.measure(|| instead(shell, database, &copy.join("data.db")))?;
            folder::remove(&copy)?;
        }
    }
    Ok(())
}

/// What a backup writes after one row in a hundred changed.
fn change(setting: &Setting, database: &Database) -> Result<Figure> {
    let keepsum = setting.keepsum()?;
    keepsum.backup(&database.url(), FILES)?;
    let first = database.shape.records / 3;
    let pages = database.change(first..first + database.shape.records / CHANGED)?;
    let before = folder::bytes(&keepsum.repository)?;
    keepsum.backup(&database.url(), FILES)?;
    let written = folder::bytes(&keepsum.repository)? - before;
    keepsum.remove()?;
    Ok(Figure::bytes(
        "after 1% of the pages changed, neighbours, to noise: bytes written",
        written,
        ("the changed pages", pages),
        Limit::Size(1.3),
    ))
}
