//! Sorted records on their way into the tables of one database.

use backup_core::record::{Record, RecordKey};
use backup_core::source::Layout;
use backup_core::{Error, Result};
use rusqlite::Connection;

use super::limits::MAX_VALUE_BYTES;
use super::table::Table;
use super::value::{INLINE_BYTES, PIECE_BYTES, Pieces};

/// One database being written.
pub(super) struct Build<'a> {
    connection: &'a Connection,
    layout: Layout,
    last: Option<RecordKey>,
    /// A value that is not complete yet; its record is `last`.
    open: Option<Open>,
}

/// A value whose parts come.
struct Open {
    total: u64,
    /// How much of it has come.
    come: u64,
    /// The number of its first piece, once that is written.
    first: Option<i64>,
    /// What is not written yet: less than a piece.
    held: Vec<u8>,
}

impl<'a> Build<'a> {
    pub(super) fn new(connection: &'a Connection, layout: Layout) -> Self {
        Self { connection, layout, last: None, open: None }
    }

    /// Adds the next record, or a part of one.
    pub(super) fn add(&mut self, table: &Table, record: &Record<'_>) -> Result<()> {
        if record.starts_value() {
            self.check_start(table, record)?;
            if record.is_whole() && record.value.len() <= INLINE_BYTES {
                let Record { root_key, key, value, .. } = *record;
                return table.put_inline(self.connection, root_key, key, value);
            }
            self.open = Some(Open { total: record.total, come: 0, first: None, held: Vec::new() });
        }
        let Some(open) = &mut self.open else {
            return Err(out_of_order("a part without its beginning"));
        };
        let at = self.last.get_or_insert_default();
        let continues = open.come == record.offset
            && open.total == record.total
            && record.value.len() as u64 <= open.total - open.come
            && at.compare(record.root_key, record.key).is_eq();
        if !continues {
            return Err(out_of_order("a part of another value"));
        }
        open.take(self.connection, table, record.value)?;
        if open.come == open.total {
            open.end(self.connection, table, at)?;
            self.open = None;
        }
        Ok(())
    }

    /// Checks a record's place and sizes when its first part comes.
    fn check_start(&mut self, table: &Table, record: &Record<'_>) -> Result<()> {
        let Record { root_key, key, total, .. } = *record;
        if self.open.is_some() {
            return Err(out_of_order("a value ended early"));
        }
        if total > MAX_VALUE_BYTES {
            let (what, limit) = ("a value".into(), MAX_VALUE_BYTES);
            return Err(Error::Limit { what, found: total, limit });
        }
        if self.layout == Layout::Plain && !root_key.is_empty() {
            return Err(Error::unsupported(
                format!("a root key in {} with the plain layout", table.what()),
                "restore it with the partitioned layout",
            ));
        }
        if self.last.as_ref().is_some_and(|last| last.compare(root_key, key).is_ge()) {
            let detail = "are not sorted by root key and key, or one comes twice";
            return Err(Error::invalid(format!("the records of {}", table.what()), detail));
        }
        let last = self.last.get_or_insert_default();
        last.root_key.clear();
        last.root_key.extend_from_slice(root_key);
        last.key.clear();
        last.key.extend_from_slice(key);
        Ok(())
    }

    /// Checks that no value is left half written.
    pub(super) fn finish(&self) -> Result<()> {
        match &self.open {
            None => Ok(()),
            Some(_) => Err(out_of_order("the last value ended early")),
        }
    }
}

impl Open {
    /// Writes the pieces that are complete with these bytes.
    fn take(&mut self, connection: &Connection, table: &Table, bytes: &[u8]) -> Result<()> {
        self.come += bytes.len() as u64;
        let mut rest = bytes;
        if !self.held.is_empty() {
            let (missing, after) = rest.split_at(rest.len().min(PIECE_BYTES - self.held.len()));
            self.held.extend_from_slice(missing);
            rest = after;
            if self.held.len() == PIECE_BYTES {
                let piece = std::mem::take(&mut self.held);
                self.write(connection, table, &piece)?;
            }
        }
        let ended = self.come == self.total;
        for piece in rest.chunks(PIECE_BYTES) {
            if piece.len() == PIECE_BYTES || ended {
                self.write(connection, table, piece)?;
            } else {
                self.held.extend_from_slice(piece);
            }
        }
        Ok(())
    }

    /// Writes what is left, and the record.
    fn end(&mut self, connection: &Connection, table: &Table, at: &RecordKey) -> Result<()> {
        if !self.held.is_empty() {
            let piece = std::mem::take(&mut self.held);
            self.write(connection, table, &piece)?;
        }
        let pieces = Pieces { first: self.first.unwrap_or_default(), length: self.total };
        table.put_pieces(connection, &at.root_key, &at.key, pieces)
    }

    fn write(&mut self, connection: &Connection, table: &Table, piece: &[u8]) -> Result<()> {
        let number = table.put_piece(connection, piece)?;
        self.first.get_or_insert(number);
        Ok(())
    }
}

fn out_of_order(detail: &str) -> Error {
    Error::invalid("the parts of a long value are out of order", detail)
}
