//! How a value is kept: in its record's row, or in pieces of its own.

use backup_core::record::PART_BYTES;
use backup_core::{Error, Result};
use rusqlite::{Connection, Row};

use super::failure::{failed, impossible};
use super::table::Table;

/// The longest value, in bytes, that lies in its record's own row.
///
/// It is a twentieth of a page, up to which SQLite's own advice is a table WITHOUT ROWID: its rows lie in
/// key order, and a scan, which is what each backup does, reads them one after the other. Beyond, rows
/// leave few keys to a page, and one that does not fit a page is read whole by each search that passes it.
/// Measured against an ordinary table with an index on the keys, random batches of 1000, SQLite 3.40:
/// with 100 B values, scans were 4 times as fast, gets 1.1 times, puts half as fast (as fast where keys come
/// sorted); with 100 KiB values, gets were 8 times slower and puts half as fast. So short values lie in
/// the row, and long ones in a table of their own.
pub(super) const INLINE_BYTES: usize = 200;

/// The length of the pieces of a longer value, in bytes; the last one may be shorter. A part of a value
/// that travels is a piece, found by its number, where a blob's pages would be walked from its beginning.
pub(super) const PIECE_BYTES: usize = PART_BYTES;

/// A value as a record's row has it, in three columns from one on.
pub(super) enum Stored<'a> {
    /// The value itself.
    Inline(&'a [u8]),
    /// Where its pieces are.
    Pieces(Pieces),
}

/// The pieces of a long value: rows with consecutive numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Pieces {
    /// The number of the first.
    pub(super) first: i64,
    /// The length of the whole value in bytes.
    pub(super) length: u64,
}

impl<'a> Stored<'a> {
    /// Reads the columns `value`, `first` and `length`, the first of which has the number `column`.
    pub(super) fn read(row: &'a Row<'_>, column: usize, table: &Table) -> Result<Self> {
        let damaged = || impossible(table.what(), "a record has neither a value nor pieces of one");
        let number = |column| -> Result<Option<i64>> {
            let value = row.get_ref(column).map_err(failed("read from", table.what()))?;
            value.as_i64_or_null().map_err(|_| damaged())
        };
        let value = row.get_ref(column).map_err(failed("read from", table.what()))?;
        if let Some(value) = value.as_blob_or_null().map_err(|_| damaged())? {
            return Ok(Self::Inline(value));
        }
        match (number(column + 1)?, number(column + 2)?) {
            (Some(first), Some(length)) if length > 0 => {
                Ok(Self::Pieces(Pieces { first, length: length.cast_unsigned() }))
            }
            _ => Err(damaged()),
        }
    }

    /// The whole value.
    pub(super) fn whole(self, connection: &Connection, table: &Table) -> Result<Vec<u8>> {
        match self {
            Self::Inline(value) => Ok(value.to_vec()),
            Self::Pieces(pieces) => pieces.whole(connection, table),
        }
    }
}

impl Pieces {
    /// How many there are.
    pub(super) fn count(self) -> u64 {
        self.length.div_ceil(PIECE_BYTES as u64)
    }

    /// Where in the value the piece with this index begins.
    pub(super) fn offset(index: u64) -> u64 {
        index * PIECE_BYTES as u64
    }

    /// Hands over the piece with this index.
    pub(super) fn read<T>(
        self,
        index: u64,
        connection: &Connection,
        table: &Table,
        take: impl FnOnce(&[u8]) -> Result<T>,
    ) -> Result<T> {
        let mut statement = connection
            .prepare_cached(table.piece_sql())
            .map_err(failed("read from", table.what()))?;
        let number = self.first.wrapping_add_unsigned(index);
        let mut rows = statement.query([number]).map_err(failed("read from", table.what()))?;
        let row = rows.next().map_err(failed("read from", table.what()))?;
        let bytes = row.and_then(|row| row.get_ref(0).ok()).and_then(|value| value.as_blob().ok());
        let expected = (self.length - Self::offset(index)).min(PIECE_BYTES as u64);
        match bytes {
            Some(bytes) if bytes.len() as u64 == expected => take(bytes),
            _ => {
                Err(impossible(table.what(), "a piece of a long value is missing, or not as long"))
            }
        }
    }

    /// All of them in one. Memory is taken as they are found, not as the record promises.
    fn whole(self, connection: &Connection, table: &Table) -> Result<Vec<u8>> {
        let mut value = Vec::new();
        for index in 0..self.count() {
            self.read(index, connection, table, |bytes| {
                value.extend_from_slice(bytes);
                Ok::<(), Error>(())
            })?;
        }
        Ok(value)
    }
}
