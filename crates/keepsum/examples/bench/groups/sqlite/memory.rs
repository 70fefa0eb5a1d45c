//! The most memory that backups and restores of a database have at a time.

use anyhow::Result;

use super::database;
use crate::figure::{Figure, Limit, Table, mebibytes};
use crate::folder;
use crate::groups::GIB;
use crate::peak::peak;
use crate::setting::Setting;

/// What is promised, whatever the size.
const ALLOWED: u64 = 128 << 20;

pub(in crate::groups) fn measure(setting: &mut Setting) -> Result<Table> {
    let (mut figures, mut notes) = (Vec::new(), Vec::new());
    for gib in [1, 4] {
        let database = database(setting, gib * GIB)?;
        let folder = setting.path("target");
        let into = format!("sqlite:{}", folder.join("data.db").display());
        for word in ["files", "records"] {
            let keepsum = setting.keepsum()?;
            let shape = format!("--{word}");
            let backup = peak(&keepsum.command(&["backup", &database.url(), &shape]))?;
            std::fs::create_dir(&folder)?;
            let restore = peak(&keepsum.command(&["restore", "latest", &into]))?;
            folder::remove(&folder)?;
            keepsum.remove()?;
            for (what, peak) in [("backup", backup), ("restore", restore)] {
                figures.push(Figure::sizes(
                    format!("{gib} GiB: peak memory of a {what} of {word}"),
                    (mebibytes(peak), peak),
                    ("allowed: 128 MiB".to_owned(), ALLOWED),
                    Limit::Size(1.0),
                ));
            }
        }
        notes.push(format!("The database of {gib} GiB: {database}."));
        database.remove()?;
    }
    notes.push("Peak memory is `ru_maxrss`, the program's own pages included.".to_owned());
    Ok(Table { notes, figures })
}
