//! Rows with long columns: read column by column and piece by piece, so that a table of large objects is
//! read in little memory.

use std::collections::VecDeque;

use backup_core::record::{MAX_WHOLE_VALUE, PART_BYTES, Record};
use backup_core::{Error, Result};
use rusqlite::blob::Blob;
use rusqlite::{Connection, OptionalExtension, Row, params_from_iter};

use super::cell;
use super::read::{Batches, reading};
use super::seek::{self, Place};
use super::table::{Finder, Table, quoted};
use super::value::{self, Cell, Entry};

/// The longest column that is read at once when a long row begins, in bytes.
const SHORT_COLUMN: u64 = 64 << 10;

/// A row of which a part was given.
pub(super) struct LongRow {
    key: Vec<u8>,
    finder: Finder,
    /// Where the next part begins, and the length of the value.
    offset: u64,
    total: u64,
    /// What is still to be given of the value.
    segments: VecDeque<Segment>,
}

/// Bytes of a value that follow each other.
enum Segment {
    /// Here already, from an offset on.
    Here(Vec<u8>, usize),
    /// A column, from an offset on.
    Column { column: usize, length: u64, offset: u64 },
}

/// The column that is open for reading in pieces.
type OpenColumn<'c> = Option<(usize, Blob<'c>)>;

impl LongRow {
    /// The first row from a place on. None where SQLite does not find it by its key.
    pub(super) fn find(
        connection: &Connection,
        table: &Table,
        place: &Place,
    ) -> Result<Option<Self>> {
        let select = overview(table);
        for range in seek::ranges(table, place) {
            let sql = format!("{select}{} LIMIT 1", range.sql);
            let mut statement = connection.prepare_cached(&sql).map_err(reading(table))?;
            let mut rows =
                statement.query(params_from_iter(range.parameters)).map_err(reading(table))?;
            if let Some(row) = rows.next().map_err(reading(table))? {
                return Self::begin(connection, table, row);
            }
        }
        let what = format!("table {:?}", table.name);
        Err(Error::damaged(
            what,
            "a scan finds a row with a long column, and a search for its key does not",
        ))
    }

    fn begin(connection: &Connection, table: &Table, row: &Row<'_>) -> Result<Option<Self>> {
        let first = usize::from(table.finder().is_some());
        let finder = table.found_by(row).map_err(reading(table))?;
        let keys = table.key_columns();
        let mut key = Vec::new();
        let is_found = table.push_key(&mut key, &finder, |column| {
            let at = keys.iter().position(|found| *found == column).unwrap_or_default();
            cell::read(row, first, at, table.encoding).map_err(reading(table))
        })?;
        if !is_found {
            return Ok(None);
        }
        let kinds = first + keys.len() * if table.encoding.is_wide() { 2 } else { 1 };
        let mut this = Self { key, finder, offset: 0, total: 0, segments: VecDeque::new() };
        this.plan(connection, table, |column| {
            let kind: String = row.get(kinds + 2 * column)?;
            Ok((kind, row.get(kinds + 2 * column + 1)?))
        })?;
        Ok(Some(this))
    }

    /// Makes the head of the value, and the plan of what comes behind it.
    #[expect(
        clippy::redundant_closure_for_method_calls,
        reason = "a method is of one lifetime, and any is asked for"
    )]
    fn plan(
        &mut self,
        connection: &Connection,
        table: &Table,
        kind: impl Fn(usize) -> rusqlite::Result<(String, Option<u32>)>,
    ) -> Result<()> {
        let mut head = Vec::new();
        value::begin(&mut head, table.value_columns());
        let mut segments = VecDeque::new();
        let mut here = Vec::new();
        for column in 0..table.columns.len() {
            let (kind, length) = kind(column).map_err(reading(table))?;
            let length = length.unwrap_or_default();
            let entry = match kind.as_str() {
                "text" if !table.encoding.is_wide() => Entry::Text(length),
                "blob" => Entry::Blob(length),
                // A number is short, and how long text of UTF-16 is in UTF-8 is known when it is there.
                _ => self.with_column(connection, table, column, |cell| cell.entry())?,
            };
            entry.push(&mut head);
            if entry.length() <= SHORT_COLUMN {
                self.with_column(connection, table, column, |cell| cell.push_body(&mut here))?;
            } else {
                segments.push_back(Segment::Here(std::mem::take(&mut here), 0));
                segments.push_back(Segment::Column { column, length: entry.length(), offset: 0 });
            }
            self.total += entry.length();
        }
        segments.push_back(Segment::Here(here, 0));
        self.total += head.len() as u64;
        segments.push_front(Segment::Here(head, 0));
        self.segments = segments;
        Ok(())
    }

    /// The row's key.
    pub(super) fn key(&self) -> &[u8] {
        &self.key
    }

    /// Gives the next parts; whether they were the last.
    pub(super) fn read(
        &mut self,
        connection: &Connection,
        table: &Table,
        batches: &mut Batches,
    ) -> Result<bool> {
        let is_whole = self.total <= MAX_WHOLE_VALUE as u64;
        let step = if is_whole { self.total } else { PART_BYTES as u64 };
        let mut open = None;
        while self.offset < self.total && !batches.are_enough() {
            let length = step.min(self.total - self.offset);
            let mut part = Vec::with_capacity(usize::try_from(length).unwrap_or(MAX_WHOLE_VALUE));
            while (part.len() as u64) < length {
                let wanted = length - part.len() as u64;
                self.take(connection, table, wanted, &mut open, &mut part)?;
            }
            let Self { key, offset, total, .. } = &*self;
            let (offset, total) = (*offset, *total);
            batches.push(Record { root_key: &[], key, value: &part, offset, total })?;
            self.offset += length;
        }
        Ok(self.offset == self.total)
    }

    /// Adds at most `wanted` bytes of the first segment that has any.
    fn take<'c>(
        &mut self,
        connection: &'c Connection,
        table: &Table,
        wanted: u64,
        open: &mut OpenColumn<'c>,
        part: &mut Vec<u8>,
    ) -> Result<()> {
        let wanted = usize::try_from(wanted).unwrap_or(PART_BYTES);
        match self.segments.front_mut() {
            Some(Segment::Here(bytes, from)) => {
                let rest = bytes.get(*from..).unwrap_or_default();
                let taken = rest.get(..wanted).unwrap_or(rest);
                part.extend_from_slice(taken);
                *from += taken.len();
                if *from == bytes.len() {
                    self.segments.pop_front();
                }
            }
            Some(Segment::Column { column, length, offset })
                if let Some(rowid) = in_pieces(table, &self.finder) =>
            {
                let left = usize::try_from(*length - *offset).unwrap_or(wanted);
                let (start, taken) = (part.len(), left.min(wanted));
                part.resize(start + taken, 0);
                let blob = opened(connection, table, *column, rowid, open)?;
                let at = usize::try_from(*offset).unwrap_or(usize::MAX);
                let into = part.get_mut(start..).unwrap_or_default();
                blob.read_at_exact(into, at).map_err(reading(table))?;
                *offset += taken as u64;
                if *offset == *length {
                    self.segments.pop_front();
                }
            }
            Some(Segment::Column { column, .. }) => {
                let column = *column;
                let mut body = Vec::new();
                self.with_column(connection, table, column, |cell| cell.push_body(&mut body))?;
                self.segments.pop_front();
                self.segments.push_front(Segment::Here(body, 0));
            }
            None => {
                let what = format!("a row of table {:?}", table.name);
                return Err(Error::damaged(what, "it is shorter than the lengths of its columns"));
            }
        }
        Ok(())
    }

    /// Reads a column whole.
    fn with_column<T>(
        &self,
        connection: &Connection,
        table: &Table,
        column: usize,
        found: impl FnOnce(&Cell<'_>) -> T,
    ) -> Result<T> {
        let name = table.columns.get(column).map(|column| quoted(&column.name)).unwrap_or_default();
        let select = format!("SELECT {}", cell::selected(&name, table.encoding));
        let read = |row: &Row<'_>| cell::read(row, 0, 0, table.encoding).map(|cell| found(&cell));
        let answer = if let Some(finder) = table.finder() {
            let sql = format!("{select}{} WHERE {finder} = ?", seek::everything(table));
            let statement = connection.prepare_cached(&sql);
            statement.and_then(|mut statement| match &self.finder {
                Finder::Rowid(rowid) => statement.query_row([rowid], read).optional(),
                Finder::Key(key) => statement.query_row([key], read).optional(),
                Finder::Columns => Ok(None),
            })
        } else {
            let place = Place::of(table, &self.key);
            let range = seek::exactly(table, &place);
            let statement = connection.prepare_cached(&format!("{select}{}", range.sql));
            statement.and_then(|mut statement| {
                statement.query_row(params_from_iter(range.parameters), read).optional()
            })
        };
        answer.map_err(reading(table))?.ok_or_else(|| {
            let what = format!("table {:?}", table.name);
            Error::damaged(what, "a row that was there is not found again")
        })
    }
}

/// The rowid by which SQLite gives the columns of a row in pieces, where it does.
fn in_pieces(table: &Table, finder: &Finder) -> Option<i64> {
    match finder {
        Finder::Rowid(rowid) if !table.is_generated && !table.encoding.is_wide() => Some(*rowid),
        _ => None,
    }
}

fn opened<'a, 'c>(
    connection: &'c Connection,
    table: &Table,
    column: usize,
    rowid: i64,
    open: &'a mut OpenColumn<'c>,
) -> Result<&'a Blob<'c>> {
    if open.as_ref().is_none_or(|(other, _)| *other != column) {
        let name = table.columns.get(column).map(|column| column.name.as_str()).unwrap_or_default();
        let (schema, stored) = &table.read_from;
        let blob = connection
            .blob_open(*schema, stored.as_str(), name, rowid, true)
            .map_err(reading(table))?;
        *open = Some((column, blob));
    }
    match open {
        Some((_, blob)) => Ok(blob),
        None => Err(Error::damaged(format!("table {:?}", table.name), "a column does not open")),
    }
}

/// The SELECT of a row's key, and of the kinds and lengths of all its columns: none of them is read.
fn overview(table: &Table) -> String {
    let name = |column: &usize| Some(quoted(&table.columns.get(*column)?.name));
    let keys: Vec<_> = table.key_columns().iter().filter_map(name).collect();
    let keys = keys.iter().map(|name| cell::selected(name, table.encoding));
    let kinds = table.columns.iter().map(|column| {
        let name = quoted(&column.name);
        format!("typeof({name}), octet_length({name})")
    });
    let finder = table.finder().map(str::to_owned);
    let all: Vec<_> = finder.into_iter().chain(keys).chain(kinds).collect();
    format!("SELECT {}", all.join(", "))
}
