//! Rows of tables WITHOUT ROWID whose keys have NULL. SQLite lets none into such a tree, and reads those that are
//! there.
//!
//! They are set aside as they come, and go into the tree at the end: as entries of the index of another table,
//! of which SQLite is told that it lies there. Such an entry has one column more than a row, the rowid of its
//! table. SQLite is told next that the tree is a table with one column more, and drops that.

use backup_core::{Error, Result};
use rusqlite::OptionalExtension;

use super::blueprint::{Bare, read_again};
use super::build::Build;
use super::table::{Key, KeyColumn, value_column};
use super::value::Cell;
use crate::ENGINE;

/// The table whose index takes the rows, that index, and the tree with one column more.
const TABLE: &str = "keepsum_nulls";
const INDEX: &str = "keepsum_nulls_index";
const TREE: &str = "keepsum_nulls_tree";

/// Where the rows of a bare table are set aside.
pub(super) fn aside(bare: &str) -> String {
    format!("temp.{}", aside_name(bare))
}

fn aside_name(bare: &str) -> String {
    format!("keepsum_nulls_{bare}")
}

/// Whether a row with these columns must be set aside.
pub(super) fn are_in(parts: &[KeyColumn], cells: &[Cell<'_>]) -> bool {
    parts.iter().any(|part| matches!(cells.get(part.column), Some(Cell::Null)))
}

/// The statement that makes the place where rows of so many columns are set aside.
pub(super) fn make_aside(bare: &str, columns: usize) -> String {
    format!("CREATE TABLE IF NOT EXISTS {}({})", aside(bare), names(columns))
}

fn names(columns: usize) -> String {
    (0..columns).map(value_column).collect::<Vec<_>>().join(", ")
}

/// Puts the rows of a bare table that were set aside, if any, into its tree, which begins at the page `root`. SQLite
/// knows no table afterwards.
pub(super) fn put_back(build: &Build, number: usize, root: i64, bare: &Bare) -> Result<()> {
    let Key::Primary { parts, .. } = &bare.table.key else { return Ok(()) };
    let name = Build::bare_name(number);
    let sql = "SELECT 1 FROM temp.sqlite_schema WHERE name = ?1";
    let found = build.connection.query_row(sql, [aside_name(&name)], |_| Ok(())).optional();
    let action = || format!("put rows of table {:?} into its tree", bare.table.name);
    let failed = |error| Error::engine(ENGINE, action())(error);
    if found.map_err(failed)?.is_none() {
        return Ok(());
    }
    build.forget()?;
    put(build, &name, root, bare, parts).map_err(failed)?;
    build.forget()
}

fn put(
    build: &Build,
    name: &str,
    root: i64,
    bare: &Bare,
    parts: &[KeyColumn],
) -> rusqlite::Result<()> {
    let connection = &build.connection;
    let (names, aside) = (names(bare.table.columns.len()), aside(name));
    let table = format!("CREATE TABLE {TABLE}({names})");
    // The last that is made has the last of all roots: when it goes, no other moves.
    let own = build.made(TABLE, &table)?;
    let index = format!("CREATE INDEX {INDEX} ON {TABLE}({})", stored(bare, parts));
    know(build, &[("table", TABLE, own, &table), ("index", INDEX, root, &index)])?;
    connection.execute_batch(&format!("INSERT INTO main.{TABLE} SELECT * FROM {aside}"))?;
    let more = value_column(bare.table.columns.len());
    know(build, &[("table", TREE, root, &bare.statement_with(TREE, &more))])?;
    connection.execute_batch(&format!("ALTER TABLE main.{TREE} DROP COLUMN {more}"))?;
    know(build, &[("table", TABLE, own, &table)])?;
    connection.execute_batch(&format!("DROP TABLE main.{TABLE}; DROP TABLE {aside}"))
}

/// The columns of a row in the order in which its tree has them, as those of an index.
fn stored(bare: &Bare, parts: &[KeyColumn]) -> String {
    let others = (0..bare.table.columns.len())
        .filter(|column| parts.iter().all(|part| part.column != *column))
        .map(value_column);
    parts.iter().map(KeyColumn::sql).chain(others).collect::<Vec<_>>().join(", ")
}

/// Has SQLite know these objects and nothing else: type, name, first page and statement of each. The schema table
/// has them until the next.
fn know(build: &Build, objects: &[(&str, &str, i64, &String)]) -> rusqlite::Result<()> {
    let connection = &build.connection;
    connection.execute_batch("DELETE FROM main.sqlite_schema")?;
    for (kind, name, root, sql) in objects {
        let table = if *kind == "index" { TABLE } else { name };
        connection.execute(
            "INSERT INTO main.sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES(?1, ?2, ?3, ?4, ?5)",
            (kind, name, table, root, sql),
        )?;
    }
    read_again(connection).map(drop)
}
