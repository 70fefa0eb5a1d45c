//! The end of a restore: the schema around the rows, and the checks.

use std::collections::{BTreeMap, HashMap, HashSet};

use backup_core::check::{CheckLevel, CheckReport};
use backup_core::progress::Context;
use backup_core::target::NotCarried;
use backup_core::{Error, Result};

use super::blueprint::Bare;
use super::build::{self, Build, NoIndex, Placed};
use super::filled::{Filled, Unsorted};
use super::nulls;
use super::schema::{Object, object_batch};
use super::settings::Pragmas;
use super::statement::{self, Kind};
use crate::{ENGINE, check};

/// Why nothing is made around a table that was not asked for.
const ROWS_ABSENT: &str = "the rows of its table were not restored";

/// How the findings begin that tell of pages, which are this program's work and not the original's.
const OF_PAGES: [&str; 7] = [
    "*** in database",
    "Tree ",
    "Page ",
    "Freelist",
    "Main freelist",
    "On tree page",
    "Fragmentation",
];

/// What is still to be made.
pub(super) struct Plan {
    /// The settings of the database.
    pub(super) pragmas: Pragmas,
    /// The number of the schema's database, where it came with the tables.
    pub(super) schema: Option<usize>,
    /// The schema.
    pub(super) objects: Vec<Object>,
    /// The tables that are there, by the names that they get.
    pub(super) tables: BTreeMap<String, TableMade>,
}

/// A table with its rows, in its bare form.
pub(super) struct TableMade {
    /// Its number in the plan.
    pub(super) number: usize,
    /// The statement that it gets.
    pub(super) sql: String,
    pub(super) bare: Bare,
    /// The first page of its tree.
    pub(super) root: i64,
}

/// What came of it.
#[derive(Default)]
pub(super) struct Finished {
    /// What a person should read.
    pub(super) notes: Vec<String>,
    /// What could not be made.
    pub(super) not_carried: Vec<NotCarried>,
    /// What SQLite says of it.
    pub(super) check: CheckReport,
}

impl Plan {
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |object| object.kind == kind)
    }

    /// The tables of the schema that did not come, in small letters.
    fn absent(&self) -> HashSet<String> {
        let absent = self.of(Kind::Table).filter(|table| !self.tables.contains_key(&table.name));
        absent.map(|table| table.name.to_ascii_lowercase()).collect()
    }

    /// Checks that tables come by the statements that the schema has.
    fn check(&self) -> Result<()> {
        let other = |table: &&Object| {
            self.tables.get(&table.name).is_some_and(|made| made.sql != table.sql)
        };
        match self.of(Kind::Table).find(other) {
            None => Ok(()),
            Some(table) => {
                let what = format!("the settings of table {:?}", table.name);
                Err(Error::invalid(what, "its statement is another one in the schema"))
            }
        }
    }
}

/// Makes all that is around the rows, has SQLite look at the database, and closes it.
pub(super) fn finish(
    build: Build,
    plan: &Plan,
    asked: Option<CheckLevel>,
    context: &Context,
) -> Result<Finished> {
    let mut finished = Finished::default();
    for made in plan.tables.values() {
        nulls::put_back(&build, made.number, made.root, &made.bare)?;
    }
    if let Some(database) = plan.schema {
        plan.check()?;
        schema(&build, plan, database, context, &mut finished)?;
    } else {
        tables_alone(&build, plan, &mut finished.notes)?;
        finished.notes.push("the schema was not restored with the tables: indexes, views, triggers and virtual tables are absent".into());
    }
    let pragmas = &plan.pragmas;
    set(&build, "application_id", pragmas.application_id)?;
    set(&build, "user_version", pragmas.user_version)?;
    context.check()?;
    finished.notes.extend(foreign_keys(&build));
    context.check()?;
    finished.check = look(&build, asked)?;
    finished.notes.extend(check::note(&finished.check, "the rows came back as they were"));
    close(build, pragmas)?;
    Ok(finished)
}

/// Writes the schema around its tables, and tells what of it cannot be made.
fn schema(
    build: &Build,
    plan: &Plan,
    database: usize,
    context: &Context,
    finished: &mut Finished,
) -> Result<()> {
    let mut not_carried = |object: &Object, lack: Lack| {
        let (batches, kind, why) = match lack {
            Lack::Absent(why) => (object_batch(object)?, object.kind.word(), why),
            Lack::Unsorted(kind, why) => (Vec::new(), kind, why),
        };
        let records = batches.into_iter().map(|batch| (database, batch)).collect();
        let (kind, name) = (kind.to_owned(), object.name.clone());
        finished.not_carried.push(NotCarried { kind, name, why, records });
        Ok::<_, Error>(())
    };
    let absent = plan.absent();
    let lost = |object: &Object| absent.contains(&object.table.to_ascii_lowercase());
    let notes = &mut finished.notes;
    let mut placed = tables_and_indexes(build, plan, context, notes, &mut not_carried)?;
    let virtual_tables: Vec<_> = plan.of(Kind::VirtualTable).collect();
    for kind in [Kind::VirtualTable, Kind::View, Kind::Trigger] {
        for object in plan.of(kind) {
            // Which tables belong to which virtual table, only its module knows.
            if lost(object) || (kind == Kind::VirtualTable && !absent.is_empty()) {
                not_carried(object, ROWS_ABSENT.into())?;
            } else {
                placed.push(Placed { object, root: 0 });
            }
        }
    }
    placed.sort_by_key(|one| one.object.rowid);
    build.write(&placed)?;
    let missing = build.missing_modules(&virtual_tables)?;
    finished.notes.extend(missing.into_iter().map(|(table, module)| format!(
        "the virtual table {table:?} came back as it was, but nothing in it was checked: its module {module:?} is not here"
    )));
    Ok(())
}

/// What is told of an object that cannot be made.
type Without<'f> = &'f mut dyn FnMut(&Object, Lack) -> Result<()>;

/// How an object of the schema is not what it was, and why.
enum Lack {
    /// It is not there.
    Absent(String),
    /// It is there, and has no entries, or its own ones in another order: what it is, and why.
    Unsorted(&'static str, String),
}

impl<T: Into<String>> From<T> for Lack {
    fn from(why: T) -> Self {
        Self::Absent(why.into())
    }
}

/// Gives the tables their statements and makes their indexes, in rounds of some tables.
fn tables_and_indexes<'p>(
    build: &Build,
    plan: &'p Plan,
    context: &Context,
    notes: &mut Vec<String>,
    not_carried: Without<'_>,
) -> Result<Vec<Placed<'p>>> {
    let absent = plan.absent();
    let lost = |object: &Object| absent.contains(&object.table.to_ascii_lowercase());
    let mut tables = Vec::new();
    for table in plan.of(Kind::Table) {
        match plan.tables.get(&table.name) {
            Some(made) => tables.push((table, made)),
            None => not_carried(table, ROWS_ABSENT.into())?,
        }
    }
    let mut indexes: BTreeMap<String, Vec<&Object>> = BTreeMap::new();
    for object in plan.of(Kind::Index) {
        if lost(object) {
            not_carried(object, ROWS_ABSENT.into())?;
        } else {
            indexes.entry(object.table.to_ascii_lowercase()).or_default().push(object);
        }
    }
    let own = build::own_objects(&plan.objects);
    let mut names: HashSet<String> =
        tables.iter().map(|(table, _)| table.name.to_ascii_lowercase()).collect();
    let mut placed = Vec::new();
    for some in tables.chunks(build::KNOWN) {
        context.check()?;
        let (here, unsorted) = filled(build, some, &own)?;
        placed.extend(here);
        for one in unsorted {
            not_carried(one.object, Lack::Unsorted(one.kind(), one.why()))?;
        }
        let theirs =
            some.iter().filter_map(|(table, _)| indexes.remove(&table.name.to_ascii_lowercase()));
        for object in theirs.flatten() {
            context.check()?;
            // SQLite knows the tables of this round alone.
            if !names.insert(object.name.to_ascii_lowercase()) {
                not_carried(object, "another object of the schema has its name".into())?;
                continue;
            }
            match index(build, object, notes) {
                Ok(index) => placed.push(index),
                Err(why) => not_carried(object, why.into())?,
            }
        }
    }
    for object in indexes.into_values().flatten() {
        not_carried(object, "it names a table that is not there".into())?;
    }
    let made: HashSet<_> = placed.iter().map(|one| one.object.name.as_str()).collect();
    for object in plan.of(Kind::OwnIndex).filter(|own| !made.contains(own.name.as_str())) {
        let why =
            if lost(object) { ROWS_ABSENT } else { "the statement of its table does not make it" };
        not_carried(object, why.into())?;
    }
    Ok(placed)
}

/// Makes an index. Where that cannot be done, gives the reason.
fn index<'a>(
    build: &Build,
    object: &'a Object,
    notes: &mut Vec<String>,
) -> Result<Placed<'a>, String> {
    match build.index(object) {
        Ok(root) => Ok(Placed { object, root }),
        Err(NoIndex::NotUnique(root)) => {
            notes.push(format!(
                "the index {:?} is unique, but table {:?} has duplicate rows: the index was restored with all of them",
                object.name, object.table
            ));
            Ok(Placed { object, root })
        }
        Err(NoIndex::Refused(why)) => Err(why),
    }
}

/// Gives some tables their own indexes and their statements. SQLite knows these tables afterwards, and no others.
fn filled<'a>(
    build: &Build,
    tables: &[(&'a Object, &TableMade)],
    own: &HashMap<&str, &'a Object>,
) -> Result<(Vec<Placed<'a>>, Vec<Unsorted<'a>>)> {
    build.know(tables.iter().map(|(_, made)| (made.number, made.root, &made.bare)))?;
    let mut filled = Filled::new();
    for (table, made) in tables {
        filled.add(build, table, (made.number, made.root), &made.bare, own)?;
    }
    let unsorted = filled.take_unsorted();
    Ok((filled.write(build)?, unsorted))
}

/// Writes a schema of tables alone, which may get other names than their statements say.
fn tables_alone(build: &Build, plan: &Plan, notes: &mut Vec<String>) -> Result<()> {
    let mut objects = Vec::new();
    let table = |name: &str, sql: &str, rowid| Object {
        rowid,
        kind: Kind::Table,
        name: name.to_owned(),
        table: name.to_owned(),
        sql: sql.to_owned(),
    };
    for (name, made) in &plan.tables {
        let own = statement::table_name(&made.sql).unwrap_or_else(|| name.clone());
        objects.push((table(&own, &made.sql, 0), Some((name, made))));
        for index in &made.bare.own {
            let (name, sql) = (index.name.clone(), String::new());
            objects.push((
                Object { rowid: 0, kind: Kind::OwnIndex, name, table: own.clone(), sql },
                None,
            ));
        }
    }
    for (number, (object, _)) in (1_i64..).zip(&mut objects) {
        object.rowid = number;
    }
    let all: Vec<_> = objects.iter().map(|(object, _)| object.clone()).collect();
    let own = build::own_objects(&all);
    let tables = objects.iter().filter_map(|(object, made)| made.map(|(_, made)| (object, made)));
    let mut placed = Vec::new();
    for some in tables.collect::<Vec<_>>().chunks(build::KNOWN) {
        let (here, unsorted) = filled(build, some, &own)?;
        placed.extend(here);
        notes.extend(unsorted.iter().map(Unsorted::note));
    }
    let counts = |made: &TableMade| made.sql.to_ascii_lowercase().contains("autoincrement");
    let last = i64::try_from(objects.len()).unwrap_or(i64::MAX).saturating_add(1);
    let sequence = table("sqlite_sequence", "CREATE TABLE sqlite_sequence(name,seq)", last);
    if plan.tables.values().any(counts) && !plan.tables.contains_key(&sequence.name) {
        // A table that counts its rowids there cannot be written without it.
        placed.push(Placed { object: &sequence, root: build.sequence()? });
    }
    build.write(&placed)?;
    for (object, made) in &objects {
        if let Some((name, _)) = made
            && object.name != **name
        {
            build.rename(&object.name, name)?;
        }
    }
    Ok(())
}

/// What the check of foreign keys finds. An original may have had it as well: SQLite does not enforce them
/// unless it is asked to.
fn foreign_keys(build: &Build) -> Vec<String> {
    let counts = || -> rusqlite::Result<BTreeMap<(String, String), u64>> {
        let mut statement = build.connection.prepare("PRAGMA foreign_key_check")?;
        let mut rows = statement.query([])?;
        let mut counts = BTreeMap::new();
        while let Some(row) = rows.next()? {
            *counts.entry((row.get(0)?, row.get(2)?)).or_default() += 1;
        }
        Ok(counts)
    };
    match counts() {
        Ok(counts) => counts
            .into_iter()
            .map(|((child, parent), rows)| {
                format!(
                    "{rows} rows of table {child:?} refer to rows of {parent:?} that are not there"
                )
            })
            .collect(),
        Err(error) => vec![format!("the foreign keys could not be checked: {error}")],
    }
}

/// Lets SQLite look at what was built, as it will be looked at later. What it says of rows is the original's; that
/// each is there as it was is proved by reading them. What it says of pages is damage, whatever was asked for.
fn look(build: &Build, asked: Option<CheckLevel>) -> Result<CheckReport> {
    set(build, "ignore_check_constraints", 0)?;
    let level = asked.unwrap_or(check::USUAL);
    let report = check::connection_says(&build.connection, level);
    let report = report.map_err(Error::engine(ENGINE, "check the restored database"))?;
    let is_of_pages = |line: &&String| OF_PAGES.iter().any(|begins| line.starts_with(begins));
    if let Some(damage) = report.findings.iter().find(is_of_pages) {
        return Err(Error::damaged("the restored database", damage.clone()));
    }
    report.decide(asked)?;
    Ok(report)
}

fn set(build: &Build, name: &str, value: i32) -> Result<()> {
    let set = build.connection.pragma_update(None, name, value);
    set.map_err(Error::engine(ENGINE, format!("set {name}")))
}

/// Closes the database. A write-ahead log that it is to have is begun with its first use.
fn close(build: Build, pragmas: &Pragmas) -> Result<()> {
    let Build { connection } = build;
    connection
        .pragma_update_and_check(None, "journal_mode", pragmas.journal_mode(), |_| Ok(()))
        .map_err(Error::engine(ENGINE, "set the journal mode"))?;
    let closed = connection.close().map_err(|(_, error)| error);
    closed.map_err(Error::engine(ENGINE, "close the restored database"))
}
