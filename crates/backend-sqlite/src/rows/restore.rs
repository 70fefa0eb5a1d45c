//! Restoring rows: tables are made at once, rows come into them as they arrive, and all else at the end.

use std::collections::BTreeSet;
use std::path::Path;

use backup_core::check::CheckLevel;
use backup_core::loading::{Batches, Loading};
use backup_core::progress::Context;
use backup_core::record::{Assembler, RecordBatch};
use backup_core::source::{DatabaseInfo, Layout};
use backup_core::staging::Staging;
use backup_core::target::Origin;
use backup_core::{Error, Restore, Result};

use super::build::{self, Build};
use super::finish::{self, Plan};
use super::load::{Loader, in_order};
use super::schema::{self, Object};
use super::settings::{Pragmas, SCHEMA, Settings};
use super::table::Table;
use crate::{ENGINE, source, target};

/// How many bytes of rows are written in one transaction.
const TRANSACTION_BYTES: usize = 64 << 20;

/// The table of SQLite's own that counts rowids, and where its rows wait: filling other tables changes it.
pub(super) const SEQUENCE: &str = "sqlite_sequence";
pub(super) const WAITING_SEQUENCE: &str = "\"temp\".\"keepsum_sequence\"";

/// The most bytes of a schema. What is longer is no schema that SQLite would open.
const MAX_SCHEMA_BYTES: usize = 512 << 20;

/// What the thread leaves: all rows in their tables, and what is to be made of the schema.
struct Written {
    build: Build,
    plan: Plan,
}

/// Begins to build a database, and makes its tables.
///
/// # Errors
/// [`Error::Unsupported`] for the partitioned layout, or where not all of `databases` are tables of SQLite
/// ([`can_load`](super::can_load)); [`Error::Invalid`] for settings that are no tables'.
pub(crate) fn begin(
    staging: Staging,
    origin: Origin,
    layout: Layout,
    databases: &[DatabaseInfo],
    asked: Option<CheckLevel>,
    context: &Context,
) -> Result<Box<dyn Restore>> {
    if layout == Layout::Partitioned {
        let what = "keeping root keys in tables of SQLite";
        return Err(Error::unsupported(
            what,
            "their rows have none; restore with the plain layout",
        ));
    }
    let tables = Tables::begin(&staging.file(), databases)?;
    let work = move |batches: &Batches| tables.fill(batches);
    let loading = Loading::start(ENGINE, databases.len(), context, work)?;
    let context = context.clone();
    Ok(loading.restore(staging, move |Written { build, plan }, staging| {
        let (notes, check) = finish::finish(build, &plan, asked, &context)?;
        let (path, cancelled) = (staging.file(), context.clone());
        let built = target::built(staging, origin, &context).with_notes(notes).checked(check);
        Ok(built.read_by(move || source::of_built(&path, &cancelled)))
    }))
}

/// A database whose tables are being filled.
struct Tables {
    build: Build,
    pragmas: Pragmas,
    /// The databases of the plan, in order.
    databases: Vec<Planned>,
    objects: Vec<Object>,
    schema_came: bool,
}

/// A database of the plan.
enum Planned {
    /// The schema.
    Schema,
    /// A table that was made.
    Table(Table, String),
}

impl Tables {
    fn begin(path: &Path, databases: &[DatabaseInfo]) -> Result<Self> {
        let settings = databases.iter().map(Settings::read).collect::<Result<Vec<_>>>()?;
        let pragmas = check_plan(databases, &settings)?;
        let build = Build::file(path, &pragmas)?;
        run(&build, "BEGIN")?;
        // The schema knows its tables by their own names only.
        let has_schema = settings.iter().any(|settings| matches!(settings, Settings::Schema(_)));
        let own = build::of_sqlite();
        let all = databases.iter().zip(&settings);
        let (first, then): (Vec<_>, Vec<_>) =
            all.partition(|(info, _)| own.contains(info.name.as_str()));
        for (info, settings) in first.into_iter().chain(then) {
            match settings {
                Settings::Schema(_) => {}
                Settings::Table { sql, .. } if has_schema => build.table(&info.name, sql)?,
                Settings::Table { sql, .. } => build.renamed_table(&info.name, sql)?,
            }
        }
        let columns = "rowid INTEGER PRIMARY KEY, name, seq";
        run(&build, &format!("CREATE TABLE {WAITING_SEQUENCE}({columns})"))?;
        let planned = databases.iter().zip(settings).map(|(info, settings)| match settings {
            Settings::Schema(_) => Ok(Planned::Schema),
            Settings::Table { key, sql, .. } => {
                let table = made(&build, &info.name, &key, pragmas.encoding)?;
                Ok(Planned::Table(table, sql))
            }
        });
        let databases = planned.collect::<Result<_>>()?;
        Ok(Self { build, pragmas, databases, objects: Vec::new(), schema_came: false })
    }

    /// Fills the tables with what comes, database by database.
    fn fill(mut self, batches: &Batches) -> Result<Written> {
        let mut next = batches.next();
        let mut written = 0;
        while let Some((number, mut batch)) = next.take() {
            let mut sink = self.sink(number)?;
            loop {
                sink.add(&batch)?;
                written += batch.bytes();
                if written >= TRANSACTION_BYTES && sink.is_between_rows() {
                    run(&self.build, "COMMIT; BEGIN")?;
                    written = 0;
                }
                next = batches.next();
                match next.take() {
                    Some((other, more)) if other == number => batch = more,
                    other => {
                        next = other;
                        break;
                    }
                }
            }
            if let Some(objects) = sink.finish()? {
                self.objects = objects;
                self.schema_came = true;
            }
        }
        run(&self.build, "COMMIT")?;
        let has_schema = self.databases.iter().any(|planned| matches!(planned, Planned::Schema));
        if has_schema && !self.schema_came {
            let what = format!("the database {SCHEMA:?}");
            return Err(Error::invalid(what, "none of its records came"));
        }
        let tables = self.databases.into_iter().filter_map(|planned| match planned {
            Planned::Schema => None,
            Planned::Table(table, sql) => Some((table.name, sql)),
        });
        let (pragmas, objects) = (self.pragmas, self.objects);
        let plan = Plan { pragmas, has_schema, objects, tables: tables.collect() };
        Ok(Written { build: self.build, plan })
    }

    fn sink(&self, number: usize) -> Result<Sink<'_>> {
        match self.databases.get(number) {
            Some(Planned::Schema) => Ok(Sink::Schema(SchemaSink::default())),
            Some(Planned::Table(table, _)) => {
                let instead = (table.name == SEQUENCE).then_some(WAITING_SEQUENCE);
                let loader = Loader::new(&self.build.connection, table.clone(), instead)?;
                Ok(Sink::Table(Box::new(loader)))
            }
            None => Err(Error::invalid("a restore of rows", "a database is not in the plan")),
        }
    }
}

/// Where the records of a database go.
enum Sink<'c> {
    Schema(SchemaSink),
    Table(Box<Loader<'c>>),
}

/// The schema, being collected.
#[derive(Default)]
struct SchemaSink {
    assembler: Assembler,
    last: Option<Vec<u8>>,
    objects: Vec<Object>,
    bytes: usize,
}

impl Sink<'_> {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        match self {
            Self::Schema(sink) => sink.add(batch),
            Self::Table(loader) => loader.add(batch),
        }
    }

    /// Whether a transaction may end here.
    fn is_between_rows(&self) -> bool {
        match self {
            Self::Schema(_) => true,
            Self::Table(loader) => loader.is_between_rows(),
        }
    }

    /// The objects of the schema, where it was the schema.
    fn finish(self) -> Result<Option<Vec<Object>>> {
        match self {
            Self::Schema(sink) => {
                sink.assembler.finish()?;
                Ok(Some(sink.objects))
            }
            Self::Table(loader) => {
                loader.finish()?;
                Ok(None)
            }
        }
    }
}

impl SchemaSink {
    fn add(&mut self, batch: &RecordBatch) -> Result<()> {
        self.bytes += batch.bytes();
        if self.bytes > MAX_SCHEMA_BYTES {
            let (found, limit) = (self.bytes as u64, MAX_SCHEMA_BYTES as u64);
            return Err(Error::Limit { what: "the schema".into(), found, limit });
        }
        let Self { assembler, last, objects, .. } = self;
        assembler.feed(batch, MAX_SCHEMA_BYTES as u64, |root_key, key, value| {
            in_order(SCHEMA, last, root_key, key)?;
            objects.extend(schema::object(key, value)?);
            Ok(())
        })
    }
}

/// Checks that a plan is of one database, and gives that database's settings.
fn check_plan(databases: &[DatabaseInfo], settings: &[Settings]) -> Result<Pragmas> {
    let mut names = BTreeSet::new();
    for info in databases {
        // As SQLite compares names.
        if !names.insert(info.name.to_ascii_lowercase()) {
            let detail = "comes twice in one restore; restore one of them under another name";
            return Err(Error::invalid(format!("the table {:?}", info.name), detail));
        }
    }
    let Some(first) = settings.first() else {
        return Err(Error::invalid("a restore of rows", "has no tables"));
    };
    if settings.iter().any(|settings| settings.encoding() != first.encoding()) {
        let detail = "are of databases with different encodings; restore them apart";
        return Err(Error::invalid("the tables of one restore", detail));
    }
    let whole = settings.iter().find_map(|settings| match settings {
        Settings::Schema(pragmas) => Some(*pragmas),
        Settings::Table { .. } => None,
    });
    Ok(whole.unwrap_or(Pragmas::new(first.encoding())))
}

/// Looks at a table that was made, which must have the key that its records have.
fn made(
    build: &Build,
    name: &str,
    key: &str,
    encoding: super::encoding::Encoding,
) -> Result<Table> {
    let sql = "SELECT wr FROM pragma_table_list(?1) WHERE schema = 'main'";
    let without_rowid = build.connection.query_row(sql, [name], |row| row.get::<_, bool>(0));
    let without_rowid =
        without_rowid.map_err(Error::engine(ENGINE, format!("look at table {name:?}")))?;
    let table = Table::read(&build.connection, name, !without_rowid, encoding)?;
    let found = table.key_line();
    if found != key {
        let detail = format!("its records are found by {key:?}, and its rows by {found:?}");
        return Err(Error::invalid(format!("the settings of table {name:?}"), detail));
    }
    Ok(table)
}

fn run(build: &Build, sql: &str) -> Result<()> {
    build.connection.execute_batch(sql).map_err(Error::engine(ENGINE, sql))
}
