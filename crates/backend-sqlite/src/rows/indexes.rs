//! Whether the indexes of a table have as many entries as it has rows, where that is cheap to find out. Rows are
//! read from the table alone, so that none of them is missing; a person should know of it all the same.

use backup_core::Result;
use rusqlite::Connection;

use super::read::reading;
use super::table::{Key, Table, quoted};

/// The most rows of a table whose indexes are counted.
const MAX_COUNTED: u64 = 20_000;

/// What is to be said of a table's indexes.
pub(super) fn notes(
    connection: &Connection,
    table: &Table,
    records: Option<u64>,
) -> Result<Vec<String>> {
    if records.is_none_or(|records| records > MAX_COUNTED) {
        return Ok(Vec::new());
    }
    let names = names(connection, table).map_err(reading(table))?;
    if names.is_empty() {
        return Ok(Vec::new());
    }
    let way = match &table.key {
        Key::Rowid | Key::Copied => "NOT INDEXED".to_owned(),
        Key::Primary { index, .. } => format!("INDEXED BY {}", quoted(index)),
    };
    let rows = count(connection, table, &way).map_err(reading(table))?;
    let mut notes = Vec::new();
    for name in names {
        // One that cannot be read here (a collation or a function of the application) says nothing.
        let way = format!("INDEXED BY {}", quoted(&name));
        if let Ok(entries) = count(connection, table, &way)
            && entries != rows
        {
            notes.push(format!(
                "the index {name:?} of table {:?} has {entries} entries, and the table {rows} rows: the rows are read, all of them",
                table.name
            ));
        }
    }
    Ok(notes)
}

/// The indexes that have an entry for every row.
fn names(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<String>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, origin FROM pragma_index_list(?1, 'main') WHERE NOT partial",
    )?;
    let both = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let found = statement.query_map([table.name.as_str()], both)?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let is_tree = |origin: &str| matches!(table.key, Key::Primary { .. }) && origin == "pk";
    Ok(found.into_iter().filter(|(_, origin)| !is_tree(origin)).map(|(name, _)| name).collect())
}

fn count(connection: &Connection, table: &Table, way: &str) -> rusqlite::Result<i64> {
    // Without a condition, SQLite counts whatever it likes best.
    let sql = format!("SELECT count(*) FROM {} {way} WHERE random() IS NOT NULL", table.sql_name());
    connection.query_row(&sql, [], |row| row.get(0))
}
