//! The end of a restore: what is built on the rows, and the checks.

use std::collections::BTreeMap;

use backup_core::check::{CheckLevel, CheckReport};
use backup_core::progress::Context;
use backup_core::{Error, Result};

use super::build::Build;
use super::restore::{SEQUENCE, WAITING_SEQUENCE};
use super::schema::Object;
use super::settings::Pragmas;
use super::statement::Kind;
use crate::{ENGINE, check};

/// What is still to be made.
pub(super) struct Plan {
    /// The settings of the database.
    pub(super) pragmas: Pragmas,
    /// Whether the schema came with the tables.
    pub(super) has_schema: bool,
    /// The schema.
    pub(super) objects: Vec<Object>,
    /// The tables that are there, with their statements.
    pub(super) tables: BTreeMap<String, String>,
}

impl Plan {
    fn of(&self, kind: Kind) -> impl Iterator<Item = &Object> {
        self.objects.iter().filter(move |object| object.kind == kind)
    }

    /// The tables of the schema that did not come.
    fn absent(&self) -> Vec<&Object> {
        self.of(Kind::Table).filter(|table| !self.tables.contains_key(&table.name)).collect()
    }

    /// Checks that tables were made by the statements that the schema has.
    fn check(&self) -> Result<()> {
        let other =
            |table: &&Object| self.tables.get(&table.name).is_some_and(|sql| *sql != table.sql);
        match self.of(Kind::Table).find(other) {
            None => Ok(()),
            Some(table) => {
                let what = format!("the settings of table {:?}", table.name);
                Err(Error::invalid(what, "its statement is another one in the schema"))
            }
        }
    }
}

/// Makes all that is built on rows, has the database checked, and closes it. Gives what a person should read, and
/// what SQLite says.
pub(super) fn finish(
    build: Build,
    plan: &Plan,
    asked: Option<CheckLevel>,
    context: &Context,
) -> Result<(Vec<String>, CheckReport)> {
    plan.check()?;
    let mut notes = Vec::new();
    move_sequence(&build)?;
    if plan.has_schema {
        objects(&build, plan, context, &mut notes)?;
    } else {
        notes.push("the schema was not restored with the tables: indexes, views, triggers and virtual tables are absent".into());
    }
    let pragmas = &plan.pragmas;
    set(&build, "application_id", pragmas.application_id)?;
    set(&build, "user_version", pragmas.user_version)?;
    context.check()?;
    notes.extend(foreign_keys(&build));
    context.check()?;
    let report = look(&build, asked)?;
    notes.extend(check::note(&report, "the rows came back as they were"));
    close(build, pragmas)?;
    Ok((notes, report))
}

/// Gives the table that counts rowids its own rows, instead of those that came of filling the others.
fn move_sequence(build: &Build) -> Result<()> {
    let there = "SELECT count(*) FROM main.sqlite_schema WHERE name = ?1";
    let failed = |error| Error::engine(ENGINE, "restore the table of sequences")(error);
    let connection = &build.connection;
    let is_there: i64 =
        connection.query_row(there, [SEQUENCE], |row| row.get(0)).map_err(failed)?;
    if is_there == 1 {
        let sql = format!(
            "BEGIN; DELETE FROM main.{SEQUENCE};
             INSERT INTO main.{SEQUENCE}(rowid, name, seq) SELECT rowid, name, seq FROM {WAITING_SEQUENCE};
             COMMIT;"
        );
        connection.execute_batch(&sql).map_err(failed)?;
    }
    // A name of the schema must find its own table and not this one.
    connection.execute_batch(&format!("DROP TABLE {WAITING_SEQUENCE}")).map_err(failed)
}

/// Makes what is built on the tables, as far as they are there, and tells what is not.
fn objects(build: &Build, plan: &Plan, context: &Context, notes: &mut Vec<String>) -> Result<()> {
    let absent = plan.absent();
    let is_absent = |name: &str| absent.iter().any(|table| table.name.eq_ignore_ascii_case(name));
    let mut left_out = Vec::new();
    let mut make = |kind| {
        for object in in_order(plan.of(kind)) {
            context.check()?;
            if is_absent(&object.table) {
                left_out.push(format!("{} {:?}", kind.word(), object.name));
            } else {
                build.object(object)?;
            }
        }
        Ok::<_, Error>(())
    };
    make(Kind::Index)?;
    let virtual_tables = in_order(plan.of(Kind::VirtualTable));
    if absent.is_empty() {
        build.virtual_tables(&virtual_tables)?;
    }
    make(Kind::View)?;
    make(Kind::Trigger)?;
    if absent.is_empty() {
        build.places(&plan.objects)?;
        let missing = build.missing_modules(&virtual_tables)?;
        notes.extend(missing.into_iter().map(|(table, module)| format!(
            "the virtual table {table:?} came back as it was, but nothing in it was checked: its module {module:?} is not here"
        )));
        return Ok(());
    }
    // Which tables belong to which virtual table, only its module knows.
    let virtual_tables = virtual_tables.iter();
    left_out.extend(virtual_tables.map(|table| format!("virtual table {:?}", table.name)));
    let names: Vec<_> = absent.iter().map(|table| format!("{:?}", table.name)).collect();
    notes.push(format!("of the schema's tables these were not restored: {}", names.join(", ")));
    if !left_out.is_empty() {
        notes.push(format!("left out without their tables: {}", left_out.join(", ")));
    }
    Ok(())
}

fn in_order<'a>(objects: impl Iterator<Item = &'a Object>) -> Vec<&'a Object> {
    let mut objects: Vec<_> = objects.collect();
    objects.sort_by_key(|object| object.rowid);
    objects
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

/// Lets SQLite look at what was built, as it will be looked at later.
fn look(build: &Build, asked: Option<CheckLevel>) -> Result<CheckReport> {
    set(build, "ignore_check_constraints", 0)?;
    let level = asked.unwrap_or(check::USUAL);
    let report = check::connection_says(&build.connection, level);
    let report = report.map_err(Error::engine(ENGINE, "check the restored database"))?;
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
