//! Between SQLite's values, a row's columns and a key's.

use rusqlite::Row;
use rusqlite::functions::Context as Call;
use rusqlite::types::{ToSql, ToSqlOutput, ValueRef};

use super::encoding::Encoding;
use super::key::{Collation, Part};
use super::value::Cell;

/// The SQL that gives a column. Text of a database in UTF-16 is asked for as its bytes, with a word beside
/// it that says so: SQLite would bring what is no UTF-16 through UTF-8 changed.
pub(super) fn selected(column: &str, encoding: Encoding) -> String {
    if encoding.is_wide() {
        format!(
            "typeof({column}) = 'text', iif(typeof({column}) = 'text', CAST({column} AS BLOB), {column})"
        )
    } else {
        column.to_owned()
    }
}

/// Reads a column that was asked for by [`selected`]; `first` columns come before all of these.
pub(super) fn read<'row>(
    row: &'row Row<'_>,
    first: usize,
    column: usize,
    encoding: Encoding,
) -> rusqlite::Result<Cell<'row>> {
    let (value, is_wide_text) = if encoding.is_wide() {
        let at = first + 2 * column;
        (row.get_ref(at + 1)?, row.get_ref(at)? == ValueRef::Integer(1))
    } else {
        (row.get_ref(first + column)?, false)
    };
    Ok(of(value, is_wide_text, encoding))
}

/// As [`read`], of the columns that a function is called with.
pub(super) fn argument<'a>(call: &'a Call<'_>, column: usize, encoding: Encoding) -> Cell<'a> {
    if encoding.is_wide() {
        let at = 2 * column;
        of(call.get_raw(at + 1), call.get_raw(at) == ValueRef::Integer(1), encoding)
    } else {
        of(call.get_raw(column), false, encoding)
    }
}

fn of(value: ValueRef<'_>, is_wide_text: bool, encoding: Encoding) -> Cell<'_> {
    match value {
        ValueRef::Null => Cell::Null,
        ValueRef::Integer(number) => Cell::Integer(number),
        ValueRef::Real(number) => Cell::Real(number),
        ValueRef::Text(text) => Cell::Text(text.into()),
        ValueRef::Blob(bytes) if is_wide_text => wide_text(bytes, encoding),
        ValueRef::Blob(bytes) => Cell::Blob(bytes),
    }
}

/// Text of a database in UTF-16, by its bytes.
pub(super) fn wide_text(bytes: &[u8], encoding: Encoding) -> Cell<'_> {
    match encoding.text(bytes) {
        Some(text) => Cell::Text(text.into_bytes().into()),
        None => Cell::RawText(bytes),
    }
}

/// A column as a collation sees it. None for text that is no UTF-16, which NOCASE and RTRIM would see changed.
pub(super) fn compared<'a>(
    cell: &'a Cell<'_>,
    encoding: Encoding,
    collation: Collation,
) -> Option<Part<'a>> {
    Some(match cell {
        Cell::Null => Part::Null,
        Cell::Integer(number) => Part::Integer(*number),
        Cell::Real(number) => Part::Real(*number),
        Cell::Text(text) if collation == Collation::Binary => Part::Text(encoding.bytes(text)),
        Cell::Text(text) => Part::Text(text.as_ref().into()),
        Cell::RawText(bytes) if collation == Collation::Binary => Part::Text((*bytes).into()),
        Cell::RawText(_) => return None,
        Cell::Blob(bytes) => Part::Blob((*bytes).into()),
    })
}

/// The SQL of a parameter that is compared with a column of a key. No affinity comes from it, so that the
/// column's own alone decides.
pub(super) fn parameter(part: &Part<'_>, encoding: Encoding, collation: Collation) -> &'static str {
    let is_raw = encoding.is_wide() && collation == Collation::Binary;
    if is_raw && matches!(part, Part::Text(_)) { "+CAST(? AS TEXT)" } else { "?" }
}

/// A part of a key as a parameter, beside what [`parameter`] says of it.
pub(super) struct Parameter<'a> {
    pub(super) part: &'a Part<'a>,
    pub(super) is_raw: bool,
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.part {
            Part::Null => ValueRef::Null,
            Part::Integer(number) => ValueRef::Integer(*number),
            Part::Real(number) => ValueRef::Real(*number),
            Part::Text(text) if self.is_raw => ValueRef::Blob(text),
            Part::Text(text) => ValueRef::Text(text),
            Part::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

impl ToSql for Cell<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(*number),
            Self::Real(number) => ValueRef::Real(*number),
            Self::Text(text) => ValueRef::Text(text),
            Self::Blob(bytes) | Self::RawText(bytes) => ValueRef::Blob(bytes),
        }))
    }
}
