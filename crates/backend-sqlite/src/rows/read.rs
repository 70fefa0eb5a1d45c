//! Reading a table's rows as records, a batch at a time: each batch is a new search for the key that the
//! last one ended with, so that nothing is held on to between two batches but that key.

use std::sync::Arc;

use backup_core::progress::Context;
use backup_core::record::{MAX_KEY_BYTES, Record, RecordBatch, parts};
use backup_core::{Error, Result};
use rusqlite::limits::Limit;
use rusqlite::{Connection, ErrorCode, Row, params_from_iter};

use super::apart;
use super::cell;
use super::long::LongRow;
use super::seek::{self, Place};
use super::table::{Table, quoted};
use super::value::Maker;
use crate::ENGINE;

/// The longest column that is read with its row, in bytes. One with a longer one is read piece by piece.
pub(super) const LONGEST_COLUMN: i32 = 1 << 20;

/// How many batches of a long row are read at a time: each time, its pages are gone through from the first.
const LONG_BATCHES: usize = 8;

/// How many bytes of a key are told.
const SHOWN: usize = 32;

/// A scan of a table.
pub(super) struct Reader {
    table: Arc<Table>,
    /// The columns, as a SELECT asks for them.
    select: String,
    /// Rows with smaller keys are not wanted.
    from: Option<Vec<u8>>,
    /// The key of the last row that was read.
    last: Option<Vec<u8>>,
    key: Vec<u8>,
    value: Maker,
    /// A long row of which a part was read.
    long: Option<LongRow>,
    batches: Batches,
    is_done: bool,
    context: Context,
}

/// Batches being filled.
#[derive(Default)]
pub(super) struct Batches {
    full: Vec<RecordBatch>,
    open: RecordBatch,
}

impl Batches {
    /// Adds a record or a part of one.
    pub(super) fn push(&mut self, record: Record<'_>) -> Result<()> {
        self.open.push(record)?;
        if self.open.is_full() {
            self.full.push(self.open.take());
        }
        Ok(())
    }

    /// Whether there is enough of a long row.
    pub(super) fn are_enough(&self) -> bool {
        self.full.len() >= LONG_BATCHES
    }
}

/// What ended a search.
enum Ended {
    /// There are no more rows.
    Table,
    /// There is a batch.
    Batch,
    /// The next row has a long column.
    LongRow,
    /// The next row cannot be looked for.
    Apart,
}

impl Reader {
    /// A scan from a key on, of which any bytes may be given.
    pub(super) fn new(table: Arc<Table>, from: Option<Vec<u8>>, context: &Context) -> Self {
        Self {
            select: select(&table),
            table,
            from,
            last: None,
            key: Vec::new(),
            value: Maker::default(),
            long: None,
            batches: Batches { full: Vec::new(), open: RecordBatch::new() },
            is_done: false,
            context: context.clone(),
        }
    }

    /// The next batches; none at the end.
    pub(super) fn next(&mut self, connection: &Connection) -> Result<Vec<RecordBatch>> {
        while !self.is_done && self.batches.full.is_empty() {
            if let Some(long) = &mut self.long {
                if long.read(connection, &self.table, &mut self.batches)? {
                    self.long = None;
                }
                continue;
            }
            match limited(connection, LONGEST_COLUMN, || self.search(connection))? {
                Ended::Batch => {}
                Ended::Table => self.is_done = true,
                Ended::LongRow => self.begin_long(connection)?,
                Ended::Apart => self.read_copy(connection)?,
            }
        }
        let mut batches = std::mem::take(&mut self.batches.full);
        if self.is_done && !self.batches.open.is_empty() {
            batches.push(std::mem::take(&mut self.batches.open));
        }
        Ok(batches)
    }

    fn place(&self) -> Place {
        match (&self.last, &self.from) {
            (Some(last), _) => Place::of(&self.table, last).behind(),
            (None, Some(from)) => Place::of(&self.table, from),
            (None, None) => Place::default(),
        }
    }

    fn search(&mut self, connection: &Connection) -> Result<Ended> {
        let (table, place) = (Arc::clone(&self.table), self.place());
        let failed = |error| reading(&table)(error);
        for range in seek::ranges(&table, &place) {
            let sql = format!("{}{}", self.select, range.sql);
            let mut statement = connection.prepare_cached(&sql).map_err(failed)?;
            let mut rows = statement.query(params_from_iter(range.parameters)).map_err(failed)?;
            loop {
                match rows.next() {
                    Ok(Some(row)) if self.push(row)? => {}
                    Ok(Some(_)) => return Ok(Ended::Apart),
                    Ok(None) => break,
                    Err(error) if error.sqlite_error_code() == Some(ErrorCode::TooBig) => {
                        return Ok(Ended::LongRow);
                    }
                    Err(error) => return Err(failed(error)),
                }
                if !self.batches.full.is_empty() {
                    return Ok(Ended::Batch);
                }
            }
        }
        Ok(Ended::Table)
    }

    /// Takes a row. False for one that cannot be looked for.
    fn push(&mut self, row: &Row<'_>) -> Result<bool> {
        let table = &*self.table;
        let finder = table.found_by(row).map_err(reading(table))?;
        let first = usize::from(table.finder().is_some());
        let cell = |column| cell::read(row, first, column, table.encoding).map_err(reading(table));
        self.key.clear();
        if !table.push_key(&mut self.key, &finder, cell)? {
            return Ok(false);
        }
        advance(table, &mut self.last, &self.key)?;
        if is_below(&self.key, self.from.as_deref()) {
            return Ok(true);
        }
        self.value.begin(table.value_columns());
        for column in 0..table.columns.len() {
            self.value.push(&cell(column)?);
        }
        let value = self.value.finish();
        for part in parts(&[], &self.key, value) {
            self.batches.push(part)?;
        }
        Ok(true)
    }

    /// Goes on in the copy of a table of which no row can be looked for.
    fn read_copy(&mut self, connection: &Connection) -> Result<()> {
        self.table = apart::copied(connection, &self.table, None, &self.context)?;
        self.select = select(&self.table);
        Ok(())
    }

    /// Goes on with the row after the last one, which has a long column.
    fn begin_long(&mut self, connection: &Connection) -> Result<()> {
        let Some(row) = LongRow::find(connection, &self.table, &self.place())? else {
            return self.read_copy(connection);
        };
        advance(&self.table, &mut self.last, row.key())?;
        self.long = (!is_below(row.key(), self.from.as_deref())).then_some(row);
        Ok(())
    }
}

/// What is asked for of each row.
fn select(table: &Table) -> String {
    let names = table.columns.iter().map(|column| quoted(&column.name));
    let columns = names.map(|name| cell::selected(&name, table.encoding));
    let finder = table.finder().map(str::to_owned);
    // A table of nothing but its rowid has that; one WITHOUT ROWID has a column.
    let all: Vec<_> = finder.into_iter().chain(columns).collect();
    format!("SELECT {}", all.join(", "))
}

fn is_below(key: &[u8], from: Option<&[u8]>) -> bool {
    from.is_some_and(|from| key < from)
}

/// Notes the key of a row that was read.
///
/// # Errors
/// [`Error::Unsupported`] for a key that is longer than those of records;
/// [`Error::Damaged`] where it does not come after the one before: a table whose tree is out of order
/// would be read in part, or for ever.
fn advance(table: &Table, last: &mut Option<Vec<u8>>, key: &[u8]) -> Result<()> {
    if key.len() > MAX_KEY_BYTES {
        return Err(too_long(table, key));
    }
    let last = match last {
        None => last.insert(Vec::new()),
        Some(last) if last.as_slice() < key => last,
        Some(_) => {
            return Err(Error::damaged(
                format!("table {:?}", table.name),
                "the tree of its rows is out of order, or its primary key is not unique; see what `PRAGMA integrity_check` says of the database",
            ));
        }
    };
    last.clear();
    last.extend_from_slice(key);
    Ok(())
}

fn too_long(table: &Table, key: &[u8]) -> Error {
    // Behind the class of its first column.
    let begins = key.iter().skip(1).take(SHOWN).copied().collect::<Vec<_>>();
    let (begins, bytes) = (begins.escape_ascii(), key.len());
    let why = format!(
        "the primary key of the row that begins with \"{begins}\" has {bytes} bytes, and a record's key at most \
         {MAX_KEY_BYTES}; back up the files"
    );
    Error::unsupported(format!("reading rows of table {:?}", table.name), why)
}

/// Reads while no column above a length can be.
pub(super) fn limited<T>(
    connection: &Connection,
    bytes: i32,
    read: impl FnOnce() -> Result<T>,
) -> Result<T> {
    let limit = |bytes| {
        let set = connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, bytes);
        set.map_err(|error| Error::engine(ENGINE, "limit the length of columns")(error))
    };
    limit(bytes)?;
    let found = read();
    // As much as SQLite takes, whatever was set before by a reader that did not come to its end.
    limit(i32::MAX)?;
    found
}

/// The error of reading a table; its sentence is made only once there is one.
pub(super) fn reading(table: &Table) -> impl FnOnce(rusqlite::Error) -> Error + use<'_> {
    move |error| Error::engine(ENGINE, format!("read table {:?}", table.name))(error)
}
