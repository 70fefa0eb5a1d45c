//! How the rows of tables lie in a file, found out from the statements alone: SQLite reads them as it does when
//! it opens a database, in memory, and runs nothing of them. What a statement would not let in, which
//! functions it calls and which collations it names does not matter to that.

use std::collections::HashMap;

use backup_core::{Error, Result};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::encoding::Encoding;
use super::key::Collation;
use super::table::{Key, KeyColumn, Table, quoted, value_column};
use crate::ENGINE;

/// A database of statements, which no row was ever put into.
pub(super) struct Blueprint {
    connection: Connection,
    encoding: Encoding,
    /// Whether each table is WITHOUT ROWID, by its name in small letters.
    without_rowid: HashMap<String, bool>,
    /// Whether SQLite takes all of the statements. It may know a table of one that it does not take, by the
    /// part that it has read.
    is_whole: bool,
}

/// A table that takes rows as they were: it has the columns that the original one stores, in their order, and
/// neither types nor constraints. Its pages are those of the original.
#[derive(Debug, Clone)]
pub(super) struct Bare {
    /// The table as its records see it.
    pub(super) table: Table,
    /// The columns in the statement that makes it, and what comes behind them.
    columns: String,
    behind: String,
    /// What SQL calls its rowid, where it has one.
    pub(super) rowid: Option<&'static str>,
    /// The indexes that the original table makes by itself.
    pub(super) own: Vec<OwnIndex>,
}

/// An index that a table makes by itself.
#[derive(Debug, Clone)]
pub(super) struct OwnIndex {
    /// What SQLite calls it.
    pub(super) name: String,
    /// Its columns in the bare table, as SQL; none where one of them is computed at each reading, so that the
    /// bare table does not have it.
    pub(super) columns: Option<String>,
    /// A collation of it that is not here, so that it cannot be filled.
    pub(super) foreign: Option<String>,
}

/// What the bare table calls the column that is its rowid.
const ALIAS: &str = "\"id\"";

impl Blueprint {
    /// Reads statements of tables, each with the table's name.
    ///
    /// # Errors
    /// [`Error::Engine`]. A statement that SQLite cannot read is found out by [`bare`](Self::bare).
    pub(super) fn of<'a>(
        encoding: Encoding,
        tables: impl Iterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self> {
        let failed = |error| Error::engine(ENGINE, "read the statements of the tables")(error);
        let (connection, without_rowid, is_whole) = read(encoding, tables).map_err(failed)?;
        Ok(Self { connection, encoding, without_rowid, is_whole })
    }

    /// The bare form of a table.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a statement that SQLite cannot read, and where the rows have no key that
    /// travels.
    pub(super) fn bare(&self, name: &str) -> Result<Bare> {
        let without_rowid = self.without_rowid.get(&name.to_ascii_lowercase());
        let Some(without_rowid) = without_rowid.filter(|_| self.is_whole || self.takes(name))
        else {
            return Err(Error::unsupported(
                format!("making the table {name:?}"),
                "this SQLite cannot read its statement; a newer one may, and the files shape keeps the database as it is",
            ));
        };
        let table = Table::read(&self.connection, name, !without_rowid, self.encoding)?;
        let looked = Stored::read(&self.connection, &table)
            .and_then(|stored| Ok((own_indexes(&self.connection, &table, &stored)?, stored)));
        let (own, stored) =
            looked.map_err(Error::engine(ENGINE, format!("look at table {name:?}")))?;
        let (columns, behind) = body(&table, &stored);
        let has_alias = stored.iter().any(|stored| matches!(stored.is, Is::Rowid));
        let rowid = match (without_rowid, has_alias) {
            (true, _) => None,
            (false, true) => Some(ALIAS),
            (false, false) => Some("rowid"),
        };
        Ok(Bare { table, columns, behind, rowid, own })
    }

    /// Whether SQLite takes the statement of a table, alone.
    fn takes(&self, name: &str) -> bool {
        let sql = "SELECT sql FROM main.sqlite_schema WHERE name = ?1";
        let statement = self.connection.query_row(sql, [name], |row| row.get::<_, String>(0));
        let alone =
            statement.and_then(|sql| read(self.encoding, [(name, sql.as_str())].into_iter()));
        alone.is_ok_and(|(_, _, is_whole)| is_whole)
    }
}

impl Bare {
    /// The statement that makes it under a name.
    pub(super) fn statement(&self, name: &str) -> String {
        format!("CREATE TABLE {}({}{}", quoted(name), self.columns, self.behind)
    }

    /// As [`statement`](Self::statement), with one column more behind the others.
    pub(super) fn statement_with(&self, name: &str, column: &str) -> String {
        format!("CREATE TABLE {}({}, {column}{}", quoted(name), self.columns, self.behind)
    }

    /// A collation that is not here, of a table that is sorted by it.
    pub(super) fn foreign(&self) -> Option<&str> {
        match &self.table.key {
            Key::Primary { foreign, .. } => foreign.first().map(String::as_str),
            Key::Rowid | Key::Copied => None,
        }
    }

    /// One of its columns, as SQL. There is no table without any.
    pub(super) fn any_column(&self) -> String {
        let has_values = !self.table.columns.is_empty();
        if has_values { value_column(0) } else { ALIAS.to_owned() }
    }
}

/// Puts statements into a schema, as text, and has SQLite read it.
fn read<'a>(
    encoding: Encoding,
    tables: impl Iterator<Item = (&'a str, &'a str)>,
) -> rusqlite::Result<(Connection, HashMap<String, bool>, bool)> {
    let connection = Connection::open_in_memory()?;
    connection.pragma_update(None, "encoding", encoding.name())?;
    connection.pragma_update(None, "trusted_schema", 0)?;
    connection.execute_batch("BEGIN; CREATE TABLE rows(a)")?;
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    let root: i64 = connection.query_row(
        "SELECT rootpage FROM main.sqlite_schema WHERE name = 'rows'",
        [],
        |row| row.get(0),
    )?;
    connection.execute_batch("DELETE FROM main.sqlite_schema")?;
    {
        let mut insert = connection.prepare(
            "INSERT INTO main.sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES('table', ?1, ?1, ?2, ?3)",
        )?;
        for (name, sql) in tables {
            insert.execute((name, root, sql))?;
        }
    }
    connection.execute_batch("COMMIT")?;
    let is_whole = read_again(&connection)?;
    // A view that says that it is a table has no rows.
    let sql = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')";
    let mut statement = connection.prepare(sql)?;
    let lower = |row: &rusqlite::Row<'_>| {
        Ok((row.get::<_, String>(0)?.to_ascii_lowercase(), row.get::<_, bool>(1)?))
    };
    let found = statement.query_map([], lower)?.collect::<rusqlite::Result<_>>()?;
    drop(statement);
    Ok((connection, found, is_whole))
}

/// Has SQLite read the schema again, and keep what it can read of it. The schema can be written afterwards. Gives
/// whether that is all of it.
pub(super) fn read_again(connection: &Connection) -> rusqlite::Result<bool> {
    connection.pragma_update(None, "writable_schema", "RESET")?;
    let is_whole = connection.prepare("SELECT 1 FROM main.sqlite_schema").is_ok();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
    settle(connection);
    Ok(is_whole)
}

/// The first statement after a schema that cannot be read as a whole fails, and those after it find the rest.
pub(super) fn settle(connection: &Connection) {
    for _ in 0..2 {
        if connection.prepare("SELECT 1 FROM main.sqlite_schema").is_ok() {
            return;
        }
    }
}

/// A column that is stored.
struct Stored {
    name: String,
    is: Is,
}

enum Is {
    Rowid,
    Value(usize),
}

impl Stored {
    /// The columns of a table in the order in which they are stored, but for the key WITHOUT ROWID.
    fn read(connection: &Connection, table: &Table) -> rusqlite::Result<Vec<Self>> {
        let mut statement = connection.prepare_cached(
            "SELECT name FROM pragma_table_xinfo(?1, 'main') WHERE hidden <> 2 ORDER BY cid",
        )?;
        let stored = |name: String| {
            let value = table.columns.iter().position(|column| column.name == name);
            Self { name, is: value.map_or(Is::Rowid, Is::Value) }
        };
        let found = statement.query_map([table.name.as_str()], |row| Ok(stored(row.get(0)?)))?;
        found.collect()
    }

    fn sql(&self) -> String {
        match self.is {
            Is::Rowid => ALIAS.to_owned(),
            Is::Value(column) => quoted(&value_column(column)),
        }
    }
}

/// The columns in the statement of the bare table, and what stands behind them.
fn body(table: &Table, stored: &[Stored]) -> (String, String) {
    let column = |stored: &Stored| match stored.is {
        Is::Rowid => format!("{ALIAS} INTEGER PRIMARY KEY"),
        Is::Value(_) => stored.sql(),
    };
    let columns = stored.iter().map(column).collect::<Vec<_>>().join(", ");
    let Key::Primary { parts, .. } = &table.key else { return (columns, ")".to_owned()) };
    let key = parts.iter().map(KeyColumn::sql).collect::<Vec<_>>().join(", ");
    (columns, format!(", PRIMARY KEY({key})) WITHOUT ROWID"))
}

/// The indexes that a table makes by itself, but for the one that it is.
fn own_indexes(
    connection: &Connection,
    table: &Table,
    stored: &[Stored],
) -> rusqlite::Result<Vec<OwnIndex>> {
    let mut statement = connection.prepare_cached(
        "SELECT name, origin FROM pragma_index_list(?1, 'main') WHERE origin IN ('u', 'pk') ORDER BY name",
    )?;
    let both = |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?));
    let found = statement.query_map([table.name.as_str()], both)?;
    let found = found.collect::<rusqlite::Result<Vec<_>>>()?;
    let is_tree = |origin: &str| matches!(table.key, Key::Primary { .. }) && origin == "pk";
    let others = found.into_iter().filter(|(_, origin)| !is_tree(origin));
    let index = |(name, _): (String, String)| {
        let columns = own_columns(connection, &name, stored)?;
        let foreign = foreign_collation(connection, &name)?;
        Ok(OwnIndex { name, columns, foreign })
    };
    others.map(index).collect()
}

/// A collation of an index that this SQLite does not have. Its own list has every name that a schema says.
fn foreign_collation(connection: &Connection, index: &str) -> rusqlite::Result<Option<String>> {
    // WITHOUT ROWID, it has the columns of the primary key behind its own.
    let sql = "SELECT coll FROM pragma_index_xinfo(?1, 'main')";
    let mut statement = connection.prepare_cached(sql)?;
    let names = statement.query_map([index], |row| row.get::<_, String>(0))?;
    let names = names.collect::<rusqlite::Result<Vec<_>>>()?;
    Ok(names.into_iter().find(|name| Collation::named(name).is_none()))
}

fn own_columns(
    connection: &Connection,
    index: &str,
    stored: &[Stored],
) -> rusqlite::Result<Option<String>> {
    let mut statement = connection.prepare_cached(
        r#"SELECT name, coll, "desc" FROM pragma_index_xinfo(?1, 'main') WHERE "key" ORDER BY seqno"#,
    )?;
    let found = statement.query_map([index], |row| {
        let (name, collation): (Option<String>, String) = (row.get(0)?, row.get(1)?);
        let column = match &name {
            // The rowid has no name of its own here.
            None => Some(ALIAS.to_owned()),
            Some(name) => stored.iter().find(|at| at.name == *name).map(Stored::sql),
        };
        let direction = if row.get(2)? { " DESC" } else { "" };
        Ok(column.map(|column| format!("{column} COLLATE {}{direction}", quoted(&collation))))
    })?;
    let columns = found.collect::<rusqlite::Result<Option<Vec<_>>>>()?;
    Ok(columns.map(|columns| columns.join(", ")))
}
