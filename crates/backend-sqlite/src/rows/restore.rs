//! Restoring rows: each comes into the bare form of its table as it arrives, and all else is made at the end.

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

use super::blueprint::{Bare, Blueprint};
use super::build::{self, Build};
use super::finish::{self, Finished, Plan, TableMade};
use super::load::{Loader, in_order};
use super::schema::{self, Object};
use super::settings::{Pragmas, SCHEMA, Settings};
use super::statement;
use crate::{ENGINE, source, target};

/// How many bytes of rows are written in one transaction.
const TRANSACTION_BYTES: usize = 64 << 20;

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
        let has_schema = plan.schema.is_some();
        let Finished { notes, not_carried, check } = finish::finish(build, &plan, asked, &context)?;
        let (path, cancelled) = (staging.file(), context.clone());
        let built = target::built(staging, origin, &context).with_notes(notes).checked(check);
        let built = built.without(not_carried);
        Ok(built.read_by(move || source::rows_of_built(&path, has_schema, &cancelled)))
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
    /// How many tables SQLite knows.
    known: usize,
}

/// A database of the plan.
enum Planned {
    /// The schema.
    Schema,
    /// A table.
    Table {
        /// The name that it gets.
        name: String,
        /// Its statement.
        sql: String,
        bare: Box<Bare>,
        /// The first page of its bare form, once that was made.
        root: Option<i64>,
    },
}

impl Tables {
    fn begin(path: &Path, databases: &[DatabaseInfo]) -> Result<Self> {
        let settings = databases.iter().map(Settings::read).collect::<Result<Vec<_>>>()?;
        let pragmas = check_plan(databases, &settings)?;
        let own_names = databases.iter().zip(&settings).filter_map(|(info, settings)| {
            let Settings::Table { sql, .. } = settings else { return None };
            Some((own_name(&info.name, sql), sql.as_str()))
        });
        let own_names: Vec<_> = own_names.collect();
        let statements = own_names.iter().map(|(name, sql)| (name.as_str(), *sql));
        let blueprint = Blueprint::of(pragmas.encoding, statements)?;
        let planned = databases.iter().zip(&settings).map(|(info, settings)| match settings {
            Settings::Schema(_) => Ok(Planned::Schema),
            Settings::Table { key, sql, .. } => {
                let own = own_name(&info.name, sql);
                check_name(&info.name, &own)?;
                let mut bare = blueprint.bare(&own)?;
                check_key(&info.name, key, &bare)?;
                bare.table.name.clone_from(&info.name);
                let (name, sql) = (info.name.clone(), sql.clone());
                Ok(Planned::Table { name, sql, bare: Box::new(bare), root: None })
            }
        });
        let databases = planned.collect::<Result<_>>()?;
        let build = Build::file(path, &pragmas)?;
        run(&build, "BEGIN")?;
        let (objects, schema_came, known) = (Vec::new(), false, 0);
        Ok(Self { build, pragmas, databases, objects, schema_came, known })
    }

    /// Fills the tables with what comes, database by database.
    fn fill(mut self, batches: &Batches) -> Result<Written> {
        let mut next = batches.next();
        let mut written = 0;
        while let Some((number, mut batch)) = next.take() {
            self.make(number)?;
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
        (0..self.databases.len()).try_for_each(|number| self.make(number))?;
        run(&self.build, "COMMIT")?;
        let schema = self.databases.iter().position(|one| matches!(one, Planned::Schema));
        if schema.is_some() && !self.schema_came {
            let what = format!("the database {SCHEMA:?}");
            return Err(Error::invalid(what, "none of its records came"));
        }
        let tables = self.databases.into_iter().enumerate().filter_map(|(number, planned)| {
            let Planned::Table { name, sql, bare, root } = planned else { return None };
            Some((name, TableMade { number, sql, bare: *bare, root: root? }))
        });
        let (pragmas, objects) = (self.pragmas, self.objects);
        let plan = Plan { pragmas, schema, objects, tables: tables.collect() };
        Ok(Written { build: self.build, plan })
    }

    /// Makes the bare form of a table, unless that is there. Tables that came before are forgotten where they
    /// are many: nothing more comes for them.
    fn make(&mut self, number: usize) -> Result<()> {
        let Self { build, databases, known, .. } = self;
        if let Some(Planned::Table { bare, root: root @ None, .. }) = databases.get_mut(number) {
            if *known == build::KNOWN {
                run(build, "COMMIT")?;
                build.forget()?;
                run(build, "BEGIN")?;
                *known = 0;
            }
            *root = Some(build.bare(number, bare)?);
            *known += 1;
        }
        Ok(())
    }

    fn sink(&self, number: usize) -> Result<Sink<'_>> {
        match self.databases.get(number) {
            Some(Planned::Schema) => Ok(Sink::Schema(SchemaSink::default())),
            Some(Planned::Table { bare, .. }) => {
                let into = Build::bare_name(number);
                let loader = Loader::new(&self.build.connection, bare.as_ref().clone(), into);
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

/// The name that a table has by its own statement, if that says one.
fn own_name(name: &str, sql: &str) -> String {
    statement::table_name(sql).unwrap_or_else(|| name.to_owned())
}

/// Checks that a table that gets another name than its statement says gets none of SQLite's own.
fn check_name(name: &str, own: &str) -> Result<()> {
    let is_reserved = name.get(..7).is_some_and(|word| word.eq_ignore_ascii_case("sqlite_"));
    if name.eq_ignore_ascii_case(own) || !is_reserved {
        return Ok(());
    }
    let what = format!("the table {name:?}");
    Err(Error::invalid(what, "its name is one of SQLite's own, and its statement says another"))
}

/// Checks that a table has the key that its records have.
fn check_key(name: &str, key: &str, bare: &Bare) -> Result<()> {
    let found = bare.table.key_line();
    if found == key {
        return Ok(());
    }
    let detail = format!("its records are found by {key:?}, and its rows by {found:?}");
    Err(Error::invalid(format!("the settings of table {name:?}"), detail))
}

fn run(build: &Build, sql: &str) -> Result<()> {
    build.connection.execute_batch(sql).map_err(Error::engine(ENGINE, sql))
}
