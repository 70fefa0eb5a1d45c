//! The records of one moment of a database: its schema, and the rows of each of its tables.

use std::collections::HashMap;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::position::Consistency;
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use backup_core::source::{BatchStream, DatabaseInfo, Layout, SnapshotInfo};
use backup_core::{Error, Records, Result, thread};
use futures_util::{StreamExt, stream};
use rusqlite::Connection;

use super::apart;
use super::estimate;
use super::indexes;
use super::read::Reader;
use super::rehearse;
use super::rowids::Pages;
use super::schema::{Object, Schema};
use super::settings::{SCHEMA, Settings};
use super::statement::Kind;
use super::table::Table;
use crate::ENGINE;
use crate::moment::Moment;

/// How many batches a scan is ahead of its reader.
const AHEAD: usize = 2;

/// How many statements a connection keeps ready for the scans that share it.
const STATEMENTS: usize = 64;

/// The records of a moment.
pub(crate) struct RowRecords {
    moment: Arc<Moment>,
    context: Context,
    schema: Arc<Schema>,
    databases: Vec<Database>,
    infos: Vec<DatabaseInfo>,
    notes: Vec<String>,
}

/// A database of records.
#[derive(Clone)]
enum Database {
    Schema,
    Table(Arc<Table>),
}

impl RowRecords {
    /// Looks at the schema and the tables of a moment.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the name of a table whose rows cannot be read, or not be brought back.
    pub(crate) fn read(moment: Arc<Moment>, context: &Context) -> Result<Self> {
        let mut this = Self::of_built(moment, true, context)?;
        let (schema, moment) = (Arc::clone(&this.schema), Arc::clone(&this.moment));
        this.notes.extend(moment.notes().iter().cloned());
        this.notes.extend(rehearse::rehearse(&schema.objects, &schema.pragmas, context)?);
        let tables = this.databases.iter().zip(&this.infos);
        let tables = tables.filter_map(|(database, info)| match database {
            Database::Schema => None,
            Database::Table(table) => Some((table.as_ref(), info.estimated_records)),
        });
        for (table, records) in tables {
            context.check()?;
            this.notes
                .extend(moment.with(|connection| indexes::notes(connection, table, records))?);
        }
        Ok(this)
    }

    /// Looks at a database that was built just now. Without a schema in the plan, what there is around its
    /// tables is nobody's record.
    pub(crate) fn of_built(
        moment: Arc<Moment>,
        has_schema: bool,
        context: &Context,
    ) -> Result<Self> {
        let schema = moment.with(|connection| {
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            Schema::read(connection, moment.is_wal(), moment.reserved())
        })?;
        let without_rowid = moment.with(without_rowid)?;
        let (mut infos, mut databases) = (Vec::new(), Vec::new());
        if has_schema {
            infos.push(schema_info(&schema));
            databases.push(Database::Schema);
        }
        for object in schema.objects.iter().filter(|object| object.kind == Kind::Table) {
            context.check()?;
            let Some(without_rowid) = without_rowid.get(&object.name.to_ascii_lowercase()) else {
                return Err(unread(object));
            };
            let encoding = schema.pragmas.encoding;
            let (table, info) = moment.with(|connection| {
                let table = Table::read(connection, &object.name, !without_rowid, encoding)?;
                apart::stand_in(connection, &table)?;
                let info = info(connection, &table, object)?;
                Ok((table, info))
            })?;
            databases.push(Database::Table(Arc::new(table)));
            infos.push(info);
        }
        let (schema, context, notes) = (Arc::new(schema), context.clone(), Vec::new());
        Ok(Self { moment, context, schema, databases, infos, notes })
    }

    /// With more that is to be said.
    pub(crate) fn with_notes(mut self, notes: impl IntoIterator<Item = String>) -> Self {
        self.notes.extend(notes);
        self
    }

    /// What the snapshot says of itself.
    pub(crate) fn info(&self) -> SnapshotInfo {
        SnapshotInfo {
            position: self.moment.position().clone(),
            consistency: Consistency::PointInTime,
            layout: Layout::Plain,
            databases: self.infos.clone(),
            pause: None,
            ownership: None,
            notes: self.notes.clone(),
            unusual: self.moment.unusual().to_vec(),
        }
    }

    fn database(&self, index: usize) -> Result<&Database> {
        self.databases.get(index).ok_or_else(|| Error::NotFound {
            what: format!("database number {index}"),
            hint: format!("the snapshot has {}", self.databases.len()),
        })
    }
}

#[async_trait]
impl Records for RowRecords {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        let Database::Table(table) = self.database(database)? else { return Ok(Vec::new()) };
        let (moment, table) = (Arc::clone(&self.moment), Arc::clone(table));
        let cuts = move || moment.with(|connection| estimate::splits(connection, &table, parts));
        thread::call("sqlite splits", cuts).await
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let context = self.context.clone();
        let table = match self.database(database) {
            Err(error) => return stream::once(async { Err(error) }).boxed(),
            Ok(Database::Schema) => {
                let batches = context.check().and_then(|()| self.schema.batches(from));
                return match batches {
                    Ok(batches) => stream::iter(batches).map(Ok).boxed(),
                    Err(error) => stream::once(async { Err(error) }).boxed(),
                };
            }
            Ok(Database::Table(table)) => Arc::clone(table),
        };
        // Rows have no root keys: whatever has one comes after them all.
        if from.is_some_and(|from| !from.root_key.is_empty()) {
            return stream::empty().boxed();
        }
        let moment = Arc::clone(&self.moment);
        let from = from.map(|from| from.key.clone());
        thread::stream("sqlite rows", AHEAD, move |batches| {
            let mut reader = Reader::new(ready(&moment, table, &context)?, from, &context);
            loop {
                context.check()?;
                // Handed over when the connection is free again: whoever waits may read another table.
                let found = moment.with(|connection| reader.next(connection))?;
                if found.is_empty() {
                    return Ok(());
                }
                found.into_iter().try_for_each(|batch| batches.send(batch))?;
            }
        })
    }
}

/// The table that rows are read from: a copy, where none of them can be looked for.
fn ready(moment: &Moment, table: Arc<Table>, context: &Context) -> Result<Arc<Table>> {
    if !table.is_apart() {
        return Ok(table);
    }
    moment.with(|connection| apart::copied(connection, &table, Pages::of(moment), context))
}

fn unread(table: &Object) -> Error {
    Error::unsupported(
        format!("reading rows of table {:?}", table.name),
        "this SQLite cannot read the statement that makes it; back up the files",
    )
}

/// Which tables are WITHOUT ROWID, by their names in small letters.
fn without_rowid(connection: &Connection) -> Result<HashMap<String, bool>> {
    let failed = |error| Error::engine(ENGINE, "list the tables")(error);
    let sql = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main' AND type IN ('table', 'shadow')";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let lower =
        |row: &rusqlite::Row<'_>| Ok((row.get::<_, String>(0)?.to_ascii_lowercase(), row.get(1)?));
    let found = statement.query_map([], lower).map_err(failed)?;
    found.collect::<rusqlite::Result<_>>().map_err(failed)
}

fn info(connection: &Connection, table: &Table, object: &Object) -> Result<DatabaseInfo> {
    let settings = Settings::Table {
        encoding: table.encoding,
        key: table.key_line(),
        sql: object.sql.clone(),
    };
    let (records, bytes) = estimate::size(connection, table)?;
    Ok(DatabaseInfo {
        settings: Some(settings.text()),
        estimated_records: Some(records),
        estimated_bytes: Some(bytes),
        ..DatabaseInfo::new(&table.name)
    })
}

fn schema_info(schema: &Schema) -> DatabaseInfo {
    let bytes: usize = schema.objects.iter().map(|object| object.sql.len()).sum();
    DatabaseInfo {
        settings: Some(Settings::Schema(schema.pragmas).text()),
        estimated_records: Some(schema.objects.len() as u64),
        estimated_bytes: Some(bytes as u64),
        ..DatabaseInfo::new(SCHEMA)
    }
}
