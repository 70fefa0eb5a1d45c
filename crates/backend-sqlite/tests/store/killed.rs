//! `kill -9` of a writer at random moments: every batch that it was told to be written is there, and none
//! in part.
//!
//! The writer is this test binary, started anew. Each of its batches moves money between accounts, so
//! that their sum stays what it was, rewrites a value of up to some MiB that is made from the batch's
//! number, and replaces all keys under one prefix. It prints a batch's number once it is written.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, thread};

use backend_sqlite::SqliteStore;
use backup_core::Partition;
use backup_core::kv::WriteBatch;
use pollster::FutureExt as _;
use rusqlite::Connection;
use testkit::noise;

use crate::{partition, place, scan, store};

/// The variable that tells the writer which file to write to.
const FILE: &str = "KEEPSUM_TEST_SQLITE_FILE";

/// The variable for the number of rounds.
const ROUNDS: &str = "KEEPSUM_TEST_SQLITE_ROUNDS";

/// The longest that a writer lives, in microseconds, its start included.
const LONGEST: u64 = 150_000;

const ACCOUNTS: u64 = 20;

/// What all accounts have together.
const SUM: u64 = ACCOUNTS * 1000;

/// A number made from another one.
fn drawn(number: u64, what: u64) -> u64 {
    u64::from_le_bytes(noise(number ^ what << 40, 8).try_into().unwrap())
}

/// The long value of a batch: one in ten has several pieces.
fn long_value(number: u64) -> Vec<u8> {
    let longest = if number.is_multiple_of(10) { 3 << 20 } else { 2000 };
    noise(number, usize::try_from(drawn(number, 1) % longest).unwrap())
}

/// How many keys a batch leaves under its prefix.
fn marks(number: u64) -> u64 {
    drawn(number, 2) % 20
}

fn account(number: u64) -> Vec<u8> {
    [b"account ", &number.to_be_bytes()[..]].concat()
}

fn number_at(partition: &dyn Partition, key: &[u8]) -> Option<u64> {
    let value = partition.get(key).block_on().unwrap()?;
    Some(u64::from_be_bytes(value.try_into().unwrap()))
}

fn write(partition: &dyn Partition, number: u64) {
    let (from, to) = (drawn(number, 3) % ACCOUNTS, drawn(number, 4) % ACCOUNTS);
    let held = |which| number_at(partition, &account(which)).unwrap();
    let amount = if from == to { 0 } else { drawn(number, 5) % (held(from) + 1) };
    let mut batch = WriteBatch::new();
    batch.delete_prefix("mark ");
    for mark in 0..marks(number) {
        batch.put([b"mark ", &mark.to_be_bytes()[..]].concat(), number.to_be_bytes());
    }
    batch.put(account(from), (held(from) - amount).to_be_bytes());
    if from != to {
        batch.put(account(to), (held(to) + amount).to_be_bytes());
    }
    batch.put("long", long_value(number));
    batch.put("number", number.to_be_bytes());
    partition.write_batch(batch).block_on().unwrap();
}

#[test]
#[ignore = "the writer of the other test, in a process of its own"]
fn writer() {
    let file = env::var(FILE).expect("the test that starts the writer names the file");
    let store = SqliteStore::open(file).unwrap();
    let partition = partition(&store);
    let begun = number_at(partition.as_ref(), b"number").unwrap();
    for number in begun + 1.. {
        write(partition.as_ref(), number);
        println!("written {number}");
    }
}

/// Runs a writer for so long, and gives the last batch that it said was written.
fn killed_after(file: &Path, wait: u64) -> Option<u64> {
    let mut writer = Command::new(env::current_exe().unwrap())
        .args(["--exact", "killed::writer", "--ignored", "--nocapture"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    thread::sleep(Duration::from_micros(wait));
    writer.kill().unwrap();
    let output = writer.wait_with_output().unwrap();
    assert!(!output.status.success(), "the writer ended by itself");
    let said = String::from_utf8(output.stdout).unwrap();
    // A line that the signal cut off was not said.
    let (whole, _) = said.rsplit_once('\n')?;
    let numbers = whole.lines().filter_map(|line| line.strip_prefix("written "));
    numbers.map(|number| number.parse().unwrap()).next_back()
}

/// Checks that the store is as some whole batch left it, and gives that batch's number.
fn check(file: &Path, what: &str) -> u64 {
    let store = SqliteStore::open(file).unwrap();
    let partition = partition(&store);
    let number = number_at(partition.as_ref(), b"number").unwrap();
    let found = scan(partition.as_ref()).unwrap();
    let prefixed =
        |prefix: &'static [u8]| found.iter().filter(move |(key, _)| key.starts_with(prefix));
    let sum: u64 = prefixed(b"account ")
        .map(|(_, value)| u64::from_be_bytes(value.as_slice().try_into().unwrap()))
        .sum();
    assert_eq!(sum, SUM, "{what}: the accounts after batch {number}");
    if number > 0 {
        assert_eq!(prefixed(b"mark ").count() as u64, marks(number), "{what}: batch {number}");
        let same = prefixed(b"mark ").all(|(_, value)| *value == number.to_be_bytes());
        assert!(same, "{what}: marks of two batches after batch {number}");
        let long = partition.get(b"long").block_on().unwrap();
        assert!(long == Some(long_value(number)), "{what}: the long value of batch {number}");
    }
    let connection = Connection::open(file).unwrap();
    let ask = |question: &str| -> String {
        connection.query_row(question, [], |row| row.get(0)).unwrap()
    };
    assert_eq!(ask("PRAGMA integrity_check"), "ok", "{what}");
    let orphans = "SELECT CAST(count(*) AS TEXT) FROM pieces_1 WHERE NOT EXISTS (SELECT 1 FROM \
                   records_1 WHERE number BETWEEN first AND first + (length - 1) / 1048576)";
    assert_eq!(ask(orphans), "0", "{what}: pieces without a record");
    number
}

#[test]
fn killed_at_random_moments() {
    let seed = testkit::seed::seed();
    let rounds = env::var(ROUNDS).map_or(100, |rounds| rounds.parse().unwrap());
    let (_folder, file) = place();
    let open = store(&file);
    let mut batch = WriteBatch::new();
    batch.put("number", 0_u64.to_be_bytes());
    for number in 0..ACCOUNTS {
        batch.put(account(number), (SUM / ACCOUNTS).to_be_bytes());
    }
    partition(&open).write_batch(batch).block_on().unwrap();
    drop(open);
    let (mut last, mut killed_writing) = (0, 0);
    for round in 0..rounds {
        let wait = drawn(seed.wrapping_add(round), 0) % LONGEST;
        let what = format!("KEEPSUM_SEED={seed}, round {round}, killed after {wait} us");
        let said = killed_after(&file, wait);
        let found = check(&file, &what);
        let told = said.unwrap_or(last);
        // One more may have been written and not said.
        assert!(found == told || found == told + 1, "{what}: {told} was told, {found} is there");
        killed_writing += u64::from(said.is_some());
        last = found;
    }
    println!(
        "{rounds} rounds of kill -9 (KEEPSUM_SEED={seed}): {killed_writing} after a batch, {last} batches"
    );
    assert!(killed_writing > rounds / 4, "most writers were killed before they wrote");
}
