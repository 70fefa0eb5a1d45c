//! What a schema needs that is not here, told by the SQLite that is: each statement is prepared in memory, in a
//! schema of its own table and nothing else, so that one that fails takes no other with it and a hundred
//! thousand tables are no more work each than one.

use std::cmp::Ordering;
use std::collections::{HashMap, HashSet};

use backup_core::progress::Context;
use backup_core::{Error, Result};
use rusqlite::Connection;
use rusqlite::config::DbConfig;
use rusqlite::functions::FunctionFlags;

use super::stored::Stored;
use crate::ENGINE;
use crate::rows::statement::{self, Kind};
use crate::words::{self, Lacking, said};

/// How many things a statement can lack until it is given up.
const MOST_LACKING: usize = 100;

/// What a schema needs, each with what needs it first.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// What is not here.
    pub(super) lacking: Vec<(Lacking, String)>,
    /// Tables with more columns than SQLite was built for.
    pub(super) wide: Vec<String>,
    /// What SQLite does not parse, with its words.
    pub(super) unparsed: Vec<String>,
}

/// Looks at every statement of a schema.
///
/// # Errors
/// That the caller cancelled, and that there is no memory for a schema.
pub(super) fn look(rows: &[Stored], context: &Context) -> Result<Needs> {
    let mut belonging: HashMap<String, Vec<&Stored>> = HashMap::new();
    let mut tables = HashSet::new();
    for row in rows {
        match row.kind.as_str() {
            "table" | "view" => drop(tables.insert(row.name.to_ascii_lowercase())),
            _ => belonging.entry(row.table.to_ascii_lowercase()).or_default().push(row),
        }
    }
    let mut bench = Bench::new().map_err(Error::engine(ENGINE, "look at a schema in memory"))?;
    for row in rows {
        context.check()?;
        let own = row.name.to_ascii_lowercase();
        match row.kind.as_str() {
            "table" | "view" => {
                let of_it = belonging.get(&own).map_or(&[][..], Vec::as_slice);
                bench.table(row, of_it).map_err(Error::engine(ENGINE, "look at a schema"))?;
            }
            "index" | "trigger" => {
                if row.sql.is_some() && !tables.contains(&row.table.to_ascii_lowercase()) {
                    let why = format!("there is no table {:?}", row.table);
                    bench.needs.unparsed.push(format!("{} ({why})", named(row)));
                }
            }
            _ => bench.needs.unparsed.push(format!("{} (no schema has this type)", named(row))),
        }
    }
    Ok(bench.needs)
}

/// A database in memory, which is empty again after each table.
struct Bench {
    memory: Connection,
    needs: Needs,
}

impl Bench {
    fn new() -> rusqlite::Result<Self> {
        let memory = Connection::open_in_memory()?;
        // As SQLite takes schemas that are there already: its own tables, and names in double quotes for text.
        for config in [
            DbConfig::SQLITE_DBCONFIG_WRITABLE_SCHEMA,
            DbConfig::SQLITE_DBCONFIG_DQS_DDL,
            DbConfig::SQLITE_DBCONFIG_DQS_DML,
        ] {
            memory.set_db_config(config, true)?;
        }
        memory.pragma_update(None, "foreign_keys", 0)?;
        Ok(Self { memory, needs: Needs::default() })
    }

    /// Looks at a table or a view, and at what belongs to it.
    fn table(&mut self, row: &Stored, of_it: &[&Stored]) -> rusqlite::Result<()> {
        let Some(sql) = sql(row) else { return Ok(()) };
        let is_virtual = statement::module(sql).is_some();
        // Only a statement that makes this one thing is run.
        let kind = match (row.kind.as_str(), is_virtual) {
            ("view", _) => Kind::View,
            (_, true) => Kind::VirtualTable,
            (_, false) => Kind::Table,
        };
        let can_run = statement::check(kind, &row.name, sql).is_ok();
        let run = can_run && (is_virtual || of_it.iter().any(|other| other.sql.is_some()));
        if !run {
            self.takes(row, sql, Memory::Prepare);
            return Ok(());
        }
        self.memory.execute_batch("BEGIN")?;
        if self.takes(row, sql, Memory::Run) {
            for other in of_it {
                if let Some(sql) = self::sql(other) {
                    self.takes(other, sql, Memory::Prepare);
                }
            }
        }
        self.memory.execute_batch("ROLLBACK")
    }

    /// Whether SQLite takes a statement, once it has stand-ins for what it lacks.
    fn takes(&mut self, row: &Stored, sql: &str, how: Memory) -> bool {
        for _ in 0..MOST_LACKING {
            let taken = self.memory.prepare(sql).and_then(|mut statement| match how {
                Memory::Prepare => Ok(()),
                Memory::Run => statement.execute([]).map(drop),
            });
            let Err(error) = taken else { return true };
            let said = said(&error);
            match words::lacking(&said) {
                Some(lacking) if !self.knows(&lacking) => {
                    let stands_in = self.stand_in(&lacking);
                    self.needs.lacking.push((lacking, named(row)));
                    if !stands_in {
                        return false;
                    }
                }
                // Another table with the same module or tokenizer, of which there is no more to say.
                Some(_) => return false,
                // SQLite itself ignores what follows a statement.
                None if matches!(error, rusqlite::Error::MultipleStatement) => return true,
                // What a virtual table reads, it looks for when it is used.
                None if matches!(how, Memory::Run) && said.starts_with("no such table") => {
                    return false;
                }
                None if said.starts_with("too many columns") => {
                    self.needs.wide.push(named(row));
                    return false;
                }
                None => {
                    self.needs.unparsed.push(format!("{} ({said})", named(row)));
                    return false;
                }
            }
        }
        false
    }

    fn knows(&self, lacking: &Lacking) -> bool {
        self.needs.lacking.iter().any(|(known, _)| known == lacking)
    }

    /// Gives SQLite something of the name that it lacks. False where nothing can stand in.
    fn stand_in(&self, lacking: &Lacking) -> bool {
        match lacking {
            Lacking::Collation(name) => {
                self.memory.create_collation(name.as_str(), |_, _| Ordering::Equal).is_ok()
            }
            Lacking::Function(name) => {
                let flags = FunctionFlags::SQLITE_UTF8
                    | FunctionFlags::SQLITE_DETERMINISTIC
                    | FunctionFlags::SQLITE_INNOCUOUS;
                self.memory.create_scalar_function(name.as_str(), -1, flags, |_| Ok(0)).is_ok()
            }
            Lacking::Module(_) | Lacking::Tokenizer(_) => false,
        }
    }
}

/// What is done with a statement in memory.
#[derive(Clone, Copy)]
enum Memory {
    Prepare,
    Run,
}

/// A statement as SQLite reads it: up to its first zero byte.
fn sql(row: &Stored) -> Option<&str> {
    let sql = row.sql.as_deref()?;
    Some(sql.split_once('\0').map_or(sql, |(before, _)| before))
}

fn named(row: &Stored) -> String {
    format!("{} {:?}", row.kind, row.name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(kind: &str, name: &str, table: &str, sql: &str) -> Stored {
        let sql = Some(sql.to_owned());
        Stored { kind: kind.into(), name: name.into(), table: table.into(), sql }
    }

    fn of(rows: &[Stored]) -> Needs {
        look(rows, &Context::default()).unwrap()
    }

    #[test]
    fn an_ordinary_schema_needs_nothing() {
        let needs = of(&[
            row(
                "table",
                "t",
                "t",
                "CREATE TABLE t(a INTEGER PRIMARY KEY AUTOINCREMENT, b DEFAULT \"x\", CHECK(length(b) < 9))",
            ),
            row(
                "table",
                "sqlite_sequence",
                "sqlite_sequence",
                "CREATE TABLE sqlite_sequence(name,seq)",
            ),
            row("table", "sqlite_stat1", "sqlite_stat1", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
            row("index", "i", "t", "CREATE INDEX i ON t(b COLLATE NOCASE) WHERE b = \"y\""),
            row("view", "v", "v", "CREATE VIEW v AS SELECT * FROM dropped;"),
            row("trigger", "r", "T", "CREATE TRIGGER r AFTER INSERT ON t BEGIN SELECT 1; END"),
            row("table", "f", "f", "CREATE VIRTUAL TABLE f USING fts5(a, content='t')"),
            row("table", "f4", "f4", "CREATE VIRTUAL TABLE f4 USING fts4(content='t', b)"),
            row("table", "r3", "r3", "CREATE VIRTUAL TABLE r3 USING rtree(id, x0, x1)"),
        ]);
        assert!(needs.lacking.is_empty() && needs.wide.is_empty(), "{needs:?}");
        assert!(needs.unparsed.is_empty(), "{needs:?}");
    }

    #[test]
    fn each_lack_is_told_once_with_what_needs_it() {
        let wide: Vec<_> = (0..2001).map(|number| format!("c{number}")).collect();
        let needs = of(&[
            row(
                "table",
                "tags",
                "tags",
                "CREATE TABLE tags(a COLLATE unicase PRIMARY KEY) WITHOUT ROWID",
            ),
            row(
                "table",
                "t",
                "t",
                "CREATE TABLE t(a, s AS (slug(a)), CHECK(a REGEXP '^x' AND a = 1 COLLATE unicase))",
            ),
            row("index", "i", "t", "CREATE INDEX i ON t(slug(a), up(a))"),
            row("table", "m", "m", "CREATE VIRTUAL TABLE m USING vec0(a)"),
            row("table", "f", "f", "CREATE VIRTUAL TABLE f USING fts5(a, tokenize='mine')"),
            row("table", "g", "g", "CREATE VIRTUAL TABLE g USING fts5(a, tokenize='mine')"),
            row("table", "n", "n", "CREATE TABLE n(a) FUTURE"),
            row("table", "w", "w", &format!("CREATE TABLE w({})", wide.join(","))),
            row(
                "trigger",
                "o",
                "gone",
                "CREATE TRIGGER o AFTER INSERT ON gone BEGIN SELECT 1; END",
            ),
        ]);
        let mut lacking = needs.lacking.clone();
        lacking.sort_by_key(|(lacking, _)| format!("{lacking:?}"));
        let function = |name: &str| Lacking::Function(name.into());
        assert_eq!(
            lacking,
            [
                (Lacking::Collation("unicase".into()), "table \"tags\"".to_owned()),
                (function("REGEXP"), "table \"t\"".to_owned()),
                (function("slug"), "table \"t\"".to_owned()),
                (function("up"), "index \"i\"".to_owned()),
                (Lacking::Module("vec0".into()), "table \"m\"".to_owned()),
                (Lacking::Tokenizer("mine".into()), "table \"f\"".to_owned()),
            ]
        );
        assert_eq!(needs.wide, ["table \"w\""]);
        let [one, two] = needs.unparsed.as_slice() else { panic!("{needs:?}") };
        assert!(
            one.starts_with("table \"n\" (unknown table option: FUTURE") && two.contains("gone"),
            "{needs:?}"
        );
    }

    /// A statement that does more than make its one thing is not run.
    #[test]
    fn no_other_statement_is_run() {
        let file = tempfile::tempdir().unwrap().path().join("made.db");
        let attach = format!("ATTACH '{}' AS t", file.display());
        let rows = [
            row("table", "t", "t", &attach),
            row("index", "i", "t", &attach),
            row("table", "u", "u", "CREATE TABLE u AS SELECT load_extension('x')"),
        ];
        of(&rows);
        assert!(!file.exists());
    }
}
