//! Tables whose rows SQLite reads from the first to the last, and cannot look for. All their rows are read once,
//! into a temporary table that is sorted by the keys of their records; scans go on from there.
//!
//! | table | why no row of it can be looked for |
//! |---|---|
//! | its columns have taken all three names of the rowid | SQL does not reach what rows are found by |
//! | WITHOUT ROWID, sorted by a collation of the application's | only the program knows the order |
//! | WITHOUT ROWID, with a key that has NULL, or what its column's type or collation would change | SQLite changes what it looks for, or takes it for granted that there is none |
//!
//! The temporary table lies in a file of SQLite's own, which goes with the connection. Sorting takes as much
//! memory as SQLite's cache has.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use backup_core::progress::Context;
use backup_core::{Error, Result};
use rusqlite::functions::{Context as Call, FunctionFlags};
use rusqlite::{Connection, ErrorCode};

use super::cell;
use super::read::reading;
use super::rowids::{Pages, Rowids};
use super::seek;
use super::table::{Finder, Key, Table, quoted};
use crate::ENGINE;

/// What SQL calls the function that tells what a row of the copy is found by.
const FUNCTION: &str = "keepsum_finder";

/// Has a connection take the collations of a table that only its program has for ones by which nothing is
/// compared here: SQLite opens no table without.
pub(super) fn stand_in(connection: &Connection, table: &Table) -> Result<()> {
    let Key::Primary { foreign, .. } = &table.key else { return Ok(()) };
    for name in foreign {
        let made = connection.create_collation(name.as_str(), str::cmp);
        made.map_err(Error::engine(ENGINE, format!("stand in for the collation {name:?}")))?;
    }
    Ok(())
}

/// The copy of a table, made at the first call. `pages` are needed where rowids have no name.
pub(super) fn copied(
    connection: &Connection,
    table: &Arc<Table>,
    pages: Option<Pages>,
    context: &Context,
) -> Result<Arc<Table>> {
    if let Some(copy) = table.copy.get() {
        return Ok(Arc::clone(copy));
    }
    let copy = Arc::new(table.apart());
    let run = |sql: String| connection.execute_batch(&sql).map_err(reading(table));
    let name = copy.sql_name();
    run(format!("DROP TABLE IF EXISTS {name}; CREATE TABLE {name}{}", body(&copy)))?;
    if let Err(error) = fill(connection, table, &copy, pages, context) {
        // What is left of it is dropped before it is made again.
        let _ = run(format!("DROP TABLE {name}"));
        return Err(error);
    }
    Ok(Arc::clone(table.copy.get_or_init(|| copy)))
}

fn body(copy: &Table) -> String {
    let (finder, columns) = (copy.finder().unwrap_or_default(), names(copy));
    match &copy.rowid {
        Some(_) => format!("({finder} INTEGER PRIMARY KEY, {columns})"),
        None => format!("({finder} BLOB PRIMARY KEY, {columns}) WITHOUT ROWID"),
    }
}

/// The columns of a table's values, of which it has some.
fn names(table: &Table) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| quoted(&column.name)).collect();
    names.join(", ")
}

/// Why a function that SQLite called failed: SQLite keeps the sentence alone.
type Failed = Arc<Mutex<Option<Error>>>;

fn fill(
    connection: &Connection,
    table: &Arc<Table>,
    copy: &Table,
    pages: Option<Pages>,
    context: &Context,
) -> Result<()> {
    let failed = Failed::default();
    let rowids = match table.key {
        Key::Rowid => Some(Arc::new(Mutex::new(rowids(connection, table, pages)?))),
        Key::Primary { .. } | Key::Copied => None,
    };
    let (arguments, order) = if let Some(rowids) = &rowids {
        follow(connection, Arc::clone(rowids), &failed, context).map_err(reading(table))?;
        (Vec::new(), "")
    } else {
        make_keys(connection, table, &failed, context).map_err(reading(table))?;
        (key_cells(table), " ORDER BY 1")
    };
    let (into, from) = (copy.sql_name(), seek::everything(table));
    let (arguments, columns) = (arguments.join(", "), names(table));
    let select = format!("SELECT {FUNCTION}({arguments}), {columns}{from}{order}");
    let inserted = connection.prepare(&format!("INSERT INTO {into} {select}"));
    let inserted = inserted.and_then(|mut statement| statement.execute([]));
    // It holds what it was made of.
    let removed = connection.remove_function(FUNCTION, -1);
    if let Some(error) = failed.lock().unwrap_or_else(PoisonError::into_inner).take() {
        return Err(error);
    }
    match inserted {
        Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
            return Err(Error::damaged(
                format!("table {:?}", table.name),
                "its primary key is not unique; see what `PRAGMA integrity_check` says of the database",
            ));
        }
        inserted => inserted.and(removed).map_err(reading(table))?,
    }
    let more = rowids.map(|rowids| rowids.lock().unwrap_or_else(PoisonError::into_inner).next());
    if more.transpose()?.flatten().is_some() {
        let what = format!("table {:?}", table.name);
        return Err(Error::damaged(what, "SQLite reads fewer rows than its pages have"));
    }
    Ok(())
}

fn rowids(connection: &Connection, table: &Table, pages: Option<Pages>) -> Result<Rowids> {
    let pages = pages.ok_or_else(|| {
        Error::unsupported(
            format!("reading rows of table {:?}", table.name),
            "its columns have taken all three names of the rowid, and its pages are not known; back up the files",
        )
    })?;
    let sql =
        "SELECT rootpage FROM main.sqlite_schema WHERE type = 'table' AND name = ?1 COLLATE NOCASE";
    let root =
        connection.query_row(sql, [&table.name], |row| row.get(0)).map_err(reading(table))?;
    Ok(Rowids::new(pages, &table.name, root))
}

/// The columns of the key, as SQL asks for them.
fn key_cells(table: &Table) -> Vec<String> {
    let columns = table.key_columns().into_iter().filter_map(|column| table.columns.get(column));
    columns.map(|column| cell::selected(&quoted(&column.name), table.encoding)).collect()
}

/// Has SQL know the function that gives the next rowid.
fn follow(
    connection: &Connection,
    rowids: Arc<Mutex<Rowids>>,
    failed: &Failed,
    context: &Context,
) -> rusqlite::Result<()> {
    let context = context.clone();
    offer(connection, failed, move |_| {
        context.check()?;
        let next = rowids.lock().unwrap_or_else(PoisonError::into_inner).next()?;
        next.ok_or_else(|| {
            Error::damaged("a table of the database", "SQLite reads more rows than its pages have")
        })
    })
}

/// Has SQL know the function that makes the key of a row.
fn make_keys(
    connection: &Connection,
    table: &Arc<Table>,
    failed: &Failed,
    context: &Context,
) -> rusqlite::Result<()> {
    let (table, context) = (Arc::clone(table), context.clone());
    let columns = table.key_columns();
    offer(connection, failed, move |call| {
        context.check()?;
        let mut key = Vec::new();
        table.push_key(&mut key, &Finder::Columns, |column| {
            let at = columns.iter().position(|found| *found == column).unwrap_or_default();
            Ok(cell::argument(call, at, table.encoding))
        })?;
        Ok(key)
    })
}

fn offer<T: rusqlite::functions::SqlFnOutput>(
    connection: &Connection,
    failed: &Failed,
    function: impl Fn(&Call<'_>) -> Result<T> + Send + 'static,
) -> rusqlite::Result<()> {
    let (failed, function) = (Arc::clone(failed), AssertUnwindSafe(function));
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DIRECTONLY;
    connection.create_scalar_function(FUNCTION, -1, flags, move |call| {
        let function = &function;
        function(call).map_err(|error| {
            let said = error.to_string();
            *failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            rusqlite::Error::UserFunctionError(said.into())
        })
    })
}
