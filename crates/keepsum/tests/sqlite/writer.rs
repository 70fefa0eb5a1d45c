//! A writer in a process of its own: this test binary, started anew.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;
use std::{env, io, thread};

use rusqlite::{Connection, TransactionBehavior};

/// What all accounts hold together, whatever is transferred.
pub(crate) const SUM: i64 = 200_000;

const ACCOUNTS: u64 = 200;

/// How long a writer waits for a lock before that is an error.
const PATIENCE: Duration = Duration::from_secs(20);

/// The variables that tell the writer what to write, and from which seed.
const DATABASE: &str = "KEEPSUM_TEST_DATABASE";
const WRITER_SEED: &str = "KEEPSUM_TEST_SEED";

/// Makes a database of accounts in this journal mode.
pub(crate) fn make(database: &Path, mode: &str) {
    let connection = Connection::open(database).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA journal_mode={mode};
             CREATE TABLE account(id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, pad BLOB);
             CREATE TABLE transfer(id INTEGER PRIMARY KEY, amount INTEGER);
             CREATE INDEX by_balance ON account(balance);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {ACCOUNTS})
               INSERT INTO account SELECT i, {SUM} / {ACCOUNTS}, randomblob(2000) FROM n;"
        ))
        .unwrap();
}

/// A process that transfers between accounts until it is told to end.
pub(crate) struct Writer {
    child: Child,
    input: Option<ChildStdin>,
}

impl Writer {
    pub(crate) fn start(database: &Path, seed: u64) -> Self {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "writer::writer", "--ignored", "--nocapture"])
            .env(DATABASE, database)
            .env(WRITER_SEED, seed.to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        Self { child, input }
    }

    /// Whether it still writes. It ends at any error, a wait beyond its patience among them.
    pub(crate) fn is_writing(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    /// Ends it; how many transfers it made.
    ///
    /// Fails where it met an error.
    pub(crate) fn end(mut self) -> i64 {
        drop(self.input.take());
        let mut said = String::new();
        self.child.stderr.as_mut().unwrap().read_to_string(&mut said).unwrap();
        let lines = BufReader::new(self.child.stdout.as_mut().unwrap()).lines();
        let lines: Vec<String> = lines.map(|line| line.unwrap()).collect();
        assert!(self.child.wait().unwrap().success(), "{said}{lines:?}");
        let made = lines.iter().find_map(|line| line.strip_prefix("transfers made: "));
        made.unwrap_or_else(|| panic!("{lines:?}")).parse().unwrap()
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
#[ignore = "the writer of the other tests, in a process of its own"]
fn writer() {
    let database = env::var_os(DATABASE).expect("the test that starts it names the database");
    let seed: u64 = env::var(WRITER_SEED).unwrap().parse().unwrap();
    let ended = thread::spawn(|| io::stdin().read_to_end(&mut Vec::new()));
    let mut connection = Connection::open(database).unwrap();
    connection.busy_timeout(PATIENCE).unwrap();
    connection.pragma_update(None, "synchronous", "OFF").unwrap();
    connection.pragma_update(None, "wal_autocheckpoint", 50).unwrap();
    let mut made = 0;
    while !ended.is_finished() {
        made += transfer(&mut connection, seed.wrapping_add(made)).unwrap();
        // Without a log, a backup needs moments in which nobody writes.
        if made % 8 == 0 {
            thread::sleep(Duration::from_millis(25));
        }
    }
    println!("\ntransfers made: {made}");
}

fn transfer(connection: &mut Connection, seed: u64) -> rusqlite::Result<u64> {
    let drawn = testkit::noise(seed, 4);
    let account = |at: usize| u64::from(drawn[at]) % ACCOUNTS + 1;
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let change = "UPDATE account SET balance = balance + ?1, pad = randomblob(2 * length(pad) % 3001) WHERE id = ?2";
    let amount = i64::from(drawn[2]);
    transaction.execute(change, (-amount, account(0).cast_signed()))?;
    transaction.execute(change, (amount, account(1).cast_signed()))?;
    transaction.execute("INSERT INTO transfer(amount) VALUES(?1)", [amount])?;
    transaction.commit()?;
    Ok(1)
}
