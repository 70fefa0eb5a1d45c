//! The schema of a database: read, as records of a database of its own, and read back from them.

use backup_core::record::{RecordBatch, RecordKey, parts};
use backup_core::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row};

use super::blueprint;
use super::encoding::Encoding;
use super::key::{self, Collation, Part};
use super::settings::{Pragmas, SCHEMA};
use super::statement::{self, Kind};
use super::value::{Cell, Cells, Maker};
use crate::ENGINE;

/// The type of the records that are settings of the database as a whole.
const SETTING: &str = "setting";

/// The columns of a record's value: the rowid, the type, the name, the table's name, the statement.
const COLUMNS: usize = 5;

/// The schema of a database.
#[derive(Debug, Clone)]
pub(super) struct Schema {
    /// The settings of the whole.
    pub(super) pragmas: Pragmas,
    /// What it consists of, in the order in which it was made.
    pub(super) objects: Vec<Object>,
}

/// A row of SQLite's own schema table, but for where the object lies in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Object {
    /// Its place among all.
    pub(super) rowid: i64,
    /// What it is.
    pub(super) kind: Kind,
    /// Its name.
    pub(super) name: String,
    /// The name of the table it belongs to.
    pub(super) table: String,
    /// The statement that makes it; empty for what a table makes by itself.
    pub(super) sql: String,
}

impl Object {
    /// The type that SQLite's own schema table gives it.
    pub(super) fn type_name(&self) -> &'static str {
        match self.kind {
            Kind::Table | Kind::VirtualTable => "table",
            other => other.word(),
        }
    }
}

impl Schema {
    /// Reads the schema of a database, of which its connection does not always tell whether it has a
    /// write-ahead log, and never how many bytes of its pages are reserved.
    pub(super) fn read(connection: &Connection, is_wal: bool, reserved: u8) -> Result<Self> {
        Ok(Self { pragmas: pragmas(connection, is_wal, reserved)?, objects: objects(connection)? })
    }

    /// The schema as records, in order.
    pub(super) fn records(&self) -> Result<Vec<(RecordKey, Vec<u8>)>> {
        let mut maker = Maker::default();
        let mut records: Vec<_> =
            self.objects.iter().map(|object| object_record(object, &mut maker)).collect();
        let pragmas = &self.pragmas;
        let number = |name, value: i64| (name, Cell::Integer(value));
        for (name, value) in [
            ("encoding", text(pragmas.encoding.name())),
            ("journal_mode", text(pragmas.journal_mode())),
            number("page_size", pragmas.page_size.into()),
            number("auto_vacuum", pragmas.auto_vacuum.into()),
            number("application_id", pragmas.application_id.into()),
            number("user_version", pragmas.user_version.into()),
            number("reserved", pragmas.reserved.into()),
        ] {
            let cells = [Cell::Integer(0), text(SETTING), text(name), Cell::Null, value];
            records.push((place(SETTING, name), made(&cells, &mut maker)));
        }
        records.sort();
        let twice = records.windows(2).find(|pair| matches!(pair, [one, two] if one.0 == two.0));
        if twice.is_some() {
            let detail = "two of its objects have one type and one name";
            return Err(Error::damaged("the schema of the database", detail));
        }
        Ok(records)
    }

    /// The records from a key on, as they travel.
    pub(super) fn batches(&self, from: Option<&RecordKey>) -> Result<Vec<RecordBatch>> {
        let (mut full, mut open) = (Vec::new(), RecordBatch::new());
        for (at, value) in self.records()? {
            if from.is_some_and(|from| at < *from) {
                continue;
            }
            for part in parts(&at.root_key, &at.key, &value) {
                open.push(part)?;
                if open.is_full() {
                    full.push(open.take());
                }
            }
        }
        if !open.is_empty() {
            full.push(open);
        }
        Ok(full)
    }
}

fn text(text: &str) -> Cell<'_> {
    Cell::Text(text.as_bytes().into())
}

/// The key of a record of the schema. It is of UTF-8, whatever the encoding of the database.
fn place(kind: &str, name: &str) -> RecordKey {
    let mut key = Vec::new();
    for part in [kind, name] {
        key::push(&mut key, &Part::Text(part.as_bytes().into()), Collation::Binary);
    }
    RecordKey { root_key: Vec::new(), key }
}

pub(super) fn object_record(object: &Object, maker: &mut Maker) -> (RecordKey, Vec<u8>) {
    let cells = [
        Cell::Integer(object.rowid),
        text(object.type_name()),
        text(&object.name),
        text(&object.table),
        if object.kind == Kind::OwnIndex { Cell::Null } else { text(&object.sql) },
    ];
    (place(object.type_name(), &object.name), made(&cells, maker))
}

/// The record of an object as it travels.
pub(super) fn object_batch(object: &Object) -> Result<Vec<RecordBatch>> {
    let (at, value) = object_record(object, &mut Maker::default());
    let mut batches = Vec::new();
    for part in parts(&at.root_key, &at.key, &value) {
        let mut batch = RecordBatch::new();
        batch.push(part)?;
        batches.push(batch);
    }
    Ok(batches)
}

fn made(cells: &[Cell<'_>], maker: &mut Maker) -> Vec<u8> {
    maker.begin(cells.len());
    for cell in cells {
        maker.push(cell);
    }
    maker.finish().to_vec()
}

/// The object that a record of the schema tells of; none for a setting, which came before all records.
pub(super) fn object(at: &[u8], value: &[u8]) -> Result<Option<Object>> {
    let damaged = |detail: &str| {
        Error::damaged(format!("a record of database {SCHEMA:?}"), detail.to_owned())
    };
    let cells = Cells::read(value, COLUMNS).map_err(|detail| damaged(&detail))?;
    let cells: Vec<_> =
        cells.collect::<Result<_, _>>().map_err(|detail: String| damaged(&detail))?;
    let [rowid, kind, name, table, sql] = cells.as_slice() else {
        return Err(damaged("it has not the columns of a schema"));
    };
    let string = |cell: &Cell<'_>| match cell {
        Cell::Text(text) => std::str::from_utf8(text).ok().map(str::to_owned),
        _ => None,
    };
    let (Cell::Integer(rowid), Some(kind), Some(name)) = (rowid, string(kind), string(name)) else {
        return Err(damaged("its columns are not of the classes that a schema has"));
    };
    if place(&kind, &name).key != at {
        return Err(damaged("its key and its value name two objects"));
    }
    if kind == SETTING {
        return Ok(None);
    }
    let sql = if *sql == Cell::Null { Some(None) } else { string(sql).map(Some) };
    let (Some(table), Some(sql)) = (string(table), sql) else {
        return Err(damaged("its columns are not of the classes that a schema has"));
    };
    let is_virtual = sql.as_deref().is_some_and(|sql| statement::module(sql).is_some());
    let kind = match (kind.as_str(), sql.is_some()) {
        ("table", _) if is_virtual => Kind::VirtualTable,
        ("table", true) => Kind::Table,
        ("index", true) => Kind::Index,
        ("index", false) => Kind::OwnIndex,
        ("view", true) => Kind::View,
        ("trigger", true) => Kind::Trigger,
        _ => return Err(damaged("it is of a type that no schema has")),
    };
    let sql = sql.unwrap_or_default();
    Ok(Some(Object { rowid: *rowid, kind, name, table, sql }))
}

fn objects(connection: &Connection) -> Result<Vec<Object>> {
    let failed = |error| Error::engine(ENGINE, "read the schema")(error);
    let mut statement = connection
        .prepare(
            "SELECT rowid, type, rootpage, name, tbl_name, coalesce(sql, ''), sql IS NULL FROM main.sqlite_schema ORDER BY rowid",
        )
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let mut objects = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let is_own: bool = row.get(6).map_err(failed)?;
        let page: Option<i64> = row.get(2).map_err(failed)?;
        let kind = match (string(row, 1)?.as_str(), is_own) {
            ("table", false) if page.unwrap_or_default() == 0 => Kind::VirtualTable,
            ("table", false) => Kind::Table,
            ("index", false) => Kind::Index,
            ("index", true) => Kind::OwnIndex,
            ("view", false) => Kind::View,
            ("trigger", false) => Kind::Trigger,
            (other, _) => {
                let detail = format!("it has an object of type {other:?} that SQLite has not");
                return Err(Error::damaged("the schema of the database", detail));
            }
        };
        let rowid = row.get(0).map_err(failed)?;
        let (name, table, sql) = (string(row, 3)?, string(row, 4)?, string(row, 5)?);
        objects.push(Object { rowid, kind, name, table, sql });
    }
    Ok(objects)
}

/// Has a connection read what it can of a schema that SQLite cannot read as a whole: a view or a trigger
/// that does not parse hides no table. Gives what is wrong with it.
pub(crate) fn read_what_can_be(connection: &Connection) -> Result<Option<String>> {
    let Err(error) = connection.prepare("SELECT 1 FROM main.sqlite_schema") else {
        return Ok(None);
    };
    let said = error.to_string();
    if !said.starts_with("malformed database schema") {
        return Ok(None);
    }
    let config = DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA;
    let set = connection.set_db_config(config, true);
    set.map_err(Error::engine(ENGINE, "read a part of the schema"))?;
    blueprint::settle(connection);
    Ok(Some(format!(
        "SQLite cannot read the whole schema ({said}): what it cannot read is kept as its statement"
    )))
}

fn string(row: &Row<'_>, column: usize) -> Result<String> {
    row.get(column).map_err(|_| {
        Error::unsupported(
            "reading rows of the database",
            "a name or a statement of its schema is no UTF-8; back up the files",
        )
    })
}

fn pragmas(connection: &Connection, is_wal: bool, reserved: u8) -> Result<Pragmas> {
    let failed = |name: &str| Error::engine(ENGINE, format!("ask for {name}"));
    let number = |name: &str| {
        let answer = connection.pragma_query_value(None, name, |row| row.get::<_, i64>(0));
        answer.map_err(failed(name))
    };
    let word = |name: &str| {
        let answer = connection.pragma_query_value(None, name, |row| row.get::<_, String>(0));
        answer.map_err(failed(name))
    };
    let encoding = Encoding::named(&word("encoding")?).unwrap_or(Encoding::Utf8);
    let signed = |name| Ok(i32::try_from(number(name)?).unwrap_or_default());
    Ok(Pragmas {
        encoding,
        page_size: u32::try_from(number("page_size")?).unwrap_or_default(),
        auto_vacuum: u8::try_from(number("auto_vacuum")?).unwrap_or_default(),
        application_id: signed("application_id")?,
        user_version: signed("user_version")?,
        is_wal,
        reserved,
    })
}
