//! A table as a database of records: its columns, and what its rows are found by.

use std::collections::BTreeSet;
use std::sync::{Arc, OnceLock};

use backup_core::{Error, Result};
use rusqlite::{Connection, Row};

use super::affinity::{Affinity, is_real};
use super::cell;
use super::encoding::Encoding;
use super::key::{self, Collation, Part};
use super::value::Cell;
use crate::ENGINE;

/// A table, as far as its rows are concerned.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Its name.
    pub(super) name: String,
    /// The schema that it is read from, and its name there.
    pub(super) read_from: (&'static str, String),
    /// The copy that it is read from, once that was made.
    pub(super) copy: Arc<OnceLock<Arc<Table>>>,
    /// The encoding of its database.
    pub(super) encoding: Encoding,
    /// What SQL calls its rowid; none WITHOUT ROWID, and where it has no name.
    pub(super) rowid: Option<String>,
    /// The columns that a value holds: those that are stored, but for the one that is the rowid. One that is
    /// computed when a row is written is stored.
    pub(super) columns: Vec<Column>,
    /// What its rows are found by.
    pub(super) key: Key,
    /// Whether it has columns that are computed of others.
    pub(super) is_generated: bool,
}

/// A column that is stored.
#[derive(Debug, Clone)]
pub(super) struct Column {
    pub(super) name: String,
    affinity: Affinity,
    /// Whether SQLite keeps whole numbers of it as integers, and reads them as floating-point numbers.
    pub(super) is_real: bool,
}

/// What the rows of a table are found by.
#[derive(Debug, Clone)]
pub(super) enum Key {
    /// The rowid.
    Rowid,
    /// The columns of the primary key, WITHOUT ROWID.
    Primary {
        /// What SQLite calls the table's own tree.
        index: String,
        /// The columns.
        parts: Vec<KeyColumn>,
        /// The collations among theirs that only its program has.
        foreign: Vec<String>,
    },
    /// The key of its record, which is a column of a copy.
    Copied,
}

/// What finds a row, beside the columns of its value.
#[derive(Debug)]
pub(super) enum Finder {
    Rowid(i64),
    Key(Vec<u8>),
    /// They alone.
    Columns,
}

/// A column of a primary key.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyColumn {
    /// Its index in [`Table::columns`].
    pub(super) column: usize,
    /// How its text is compared in the keys of records: as BINARY does where only its program knows.
    pub(super) collation: Collation,
    /// Whether the tree has it from the last to the first.
    pub(super) is_descending: bool,
}

impl KeyColumn {
    /// As a column of an index of the bare table.
    pub(super) fn sql(&self) -> String {
        let (name, collation) = (value_column(self.column), self.collation.name());
        let direction = if self.is_descending { " DESC" } else { "" };
        format!("{name} COLLATE {collation}{direction}")
    }
}

/// What a bare table and a copy call a column of the values.
pub(super) fn value_column(column: usize) -> String {
    format!("v{column}")
}

/// A name as it stands in SQL.
pub(super) fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

impl Table {
    /// Looks at a table of the database.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where its rows have no key that travels.
    pub(super) fn read(
        connection: &Connection,
        name: &str,
        has_rowid: bool,
        encoding: Encoding,
    ) -> Result<Self> {
        let found = columns(connection, name).map_err(looking(name))?;
        let index = primary_index(connection, name).map_err(looking(name))?;
        // A primary key without an index is the rowid itself.
        let alias = found.iter().find(|column| column.in_key && index.is_none());
        let rowid = match (has_rowid, alias) {
            (false, _) => None,
            (true, Some(alias)) => Some(quoted(&alias.column.name)),
            (true, None) => free_rowid(&found).map(str::to_owned),
        };
        let alias = alias.map(|alias| alias.column.name.clone());
        let is_generated = found.iter().any(|column| column.is_generated);
        let columns: Vec<Column> = found
            .into_iter()
            .filter(|found| found.is_stored && Some(&found.column.name) != alias.as_ref())
            .map(|found| found.column)
            .collect();
        // Whatever index a table with a rowid has, its rows lie in its own tree, by their rowids.
        let key = match index.filter(|_| !has_rowid) {
            None => Key::Rowid,
            Some(index) => primary_key(connection, name, index, &columns)?,
        };
        let (name, copy) = (name.to_owned(), Arc::default());
        let read_from = ("main", name.clone());
        Ok(Self { name, read_from, copy, encoding, rowid, columns, key, is_generated })
    }

    /// Whether no row of it can be looked for, whatever its key holds.
    pub(super) fn is_apart(&self) -> bool {
        match &self.key {
            Key::Rowid => self.rowid.is_none(),
            // Text that is no UTF-16 lies where these collations see what SQLite makes of it.
            Key::Primary { parts, foreign, .. } => {
                let is_changed = |part: &KeyColumn| part.collation != Collation::Binary;
                !foreign.is_empty() || self.encoding.is_wide() && parts.iter().any(is_changed)
            }
            Key::Copied => false,
        }
    }

    /// The table that its rows are copied into to be read: it has their keys, and columns that change nothing.
    pub(super) fn apart(&self) -> Self {
        let (rowid, key) = match self.key {
            Key::Rowid => (Some(quoted("id")), Key::Rowid),
            Key::Primary { .. } | Key::Copied => (None, Key::Copied),
        };
        let column = |number: usize| Column {
            name: value_column(number),
            affinity: Affinity::None,
            is_real: false,
        };
        Self {
            name: self.name.clone(),
            read_from: ("temp", format!("keepsum rows of {}", self.name)),
            copy: Arc::default(),
            encoding: self.encoding,
            rowid,
            columns: (0..self.columns.len()).map(column).collect(),
            key,
            is_generated: false,
        }
    }

    /// What is asked for before the columns, where they alone do not find a row.
    pub(super) fn finder(&self) -> Option<&str> {
        match &self.key {
            Key::Rowid => self.rowid.as_deref(),
            Key::Primary { .. } => None,
            Key::Copied => Some("\"key\""),
        }
    }

    /// Reads what was asked for by [`finder`](Self::finder).
    pub(super) fn found_by(&self, row: &Row<'_>) -> rusqlite::Result<Finder> {
        match &self.key {
            Key::Rowid => row.get(0).map(Finder::Rowid),
            Key::Primary { .. } => Ok(Finder::Columns),
            Key::Copied => row.get(0).map(Finder::Key),
        }
    }

    /// The number of columns of a value.
    pub(super) fn value_columns(&self) -> usize {
        self.columns.len()
    }

    /// Its name as it stands in SQL.
    pub(super) fn sql_name(&self) -> String {
        let (schema, name) = &self.read_from;
        format!("\"{schema}\".{}", quoted(name))
    }

    /// The columns of the key, each once, by their index in [`columns`](Self::columns); none for a rowid.
    pub(super) fn key_columns(&self) -> Vec<usize> {
        let mut columns = Vec::new();
        if let Key::Primary { parts, .. } = &self.key {
            for part in parts {
                if !columns.contains(&part.column) {
                    columns.push(part.column);
                }
            }
        }
        columns
    }

    /// What its settings say of the key.
    pub(super) fn key_line(&self) -> String {
        match &self.key {
            Key::Rowid | Key::Copied => "rowid".to_owned(),
            Key::Primary { parts, .. } => {
                let mut line = "primary".to_owned();
                for part in parts {
                    line.push(' ');
                    line.push_str(part.collation.name());
                }
                line
            }
        }
    }

    /// Makes the key of a row. Gives whether SQLite finds the row by it: not where a column of it has NULL, or what
    /// the column's type or collation would change.
    pub(super) fn push_key<'a>(
        &self,
        into: &mut Vec<u8>,
        finder: &Finder,
        cell: impl Fn(usize) -> Result<Cell<'a>>,
    ) -> Result<bool> {
        match finder {
            Finder::Rowid(rowid) => key::push_rowid(into, *rowid),
            Finder::Key(key) => into.extend_from_slice(key),
            Finder::Columns => {}
        }
        let Key::Primary { parts, .. } = &self.key else { return Ok(true) };
        let mut is_found = true;
        for part in parts {
            let cell = cell(part.column)?;
            if let Some(compared) = cell::compared(&cell, self.encoding, part.collation) {
                is_found &= self.key_keeps(*part, &compared);
                key::push(into, &compared, part.collation);
            } else if let Cell::RawText(bytes) = cell {
                is_found = false;
                key::push_raw(into, bytes);
            }
        }
        Ok(is_found)
    }

    /// Whether SQLite looks for such a value in a column of the key: one that the column keeps as it is, and no
    /// NULL, which it takes for absent.
    pub(super) fn key_keeps(&self, part: KeyColumn, value: &Part<'_>) -> bool {
        let column = self.columns.get(part.column);
        *value != Part::Null && column.is_some_and(|column| column.affinity.keeps(value))
    }
}

/// A column as SQLite tells of it.
struct Found {
    column: Column,
    is_stored: bool,
    is_generated: bool,
    in_key: bool,
}

fn columns(connection: &Connection, table: &str) -> rusqlite::Result<Vec<Found>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, type, pk, hidden FROM pragma_table_xinfo(?1, 'main') ORDER BY cid",
    )?;
    let found = statement.query_map([table], |row| {
        let declared: String = row.get(1)?;
        let affinity = Affinity::of(&declared);
        let column = Column { name: row.get(0)?, affinity, is_real: is_real(&declared) };
        let in_key = row.get::<_, i64>(2)? > 0;
        // 2 is computed at each reading, 3 when the row is written.
        let hidden: i64 = row.get(3)?;
        Ok(Found { column, is_stored: hidden != 2, is_generated: hidden >= 2, in_key })
    })?;
    found.collect()
}

fn primary_index(connection: &Connection, table: &str) -> rusqlite::Result<Option<String>> {
    let mut statement = connection
        .prepare_cached("SELECT name FROM pragma_index_list(?1, 'main') WHERE origin = 'pk'")?;
    let mut names = statement.query_map([table], |row| row.get(0))?;
    names.next().transpose()
}

/// A name of the rowid that no column has taken.
fn free_rowid(columns: &[Found]) -> Option<&'static str> {
    let taken: BTreeSet<_> =
        columns.iter().map(|found| found.column.name.to_ascii_lowercase()).collect();
    ["_rowid_", "rowid", "oid"].into_iter().find(|name| !taken.contains(*name))
}

fn primary_key(
    connection: &Connection,
    table: &str,
    index: String,
    columns: &[Column],
) -> Result<Key> {
    let (mut parts, mut foreign) = (Vec::new(), Vec::new());
    for (name, collation, is_descending) in
        index_columns(connection, &index).map_err(looking(table))?
    {
        let column = columns.iter().position(|column| column.name == name);
        let column = column.ok_or_else(|| {
            let what = format!("the primary key of table {table:?}");
            Error::damaged(what, format!("it names a column {name:?} that is not stored"))
        })?;
        let known = Collation::named(&collation);
        parts.push(KeyColumn {
            column,
            collation: known.unwrap_or(Collation::Binary),
            is_descending,
        });
        foreign.extend(known.is_none().then_some(collation));
    }
    Ok(Key::Primary { index, parts, foreign })
}

fn index_columns(
    connection: &Connection,
    index: &str,
) -> rusqlite::Result<Vec<(String, String, bool)>> {
    let mut statement = connection.prepare_cached(
        r#"SELECT name, coll, "desc" FROM pragma_index_xinfo(?1, 'main') WHERE "key" ORDER BY seqno"#,
    )?;
    let found = statement.query_map([index], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))?;
    found.collect()
}

fn looking(table: &str) -> impl FnOnce(rusqlite::Error) -> Error + use<'_> {
    move |error| Error::engine(ENGINE, format!("look at table {table:?}"))(error)
}
