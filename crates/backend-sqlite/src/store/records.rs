//! The records of a store's file, at one moment.

use std::sync::Arc;

use async_trait::async_trait;
use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::record::{MAX_WHOLE_VALUE, Record, RecordBatch, RecordKey};
use backup_core::source::{BatchStream, DatabaseInfo, Layout};
use backup_core::{Error, Records, Result, thread};
use futures_util::{StreamExt, stream};
use rusqlite::{Connection, Params, Row};

use super::estimates::estimate;
use super::failure::{failed, impossible};
use super::layout;
use super::table::Table;
use super::value::{Pieces, Stored};
use crate::moment::Moment;
use crate::splits;

/// How many batches a scan may be ahead of its reader.
const AHEAD: usize = 2;

/// The most databases that are estimated: for each, SQLite goes through the names of all.
const ESTIMATED: usize = 256;

/// The records of a key-value store at one moment.
pub(crate) struct StoreRecords {
    moment: Arc<Moment>,
    tables: Vec<Table>,
    databases: Vec<DatabaseInfo>,
    layout: Layout,
    /// The number of changes that had been made.
    changes: u64,
    context: Context,
}

impl StoreRecords {
    /// Those of a moment of a file that [`is_store`](super::is_store).
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a file that a later version wrote.
    pub(crate) fn open(moment: &Arc<Moment>, store: &str, context: &Context) -> Result<Self> {
        moment.with(|connection| {
            layout::check(connection, store)?;
            let tables = layout::databases(connection)?;
            let mut databases = Vec::with_capacity(tables.len());
            let mut layout = Layout::Plain;
            for table in &tables {
                if table.is_partitioned(connection)? {
                    layout = Layout::Partitioned;
                }
                let mut info = DatabaseInfo::new(table.name());
                if tables.len() <= ESTIMATED {
                    // A page that cannot be read is found by who reads the records; SQLite's statistics
                    // would call it damaged, whatever kept it from being read.
                    let estimate = estimate(connection, table).ok();
                    info.estimated_records = estimate.map(|estimate| estimate.records);
                    info.estimated_bytes = estimate.map(|estimate| estimate.bytes);
                }
                databases.push(info);
            }
            let (changes, context) = (layout::changes(connection)?, context.clone());
            Ok(Self { moment: moment.clone(), tables, databases, layout, changes, context })
        })
    }

    /// The databases, sorted by name.
    pub(crate) fn databases(&self) -> Vec<DatabaseInfo> {
        self.databases.clone()
    }

    /// Plain where every root key is empty.
    pub(crate) fn layout(&self) -> Layout {
        self.layout
    }

    /// The number of batches and other changes that the store had taken.
    pub(crate) fn position(&self) -> Position {
        Position::Version(self.changes)
    }

    fn table(&self, index: usize) -> Result<&Table> {
        self.tables.get(index).ok_or_else(|| Error::NotFound {
            what: format!("database number {index}"),
            hint: format!("the snapshot has {}", self.tables.len()),
        })
    }
}

#[async_trait]
impl Records for StoreRecords {
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>> {
        let (table, moment) = (self.table(database)?.clone(), self.moment.clone());
        let context = self.context.clone();
        thread::call("sqlite splits", move || {
            splits::splits(parts, |question| {
                context.check()?;
                moment.with(|connection| table.answer(connection, question))
            })
        })
        .await
    }

    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream {
        let table = match self.table(database) {
            Ok(table) => table.clone(),
            Err(error) => return stream::once(async { Err(error) }).boxed(),
        };
        let (moment, context) = (self.moment.clone(), self.context.clone());
        let mut cursor = Some(Cursor::from(from.cloned().unwrap_or_default()));
        thread::stream("sqlite scan", AHEAD, move |batches| {
            let selects = Selects::of(&table);
            while let Some(from) = cursor.take() {
                context.check()?;
                let mut batch = RecordBatch::new();
                cursor = moment.with(|connection| {
                    Fill { connection, table: &table, batch: &mut batch }.from(from, &selects)
                })?;
                if !batch.is_empty() {
                    batches.send(batch)?;
                }
            }
            Ok(())
        })
    }
}

/// Where a scan goes on.
struct Cursor {
    /// At the first record that is not before this place.
    at: RecordKey,
    /// Or first with what is left of that record's value: its pieces, and how many of them were sent.
    within: Option<(Pieces, u64)>,
}

impl From<RecordKey> for Cursor {
    fn from(at: RecordKey) -> Self {
        Self { at, within: None }
    }
}

impl Cursor {
    /// Behind a record: the smallest place above it is the same with a zero byte.
    fn behind(root_key: &[u8], key: &[u8]) -> Self {
        let mut at = RecordKey::new(root_key, key);
        at.key.push(0);
        Self::from(at)
    }
}

/// The statements that give the records of a database from a place on: what is left of its partition, and
/// the partitions after it. In one, SQLite would compare each row with the place once more.
struct Selects {
    partition: String,
    after: String,
}

impl Selects {
    fn of(table: &Table) -> Self {
        let id = table.id();
        let columns = "root_key, key, value, first, length";
        Self {
            partition: format!(
                "SELECT {columns} FROM records_{id} WHERE root_key = ?1 AND key >= ?2 ORDER BY key"
            ),
            after: format!(
                "SELECT {columns} FROM records_{id} WHERE root_key > ?1 ORDER BY root_key, key"
            ),
        }
    }
}

/// Fills a batch.
struct Fill<'a> {
    connection: &'a Connection,
    table: &'a Table,
    batch: &'a mut RecordBatch,
}

impl Fill<'_> {
    /// Adds records until the batch is full, and gives the place where the next one begins, if there may
    /// be more.
    fn from(&mut self, cursor: Cursor, selects: &Selects) -> Result<Option<Cursor>> {
        let mut at = cursor.at;
        if let Some((pieces, sent)) = cursor.within {
            if let Some(rest) = self.push_pieces(&at, pieces, sent)? {
                return Ok(Some(rest));
            }
            at.key.push(0);
        }
        if let Some(next) = self.push_rows(&selects.partition, (&at.root_key, &at.key))? {
            return Ok(Some(next));
        }
        self.push_rows(&selects.after, [&at.root_key])
    }

    /// Adds what a statement gives.
    fn push_rows(&mut self, select: &str, parameters: impl Params) -> Result<Option<Cursor>> {
        let (connection, what) = (self.connection, self.table.what());
        let mut statement = connection.prepare_cached(select).map_err(failed("scan", what))?;
        let mut rows = statement.query(parameters).map_err(failed("scan", what))?;
        while let Some(row) = rows.next().map_err(failed("scan", what))? {
            if let Some(next) = self.push_row(row)? {
                return Ok(Some(next));
            }
        }
        Ok(None)
    }

    /// Adds a record, and gives the place to go on at if the batch is then full.
    fn push_row(&mut self, row: &Row<'_>) -> Result<Option<Cursor>> {
        let (root_key, key) = (blob(row, 0, self.table)?, blob(row, 1, self.table)?);
        match Stored::read(row, 2, self.table)? {
            Stored::Pieces(pieces) if pieces.length > MAX_WHOLE_VALUE as u64 => {
                let at = RecordKey::new(root_key, key);
                if let Some(rest) = self.push_pieces(&at, pieces, 0)? {
                    return Ok(Some(rest));
                }
            }
            Stored::Inline(value) => self.batch.push(Record::whole(root_key, key, value))?,
            stored @ Stored::Pieces(_) => {
                let value = stored.whole(self.connection, self.table)?;
                self.batch.push(Record::whole(root_key, key, &value))?;
            }
        }
        Ok(self.batch.is_full().then(|| Cursor::behind(root_key, key)))
    }

    /// Adds pieces of a long value from one on, and gives the place to go on at if there are more.
    fn push_pieces(&mut self, at: &RecordKey, pieces: Pieces, from: u64) -> Result<Option<Cursor>> {
        for index in from..pieces.count() {
            if self.batch.is_full() {
                return Ok(Some(Cursor { at: at.clone(), within: Some((pieces, index)) }));
            }
            let batch = &mut *self.batch;
            pieces.read(index, self.connection, self.table, |value| {
                let (offset, total) = (Pieces::offset(index), pieces.length);
                batch.push(Record { root_key: &at.root_key, key: &at.key, value, offset, total })
            })?;
        }
        Ok(None)
    }
}

fn blob<'a>(row: &'a Row<'_>, column: usize, table: &Table) -> Result<&'a [u8]> {
    let value = row.get_ref(column).map_err(failed("scan", table.what()))?;
    value.as_blob().map_err(|_| impossible(table.what(), "a key of it is no blob"))
}
