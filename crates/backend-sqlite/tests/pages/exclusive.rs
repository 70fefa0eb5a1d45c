//! Databases that a program has for itself, in modes and at moments that dice choose: a backup gives the last
//! state that was committed, or refuses in time.
//!
//! Each case is a process that commits numbered states, each with a checksum of all rows, and then stands still
//! somewhere: at rest, in a transaction that was spilled or not, after a rollback, a checkpoint, a VACUUM, a
//! change of its journal mode.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use backend_sqlite::{SqliteSource, SqliteTarget};
use backup_core::Error;
use backup_core::target::Existing;
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::seed;
use testkit::transfer::transfer;

use crate::ground::{chain, now, place};
use crate::held::{take_within, vfs};
use crate::writer::{Dice, Other, Said};

/// How many cases are tried; `KEEPSUM_EXCLUSIVE_CASES` says another number.
const CASES: u64 = 12;

/// How many run beside each other: most of the time they wait.
const AT_ONCE: usize = 12;

/// How long a backup waits, in seconds. A program whose lock is that of the process must be quiet for two.
const WAIT: f64 = 3.5;

/// What a backup may take beyond that, on a machine that does other things as well.
const MORE: Duration = Duration::from_secs(8);

/// More than a tick of any clock by which a file system of Linux dates changes.
const TICK: Duration = Duration::from_millis(20);

/// The checksum of a state.
const SUM: &str = "(SELECT ifnull(sum(id * 1000003 + stamp * 7919 + length(body) * 31 + unicode(tag) * 17 \
                   + unicode(substr(tag, 9))), 0) + count(*) FROM rows)";

/// Rows whose bodies are not what their tags make.
const TORN: &str = "SELECT count(*) FROM rows \
     WHERE body IS NOT replace(hex(zeroblob(length(body) / 16)), '00', tag)";

const MODES: [&str; 6] = ["wal", "delete", "truncate", "persist", "memory", "off"];

fn one_of<T: Copy>(dice: &mut Dice, all: &[T]) -> T {
    all[usize::try_from(dice.throw(all.len() as u64)).unwrap()]
}

/// A program that has a database for itself, and the last state that it committed.
struct Program {
    other: Other,
    path: PathBuf,
    _folder: tempfile::TempDir,
    mode: &'static str,
    committed: u64,
    /// All that it was asked, to be read where a case fails.
    said: String,
}

impl Program {
    fn start(dice: &mut Dice) -> Self {
        let (folder, path) = place();
        let mode = one_of(dice, &MODES);
        // WAL is of the file, all other modes are of the connection.
        let before =
            one_of(dice, &["delete", "persist", if mode == "wal" { "wal" } else { "truncate" }]);
        let creation = format!(
            "PRAGMA page_size={}; PRAGMA auto_vacuum={}; PRAGMA journal_mode={before};",
            one_of(dice, &[512, 1024, 4096, 16384]),
            one_of(dice, &[0, 1, 2]),
        );
        make(&path, &creation);
        let name = if dice.throw(2) == 0 { vfs(&path) } else { path.clone() };
        let pragmas = format!(
            "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode={mode}; PRAGMA synchronous={}; \
             PRAGMA cache_size={}; PRAGMA wal_autocheckpoint={}; PRAGMA mmap_size={};",
            one_of(dice, &["OFF", "NORMAL", "FULL"]),
            one_of(dice, &[3, 5, 20, -2000]),
            one_of(dice, &[0, 20, 1000]),
            one_of(dice, &[0, 0, 1 << 20]),
        );
        let said = format!("{}\n{creation}\n{pragmas}\n", name.display());
        let other = Other::start(&name, &pragmas);
        Self { other, path, _folder: folder, mode, committed: 0, said }
    }

    #[track_caller]
    fn does(&mut self, sql: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.said, "{sql}");
        let said = self.other.run(sql);
        assert!(matches!(said, Said::Done(_)), "{said:?} after {}", self.said);
    }

    /// Begins the transaction of the next state, and leaves it open.
    fn begin(&mut self, dice: &mut Dice) {
        let n = self.committed + 1;
        let mut sql = format!("BEGIN IMMEDIATE; UPDATE state SET n={n}");
        for _ in 0..=dice.throw(3) {
            let (part, of) = (dice.throw(3), 2 + dice.throw(4));
            let change = match dice.throw(4) {
                0 => format!("DELETE FROM rows WHERE id % {of} = {part}"),
                1 => format!(
                    "UPDATE rows SET stamp={n}, tag=hex(randomblob(8)) WHERE id % {of} = {part}"
                ),
                _ => format!(
                    "WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c WHERE i < {}) \
                     INSERT INTO rows(stamp, tag) SELECT {n}, hex(randomblob(8)) FROM c",
                    one_of(dice, &[1, 5, 60])
                ),
            };
            let length = one_of(dice, &[1, 10, 60, 400]);
            let _ = write!(
                sql,
                "; {change}; UPDATE rows SET body=replace(hex(zeroblob({length})), '00', tag) WHERE stamp={n}"
            );
        }
        self.does(&format!("{sql}; UPDATE state SET sum={SUM}"));
    }

    fn commit(&mut self, dice: &mut Dice) {
        self.begin(dice);
        self.does("COMMIT");
        self.committed += 1;
    }

    /// Nobody says what a database holds after a rollback without a journal.
    fn can_roll_back(&self) -> bool {
        self.mode != "off"
    }

    fn end(&mut self, dice: &mut Dice) {
        if self.can_roll_back() && dice.throw(2) == 0 {
            self.does("ROLLBACK");
        } else {
            self.does("COMMIT");
            self.committed += 1;
        }
    }

    /// Goes on to a moment at which it stands still; says its name, and whether a transaction is open.
    ///
    /// One kind is left out, which decision 0014 names: under `unix-excl`, with a journal in memory or none,
    /// another file comes or goes in the folder while a transaction is open that was spilled, or within the
    /// tick of the clock in which it was. Nothing but the database and what SQLite keeps beside it is in this
    /// folder, and a program whose journal went with its mode waits for a tick before it goes on.
    fn stand_still(&mut self, dice: &mut Dice) -> (&'static str, bool) {
        match dice.throw(8) {
            0 => ("at rest", false),
            1 if self.can_roll_back() => {
                self.begin(dice);
                self.does("ROLLBACK");
                ("rolled back", false)
            }
            2 if self.can_roll_back() => {
                self.begin(dice);
                self.does("SAVEPOINT s; UPDATE rows SET tag=hex(randomblob(8)); ROLLBACK TO s");
                ("a savepoint rolled back", true)
            }
            3 if self.mode == "wal" => {
                let how = one_of(dice, &["PASSIVE", "FULL", "RESTART", "TRUNCATE"]);
                self.does(&format!("PRAGMA wal_checkpoint({how})"));
                ("a checkpoint", false)
            }
            4 => {
                self.does("VACUUM");
                ("a VACUUM", false)
            }
            5 => {
                let n = self.committed + 1;
                self.does(&format!(
                    "BEGIN; DELETE FROM rows WHERE id % 5 > 0; UPDATE state SET n={n}, sum={SUM}; COMMIT"
                ));
                self.committed += 1;
                self.does("PRAGMA incremental_vacuum; SELECT 1");
                ("it shrank", false)
            }
            6 if self.mode != "wal" => {
                self.mode = one_of(dice, &MODES[1..]);
                self.does(&format!("PRAGMA journal_mode={}; SELECT 1", self.mode));
                thread::sleep(TICK);
                self.pause(dice);
                let open = dice.throw(2) == 0;
                if open {
                    self.begin(dice);
                }
                ("another journal mode", open)
            }
            _ => {
                self.begin(dice);
                ("in a transaction", true)
            }
        }
    }

    fn pause(&mut self, dice: &mut Dice) {
        let pause = one_of(dice, &[0, 0, 20, 1100]);
        let _ = writeln!(self.said, "-- {pause} ms");
        thread::sleep(Duration::from_millis(pause));
    }
}

fn make(path: &Path, pragmas: &str) {
    let connection = Connection::open(path).unwrap();
    connection.execute_batch(pragmas).unwrap();
    let tables = "CREATE TABLE rows(id INTEGER PRIMARY KEY, stamp INTEGER, tag TEXT, body TEXT);
         CREATE INDEX by_tag ON rows(tag); CREATE TABLE state(n INTEGER, sum INTEGER)";
    connection.execute_batch(tables).unwrap();
    connection.execute_batch(&format!("INSERT INTO state SELECT 0, {SUM}")).unwrap();
}

/// What is wrong with a copy that must hold a state.
fn wrong(copy: &Path, committed: u64) -> Result<(), String> {
    let connection = Connection::open(copy).map_err(|error| error.to_string())?;
    let text = |sql: &str| {
        let asked = connection.query_row(sql, [], |row| row.get::<_, rusqlite::types::Value>(0));
        asked.map(|value| format!("{value:?}")).map_err(|error| format!("{sql}: {error}"))
    };
    let expect = |sql: &str, wanted: &str| match text(sql)? {
        found if found == wanted => Ok(()),
        found => Err(format!("{sql}: {found}, not {wanted}")),
    };
    expect("PRAGMA integrity_check", "Text(\"ok\")")?;
    expect("SELECT n FROM state", &format!("Integer({committed})"))?;
    expect(&format!("SELECT sum = {SUM} FROM state"), "Integer(1)")?;
    expect(TORN, "Integer(0)")
}

/// A backup of the pages, or of the rows, as a file of its own; none where it was refused.
fn back_up(path: &Path, rows: bool, copy: &Path) -> Result<Option<()>, String> {
    let begun = now();
    let done = if rows {
        let source = SqliteSource::path(path).unwrap().with_clock(Arc::new(now));
        let source = source.wait_for(Duration::from_secs_f64(WAIT));
        let target = SqliteTarget::path(copy).unwrap();
        transfer(&source, &target, Existing::Refuse).block_on().map(drop)
    } else {
        take_within(path, WAIT).map(|(image, _)| fs::write(copy, image).unwrap())
    };
    let took = now().duration_since(begun).unwrap();
    if took > Duration::from_secs_f64(WAIT) + MORE {
        return Err(format!("it took {took:?}"));
    }
    match done {
        Ok(()) => Ok(Some(())),
        // The command's exit code 5.
        Err(Error::InUse { .. }) => Ok(None),
        Err(error) => Err(chain(&error)),
    }
}

/// What a case saw: mode, moment, and whether a backup was given.
type Looks = Vec<(&'static str, &'static str, bool)>;

fn case(seed: u64) -> Result<Looks, String> {
    let mut dice = Dice::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
    for _ in 0..8 {
        dice.throw(2);
    }
    let mut program = Program::start(&mut dice);
    let mut looks = Looks::new();
    program.pause(&mut dice);
    for _ in 0..2 {
        for _ in 0..=dice.throw(3) {
            program.commit(&mut dice);
        }
        program.pause(&mut dice);
        let (moment, open) = program.stand_still(&mut dice);
        for rows in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            let copy = folder.path().join("copy.db");
            let failed = |what: String| {
                let mode = program.mode;
                format!("{mode}, {moment}, rows: {rows}: {what}\nafter\n{}", program.said)
            };
            let given = back_up(&program.path, rows, &copy).map_err(failed)?;
            if given.is_some() {
                wrong(&copy, program.committed).map_err(failed)?;
            }
            looks.push((program.mode, moment, given.is_some()));
        }
        if open {
            program.end(&mut dice);
        }
    }
    Ok(looks)
}

#[test]
fn any_mode_at_any_moment() {
    let cases = std::env::var("KEEPSUM_EXCLUSIVE_CASES");
    let cases = cases.map_or(CASES, |cases| cases.parse().unwrap());
    let seed = seed::seed();
    println!("run again with {}={seed}", seed::SEED);
    let mut tried: BTreeMap<_, (u32, u32)> = BTreeMap::new();
    let seeds: Vec<u64> = (0..cases).map(|number| seed.wrapping_add(number)).collect();
    for some in seeds.chunks(AT_ONCE) {
        let results: Vec<_> = thread::scope(|scope| {
            let running: Vec<_> =
                some.iter().map(|seed| (*seed, scope.spawn(|| case(*seed)))).collect();
            let ended = running.into_iter().map(|(seed, case)| (seed, case.join().unwrap()));
            ended.collect()
        });
        for (case, result) in results {
            let looks = result.unwrap_or_else(|what| {
                panic!("{what}\nrun again with {}={case} KEEPSUM_EXCLUSIVE_CASES=1", seed::SEED)
            });
            for (mode, moment, given) in looks {
                let (all, given_of) = tried.entry((mode, moment)).or_default();
                *all += 1;
                *given_of += u32::from(given);
            }
        }
    }
    for ((mode, moment), (all, given)) in &tried {
        println!("{mode}, {moment}: {given} of {all} given");
    }
    let on_disk = tried.iter().filter(|((mode, _), _)| !["memory", "off"].contains(mode));
    let (all, given) = on_disk.fold((0, 0), |sum, (_, of)| (sum.0 + of.0, sum.1 + of.1));
    assert!(
        all == 0 || cases < CASES || given * 2 > all,
        "{given} of {all} with a journal on the disk"
    );
}
