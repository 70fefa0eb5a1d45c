//! About how large a table WITHOUT ROWID is, and where to cut it: by the keys of a few rows. And about how large one
//! is of which no row can be looked for.

use backup_core::Result;
use backup_core::record::RecordKey;
use rusqlite::{Connection, Row, params_from_iter};

use super::cell;
use super::read::{LONGEST_COLUMN, limited, reading};
use super::seek::{self, Place, Range};
use super::table::{Finder, Key, Table, quoted};
use crate::splits::{self, LOOK, Question};
use crate::tree::{self, Rows};

/// How many rows are gone past to come to a place that SQL names only by one before it.
const PASSED: u32 = 256;

/// How many rows are looked at for their length, at each end of the table.
const MEASURED: u32 = 64;

/// About how many records and bytes a table has: as if rows were as long as those at both ends.
pub(super) fn size(connection: &Connection, table: &Table) -> Result<(u64, u64)> {
    let records =
        tree::records(connection, &table.name, Rows::Everywhere).map_err(reading(table))?;
    let start = Place::default();
    let ends = [seek::ranges(table, &start), seek::ranges_below(table, &start)];
    let ends = ends.into_iter().flatten().map(|range| range.sql);
    Ok((records, records.saturating_mul(measured(connection, table, ends)?)))
}

/// About how many records and bytes a table has of which no row can be looked for.
pub(super) fn size_apart(connection: &Connection, table: &Table) -> Result<(u64, u64)> {
    let rows_are = match table.key {
        Key::Primary { .. } => Rows::Everywhere,
        Key::Rowid | Key::Copied => Rows::AtLeaves,
    };
    let records = tree::records(connection, &table.name, rows_are).map_err(reading(table))?;
    let bytes = measured(connection, table, [seek::everything(table)].into_iter())?;
    Ok((records, records.saturating_mul(bytes)))
}

/// About how many bytes a row has: as many as the first ones of some ranges.
fn measured(
    connection: &Connection,
    table: &Table,
    ranges: impl Iterator<Item = String>,
) -> Result<u64> {
    // Lengths are read without what they are of.
    let lengths = table.columns.iter().map(|column| {
        let name = quoted(&column.name);
        format!("coalesce(octet_length({name}), 0)")
    });
    let sum = lengths.collect::<Vec<_>>().join(" + ");
    let (mut bytes, mut rows) = (0, 0);
    for range in ranges {
        let sql = format!("SELECT {sum}{range} LIMIT {MEASURED}");
        let mut statement = connection.prepare(&sql).map_err(reading(table))?;
        let found = statement.query_map([], |row| row.get::<_, i64>(0)).map_err(reading(table))?;
        for length in found {
            bytes += length.map_err(reading(table))?.unsigned_abs() + table.columns.len() as u64;
            rows += 1;
        }
    }
    Ok(bytes / rows.max(1))
}

/// Keys that cut a table into at most so many ranges of similar size.
pub(super) fn splits(
    connection: &Connection,
    table: &Table,
    parts: usize,
) -> Result<Vec<RecordKey>> {
    splits::splits(parts, |question| {
        let key = answer(connection, table, &question)?;
        Ok(key.map(|key| RecordKey { root_key: Vec::new(), key }))
    })
}

/// The answer to a question about the table's keys. None as well where it takes too many rows to tell.
fn answer(connection: &Connection, table: &Table, question: &Question) -> Result<Option<Vec<u8>>> {
    let from = |at: &RecordKey| Place::of(table, &at.key);
    match question {
        Question::From(at) => {
            let place = from(at);
            find(connection, table, seek::ranges(table, &place), |key| key >= at.key.as_slice())
        }
        Question::Skip(at, rows) => {
            let (place, mut left) = (from(at), *rows);
            find(connection, table, seek::ranges(table, &place), |key| {
                let is_it = key >= at.key.as_slice() && left == 0;
                left = left.saturating_sub((key >= at.key.as_slice()).into());
                is_it
            })
        }
        Question::Before(at) => {
            let place = from(at);
            let ranges = seek::ranges_below(table, &place);
            find(connection, table, ranges, |key| key < at.key.as_slice())
        }
        Question::Last => {
            find(connection, table, seek::ranges_below(table, &Place::default()), |_| true)
        }
    }
}

/// The first key in the ranges that is looked for.
fn find(
    connection: &Connection,
    table: &Table,
    ranges: Vec<Range<'_>>,
    mut is_it: impl FnMut(&[u8]) -> bool,
) -> Result<Option<Vec<u8>>> {
    let columns = table.key_columns();
    let names = columns.iter().filter_map(|column| table.columns.get(*column));
    let names = names.map(|column| cell::selected(&quoted(&column.name), table.encoding));
    let select = names.collect::<Vec<_>>().join(", ");
    let made = |row: &Row<'_>| {
        let mut key = Vec::new();
        table.push_key(&mut key, &Finder::Columns, |column| {
            let at = columns.iter().position(|found| *found == column).unwrap_or_default();
            cell::read(row, 0, at, table.encoding).map_err(reading(table))
        })?;
        Ok(key)
    };
    let search = || {
        for range in ranges {
            let sql = format!("SELECT {select}{} LIMIT {}", range.sql, LOOK + PASSED);
            let mut statement = connection.prepare_cached(&sql).map_err(reading(table))?;
            let mut rows =
                statement.query(params_from_iter(range.parameters)).map_err(reading(table))?;
            // A key with a long column is no place to cut at.
            while let Ok(Some(row)) = rows.next() {
                let key = made(row)?;
                if is_it(&key) {
                    return Ok(Some(key));
                }
            }
        }
        Ok(None)
    };
    limited(connection, LONGEST_COLUMN, search)
}
