//! Writers in processes of their own: this test binary, started anew.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;
use std::{env, io, thread};

use rusqlite::{Connection, TransactionBehavior};

/// The variables that tell a writer what to write, how, and from which seed.
const DATABASE: &str = "KEEPSUM_TEST_SQLITE_DATABASE";
const PRAGMAS: &str = "KEEPSUM_TEST_SQLITE_PRAGMAS";
const WAY: &str = "KEEPSUM_TEST_SQLITE_WAY";
const WRITER_SEED: &str = "KEEPSUM_TEST_SQLITE_SEED";

/// Numbers from a seed.
#[derive(Debug, Clone)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed | 1)
    }

    /// A number below `sides`.
    pub(crate) fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % sides
    }
}

/// A process that writes a database until it is killed, which it is when dropped.
pub(crate) struct Writer(Child);

impl Writer {
    /// Starts one of the ways of [`writer`].
    pub(crate) fn start(database: &Path, pragmas: &str, way: &str, seed: u64) -> Self {
        let mut command = this_binary("writer::writer", database, pragmas);
        command.env(WAY, way).env(WRITER_SEED, seed.to_string()).stdout(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// Whether it still writes; one that failed has printed why.
    pub(crate) fn is_writing(&mut self) -> bool {
        self.0.try_wait().unwrap().is_none()
    }

    /// `kill -9`.
    pub(crate) fn kill(mut self) {
        assert!(self.is_writing(), "the writer ended by itself");
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A process that does to a database what it is asked, and nothing else.
pub(crate) struct Other {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

/// What the other process says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Said {
    /// It did it; with what it was answered.
    Done(String),
    /// Somebody's lock was in its way.
    Busy,
}

impl Other {
    /// Starts it; returns when it has the database open.
    pub(crate) fn start(database: &Path, pragmas: &str) -> Self {
        let mut command = this_binary("writer::other", database, pragmas);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let mut other = Self { child, input, output: BufReader::new(output) };
        let said = other.run("SELECT count(*) > 0 FROM sqlite_schema");
        assert_eq!(said, Said::Done("1".into()));
        other
    }

    /// Does something; returns when it is done, or when somebody was in the way.
    pub(crate) fn run(&mut self, sql: &str) -> Said {
        writeln!(self.input, "{}", sql.replace('\n', " ")).unwrap();
        loop {
            let mut line = String::new();
            let read = self.output.read_line(&mut line).unwrap();
            assert!(read > 0, "the other process ended at {sql}");
            // The harness prints lines of its own.
            if let Some(answer) = line.strip_prefix("done:") {
                return Said::Done(answer.trim().to_owned());
            }
            if line == "busy\n" {
                return Said::Busy;
            }
        }
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the other process of the other tests"]
fn other() {
    let database = env::var_os(DATABASE).expect("the test that starts it names the database");
    let connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_millis(100)).unwrap();
    connection.execute_batch(&env::var(PRAGMAS).unwrap()).unwrap();
    for line in io::stdin().lines() {
        match asked(&connection, &line.unwrap()) {
            Ok(answer) => println!("\ndone: {answer}"),
            Err(error) if is_in_the_way(&error) => println!("\nbusy"),
            Err(error) => panic!("{error}"),
        }
    }
}

/// Does all of it; the numbers that the last statement answers with.
fn asked(connection: &Connection, sql: &str) -> rusqlite::Result<String> {
    let (before, last) = sql.rsplit_once(';').unwrap_or(("", sql));
    connection.execute_batch(before)?;
    let mut statement = connection.prepare(last)?;
    let columns = statement.column_count();
    let mut rows = statement.query([])?;
    let mut numbers = Vec::new();
    while let Some(row) = rows.next()? {
        for column in 0..columns {
            numbers.push(row.get::<_, i64>(column)?.to_string());
        }
    }
    Ok(numbers.join(" "))
}

/// This test binary, to run one of its tests, which is a process that writes.
fn this_binary(test: &str, database: &Path, pragmas: &str) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(DATABASE, database)
        .env(PRAGMAS, pragmas);
    command
}

#[test]
#[ignore = "the writer of the other tests, in a process of its own"]
fn writer() {
    let database = env::var_os(DATABASE).expect("the test that starts it names the database");
    let mut dice = Dice::new(env::var(WRITER_SEED).unwrap().parse().unwrap());
    let mut connection = Connection::open(database).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    connection.execute_batch(&env::var(PRAGMAS).unwrap()).unwrap();
    let way = env::var(WAY).unwrap();
    loop {
        let done = match way.as_str() {
            "transfers" => transfer(&mut connection, &mut dice),
            "bursts" => burst(&mut connection, &mut dice),
            "large" => large(&mut connection, &mut dice),
            "checkpoints" => checkpoint(&connection, &mut dice),
            "schema" => schema(&connection, &mut dice),
            "page sizes" => page_size(&connection, &mut dice),
            other => panic!("{other}"),
        };
        match done {
            Ok(()) => {}
            Err(error) if is_in_the_way(&error) => thread::sleep(Duration::from_millis(1)),
            Err(error) => panic!("{way}: {error}"),
        }
    }
}

/// What happens between connections: another one was first, or changed the schema meanwhile.
fn is_in_the_way(error: &rusqlite::Error) -> bool {
    use rusqlite::ErrorCode as Code;
    let codes = [Code::DatabaseBusy, Code::DatabaseLocked, Code::SchemaChanged];
    error.sqlite_error_code().is_some_and(|code| codes.contains(&code))
}

fn transfer(connection: &mut Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    for _ in 0..=dice.throw(5) {
        let amount = dice.throw(100);
        let (from, to) = (dice.throw(200) + 1, dice.throw(200) + 1);
        let change =
            "UPDATE accounts SET balance = balance + ?1, pad = randomblob(?2) WHERE id = ?3";
        let (amount, length) = (amount.cast_signed(), dice.throw(1200).cast_signed());
        transaction.execute(change, (-amount, length, from.cast_signed()))?;
        transaction.execute(change, (amount, length, to.cast_signed()))?;
    }
    transaction.execute("INSERT INTO log(what) VALUES(hex(randomblob(?1)))", [300])?;
    transaction.execute("DELETE FROM log WHERE id < (SELECT max(id) FROM log) - 2000", [])?;
    if dice.throw(10) == 0 { transaction.rollback() } else { transaction.commit() }
}

/// Transfers, and then a while without.
fn burst(connection: &mut Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    for _ in 0..5 {
        transfer(connection, dice)?;
    }
    thread::sleep(Duration::from_millis(60 + dice.throw(60)));
    Ok(())
}

/// Transactions that do not fit into the cache, so that they are written before they are committed.
fn large(connection: &mut Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    transaction.execute("UPDATE accounts SET balance = balance + id, pad = randomblob(700)", [])?;
    transaction.execute("UPDATE accounts SET balance = balance - id", [])?;
    for _ in 0..20 {
        transaction.execute("INSERT INTO log(what) VALUES(hex(randomblob(2000)))", [])?;
    }
    transaction.execute("DELETE FROM log WHERE id < (SELECT max(id) FROM log) - 100", [])?;
    if dice.throw(4) == 0 { transaction.rollback() } else { transaction.commit() }
}

fn checkpoint(connection: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    let modes = ["PASSIVE", "FULL", "RESTART", "TRUNCATE"];
    let mode = modes[usize::try_from(dice.throw(4)).unwrap()];
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |_| Ok(()))?;
    thread::sleep(Duration::from_millis(dice.throw(5)));
    Ok(())
}

fn schema(connection: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    match dice.throw(3) {
        0 => connection
            .execute_batch("CREATE TABLE IF NOT EXISTS extra AS SELECT * FROM accounts")?,
        1 => connection.execute_batch("DROP TABLE IF EXISTS extra")?,
        _ => connection.execute_batch("VACUUM")?,
    }
    thread::sleep(Duration::from_millis(dice.throw(40)));
    Ok(())
}

fn page_size(connection: &Connection, dice: &mut Dice) -> rusqlite::Result<()> {
    let size = 512 << dice.throw(8);
    connection.execute_batch(&format!("PRAGMA page_size={size}; VACUUM"))?;
    thread::sleep(Duration::from_millis(dice.throw(40)));
    Ok(())
}
