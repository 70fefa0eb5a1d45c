//! Restoring records: a store's file is written beside its target, key after key, and then put in place.

use std::path::Path;

use backup_core::check::CheckLevel;
use backup_core::loading::{Batches, Loading};
use backup_core::progress::Context;
use backup_core::source::{DatabaseInfo, Layout};
use backup_core::staging::Staging;
use backup_core::target::{Origin, each_once};
use backup_core::{Restore, Result};
use rusqlite::{Connection, OpenFlags};

use super::build::Build;
use super::failure::failed;
use super::layout;
use super::table::Table;
use crate::{ENGINE, check, source, target};

/// What a file that is thrown away after a failure needs: no journal, no sync (publishing syncs it), no
/// lock that is given back in between, and no log while pages are written.
const BUILDING: &str = "
    PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA locking_mode = EXCLUSIVE;
    PRAGMA cache_size = -16384;
    BEGIN;
";

/// Begins to build the file in `staging`.
///
/// # Errors
/// [`Error::Invalid`](backup_core::Error::Invalid) for a database without a name, or one that comes twice.
pub(crate) fn begin(
    staging: Staging,
    origin: Origin,
    layout: Layout,
    databases: &[DatabaseInfo],
    asked: Option<CheckLevel>,
    context: &Context,
) -> Result<Box<dyn Restore>> {
    let plan: Vec<_> = databases.iter().map(|info| info.name.clone()).collect();
    plan.iter().try_for_each(|name| layout::check_name(name))?;
    each_once(plan.iter().map(String::as_str))?;
    let path = staging.file();
    let work = move |batches: &Batches| write_store(&path, layout, &plan, batches);
    let loading = Loading::start(ENGINE, databases.len(), context, work)?;
    let context = context.clone();
    Ok(loading.restore(staging, move |(), staging| {
        let (path, cancelled) = (staging.file(), context.clone());
        let check = check::file(&path, asked)?;
        check.decide(asked)?;
        let built = target::built(staging, origin, &context).checked(check);
        Ok(built.read_by(move || source::store_of_built(&path, &cancelled)))
    }))
}

/// Writes what comes into a new file, in one transaction.
fn write_store(path: &Path, layout: Layout, databases: &[String], batches: &Batches) -> Result<()> {
    let store = path.display().to_string();
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags).map_err(failed("make", &store))?;
    connection.execute_batch(BUILDING).map_err(failed("make", &store))?;
    layout::make(&connection)?;
    let tables: Vec<Table> = databases
        .iter()
        .map(|name| layout::add_database(&connection, name))
        .collect::<Result<_>>()?;
    let mut current = 0;
    let mut build = Build::new(&connection, layout);
    while let Some((number, batch)) = batches.next() {
        if number != current {
            build.finish()?;
            build = Build::new(&connection, layout);
            current = number;
        }
        // Databases come in order and are all of the plan: that was checked before.
        let table = &tables[number];
        batch.iter().try_for_each(|record| build.add(table, &record))?;
    }
    build.finish()?;
    drop(build);
    connection.execute_batch("COMMIT").map_err(failed("write", &store))?;
    // Said in the header alone: nothing is written after it, so there is no log to leave behind.
    connection
        .query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()))
        .map_err(failed("write", &store))?;
    connection.close().map_err(|(_, error)| failed("close", &store)(error))
}
