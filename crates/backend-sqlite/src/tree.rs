//! How many rows a table has, told from a few pages of its b-tree.

use rusqlite::Connection;

/// How many pages are looked at on the way down; a b-tree is never so deep.
const PAGES: u32 = 64;

/// Which cells of a b-tree are rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Rows {
    /// All, also those of a page with children: WITHOUT ROWID.
    Everywhere,
    /// Those of the last pages: a table with rowids.
    AtLeaves,
}

/// About how many rows there are: as if each page held as much as the first one of its level. A count would
/// read every page.
///
/// A page has one child more than cells.
pub(crate) fn records(
    connection: &Connection,
    table: &str,
    rows_are: Rows,
) -> rusqlite::Result<u64> {
    // Pages come from the root down to the first leaf, and are not read before they are asked for.
    let way = "SELECT pagetype, ncell FROM dbstat WHERE name = ?1 LIMIT ?2";
    let mut statement = connection.prepare_cached(way)?;
    let mut rows = statement.query((table, PAGES))?;
    let (mut records, mut pages) = (0_u64, 1_u64);
    while let Some(row) = rows.next()? {
        let (kind, cells): (String, i64) = (row.get(0)?, row.get(1)?);
        let cells = cells.unsigned_abs();
        match kind.as_str() {
            "internal" => {
                if rows_are == Rows::Everywhere {
                    records = records.saturating_add(pages.saturating_mul(cells));
                }
                pages = pages.saturating_mul(cells + 1);
            }
            "leaf" => return Ok(records.saturating_add(pages.saturating_mul(cells))),
            // What a long key did not fit.
            _ => {}
        }
    }
    Ok(records)
}
