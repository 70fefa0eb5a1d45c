//! Making a database around rows that came as they were: each table is filled in a bare form, which lets
//! anything in, and the schema is then written as it was.
//!
//! A backup does the same in memory, with no rows, so that what a restore could not make again is known while
//! the original is still there.

use std::collections::HashMap;
use std::path::Path;

use backup_core::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OptionalExtension};

use super::blueprint::{self, Bare, OwnIndex};
use super::encoding::Encoding;
use super::schema::Object;
use super::settings::Pragmas;
use super::statement::{self, Kind};
use super::table::quoted;
use crate::ENGINE;

/// How many tables SQLite knows at a time while they are made: it goes through all that it knows whenever one
/// more is made.
pub(super) const KNOWN: usize = 500;

/// How much memory the pages of a database take while it is built, in KiB.
const CACHE_KIB: i64 = 16 << 10;

/// A database being built. Nothing of it is durable, and nothing in it can be rolled back: it takes its
/// place when it is whole. Its schema is kept empty meanwhile, since SQLite goes through all of it for
/// whatever is made.
pub(super) struct Build {
    pub(super) connection: Connection,
}

/// Where an object of the schema lies.
pub(super) struct Placed<'a> {
    pub(super) object: &'a Object,
    /// Its first page; 0 for what has none.
    pub(super) root: i64,
}

/// Why an index cannot be made as its statement says.
pub(super) enum NoIndex {
    /// Its rows are not unique. It was made all the same.
    NotUnique(i64),
    /// SQLite cannot make it: why.
    Refused(String),
}

impl Build {
    /// An empty database in a file.
    pub(super) fn file(path: &Path, pragmas: &Pragmas) -> Result<Self> {
        let action = || format!("make a database at {}", path.display());
        if pragmas.reserved > 0 {
            let page = super::first_page::of(pragmas);
            std::fs::write(path, page).map_err(Error::io("write", path))?;
        }
        let connection = Connection::open(path).map_err(|e| Error::engine(ENGINE, action())(e))?;
        Self::begin(connection, pragmas).map_err(|e| Error::engine(ENGINE, action())(e))
    }

    /// An empty database in memory.
    pub(super) fn memory(encoding: Encoding) -> Result<Self> {
        let failed = |error| Error::engine(ENGINE, "make a database in memory")(error);
        let connection = Connection::open_in_memory().map_err(failed)?;
        // Every table has a page.
        let pragmas = Pragmas { page_size: 512, ..Pragmas::new(encoding) };
        Self::begin(connection, &pragmas).map_err(failed)
    }

    fn begin(connection: Connection, pragmas: &Pragmas) -> rusqlite::Result<Self> {
        for (name, value) in [
            ("page_size", i64::from(pragmas.page_size)),
            ("auto_vacuum", pragmas.auto_vacuum.into()),
            ("synchronous", 0),
            ("cache_size", -CACHE_KIB),
            ("foreign_keys", 0),
            // The schema came from elsewhere: it runs no function that does more than compute.
            ("trusted_schema", 0),
        ] {
            connection.pragma_update(None, name, value)?;
        }
        connection.pragma_update(None, "encoding", pragmas.encoding.name())?;
        for (name, value) in [("locking_mode", "EXCLUSIVE"), ("journal_mode", "OFF")] {
            connection.pragma_update_and_check(None, name, value, |_| Ok(()))?;
        }
        // Old schemas have text in double quotes.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DQS_DDL, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA, true)?;
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection })
    }

    /// What the bare form of the table of this number is called.
    pub(super) fn bare_name(number: usize) -> String {
        format!("t{number}")
    }

    /// Makes the bare form of a table. Gives its first page.
    pub(super) fn bare(&self, number: usize, bare: &Bare) -> Result<i64> {
        let name = Self::bare_name(number);
        self.made(&name, &bare.statement(&name)).map_err(making(Kind::Table, &bare.table.name))
    }

    /// Makes the index at `place` of those that the table of this number makes by itself, of the rows that are
    /// there. Gives its first page.
    pub(super) fn own_index(
        &self,
        number: usize,
        place: usize,
        bare: &Bare,
        own: &OwnIndex,
    ) -> Result<i64> {
        let (table, name) = (Self::bare_name(number), format!("o{number}_{place}"));
        let statement = match &own.columns {
            Some(columns) if own.foreign.is_none() => {
                format!("CREATE INDEX {name} ON {table}({columns})")
            }
            // It is filled when its table is what it is to be, if it can be.
            _ => format!("CREATE INDEX {name} ON {table}({}) WHERE 0", bare.any_column()),
        };
        let made = self.made(&name, &statement);
        made.map_err(making(Kind::Index, &own.name))
    }

    /// Makes the table that counts rowids, with none. Gives its first page.
    pub(super) fn sequence(&self) -> Result<i64> {
        let made = self.made("sequence", "CREATE TABLE sequence(name, seq)");
        made.map_err(making(Kind::Table, "sqlite_sequence"))
    }

    /// Makes an object and takes it out of the schema table. SQLite knows it as long as it does not read the
    /// schema again.
    pub(super) fn made(&self, name: &str, statement: &str) -> rusqlite::Result<i64> {
        self.connection.execute_batch(statement)?;
        self.taken_out(name)
    }

    fn taken_out(&self, name: &str) -> rusqlite::Result<i64> {
        let sql = "SELECT rootpage FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE";
        let root = self.connection.query_row(sql, [name], |row| row.get(0))?;
        let sql = "DELETE FROM main.sqlite_schema WHERE name = ?1 COLLATE NOCASE";
        self.connection.execute(sql, [name])?;
        Ok(root)
    }

    /// Makes an index of a table that has the statement it is to have.
    pub(super) fn index(&self, object: &Object) -> std::result::Result<i64, NoIndex> {
        let refused = |why: String| NoIndex::Refused(why);
        if let Err(error) = statement::check(Kind::Index, &object.name, &object.sql) {
            return Err(refused(error.to_string()));
        }
        let say = |error: rusqlite::Error| NoIndex::Refused(format!("SQLite says: {error}"));
        match self.run(&object.sql) {
            Ok(()) => self.taken_out(&object.name).map_err(say),
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::ConstraintViolation) => {
                let plain = statement::without_unique(&object.sql);
                self.run(&plain).map_err(say)?;
                Err(NoIndex::NotUnique(self.taken_out(&object.name).map_err(say)?))
            }
            Err(rusqlite::Error::MultipleStatement) => {
                Err(refused("there is a second statement behind its own".into()))
            }
            Err(error) => Err(say(error)),
        }
    }

    fn run(&self, sql: &str) -> rusqlite::Result<()> {
        self.connection.prepare(sql).and_then(|mut statement| statement.execute([])).map(drop)
    }

    /// Fills an index that its table makes by itself, of columns that are computed at each reading.
    pub(super) fn fill(&self, own: &OwnIndex) -> Result<()> {
        let filled = self.run(&format!("REINDEX main.{}", quoted(&own.name)));
        filled.map_err(making(Kind::Index, &own.name))
    }

    /// Writes the schema, and has SQLite read what it can of it.
    pub(super) fn write(&self, placed: &[Placed<'_>]) -> Result<()> {
        let failed = |error| Error::engine(ENGINE, "write the schema")(error);
        let connection = &self.connection;
        connection.execute_batch("BEGIN; DELETE FROM main.sqlite_schema").map_err(failed)?;
        let sql = "INSERT INTO main.sqlite_schema(rowid, type, name, tbl_name, rootpage, sql) VALUES(?1, ?2, ?3, ?4, ?5, ?6)";
        let mut insert = connection.prepare(sql).map_err(failed)?;
        for Placed { object, root } in placed {
            let sql = (object.kind != Kind::OwnIndex).then_some(&object.sql);
            let row = (object.rowid, object.type_name(), &object.name, &object.table, *root, sql);
            insert.execute(row).map_err(failed)?;
        }
        drop(insert);
        connection.execute_batch("COMMIT").map_err(failed)?;
        blueprint::read_again(connection).map(drop).map_err(failed)
    }

    /// Has SQLite forget all that was made. Nothing of that is in the schema table.
    pub(super) fn forget(&self) -> Result<()> {
        let forgotten = blueprint::read_again(&self.connection);
        forgotten.map(drop).map_err(Error::engine(ENGINE, "read the schema"))
    }

    /// Has SQLite know these bare tables, of which each has its number and its first page, and nothing else.
    pub(super) fn know<'b>(
        &self,
        tables: impl Iterator<Item = (usize, i64, &'b Bare)>,
    ) -> Result<()> {
        let inserted = || -> rusqlite::Result<()> {
            self.connection.execute_batch("BEGIN")?;
            let sql = "INSERT INTO main.sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES('table', ?1, ?1, ?2, ?3)";
            let mut insert = self.connection.prepare_cached(sql)?;
            for (number, root, bare) in tables {
                let name = Self::bare_name(number);
                insert.execute((&name, root, bare.statement(&name)))?;
            }
            self.connection.execute_batch("COMMIT")
        };
        inserted().map_err(Error::engine(ENGINE, "write the schema"))?;
        self.forget()?;
        self.empty()
    }

    /// Empties the schema table. What SQLite has read of it, it knows.
    pub(super) fn empty(&self) -> Result<()> {
        let emptied = self.connection.execute_batch("DELETE FROM main.sqlite_schema");
        emptied.map_err(Error::engine(ENGINE, "empty the schema"))
    }

    /// Gives a table another name than its statement says.
    pub(super) fn rename(&self, own: &str, name: &str) -> Result<()> {
        let sql = format!("ALTER TABLE main.{} RENAME TO {}", quoted(own), quoted(name));
        self.connection.execute_batch(&sql).map_err(making(Kind::Table, name))
    }

    /// The modules of virtual tables that this SQLite does not have, each with one of its tables.
    pub(super) fn missing_modules(&self, objects: &[&Object]) -> Result<Vec<(String, String)>> {
        let mut missing = Vec::new();
        for object in objects {
            let module = statement::module(&object.sql).unwrap_or_default();
            let sql = "SELECT 1 FROM pragma_module_list WHERE name = ?1 COLLATE NOCASE";
            let found = self.connection.query_row(sql, [&module], |_| Ok(())).optional();
            let failed = Error::engine(ENGINE, "list the modules of virtual tables");
            if found.map_err(failed)?.is_none() {
                missing.push((object.name.clone(), module));
            }
        }
        Ok(missing)
    }
}

fn making(kind: Kind, name: &str) -> impl FnOnce(rusqlite::Error) -> Error + use<'_> {
    move |error| Error::engine(ENGINE, format!("make the {} {name:?}", kind.word()))(error)
}

/// The indexes that tables make by themselves, by their names.
pub(super) fn own_objects(objects: &[Object]) -> HashMap<&str, &Object> {
    let own = objects.iter().filter(|object| object.kind == Kind::OwnIndex);
    own.map(|object| (object.name.as_str(), object)).collect()
}
