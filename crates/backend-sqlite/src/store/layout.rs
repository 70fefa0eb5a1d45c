//! What a file of a store holds beside records: whose it is, and its databases.
//!
//! - `application_id` is [`APPLICATION_ID`], and `user_version` is the version of the layout.
//! - `keepsum_databases` names the databases. The tables of one are named by its number, so that a name
//!   may hold anything; the number is that of the change that made it, so that none comes twice, and a
//!   handle that outlives its database never reads another one.
//! - `keepsum_changes` holds the number of changes so far: each batch adds one in its own transaction,
//!   so that two states of a store never have the same number.

use backup_core::{Error, Result};
use rusqlite::{Connection, OptionalExtension};

use super::failure::failed;
use super::table::Table;

/// Whose file it is: the letters `ksum`, as `PRAGMA application_id` and byte 68 of the file have them.
pub(crate) const APPLICATION_ID: i32 = i32::from_be_bytes(*b"ksum");

/// The version of the layout that is written, in `PRAGMA user_version`.
const VERSION: i64 = 1;

const REGISTRY: &str = "
    CREATE TABLE keepsum_databases (id INTEGER PRIMARY KEY, name TEXT NOT NULL UNIQUE) STRICT;
    CREATE TABLE keepsum_changes (number INTEGER NOT NULL) STRICT;
    INSERT INTO keepsum_changes VALUES (0);
";

const FILE: &str = "the file";

/// Whether the file is marked as a key-value store.
///
/// # Errors
/// [`Error::Engine`] where the file cannot be read as a database.
pub(crate) fn is_store(connection: &Connection) -> Result<bool> {
    let found: i32 = pragma(connection, "PRAGMA application_id")?;
    Ok(found == APPLICATION_ID)
}

/// Whether there is anything in the file.
pub(super) fn is_blank(connection: &Connection) -> Result<bool> {
    let entries: i64 = pragma(connection, "SELECT count(*) FROM sqlite_schema")?;
    let marks = [
        pragma::<i64>(connection, "PRAGMA application_id")?,
        pragma(connection, "PRAGMA user_version")?,
    ];
    Ok(entries == 0 && marks == [0, 0])
}

/// Checks that the file `store` is a store whose layout is known here.
pub(super) fn check(connection: &Connection, store: &str) -> Result<()> {
    if !is_store(connection)? {
        let detail = "is a SQLite database, but no key-value store; it is left as it is: name another \
                      file, or make a new store";
        return Err(Error::invalid(store, detail));
    }
    let version: i64 = pragma(connection, "PRAGMA user_version")?;
    if version == VERSION {
        return Ok(());
    }
    Err(Error::unsupported(
        format!("reading the key-value store {store}"),
        format!(
            "its layout has version {version}, and this keepsum knows {VERSION}; use a later one"
        ),
    ))
}

/// Makes an empty store of an empty file.
pub(super) fn make(connection: &Connection) -> Result<()> {
    let marks =
        format!("PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {VERSION};");
    connection.execute_batch(&marks).map_err(failed("mark", FILE))?;
    connection.execute_batch(REGISTRY).map_err(failed("make the registry of", FILE))
}

/// The number of changes so far.
pub(super) fn changes(connection: &Connection) -> Result<u64> {
    let number: i64 = pragma(connection, "SELECT number FROM keepsum_changes")?;
    Ok(number.cast_unsigned())
}

/// Counts a change, in the transaction that makes it.
pub(super) fn count_change(connection: &Connection) -> Result<i64> {
    let counted = "UPDATE keepsum_changes SET number = number + 1 RETURNING number";
    let mut statement =
        connection.prepare_cached(counted).map_err(failed("count a change of", FILE))?;
    statement.query_row([], |row| row.get(0)).map_err(failed("count a change of", FILE))
}

/// All databases, sorted by name.
pub(super) fn databases(connection: &Connection) -> Result<Vec<Table>> {
    let listed = || {
        let mut statement =
            connection.prepare_cached("SELECT id, name FROM keepsum_databases ORDER BY name")?;
        let tables = statement
            .query_map([], |row| Ok(Table::new(row.get(0)?, row.get_ref(1)?.as_str()?)))?;
        tables.collect::<rusqlite::Result<Vec<_>>>()
    };
    listed().map_err(failed("list the databases of", FILE))
}

/// The database of this name.
pub(super) fn find(connection: &Connection, name: &str) -> Result<Option<Table>> {
    let found = || {
        let mut statement =
            connection.prepare_cached("SELECT id FROM keepsum_databases WHERE name = ?1")?;
        statement.query_row([name], |row| row.get(0)).optional()
    };
    let id: Option<i64> = found().map_err(failed("list the databases of", FILE))?;
    Ok(id.map(|id| Table::new(id, name)))
}

/// Adds an empty database, in a transaction of the caller's.
pub(super) fn add_database(connection: &Connection, name: &str) -> Result<Table> {
    let id = count_change(connection)?;
    let table = Table::new(id, name);
    connection
        .execute("INSERT INTO keepsum_databases (id, name) VALUES (?1, ?2)", (id, name))
        .map_err(failed("name a new database in", FILE))?;
    table.make(connection)?;
    Ok(table)
}

/// Removes a database with its records, in a transaction of the caller's.
pub(super) fn remove_database(connection: &Connection, table: &Table) -> Result<()> {
    count_change(connection)?;
    table.drop_all(connection)?;
    connection
        .execute("DELETE FROM keepsum_databases WHERE id = ?1", [table.id()])
        .map(drop)
        .map_err(failed("remove", table.what()))
}

/// Checks a name for a new database.
pub(super) fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::invalid("the name of a database", "must not be empty"));
    }
    Ok(())
}

/// The answer to a question with one number.
fn pragma<T: rusqlite::types::FromSql>(connection: &Connection, question: &str) -> Result<T> {
    connection.query_row(question, [], |row| row.get(0)).map_err(failed("read", FILE))
}
