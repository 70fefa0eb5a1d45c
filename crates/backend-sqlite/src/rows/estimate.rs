//! About how large a table is, and where to cut it: by looking at a few of its rows.
//!
//! SQLite keeps no count of rows. Those of tables WITHOUT ROWID are told from their keys. For others, how densely rowids lie is seen from how far a few rows reach, at places
//! that are chosen more closely where there are more rows.

use backup_core::Result;
use backup_core::record::RecordKey;
use rusqlite::{Connection, OptionalExtension, Row};

use super::estimate_keys;
use super::key;
use super::read::reading;
use super::table::{Table, quoted};

/// How many rows are stepped over to see how densely they lie.
const REACH: i64 = 64;

/// How many times the places that are looked at are chosen more closely.
const ROUNDS: usize = 24;

/// Into how many stretches a table is cut to estimate it.
const COARSE: usize = 4;

/// Rowids that follow each other.
#[derive(Debug, Clone, Copy)]
struct Stretch {
    first: i64,
    last: i64,
    /// About how many rows have them.
    rows: u64,
}

impl Stretch {
    fn length(&self) -> u128 {
        u128::try_from(i128::from(self.last) - i128::from(self.first) + 1).unwrap_or(1)
    }

    /// The rowid that has this share of the stretch before it.
    fn at(&self, part: u128, of: u128) -> i64 {
        let offset = i128::try_from(self.length() * part / of.max(1)).unwrap_or_default();
        i64::try_from(i128::from(self.first) + offset).unwrap_or(self.last)
    }
}

/// About how many records and bytes a table has.
pub(super) fn size(connection: &Connection, table: &Table) -> Result<(u64, u64)> {
    if table.is_apart() {
        return estimate_keys::size_apart(connection, table);
    }
    if table.rowid.is_none() {
        return estimate_keys::size(connection, table);
    }
    let stretches = stretches(connection, table, COARSE)?;
    let records: u64 = stretches.iter().map(|stretch| stretch.rows).sum();
    let (mut bytes, mut rows) = (0, 0);
    for stretch in stretches.iter().filter(|stretch| stretch.rows > 0).take(2 * COARSE) {
        let sample = row_bytes(connection, table, stretch.first)?;
        bytes += sample.iter().sum::<u64>();
        rows += sample.len() as u64;
    }
    Ok((records, records.saturating_mul(bytes / rows.max(1))))
}

/// Keys that cut a table into at most so many ranges of similar size.
pub(super) fn splits(
    connection: &Connection,
    table: &Table,
    parts: usize,
) -> Result<Vec<RecordKey>> {
    // A copy of a table comes as one.
    if parts < 2 || table.is_apart() {
        return Ok(Vec::new());
    }
    if table.rowid.is_none() {
        return estimate_keys::splits(connection, table, parts);
    }
    let stretches = stretches(connection, table, parts)?;
    let key = |rowid| {
        let mut key = Vec::new();
        key::push_rowid(&mut key, rowid);
        RecordKey { root_key: Vec::new(), key }
    };
    let mut keys: Vec<_> = quantiles(&stretches, parts).into_iter().map(key).collect();
    keys.sort();
    keys.dedup();
    Ok(keys)
}

/// The rowids before which each of `parts` ranges but the first begins.
fn quantiles(stretches: &[Stretch], parts: usize) -> Vec<i64> {
    let total: u128 = stretches.iter().map(|stretch| u128::from(stretch.rows)).sum();
    let parts = parts as u128;
    let mut before = 0;
    let mut next = 1;
    let mut found = Vec::new();
    for stretch in stretches {
        let rows = u128::from(stretch.rows);
        while next < parts && total * next < (before + rows) * parts {
            let within = (total * next).saturating_sub(before * parts);
            found.push(stretch.at(within, rows * parts));
            next += 1;
        }
        before += rows;
    }
    found
}

/// All rowids of a table, in stretches none of which has many more rows than one in `parts`.
fn stretches(connection: &Connection, table: &Table, parts: usize) -> Result<Vec<Stretch>> {
    let Some((first, last)) = bounds(connection, table)? else { return Ok(Vec::new()) };
    let rows = rows_between(connection, table, first, last)?;
    let mut stretches = vec![Stretch { first, last, rows }];
    for _ in 0..ROUNDS {
        let total: u64 = stretches.iter().map(|stretch| stretch.rows).sum();
        let share = total / (2 * parts.max(1) as u64);
        let is_heavy = |stretch: &Stretch| stretch.rows > share.max(REACH.unsigned_abs());
        if !stretches.iter().any(is_heavy) {
            break;
        }
        let mut closer = Vec::with_capacity(2 * stretches.len());
        for stretch in stretches {
            if !is_heavy(&stretch) {
                closer.push(stretch);
                continue;
            }
            let middle = stretch.at(1, 2);
            for (first, last) in [(stretch.first, middle - 1), (middle, stretch.last)] {
                let rows = rows_between(connection, table, first, last)?;
                closer.push(Stretch { first, last, rows });
            }
        }
        stretches = closer;
    }
    Ok(stretches)
}

fn bounds(connection: &Connection, table: &Table) -> Result<Option<(i64, i64)>> {
    let (rowid, from) = named(table);
    // Together in one SELECT they would be searched for in all rows.
    let sql =
        format!("SELECT (SELECT min({rowid}) FROM {from}), (SELECT max({rowid}) FROM {from})");
    let both = |row: &Row<'_>| Ok((row.get::<_, Option<i64>>(0)?, row.get::<_, Option<i64>>(1)?));
    let found = connection.query_row(&sql, [], both).map_err(reading(table))?;
    Ok(found.0.zip(found.1))
}

/// About how many rows have rowids from one to another.
fn rows_between(connection: &Connection, table: &Table, first: i64, last: i64) -> Result<u64> {
    let (rowid, from) = named(table);
    let sql = format!(
        "SELECT {rowid} FROM {from} WHERE {rowid} BETWEEN ?1 AND ?2 ORDER BY {rowid} LIMIT 1 OFFSET ?3"
    );
    let mut statement = connection.prepare_cached(&sql).map_err(reading(table))?;
    let mut at = |offset: i64| {
        let found = statement.query_row([first, last, offset], |row| row.get::<_, i64>(0));
        found.optional().map_err(reading(table))
    };
    let Some(begin) = at(0)? else { return Ok(0) };
    if let Some(end) = at(REACH)? {
        let length = |from: i64, to: i64| (i128::from(to) - i128::from(from)).unsigned_abs();
        let rows =
            u128::from(REACH.unsigned_abs()) * (length(begin, last) + 1) / length(begin, end);
        return Ok(u64::try_from(rows).unwrap_or(u64::MAX));
    }
    let sql = format!("SELECT count(*) FROM {from} WHERE {rowid} BETWEEN ?1 AND ?2");
    let mut statement = connection.prepare_cached(&sql).map_err(reading(table))?;
    let count: i64 =
        statement.query_row([first, last], |row| row.get(0)).map_err(reading(table))?;
    Ok(count.unsigned_abs())
}

/// About how many bytes each of a few rows has.
fn row_bytes(connection: &Connection, table: &Table, first: i64) -> Result<Vec<u64>> {
    let (rowid, from) = named(table);
    let lengths = table.columns.iter().map(|column| {
        // Lengths are read without what they are of.
        format!("octet_length({})", quoted(&column.name))
    });
    let lengths: Vec<_> = std::iter::once(rowid.to_owned()).chain(lengths).collect();
    let sql = format!(
        "SELECT {} FROM {from} WHERE {rowid} >= ?1 ORDER BY {rowid} LIMIT 8",
        lengths.join(", ")
    );
    let mut statement = connection.prepare_cached(&sql).map_err(reading(table))?;
    let columns = lengths.len();
    let rows = statement.query_map([first], |row| {
        (1..columns).try_fold(8 + columns as u64, |sum, column| {
            Ok(sum + row.get::<_, Option<u32>>(column)?.map_or(0, u64::from))
        })
    });
    rows.map_err(reading(table))?.collect::<rusqlite::Result<_>>().map_err(reading(table))
}

/// What SQL calls the rowid, and the table.
fn named(table: &Table) -> (&str, String) {
    (table.rowid.as_deref().unwrap_or_default(), format!("{} NOT INDEXED", table.sql_name()))
}
