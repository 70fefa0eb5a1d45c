//! Restoring files as they were, without the engine, so that every release that could open them
//! still can.

use std::fs::{self, File};
use std::io;
use std::path::Path;

use backup_core::progress::Context;
use backup_core::staging::{BuiltStore, Placing};
use backup_core::target::Origin;
use backup_core::{Error, Result};

use crate::capture::encrypted::is_encrypted;
use crate::format::file_name::{self, CURRENT};
use crate::format::manifest::{LiveState, Unreadable};

/// Checks the files that were placed.
pub(super) fn complete(placing: Placing, origin: Origin, context: &Context) -> Result<BuiltStore> {
    let staging = placing.complete()?;
    let mut notes = Vec::new();
    if is_encrypted(staging.folder())? {
        notes.push("the store is encrypted, so it was not checked as a database".into());
    } else {
        check(staging.folder())?;
    }
    Ok(BuiltStore::new(staging, origin, context).with_notes(notes))
}

/// Checks that the placed files are a whole database: what CURRENT names, and every table, blob
/// file and log that the MANIFEST lists, with its length. The engine itself is not asked: opening a
/// database writes a new MANIFEST, which older releases might not read.
fn check(folder: &Path) -> Result<()> {
    let path = folder.join(CURRENT);
    let current = match fs::read(&path) {
        Ok(current) => current,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(Error::damaged("the restored database", "it has no CURRENT file"));
        }
        Err(error) => return Err(Error::io("read", path)(error)),
    };
    let name = file_name::manifest_of(&current).ok_or_else(|| {
        Error::damaged("the restored database", "its CURRENT does not name a MANIFEST")
    })?;
    let path = folder.join(&name);
    let manifest = File::open(&path).map_err(Error::io("open", &path))?;
    let live = LiveState::read(io::BufReader::new(manifest)).map_err(|error| match error {
        Unreadable::Io(error) => Error::io("read", &path)(error),
        Unreadable::Damaged { records, reason } => Error::damaged(
            format!("the restored {name}"),
            format!("after {records} records: {reason}"),
        ),
    })?;
    for family in live.families.values() {
        for table in family.tables.values() {
            let new = file_name::table(table.number);
            let names = [new, file_name::old_table(table.number)];
            expect(folder, &names, |bytes| bytes == table.bytes)?;
        }
        for (number, length) in family.blobs() {
            expect(folder, &[file_name::blob(number)], |bytes| bytes == length)?;
        }
    }
    for (number, synced) in live.tracked_wals.iter().filter(|(number, _)| live.needs_wal(**number))
    {
        expect(folder, &[format!("{number:06}.log")], |bytes| bytes >= *synced)?;
    }
    Ok(())
}

fn expect(folder: &Path, names: &[String], fits: impl Fn(u64) -> bool) -> Result<()> {
    let found = names.iter().find_map(|name| fs::metadata(folder.join(name)).ok());
    match found {
        Some(found) if fits(found.len()) => Ok(()),
        Some(found) => Err(Error::damaged(
            format!("the restored {}", names[0]),
            format!("it has {} bytes, which is not what the MANIFEST says", found.len()),
        )),
        None => Err(Error::damaged(
            format!("the restored {}", names[0]),
            "it is missing, and the MANIFEST lists it",
        )),
    }
}
