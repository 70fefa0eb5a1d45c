//! Putting records back into a table as rows.

use backup_core::record::{Assembler, RecordBatch};
use backup_core::{Error, Result};
use rusqlite::{CachedStatement, Connection};

use super::key;
use super::table::{Key, Table, quoted};
use super::value::{Cell, Cells};
use crate::ENGINE;

/// The longest row that SQLite takes, in bytes.
const MAX_ROW_BYTES: u64 = 1_000_000_000;

/// A table being filled.
pub(super) struct Loader {
    table: Table,
    /// The table as the INSERT names it.
    into: String,
    assembler: Assembler,
    last: Option<Vec<u8>>,
    /// Where the key of a row is made again.
    key: Vec<u8>,
}

impl Loader {
    /// A loader of a table, or of another one with its columns that takes its rows for now.
    pub(super) fn new(table: Table, instead: Option<&str>) -> Self {
        let into = instead.map_or_else(|| table.sql_name(), str::to_owned);
        Self { table, into, assembler: Assembler::new(), last: None, key: Vec::new() }
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// [`Error::Invalid`] for records that are not in order, [`Error::Damaged`] for what is no row of the table.
    pub(super) fn add(&mut self, connection: &Connection, batch: &RecordBatch) -> Result<()> {
        let mut insert = self.insert(connection, &[])?;
        let mut assembler = std::mem::take(&mut self.assembler);
        let added = assembler.feed(batch, MAX_ROW_BYTES, |root_key, key, value| {
            self.in_order(root_key, key)?;
            self.row(connection, &mut insert, key, value)
        });
        self.assembler = assembler;
        added
    }

    /// Checks that the last row came whole.
    pub(super) fn finish(&self) -> Result<()> {
        self.assembler.finish()
    }

    fn in_order(&mut self, root_key: &[u8], key: &[u8]) -> Result<()> {
        let name = &self.table.name;
        in_order(name, &mut self.last, root_key, key)
    }

    fn row(
        &mut self,
        connection: &Connection,
        insert: &mut CachedStatement<'_>,
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let columns = self.table.value_columns();
        let cells = Cells::read(value, columns).map_err(|detail| self.damaged(detail))?;
        let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|detail| self.damaged(detail))?;
        let (rowid, cells) = self.rowid(key, &cells)?;
        self.check(rowid, key, cells)?;
        let raw: Vec<_> = (0..cells.len())
            .filter(|at| matches!(cells.get(*at), Some(Cell::RawText(_))))
            .collect();
        if raw.is_empty() {
            return self.execute(insert, rowid, cells);
        }
        let mut insert = self.insert(connection, &raw)?;
        self.execute(&mut insert, rowid, cells)
    }

    /// The rowid, which is the key or comes first in the value, and the columns.
    fn rowid<'c, 'v>(&self, key: &[u8], cells: &'c [Cell<'v>]) -> Result<(i64, &'c [Cell<'v>])> {
        match (&self.table.key, cells.split_first()) {
            (Key::Rowid, _) => {
                let rowid = key::rowid(key);
                let rowid = rowid.ok_or_else(|| self.damaged("its key is no rowid".into()))?;
                Ok((rowid, cells))
            }
            _ if self.table.rowid.is_none() => Ok((0, cells)),
            (_, Some((Cell::Integer(rowid), cells))) => Ok((*rowid, cells)),
            _ => Err(self.damaged("it does not begin with a rowid".into())),
        }
    }

    /// Checks that SQLite will keep each column as it is, and that the key is this row's.
    fn check(&mut self, rowid: i64, key: &[u8], cells: &[Cell<'_>]) -> Result<()> {
        let encoding = self.table.encoding;
        for cell in cells {
            let fits = match cell {
                Cell::Real(number) => !number.is_nan(),
                Cell::Text(text) if encoding.is_wide() => std::str::from_utf8(text).is_ok(),
                Cell::RawText(bytes) => encoding.is_wide() && bytes.len().is_multiple_of(2),
                _ => true,
            };
            if !fits {
                return Err(self.damaged("a column of it is not what SQLite would keep".into()));
            }
        }
        if matches!(self.table.key, Key::Rowid) {
            return Ok(());
        }
        let Self { table, key: made, .. } = self;
        made.clear();
        // A column that is not there makes a key that is not this one.
        let cell = |column| Ok(cells.get(column).cloned().unwrap_or(Cell::Null));
        table.push_key(made, rowid, cell)?;
        if made == key { Ok(()) } else { Err(self.damaged("its key is another row's".into())) }
    }

    fn execute(
        &self,
        insert: &mut CachedStatement<'_>,
        rowid: i64,
        cells: &[Cell<'_>],
    ) -> Result<()> {
        let failed = |error| {
            let action = format!("insert a row into table {:?}", self.table.name);
            Error::engine(ENGINE, action)(error)
        };
        let mut number = 0;
        if self.table.rowid.is_some() {
            number += 1;
            insert.raw_bind_parameter(number, rowid).map_err(failed)?;
        }
        for cell in cells {
            number += 1;
            insert.raw_bind_parameter(number, cell).map_err(failed)?;
        }
        insert.raw_execute().map(drop).map_err(failed)
    }

    /// The statement that inserts a row, in which the columns `raw` are text given as bytes.
    fn insert<'c>(&self, connection: &'c Connection, raw: &[usize]) -> Result<CachedStatement<'c>> {
        let names = self.table.columns.iter().map(|column| quoted(&column.name));
        let names: Vec<_> = self.table.rowid.iter().cloned().chain(names).collect();
        let first = usize::from(self.table.rowid.is_some());
        let value = |at: usize| match at.checked_sub(first) {
            Some(column) if raw.contains(&column) => "CAST(? AS TEXT)",
            _ => "?",
        };
        let values: Vec<_> = (0..names.len()).map(value).collect();
        let (into, names, values) = (&self.into, names.join(", "), values.join(", "));
        connection
            .prepare_cached(&format!("INSERT INTO {into}({names}) VALUES({values})"))
            .map_err(Error::engine(ENGINE, format!("insert into table {:?}", self.table.name)))
    }

    fn damaged(&self, detail: String) -> Error {
        Error::damaged(format!("a row of table {:?}", self.table.name), detail)
    }
}

/// Checks that a record comes after the one before, and has no root key.
pub(super) fn in_order(
    database: &str,
    last: &mut Option<Vec<u8>>,
    root_key: &[u8],
    key: &[u8],
) -> Result<()> {
    if !root_key.is_empty() {
        return Err(Error::unsupported(
            format!("a root key in table {database:?}"),
            "rows of SQLite have none; restore the snapshot into the engine it came from",
        ));
    }
    let last = match last {
        None => last.insert(Vec::new()),
        Some(last) if last.as_slice() < key => last,
        Some(_) => {
            let detail = "come unsorted, or one comes twice";
            return Err(Error::invalid(format!("the records of table {database:?}"), detail));
        }
    };
    last.clear();
    last.extend_from_slice(key);
    Ok(())
}
