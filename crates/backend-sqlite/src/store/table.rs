//! The tables of one database, and what is done with them.

use backup_core::Result;
use backup_core::kv::Operation;
use backup_core::record::RecordKey;
use rusqlite::{Connection, OptionalExtension, Params, Row};

use super::failure::failed;
use super::value::{INLINE_BYTES, PIECE_BYTES, Pieces, Stored};
use crate::splits::Question;

/// The tables of a database, with their statements.
///
/// `records_N` holds (root key, key) in bytewise order, each with its value where that is short;
/// `pieces_N` holds the pieces of long values. Two triggers see to it that pieces go with their record,
/// whoever removes or overwrites it.
#[derive(Debug, Clone)]
pub(super) struct Table {
    id: i64,
    name: String,
    /// The database as errors call it.
    what: String,
    get: String,
    put: String,
    put_piece: String,
    piece: String,
    delete: String,
}

/// Keys of a partition: from one on, and before another where there is an end.
#[derive(Debug, Clone)]
pub(super) struct Range {
    root_key: Vec<u8>,
    from: Vec<u8>,
    end: Option<Vec<u8>>,
}

impl Range {
    /// The keys that start with `prefix`.
    pub(super) fn of_prefix(root_key: &[u8], prefix: &[u8]) -> Self {
        // The smallest key above all of them: without the bytes that cannot be raised.
        let mut end = prefix.to_vec();
        while end.pop_if(|last| *last == u8::MAX).is_some() {}
        let raised = end.last_mut().map(|last| *last += 1);
        Self { root_key: root_key.to_vec(), from: prefix.to_vec(), end: raised.map(|()| end) }
    }

    /// The condition that a key is in the range, for the parameters of [`each`](Self::each).
    fn condition(&self) -> &'static str {
        match self.end {
            Some(_) => "root_key = ?1 AND key >= ?2 AND key < ?3",
            None => "root_key = ?1 AND key >= ?2",
        }
    }
}

impl Table {
    pub(super) fn new(id: i64, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            what: format!("database {name:?}"),
            get: format!(
                "SELECT value, first, length FROM records_{id} WHERE root_key = ?1 AND key = ?2"
            ),
            put: format!(
                "INSERT INTO records_{id} VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO UPDATE SET \
                 value = excluded.value, first = excluded.first, length = excluded.length"
            ),
            put_piece: format!("INSERT INTO pieces_{id} (bytes) VALUES (?1)"),
            piece: format!("SELECT bytes FROM pieces_{id} WHERE number = ?1"),
            delete: format!("DELETE FROM records_{id} WHERE root_key = ?1 AND key = ?2"),
        }
    }

    pub(super) fn id(&self) -> i64 {
        self.id
    }

    /// The database's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The database as errors call it.
    pub(super) fn what(&self) -> &str {
        &self.what
    }

    /// The statement that gives the piece with a number.
    pub(super) fn piece_sql(&self) -> &str {
        &self.piece
    }

    /// Makes the tables.
    pub(super) fn make(&self, connection: &Connection) -> Result<()> {
        let id = self.id;
        let remove = format!(
            "WHEN old.first IS NOT NULL BEGIN DELETE FROM pieces_{id} WHERE number BETWEEN \
             old.first AND old.first + (old.length - 1) / {PIECE_BYTES}; END"
        );
        let tables = format!(
            "CREATE TABLE records_{id} (root_key BLOB NOT NULL, key BLOB NOT NULL, value BLOB, \
             first INTEGER, length INTEGER, PRIMARY KEY (root_key, key)) STRICT, WITHOUT ROWID;
             CREATE TABLE pieces_{id} (number INTEGER PRIMARY KEY, bytes BLOB NOT NULL) STRICT;
             CREATE TRIGGER records_{id}_deleted AFTER DELETE ON records_{id} {remove};
             CREATE TRIGGER records_{id}_updated AFTER UPDATE OF first ON records_{id} {remove};"
        );
        connection.execute_batch(&tables).map_err(failed("make the tables of", &self.what))
    }

    /// Drops the tables.
    pub(super) fn drop_all(&self, connection: &Connection) -> Result<()> {
        let id = self.id;
        connection
            .execute_batch(&format!("DROP TABLE records_{id}; DROP TABLE pieces_{id};"))
            .map_err(failed("remove", &self.what))
    }

    /// The value of a key.
    pub(super) fn get(
        &self,
        connection: &Connection,
        root_key: &[u8],
        key: &[u8],
    ) -> Result<Option<Vec<u8>>> {
        let mut statement =
            connection.prepare_cached(&self.get).map_err(failed("read from", &self.what))?;
        let mut rows = statement.query((root_key, key)).map_err(failed("read from", &self.what))?;
        match rows.next().map_err(failed("read from", &self.what))? {
            Some(row) => Stored::read(row, 0, self)?.whole(connection, self).map(Some),
            None => Ok(None),
        }
    }

    /// Hands over each key of a range with its value, in order.
    pub(super) fn each(
        &self,
        connection: &Connection,
        range: &Range,
        mut take: impl FnMut(Vec<u8>, Vec<u8>) -> Result<()>,
    ) -> Result<()> {
        let (id, condition) = (self.id, range.condition());
        let select = format!(
            "SELECT key, value, first, length FROM records_{id} WHERE {condition} ORDER BY key"
        );
        let mut row = |row: &Row<'_>| {
            let key = row.get(0).map_err(failed("scan", &self.what))?;
            take(key, Stored::read(row, 1, self)?.whole(connection, self)?)
        };
        match &range.end {
            Some(end) => {
                self.rows(connection, &select, (&range.root_key, &range.from, end), &mut row)
            }
            None => self.rows(connection, &select, (&range.root_key, &range.from), &mut row),
        }
    }

    fn rows(
        &self,
        connection: &Connection,
        select: &str,
        parameters: impl Params,
        take: &mut impl FnMut(&Row<'_>) -> Result<()>,
    ) -> Result<()> {
        let mut statement =
            connection.prepare_cached(select).map_err(failed("scan", &self.what))?;
        let mut rows = statement.query(parameters).map_err(failed("scan", &self.what))?;
        while let Some(row) = rows.next().map_err(failed("scan", &self.what))? {
            take(row)?;
        }
        Ok(())
    }

    /// The root keys that have records, sorted: one search for each.
    pub(super) fn root_keys(&self, connection: &Connection) -> Result<Vec<Vec<u8>>> {
        let id = self.id;
        let next = format!(
            "SELECT root_key FROM records_{id} WHERE root_key >= ?1 ORDER BY root_key LIMIT 1"
        );
        let mut statement = connection
            .prepare_cached(&next)
            .map_err(failed("list the root keys of", &self.what))?;
        let mut root_keys: Vec<Vec<u8>> = Vec::new();
        let mut from = Vec::new();
        loop {
            let found = statement.query_row([&from], |row| row.get::<_, Vec<u8>>(0)).optional();
            match found.map_err(failed("list the root keys of", &self.what))? {
                Some(root_key) => {
                    from.clone_from(&root_key);
                    // The smallest root key above this one is the same with a zero byte.
                    from.push(0);
                    root_keys.push(root_key);
                }
                None => return Ok(root_keys),
            }
        }
    }

    /// Whether any root key is not empty.
    pub(super) fn is_partitioned(&self, connection: &Connection) -> Result<bool> {
        let any = format!("SELECT EXISTS (SELECT 1 FROM records_{} WHERE root_key > x'')", self.id);
        connection.query_row(&any, [], |row| row.get(0)).map_err(failed("read from", &self.what))
    }

    /// Where a record stands that was asked for.
    pub(super) fn answer(
        &self,
        connection: &Connection,
        question: Question,
    ) -> Result<Option<RecordKey>> {
        // Each takes the same parameters; without records before an empty place, all are after it.
        let up = "WHERE (root_key, key) >= (?1, ?2) ORDER BY root_key, key";
        let down = "ORDER BY root_key DESC, key DESC";
        let (rest, at, skipped) = match question {
            Question::From(at) => (up.to_owned(), at, 0),
            Question::Skip(at, rows) => (up.to_owned(), at, rows),
            Question::Before(at) => (format!("WHERE (root_key, key) < (?1, ?2) {down}"), at, 0),
            Question::Last => {
                (format!("WHERE (root_key, key) >= (?1, ?2) {down}"), RecordKey::default(), 0)
            }
        };
        let id = self.id;
        let select = format!("SELECT root_key, key FROM records_{id} {rest} LIMIT 1 OFFSET ?3");
        let found = || {
            let mut statement = connection.prepare_cached(&select)?;
            let place = |row: &Row<'_>| Ok(RecordKey { root_key: row.get(0)?, key: row.get(1)? });
            statement.query_row((&at.root_key, &at.key, skipped), place).optional()
        };
        found().map_err(failed("look for a key of", &self.what))
    }

    /// Does one operation of a batch, in a transaction of the caller's.
    pub(super) fn apply(
        &self,
        connection: &Connection,
        root_key: &[u8],
        operation: &Operation,
    ) -> Result<()> {
        match operation {
            Operation::Put { key, value } => self.put(connection, root_key, key, value),
            Operation::Delete { key } => {
                self.change(connection, &self.delete, (root_key, key)).map(drop)
            }
            Operation::DeletePrefix { prefix } => {
                let range = Range::of_prefix(root_key, prefix);
                let (id, condition) = (self.id, range.condition());
                let delete = format!("DELETE FROM records_{id} WHERE {condition}");
                match &range.end {
                    Some(end) => self.change(connection, &delete, (root_key, prefix, end)),
                    None => self.change(connection, &delete, (root_key, prefix)),
                }
                .map(drop)
            }
        }
    }

    fn put(
        &self,
        connection: &Connection,
        root_key: &[u8],
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        if value.len() <= INLINE_BYTES {
            return self.put_inline(connection, root_key, key, value);
        }
        let mut first = None;
        for piece in value.chunks(PIECE_BYTES) {
            let number = self.put_piece(connection, piece)?;
            first.get_or_insert(number);
        }
        let pieces = Pieces { first: first.unwrap_or_default(), length: value.len() as u64 };
        self.put_pieces(connection, root_key, key, pieces)
    }

    /// Puts a short value into its record's row.
    pub(super) fn put_inline(
        &self,
        connection: &Connection,
        root_key: &[u8],
        key: &[u8],
        value: &[u8],
    ) -> Result<()> {
        let none = None::<i64>;
        self.change(connection, &self.put, (root_key, key, value, none, none)).map(drop)
    }

    /// Puts a record whose pieces are there already.
    pub(super) fn put_pieces(
        &self,
        connection: &Connection,
        root_key: &[u8],
        key: &[u8],
        pieces: Pieces,
    ) -> Result<()> {
        let Pieces { first, length } = pieces;
        let row = (root_key, key, None::<&[u8]>, first, length.cast_signed());
        self.change(connection, &self.put, row).map(drop)
    }

    /// Adds a piece, and gives its number: one more than that of the piece before it, since only one
    /// transaction writes at a time.
    pub(super) fn put_piece(&self, connection: &Connection, bytes: &[u8]) -> Result<i64> {
        self.change(connection, &self.put_piece, [bytes])?;
        Ok(connection.last_insert_rowid())
    }

    fn change(
        &self,
        connection: &Connection,
        statement: &str,
        parameters: impl Params,
    ) -> Result<usize> {
        let mut statement =
            connection.prepare_cached(statement).map_err(failed("write to", &self.what))?;
        statement.execute(parameters).map_err(failed("write to", &self.what))
    }
}
