//! Putting records back into a table as rows.

use backup_core::record::{PartOrder, Record, RecordBatch, check_length};
use backup_core::{Error, Result};
use rusqlite::blob::{Blob, ZeroBlob};
use rusqlite::{CachedStatement, Connection, MAIN_DB};

use super::blueprint::Bare;
use super::key;
use super::nulls;
use super::table::{Finder, Key, Table, value_column};
use super::value::{Cell, Cells, LastBlob};
use crate::ENGINE;

/// The longest row that SQLite takes, in bytes.
const MAX_ROW_BYTES: u64 = 1_000_000_000;

/// The largest whole number, without its sign, that SQLite keeps as an integer in a column of floating-point
/// numbers.
const MAX_SHORT_REAL: f64 = 140_737_488_355_327.0;

/// A table being filled, in its bare form.
pub(super) struct Loader<'c> {
    connection: &'c Connection,
    table: Table,
    /// What the bare table is called.
    into: String,
    /// What SQL calls its rowid, where it has one.
    rowid: Option<&'static str>,
    order: PartOrder,
    /// The row that is not whole yet.
    long: Option<LongRow<'c>>,
    last: Option<Vec<u8>>,
    /// Where the key of a row is made again.
    key: Vec<u8>,
}

/// What came of a row that is not whole yet.
enum LongRow<'c> {
    /// The beginning of its value.
    Collected(Vec<u8>),
    /// All but the blob that it ends with, which is being written. The offset is where it goes on.
    Inserted(Blob<'c>, usize),
}

/// A column of a row that becomes zeros of this length first.
#[derive(Clone, Copy)]
struct Zeros {
    column: usize,
    length: i32,
}

impl<'c> Loader<'c> {
    /// A loader of the bare table that is called `into`.
    pub(super) fn new(connection: &'c Connection, bare: Bare, into: String) -> Self {
        let Bare { table, rowid, .. } = bare;
        let (order, last, key) = (PartOrder::default(), None, Vec::new());
        Self { connection, table, into, rowid, order, long: None, last, key }
    }

    /// Adds the next rows.
    ///
    /// # Errors
    /// [`Error::Invalid`] for records that are not in order, [`Error::Damaged`] for what is no row of the table.
    pub(super) fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut insert = self.insert(&[])?;
        for record in batch.iter() {
            check_length(&record, MAX_ROW_BYTES)?;
            self.order.check(&record)?;
            if record.starts_value() {
                let name = &self.table.name;
                in_order(name, &mut self.last, record.root_key, record.key)?;
            }
            if record.is_whole() {
                self.row(&mut insert, record.key, record.value)?;
            } else {
                self.part(&mut insert, &record)?;
            }
        }
        Ok(())
    }

    /// Whether the last row is whole. While it is not, its transaction cannot end.
    pub(super) fn is_between_rows(&self) -> bool {
        self.long.is_none()
    }

    /// Checks that the last row came whole.
    pub(super) fn finish(&self) -> Result<()> {
        self.order.finish()
    }

    fn row(&mut self, insert: &mut CachedStatement<'_>, key: &[u8], value: &[u8]) -> Result<()> {
        let columns = self.table.value_columns();
        let cells = Cells::read(value, columns).map_err(|detail| self.damaged(detail))?;
        let cells = cells.collect::<Result<Vec<_>, _>>().map_err(|detail| self.damaged(detail))?;
        self.insert_row(insert, key, &cells, None).map(drop)
    }

    /// Takes a part of a long row. The blob that it ends with, if any, is written as it comes; all else
    /// SQLite takes only whole.
    fn part(&mut self, insert: &mut CachedStatement<'_>, record: &Record<'_>) -> Result<()> {
        match self.long.take() {
            Some(LongRow::Inserted(mut blob, at)) => {
                self.write(&mut blob, record.value, at)?;
                if !record.ends_value() {
                    self.long = Some(LongRow::Inserted(blob, at + record.value.len()));
                }
            }
            Some(LongRow::Collected(mut value)) => {
                value.extend_from_slice(record.value);
                if record.ends_value() {
                    return self.row(insert, record.key, &value);
                }
                self.long = Some(self.begun(insert, record, value)?);
            }
            None => self.long = Some(self.begun(insert, record, record.value.to_vec())?),
        }
        Ok(())
    }

    /// Inserts the row with zeros for the blob it ends with once all else of it is here.
    fn begun(
        &mut self,
        insert: &mut CachedStatement<'_>,
        record: &Record<'_>,
        value: Vec<u8>,
    ) -> Result<LongRow<'c>> {
        let found = LastBlob::find(&value).and_then(|last| {
            // SQLite opens a blob by its rowid.
            self.rowid?;
            let start = usize::try_from(last.start).ok()?;
            let (before, blob) = value.split_at_checked(start)?;
            self.table.columns.get(last.column)?;
            Some((last, before, blob))
        });
        let Some((last, before, blob)) = found else {
            return Ok(LongRow::Collected(value));
        };
        let (length, total) = (last.start + u64::from(last.length), record.total);
        if length != total {
            let detail = format!("its columns make {length} bytes, and there are {total}");
            return Err(self.damaged(detail));
        }
        let cells = Cells::before(before, self.table.value_columns(), last)
            .map_err(|detail| self.damaged(detail))?;
        // A row that is longer was refused.
        let length = i32::try_from(last.length).unwrap_or(i32::MAX);
        let (column, name) = (last.column, value_column(last.column));
        let zeros = Zeros { column, length };
        let rowid = self.insert_row(insert, record.key, &cells, Some(zeros))?;
        let table = self.into.as_str();
        let opened = self.connection.blob_open(MAIN_DB, table, name.as_str(), rowid, false);
        let mut opened = opened.map_err(|error| self.failed(error))?;
        self.write(&mut opened, blob, 0)?;
        Ok(LongRow::Inserted(opened, blob.len()))
    }

    fn write(&self, blob: &mut Blob<'_>, bytes: &[u8], at: usize) -> Result<()> {
        blob.write_at(bytes, at).map_err(|error| self.failed(error))
    }

    /// Gives the rowid, or 0 in a table without.
    fn insert_row(
        &mut self,
        insert: &mut CachedStatement<'_>,
        key: &[u8],
        cells: &[Cell<'_>],
        zeros: Option<Zeros>,
    ) -> Result<i64> {
        let rowid = self.rowid(key)?;
        self.check(key, cells)?;
        let raw: Vec<_> = (0..cells.len())
            .filter(|at| matches!(cells.get(*at), Some(Cell::RawText(_))))
            .collect();
        if let Key::Primary { parts, .. } = &self.table.key
            && nulls::are_in(parts, cells)
        {
            let make = nulls::make_aside(&self.into, self.table.columns.len());
            self.connection.execute_batch(&make).map_err(|error| self.failed(error))?;
            let mut insert = self.insert_into(&nulls::aside(&self.into), &raw)?;
            self.execute(&mut insert, rowid, cells, zeros)?;
        } else if raw.is_empty() {
            self.execute(insert, rowid, cells, zeros)?;
        } else {
            let mut insert = self.insert(&raw)?;
            self.execute(&mut insert, rowid, cells, zeros)?;
        }
        Ok(rowid)
    }

    /// The rowid, which is the key, or 0 in a table without.
    fn rowid(&self, key: &[u8]) -> Result<i64> {
        match &self.table.key {
            Key::Rowid => key::rowid(key).ok_or_else(|| self.damaged("its key is no rowid".into())),
            Key::Primary { .. } | Key::Copied => Ok(0),
        }
    }

    /// Checks that SQLite will keep each column as it is, and that the key is this row's.
    fn check(&mut self, key: &[u8], cells: &[Cell<'_>]) -> Result<()> {
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
        table.push_key(made, &Finder::Columns, cell)?;
        if made == key { Ok(()) } else { Err(self.damaged("its key is another row's".into())) }
    }

    fn execute(
        &self,
        insert: &mut CachedStatement<'_>,
        rowid: i64,
        cells: &[Cell<'_>],
        zeros: Option<Zeros>,
    ) -> Result<()> {
        let mut number = 0;
        if self.rowid.is_some() {
            number += 1;
            insert.raw_bind_parameter(number, rowid).map_err(|error| self.failed(error))?;
        }
        for (column, cell) in cells.iter().enumerate() {
            number += 1;
            let bound = match zeros {
                Some(zeros) if zeros.column == column => {
                    insert.raw_bind_parameter(number, ZeroBlob(zeros.length))
                }
                _ => match self.short(column, cell) {
                    Some(whole) => insert.raw_bind_parameter(number, whole),
                    None => insert.raw_bind_parameter(number, cell),
                },
            };
            bound.map_err(|error| self.failed(error))?;
        }
        insert.raw_execute().map(drop).map_err(|error| self.failed(error))
    }

    /// The integer as which SQLite keeps a whole number in a column of floating-point numbers. It is read as
    /// the number that it was.
    #[expect(
        clippy::cast_possible_truncation,
        reason = "a whole number of this size is an integer"
    )]
    fn short(&self, column: usize, cell: &Cell<'_>) -> Option<i64> {
        let Cell::Real(number) = cell else { return None };
        let is_short = number.fract() == 0.0
            && number.abs() <= MAX_SHORT_REAL
            // There is no integer -0.
            && (*number != 0.0 || number.is_sign_positive());
        let is_real = self.table.columns.get(column).is_some_and(|column| column.is_real);
        (is_real && is_short).then_some(*number as i64)
    }

    /// The statement that inserts a row, in which the columns `raw` are text given as bytes.
    fn insert(&self, raw: &[usize]) -> Result<CachedStatement<'c>> {
        self.insert_into(&format!("main.{}", self.into), raw)
    }

    fn insert_into(&self, into: &str, raw: &[usize]) -> Result<CachedStatement<'c>> {
        let columns = 0..self.table.columns.len();
        let names = self.rowid.map(str::to_owned).into_iter();
        let names: Vec<_> = names.chain(columns.map(value_column)).collect();
        let first = usize::from(self.rowid.is_some());
        let value = |at: usize| match at.checked_sub(first) {
            Some(column) if raw.contains(&column) => "CAST(? AS TEXT)",
            _ => "?",
        };
        let values: Vec<_> = (0..names.len()).map(value).collect();
        let (names, values) = (names.join(", "), values.join(", "));
        self.connection
            .prepare_cached(&format!("INSERT INTO {into}({names}) VALUES({values})"))
            .map_err(Error::engine(ENGINE, format!("insert into table {:?}", self.table.name)))
    }

    fn damaged(&self, detail: String) -> Error {
        Error::damaged(format!("a row of table {:?}", self.table.name), detail)
    }

    fn failed(&self, error: rusqlite::Error) -> Error {
        let action = format!("insert a row into table {:?}", self.table.name);
        Error::engine(ENGINE, action)(error)
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
