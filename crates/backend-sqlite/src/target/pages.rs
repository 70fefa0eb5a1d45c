//! Restoring pages as they were.

use std::fs::File;
use std::io;
use std::path::Path;

use backup_core::progress::Context;
use backup_core::source::FileInfo;
use backup_core::staging::{BuiltStore, Placing};
use backup_core::target::Origin;
use backup_core::{Error, Result};

use super::PageCheck;
use crate::ENGINE;
use crate::file::header::{HEADER_BYTES, Header};
use crate::file::read_up_to;
use crate::moment;

/// Checks that the files of a plan are one database.
pub(super) fn check_plan(files: &[FileInfo]) -> Result<()> {
    if files.len() == 1 {
        return Ok(());
    }
    let detail = format!("are {}, and a SQLite database is one", files.len());
    Err(Error::invalid("the files of the snapshot", detail))
}

/// Checks the pages that were placed.
pub(super) fn complete(
    placing: Placing,
    origin: Origin,
    check: PageCheck,
    context: &Context,
) -> Result<BuiltStore> {
    let (staging, built) = placing.complete_file()?;
    check_pages(&built, check)?;
    Ok(super::built(staging, origin, context))
}

/// Checks what was placed: its header, that it is as long as that says, and all that SQLite checks.
fn check_pages(built: &Path, check: PageCheck) -> Result<()> {
    let file = File::open(built).map_err(Error::io("open", built))?;
    let bytes = file.metadata().map_err(Error::io("look at", built))?.len();
    if bytes == 0 {
        // SQLite takes it for a database without a page.
        return Ok(());
    }
    let mut header = [0; HEADER_BYTES];
    let read = read_up_to(&file, &mut header, 0).map_err(Error::io("read", built))?;
    if read < HEADER_BYTES {
        return Err(damaged(format!("it has {bytes} bytes, less than a header")));
    }
    let header = Header::parse(built, &header)?;
    if let Some(pages) = header.pages()
        && u64::from(pages) * u64::from(header.page_size) != bytes
    {
        let page = header.page_size;
        return Err(damaged(format!(
            "its header says {pages} pages of {page}; it has {bytes} bytes"
        )));
    }
    drop(file);
    let (pragma, wanted) = match check {
        PageCheck::Quick => ("PRAGMA quick_check(1)", "quick_check"),
        PageCheck::Full => ("PRAGMA integrity_check(1)", "integrity_check"),
    };
    let failed = |error| Error::engine(ENGINE, format!("check {}", built.display()))(error);
    let ask = || {
        let connection = moment::still(built)?;
        connection.query_row(pragma, [], |row| row.get::<_, String>(0))
    };
    if ask().map_err(failed)? == "ok" {
        return Ok(());
    }
    // SQLite says in one word what is wrong in a page and that it could not be read. What cannot be read is
    // an error of the disk, and what could not be read once is asked again.
    let mut file = File::open(built).map_err(Error::io("open", built))?;
    io::copy(&mut file, &mut io::sink()).map_err(Error::io("read", built))?;
    match ask().map_err(failed)?.as_str() {
        "ok" => Ok(()),
        found => Err(damaged(format!("{wanted} says: {found}"))),
    }
}

fn damaged(detail: String) -> Error {
    Error::damaged("the restored database", detail)
}
