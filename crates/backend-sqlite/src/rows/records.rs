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

use super::build;
use super::estimate;
use super::read::Reader;
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
    databases: Vec<Database>,
    infos: Vec<DatabaseInfo>,
    notes: Vec<String>,
}

/// A database of records.
#[derive(Clone)]
enum Database {
    Schema(Arc<Schema>),
    Table(Arc<Table>),
}

impl RowRecords {
    /// Looks at the schema and the tables of a moment.
    ///
    /// # Errors
    /// [`Error::Unsupported`] with the name of what a restore could not make again.
    pub(crate) fn read(moment: Arc<Moment>, context: &Context) -> Result<Self> {
        let schema = moment.with(|connection| {
            connection.set_prepared_statement_cache_capacity(STATEMENTS);
            Schema::read(connection, moment.is_wal())
        })?;
        let mut notes = moment.notes().to_vec();
        notes.extend(build::rehearse(&schema.objects, &schema.pragmas, context)?);
        let without_rowid = moment.with(without_rowid)?;
        let mut infos = vec![schema_info(&schema)];
        let mut databases = Vec::new();
        for object in schema.objects.iter().filter(|object| object.kind == Kind::Table) {
            context.check()?;
            let has_rowid = !without_rowid.get(&object.name).copied().unwrap_or_default();
            let encoding = schema.pragmas.encoding;
            let (table, info) = moment.with(|connection| {
                let table = Table::read(connection, &object.name, has_rowid, encoding)?;
                let info = info(connection, &table, object)?;
                Ok((table, info))
            })?;
            databases.push(Database::Table(Arc::new(table)));
            infos.push(info);
        }
        databases.insert(0, Database::Schema(Arc::new(schema)));
        Ok(Self { moment, context: context.clone(), databases, infos, notes })
    }

    /// What the snapshot says of itself.
    pub(crate) fn info(&self) -> SnapshotInfo {
        SnapshotInfo {
            position: self.moment.position().clone(),
            consistency: Consistency::PointInTime,
            layout: Layout::Plain,
            databases: self.infos.clone(),
            pause: None,
            notes: self.notes.clone(),
            unusual: self.moment.unusual().to_vec(),
        }
    }

    fn database(&self, index: usize) -> Result<&Database> {
        self.databases.get(index).ok_or_else(|| Error::NotFound {
            what: format!("database number {index}"),
            hint: format!("; the snapshot has {}", self.databases.len()),
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
            Ok(Database::Schema(schema)) => {
                let batches = context.check().and_then(|()| schema.batches(from));
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
        let mut reader = Reader::new(table, from.map(|from| from.key.clone()));
        thread::stream("sqlite rows", AHEAD, move |batches| {
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

/// Which tables are WITHOUT ROWID.
fn without_rowid(connection: &Connection) -> Result<HashMap<String, bool>> {
    let failed = |error| Error::engine(ENGINE, "list the tables")(error);
    let sql = "SELECT name, wr FROM pragma_table_list WHERE schema = 'main'";
    let mut statement = connection.prepare(sql).map_err(failed)?;
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).map_err(failed)?;
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
