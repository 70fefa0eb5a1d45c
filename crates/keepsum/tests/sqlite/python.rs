//! Databases of Python's `sqlite3`, with its own SQLite and its defaults, written by a process of it while they
//! are backed up.

use std::path::Path;
use std::process::{Child, Stdio};

use crate::place::{Place, SHAPES};
use crate::program::{Program, printed};

/// How many backups of each shape.
const ROUNDS: usize = 6;

/// Accounts that hold 100,000 together, and a row for every transfer.
const MAKE: &str = "
import datetime, sqlite3, sys
c = sqlite3.connect(sys.argv[1])
if sys.argv[2] == 'wal':
    assert c.execute('PRAGMA journal_mode=wal').fetchone() == ('wal',)
c.execute('CREATE TABLE account(id INTEGER PRIMARY KEY, name TEXT UNIQUE, balance INTEGER, since TIMESTAMP, pad BLOB)')
c.execute('CREATE TABLE transfer(at REAL, source INTEGER REFERENCES account, target INTEGER, amount INTEGER)')
since = datetime.date(2020, 1, 1).isoformat()
c.executemany('INSERT INTO account VALUES(?, ?, 1000, ?, ?)',
              ((n, f'Kontö {n}', since, bytes([n]) * 700) for n in range(100)))
c.commit()
";

/// Transfers until its input ends. An error, a wait beyond Python's five seconds among them, ends it.
const TRANSFER: &str = "
import random, select, sqlite3, sys, time
c = sqlite3.connect(sys.argv[1])
chance = random.Random(int(sys.argv[2]))
done = 0
while not select.select([sys.stdin], [], [], 0)[0]:
    source, target = chance.sample(range(100), 2)
    amount = chance.randrange(100)
    with c:
        c.execute('UPDATE account SET balance = balance - ? WHERE id = ?', (amount, source))
        c.execute('UPDATE account SET balance = balance + ?, pad = ? WHERE id = ?',
                  (amount, chance.randbytes(chance.randrange(1500)), target))
        c.execute('INSERT INTO transfer VALUES(?, ?, ?, ?)', (time.time(), source, target, amount))
    done += 1
    if done % 25 == 0:
        time.sleep(0.06)
print(done)
";

/// What it finds in a database, and a hash of the script that makes it.
const READ: &str = "
import hashlib, sqlite3, sys
c = sqlite3.connect(sys.argv[1])
print(c.execute('PRAGMA integrity_check').fetchall() == [('ok',)], c.execute('PRAGMA foreign_key_check').fetchall(),
      c.execute('SELECT sum(balance) FROM account').fetchone()[0], c.execute('SELECT count(*) FROM transfer').fetchone()[0],
      hashlib.sha256('\\n'.join(c.iterdump()).encode()).hexdigest())
";

/// How many transfers are in a sound database whose sum holds, and its hash.
fn read(python: &Program, database: &Path) -> (u64, String) {
    let call = ["-c", READ, database.to_str().unwrap()];
    let said = printed(&python.call(database.parent().unwrap(), call).output().unwrap());
    let words: Vec<&str> = said.split_whitespace().collect();
    let [sound, foreign, sum, transfers, hash] = words[..] else { panic!("{said}") };
    assert_eq!((sound, foreign, sum), ("True", "[]", "100000"), "{said}");
    (transfers.parse().unwrap(), hash.to_owned())
}

/// A process that transfers.
struct Transfers(Child);

impl Transfers {
    fn start(python: &Program, database: &Path, seed: u64) -> Self {
        let call = ["-c", TRANSFER, database.to_str().unwrap(), &seed.to_string()];
        let mut command = python.call(database.parent().unwrap(), call);
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        Self(command.spawn().unwrap())
    }

    /// Ends it; how many transfers it made.
    fn end(mut self) -> u64 {
        drop(self.0.stdin.take());
        let mut output = Vec::new();
        std::io::Read::read_to_end(self.0.stdout.as_mut().unwrap(), &mut output).unwrap();
        let mut said = String::new();
        std::io::Read::read_to_string(self.0.stderr.as_mut().unwrap(), &mut said).unwrap();
        let status = self.0.wait().unwrap();
        assert!(status.success(), "the writer failed: {said}");
        String::from_utf8(output).unwrap().trim().parse().unwrap()
    }
}

impl Drop for Transfers {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Backs up in both shapes while Python transfers; every state that is restored keeps the sum.
fn backed_up_while_it_transfers(mode: &str) {
    let Some(python) = Program::named("KEEPSUM_PYTHON3") else { return };
    let place = Place::new();
    let database = place.path("source/accounts.db");
    let call = ["-c", MAKE, database.to_str().unwrap(), mode];
    printed(&python.call(&place.path("source"), call).output().unwrap());
    let seed = testkit::seed::seed();
    println!("run again with {}={seed}", testkit::seed::SEED);
    let writer = Transfers::start(&python, &database, seed);
    let mut counts = Vec::new();
    for round in 0..ROUNDS {
        for shape in SHAPES {
            // However slow the writer is: it has gone on since the backup before.
            while counts.last().is_some_and(|last| read(&python, &database).0 <= *last) {}
            let report = place.back_up(&database, shape).unwrap();
            let (restored, _) = place.restore(&report.snapshot, &format!("{shape:?}-{round}.db"));
            counts.push(read(&python, &restored).0);
        }
    }
    let done = writer.end();
    let goes_on = counts.is_sorted_by(|before, after| before < after);
    assert!(goes_on, "a state that is not newer than the one before: {counts:?}");

    // Of a database that rests, both shapes give back what Python's own dump holds.
    let held = read(&python, &database);
    assert_eq!(held.0, done, "transfers of the writer and in its database");
    for shape in SHAPES {
        let report = place.back_up(&database, shape).unwrap();
        let (restored, _) = place.restore(&report.snapshot, &format!("{shape:?}.db"));
        assert_eq!(read(&python, &restored), held, "{shape:?}");
        // It goes on where it was.
        let writer = Transfers::start(&python, &restored, seed);
        while read(&python, &restored).0 == held.0 {}
        let further = writer.end();
        assert_eq!(read(&python, &restored).0, held.0 + further, "{shape:?}");
    }
    println!("{mode}: {done} transfers, {counts:?} in the snapshots");
}

#[test]
fn with_its_defaults() {
    backed_up_while_it_transfers("delete");
}

#[test]
fn with_a_log() {
    backed_up_while_it_transfers("wal");
}
