//! Values: a row's columns as bytes, each with its storage class.
//!
//! `docs/FORMAT.md` describes the same bytes for readers without Rust.

use std::borrow::Cow;

/// The version of the layout.
const VERSION: u8 = 1;

/// What a column's entry in the head begins with.
const NULL: u8 = 0;
const INTEGER: u8 = 1;
const REAL: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;
const RAW_TEXT: u8 = 5;

/// The longest spelling of a length, and the longest length.
const LENGTH_BYTES: usize = 5;
const MAX_LENGTH: u32 = (1 << 31) - 1;

/// A column of a row.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Cell<'a> {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text in UTF-8, or what a database in UTF-8 holds as text.
    Text(Cow<'a, [u8]>),
    /// Bytes.
    Blob(&'a [u8]),
    /// Text of a database in UTF-16 that SQLite would not bring through UTF-8, in that encoding.
    RawText(&'a [u8]),
}

/// A column's entry in the head of a value: what it is, without the bytes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    /// No value.
    Null,
    /// An integer.
    Integer,
    /// A floating-point number.
    Real,
    /// Text of this many bytes.
    Text(u32),
    /// This many bytes.
    Blob(u32),
    /// Text in the database's own encoding, of this many bytes.
    RawText(u32),
}

impl Cell<'_> {
    /// Its entry. Lengths are below 2^31: SQLite has none above.
    pub(super) fn entry(&self) -> Entry {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX);
        match self {
            Self::Null => Entry::Null,
            Self::Integer(_) => Entry::Integer,
            Self::Real(_) => Entry::Real,
            Self::Text(text) => Entry::Text(length(text)),
            Self::Blob(bytes) => Entry::Blob(length(bytes)),
            Self::RawText(bytes) => Entry::RawText(length(bytes)),
        }
    }

    /// Adds its body.
    pub(super) fn push_body(&self, bodies: &mut Vec<u8>) {
        match self {
            Self::Null => {}
            Self::Integer(number) => bodies.extend(number.to_le_bytes()),
            Self::Real(number) => bodies.extend(number.to_bits().to_le_bytes()),
            Self::Text(text) => bodies.extend_from_slice(text),
            Self::Blob(bytes) | Self::RawText(bytes) => bodies.extend_from_slice(bytes),
        }
    }
}

impl Entry {
    /// The length of the body.
    pub(super) fn length(self) -> u64 {
        match self {
            Self::Null => 0,
            Self::Integer | Self::Real => 8,
            Self::Text(length) | Self::Blob(length) | Self::RawText(length) => length.into(),
        }
    }

    /// Adds it to a head.
    pub(super) fn push(self, head: &mut Vec<u8>) {
        let (kind, length) = match self {
            Self::Null => (NULL, None),
            Self::Integer => (INTEGER, None),
            Self::Real => (REAL, None),
            Self::Text(length) => (TEXT, Some(length)),
            Self::Blob(length) => (BLOB, Some(length)),
            Self::RawText(length) => (RAW_TEXT, Some(length)),
        };
        head.push(kind);
        if let Some(length) = length {
            push_length(head, length);
        }
    }
}

/// The blob that a value ends with: the columns behind it have no bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct LastBlob {
    /// Its number among the columns of the value.
    pub(super) column: usize,
    /// Where in the value it begins.
    pub(super) start: u64,
    /// Its length.
    pub(super) length: u32,
}

impl LastBlob {
    /// Finds it by how the value begins. None where the value ends with something else, or where what is
    /// here does not tell yet.
    pub(super) fn find(beginning: &[u8]) -> Option<Self> {
        let mut rest = beginning;
        let version = take_byte(&mut rest).ok()?;
        let columns = take_length(&mut rest).ok().filter(|_| version == VERSION)?;
        let (mut last, mut bytes) = (None, 0);
        for column in 0..columns {
            let entry = take_entry(&mut rest).ok()?;
            if entry.length() > 0 {
                last = Some((column, entry, bytes));
            }
            bytes += entry.length();
        }
        let head = (beginning.len() - rest.len()) as u64;
        match last? {
            (column, Entry::Blob(length), before) => {
                Some(Self { column: column as usize, start: head + before, length })
            }
            _ => None,
        }
    }
}

/// Begins the head of a value with so many columns.
pub(super) fn begin(head: &mut Vec<u8>, columns: usize) {
    head.push(VERSION);
    push_length(head, u32::try_from(columns).unwrap_or(u32::MAX));
}

/// Makes values one after the other, in the same memory.
#[derive(Debug, Default)]
pub(super) struct Maker {
    value: Vec<u8>,
    bodies: Vec<u8>,
}

impl Maker {
    /// Begins a value with so many columns.
    pub(super) fn begin(&mut self, columns: usize) {
        self.value.clear();
        self.bodies.clear();
        begin(&mut self.value, columns);
    }

    /// Adds the next column.
    pub(super) fn push(&mut self, cell: &Cell<'_>) {
        cell.entry().push(&mut self.value);
        cell.push_body(&mut self.bodies);
    }

    /// The value.
    pub(super) fn finish(&mut self) -> &[u8] {
        self.value.extend_from_slice(&self.bodies);
        &self.value
    }
}

fn push_length(head: &mut Vec<u8>, mut length: u32) {
    while length >= 0x80 {
        head.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    head.push((length & 0x7f) as u8);
}

/// What is wrong with a value, as the end of a sentence.
pub(super) type Malformed = String;

/// The columns of a value, in order.
#[derive(Debug, Clone)]
pub(super) struct Cells<'a> {
    entries: &'a [u8],
    bodies: &'a [u8],
    left: u32,
}

impl<'a> Cells<'a> {
    /// Checks the whole of a value that must have so many columns.
    pub(super) fn read(value: &'a [u8], columns: usize) -> Result<Self, Malformed> {
        let (cells, length) = Self::head(value, columns)?;
        let bytes = cells.bodies.len();
        if bytes as u64 != length {
            return Err(format!("its columns have {length} bytes, and there are {bytes}"));
        }
        Ok(cells)
    }

    /// The columns of a value that ends with `last`, by what is before that. It is empty among them.
    pub(super) fn before(
        value: &'a [u8],
        columns: usize,
        last: LastBlob,
    ) -> Result<Vec<Cell<'a>>, Malformed> {
        let (mut cells, _) = Self::head(value, columns)?;
        let cell = |column| {
            if column == last.column {
                take_entry(&mut cells.entries)?;
                return Ok(Cell::Blob(&[]));
            }
            cells.next_cell()
        };
        (0..columns).map(cell).collect()
    }

    /// Reads the head of a value that must have so many columns. Gives the length of their bodies as well.
    fn head(value: &'a [u8], columns: usize) -> Result<(Self, u64), Malformed> {
        let mut rest = value;
        match take_byte(&mut rest)? {
            VERSION => {}
            other => {
                return Err(format!(
                    "it is of version {other}, and this program knows version {VERSION} only"
                ));
            }
        }
        let found = take_length(&mut rest)?;
        if found as usize != columns {
            return Err(format!("it has {found} columns, and the table has {columns}"));
        }
        let entries = rest;
        let mut length = 0;
        for _ in 0..found {
            length += take_entry(&mut rest)?.length();
        }
        Ok((Self { entries, bodies: rest, left: found }, length))
    }

    /// The next column; all that can be wrong was looked for before.
    fn next_cell(&mut self) -> Result<Cell<'a>, Malformed> {
        let entry = take_entry(&mut self.entries)?;
        let length = usize::try_from(entry.length()).unwrap_or(usize::MAX);
        let (body, rest) = self.bodies.split_at_checked(length).ok_or_else(ended)?;
        self.bodies = rest;
        let number = || body.try_into().map(u64::from_le_bytes).map_err(|_| ended());
        Ok(match entry {
            Entry::Null => Cell::Null,
            Entry::Integer => Cell::Integer(number()?.cast_signed()),
            Entry::Real => Cell::Real(f64::from_bits(number()?)),
            Entry::Text(_) => Cell::Text(body.into()),
            Entry::Blob(_) => Cell::Blob(body),
            Entry::RawText(_) => Cell::RawText(body),
        })
    }
}

impl<'a> Iterator for Cells<'a> {
    type Item = Result<Cell<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(self.next_cell())
    }
}

fn take_entry(rest: &mut &[u8]) -> Result<Entry, Malformed> {
    Ok(match take_byte(rest)? {
        NULL => Entry::Null,
        INTEGER => Entry::Integer,
        REAL => Entry::Real,
        TEXT => Entry::Text(take_length(rest)?),
        BLOB => Entry::Blob(take_length(rest)?),
        RAW_TEXT => Entry::RawText(take_length(rest)?),
        other => return Err(format!("a column of it is of the unknown kind {other}")),
    })
}

fn take_length(rest: &mut &[u8]) -> Result<u32, Malformed> {
    let mut length = 0_u64;
    for group in 0..LENGTH_BYTES {
        let byte = take_byte(rest)?;
        length |= u64::from(byte & 0x7f) << (7 * group);
        if byte & 0x80 == 0 {
            let minimal = byte != 0 || group == 0;
            let short = u32::try_from(length).ok().filter(|length| *length <= MAX_LENGTH);
            return short.filter(|_| minimal).ok_or_else(|| "a length of it is misspelt".into());
        }
    }
    Err("a length of it is misspelt".into())
}

fn take_byte(rest: &mut &[u8]) -> Result<u8, Malformed> {
    let (byte, behind) = rest.split_first().ok_or_else(ended)?;
    *rest = behind;
    Ok(*byte)
}

fn ended() -> Malformed {
    "it ends early".into()
}

#[cfg(test)]
#[path = "value_tests.rs"]
mod tests;
