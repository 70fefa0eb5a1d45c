//! A database's rows, beside a `SELECT` that stores nothing, and a loop of inserts that proves nothing.

use anyhow::Result;

use crate::clock::Times;
use crate::database::Database;
use crate::figure::{Figure, Limit, Table};
use crate::folder;
use crate::groups::GIB;
use crate::instead::{insert_all, select_all};
use crate::setting::Setting;
use crate::store::Shape;

pub(in crate::groups) fn measure(setting: &mut Setting) -> Result<Table> {
    setting.keep_nothing()?;
    let mut table = Table { notes: Vec::new(), figures: Vec::new() };
    for value_bytes in [1024, 100] {
        measure_values(setting, value_bytes, &mut table)?;
    }
    table.notes.push(
        "The `SELECT *` reads every column through rusqlite, on one thread. The inserts read their rows by \
         such a `SELECT`: one transaction without a journal, a prepared statement of 16 rows, then the \
         index, then an fsync. A restore checks the LtHash of each table, foreign keys and \
         `integrity_check`, and makes the database durable."
            .to_owned(),
    );
    Ok(table)
}

fn measure_values(setting: &mut Setting, value_bytes: usize, table: &mut Table) -> Result<()> {
    let shape = Shape::of_records(setting.scaled(GIB), value_bytes);
    let database = Database::make(&setting.path("database"), shape)?;
    let [mut select, mut backup, mut insert, mut restore] = [(); 4].map(|()| Times::default());
    let folder = setting.path("target");
    let target = folder.join("data.db");
    setting.each_round(u32::MAX, || {
        select.measure(|| select_all(&database))?;
        let keepsum = setting.keepsum()?;
        backup.measure(|| keepsum.backup(&database.url(), &["--records"]))?;
        std::fs::create_dir(&folder)?;
        insert.measure(|| insert_all(&database, &target))?;
        folder::remove(&folder)?;
        std::fs::create_dir(&folder)?;
        restore.measure(|| keepsum.restore(&format!("sqlite:{}", target.display())))?;
        folder::remove(&folder)?;
        keepsum.remove()
    })?;
    let bytes = shape.bytes();
    for (what, ours, beside, limit) in [
        ("backup", &backup, ("a bare `SELECT *`", &select), Limit::Speed(0.5)),
        ("restore", &restore, ("a loop of inserts", &insert), Limit::Speed(0.8)),
    ] {
        let what = format!("values of {value_bytes} B: {what} of rows");
        table.figures.push(Figure::times(what, ours, beside, bytes, limit));
    }
    table.notes.push(format!("The database: {database}."));
    database.remove()
}
