//! Making a database of its schema: tables first, all else when their rows are there.
//!
//! A backup does the same in memory, with no rows, so that what a restore could not make again is refused
//! while the original is still there.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;

use backup_core::progress::Context;
use backup_core::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, OptionalExtension};

use super::schema::Object;
use super::settings::Pragmas;
use super::statement::{self, Kind};
use super::table::quoted;
use crate::ENGINE;

/// The tables that SQLite makes and fills itself; a program may write to them, but not make them.
const OF_SQLITE: [&str; 5] =
    ["sqlite_sequence", "sqlite_stat1", "sqlite_stat2", "sqlite_stat3", "sqlite_stat4"];

/// How many tables and views are made in memory at a time.
const REHEARSED: usize = 250;

/// How much memory the pages of a database take while it is built, in KiB.
const CACHE_KIB: i64 = 16 << 10;

/// A database being built. Nothing of it is durable, and nothing in it can be rolled back: it takes its
/// place when it is whole.
pub(super) struct Build {
    pub(super) connection: Connection,
}

impl Build {
    /// An empty database in a file.
    pub(super) fn file(path: &Path, pragmas: &Pragmas) -> Result<Self> {
        let action = || format!("make a database at {}", path.display());
        let connection = Connection::open(path).map_err(|e| Error::engine(ENGINE, action())(e))?;
        Self::begin(connection, pragmas).map_err(|e| Error::engine(ENGINE, action())(e))
    }

    /// An empty database in memory.
    pub(super) fn memory(encoding: super::encoding::Encoding) -> Result<Self> {
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
            // What the rows refer to may come after them, or may never have been there.
            ("foreign_keys", 0),
            // What the original held comes back, whether its own checks let it in or not.
            ("ignore_check_constraints", 1),
            // The schema came from elsewhere: it runs no function that does more than compute.
            ("trusted_schema", 0),
        ] {
            connection.pragma_update(None, name, value)?;
        }
        connection.pragma_update(None, "encoding", pragmas.encoding.name())?;
        for (name, value) in [("locking_mode", "EXCLUSIVE"), ("journal_mode", "OFF")] {
            connection.pragma_update_and_check(None, name, value, |_| Ok(()))?;
        }
        connection.set_prepared_statement_cache_capacity(64);
        Ok(Self { connection })
    }

    /// Makes a table.
    pub(super) fn table(&self, name: &str, sql: &str) -> Result<()> {
        let reserved = name.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("sqlite_"));
        if !reserved {
            return self.make(Kind::Table, name, sql);
        }
        if !OF_SQLITE.contains(&name) {
            let what = format!("the table {name:?}");
            return Err(Error::invalid(what, "SQLite has no table of its own of this name"));
        }
        if self.has_table(name)? {
            return Ok(());
        }
        // Only so does SQLite let others make its own tables.
        self.write_schema(true)?;
        let made = self.make(Kind::Table, name, sql);
        self.write_schema(false)?;
        made
    }

    /// Makes a table that may be to have another name than its statement says.
    pub(super) fn renamed_table(&self, name: &str, sql: &str) -> Result<()> {
        let own = statement::table_name(sql);
        let own = own.as_deref().unwrap_or(name);
        self.table(own, sql)?;
        if own == name {
            return Ok(());
        }
        let sql = format!("ALTER TABLE main.{} RENAME TO {}", quoted(own), quoted(name));
        self.connection.execute_batch(&sql).map_err(making(Kind::Table, name))
    }

    /// Makes an index, a view or a trigger.
    pub(super) fn object(&self, object: &Object) -> Result<()> {
        self.make(object.kind, &object.name, &object.sql)
    }

    /// Puts virtual tables into the schema: their own tables are there, as ordinary ones, with all that they
    /// hold, so the module must not make them, and need not even be there.
    pub(super) fn virtual_tables(&self, objects: &[&Object]) -> Result<()> {
        if objects.is_empty() {
            return Ok(());
        }
        for object in objects {
            statement::check(Kind::VirtualTable, &object.name, &object.sql)?;
        }
        self.write_schema(true)?;
        let added = objects.iter().try_for_each(|object| {
            let sql = "INSERT INTO main.sqlite_schema(type, name, tbl_name, rootpage, sql) VALUES('table', ?1, ?1, 0, ?2)";
            let added = self.connection.execute(sql, [&object.name, &object.sql]);
            added.map(drop).map_err(making(Kind::VirtualTable, &object.name))
        });
        // This makes SQLite read the schema again as well, with what was added.
        let reset = self.connection.pragma_update(None, "writable_schema", "RESET");
        added?;
        reset.map_err(|error| Error::engine(ENGINE, "read the new schema")(error))
    }

    /// Gives the objects the places among each other that they had. All of them are there, and no others:
    /// what was made of the schema has the sum that the schema had.
    pub(super) fn places(&self, objects: &[Object]) -> Result<()> {
        let failed = |error| Error::engine(ENGINE, "put the schema in order")(error);
        let connection = &self.connection;
        let table = "CREATE TEMP TABLE keepsum_places(type, name, place INTEGER UNIQUE, PRIMARY KEY(type, name)) WITHOUT ROWID";
        connection.execute_batch(&format!("BEGIN; {table}")).map_err(failed)?;
        let insert = "INSERT INTO temp.keepsum_places VALUES(?1, ?2, ?3)";
        let mut statement = connection.prepare(insert).map_err(failed)?;
        for object in objects {
            let row = (object.type_name(), &object.name, object.rowid);
            statement.execute(row).map_err(failed)?;
        }
        drop(statement);
        self.write_schema(true)?;
        // By way of negative numbers, so that no two rows have one place meanwhile.
        let found = connection.execute(
            "UPDATE main.sqlite_schema AS s SET rowid = -1 - p.place FROM temp.keepsum_places AS p
             WHERE p.type = s.type AND p.name = s.name AND p.place >= 0",
            [],
        );
        let sql = "UPDATE main.sqlite_schema SET rowid = -1 - rowid WHERE rowid < 0";
        let placed = found.and_then(|found| Ok((found, connection.execute(sql, [])?)));
        let count = "SELECT count(*) FROM main.sqlite_schema";
        let all = connection.query_row(count, [], |row| row.get::<_, i64>(0));
        let reset = connection.pragma_update(None, "writable_schema", "RESET");
        connection.execute_batch("COMMIT; DROP TABLE temp.keepsum_places").map_err(failed)?;
        reset.map_err(failed)?;
        let (found, all) = (placed.map_err(failed)?.0, all.map_err(failed)?);
        if i64::try_from(found) != Ok(all) || found != objects.len() {
            let detail = format!("of {} objects {found} were made, among {all}", objects.len());
            return Err(Error::damaged("the schema of the restored database", detail));
        }
        Ok(())
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

    fn make(&self, kind: Kind, name: &str, sql: &str) -> Result<()> {
        statement::check(kind, name, sql)?;
        let made = self.connection.prepare(sql).and_then(|mut statement| statement.execute([]));
        match made {
            Ok(_) => Ok(()),
            Err(rusqlite::Error::MultipleStatement) => {
                let what = format!("the statement of {} {name:?}", kind.word());
                Err(Error::invalid(what, "there is a second statement behind it"))
            }
            Err(error) => Err(making(kind, name)(error)),
        }
    }

    fn has_table(&self, name: &str) -> Result<bool> {
        let sql = "SELECT 1 FROM main.sqlite_schema WHERE name = ?1";
        let found = self.connection.query_row(sql, [name], |_| Ok(())).optional();
        Ok(found.map_err(making(Kind::Table, name))?.is_some())
    }

    fn write_schema(&self, on: bool) -> Result<()> {
        let config = DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA;
        let set = self.connection.set_db_config(config, on);
        set.map(drop).map_err(Error::engine(ENGINE, "open the schema for writing"))
    }
}

fn making(kind: Kind, name: &str) -> impl FnOnce(rusqlite::Error) -> Error + use<'_> {
    move |error| Error::engine(ENGINE, format!("make the {} {name:?}", kind.word()))(error)
}

/// Makes a schema in memory. What this program could not make again is refused by its name; notes say
/// what it can make, and not look into.
///
/// # Errors
/// [`Error::Unsupported`].
pub(super) fn rehearse(
    objects: &[Object],
    pragmas: &Pragmas,
    context: &Context,
) -> Result<Vec<String>> {
    let mut belonging: HashMap<String, Vec<&Object>> = HashMap::new();
    let (roots, others): (Vec<_>, Vec<_>) = objects
        .iter()
        .partition(|object| matches!(object.kind, Kind::Table | Kind::VirtualTable | Kind::View));
    for object in others {
        belonging.entry(object.table.to_ascii_lowercase()).or_default().push(object);
    }
    let mut notes = Vec::new();
    // Each table that SQLite makes costs it a look at all that are there.
    for some in roots.chunks(REHEARSED) {
        context.check()?;
        let build = Build::memory(pragmas.encoding)?;
        let theirs =
            some.iter().filter_map(|root| belonging.remove(&root.name.to_ascii_lowercase()));
        let theirs: Vec<_> = theirs.flatten().collect();
        notes.extend(rehearse_some(&build, some, &theirs)?);
    }
    match belonging.values().flatten().next() {
        None => Ok(notes),
        Some(object) => {
            let detail = format!("its {} {:?} is of no table", object.kind.word(), object.name);
            Err(Error::damaged("the schema of the database", detail))
        }
    }
}

/// Makes tables and views, and what belongs to them.
fn rehearse_some(build: &Build, roots: &[&Object], theirs: &[&Object]) -> Result<Vec<String>> {
    let all = || roots.iter().chain(theirs).copied();
    let of = |kind| all().filter(move |object| object.kind == kind);
    for table in first_of_sqlite(of(Kind::Table)) {
        build.table(&table.name, &table.sql).map_err(|error| refused(table, &error))?;
    }
    let make = |kind| {
        of(kind)
            .try_for_each(|object| build.object(object).map_err(|error| refused(object, &error)))
    };
    make(Kind::Index)?;
    let of_modules: Vec<_> = of(Kind::VirtualTable).collect();
    build.virtual_tables(&of_modules)?;
    make(Kind::View)?;
    make(Kind::Trigger)?;
    let missing = build.missing_modules(&of_modules)?;
    let note = |(table, module): (String, String)| {
        format!(
            "the virtual table {table:?} is of the module {module:?}, which is not here: its statement and the tables it keeps are read as they are"
        )
    };
    Ok(missing.into_iter().map(note).collect())
}

/// The tables in order, those that SQLite would make by itself first.
pub(super) fn first_of_sqlite<'a>(
    tables: impl Iterator<Item = &'a Object>,
) -> impl Iterator<Item = &'a Object> {
    let (own, others): (Vec<_>, Vec<_>) =
        tables.partition(|table| OF_SQLITE.contains(&table.name.as_str()));
    own.into_iter().chain(others)
}

/// The names of tables that SQLite makes and fills itself.
pub(super) fn of_sqlite() -> BTreeSet<&'static str> {
    OF_SQLITE.into_iter().collect()
}

fn refused(object: &Object, error: &Error) -> Error {
    let said = match std::error::Error::source(error) {
        Some(source) => source.to_string(),
        None => error.to_string(),
    };
    let what = format!("making the {} {:?} again", object.kind.word(), object.name);
    Error::unsupported(what, format!("SQLite says: {said}; back up the files (--files)"))
}
