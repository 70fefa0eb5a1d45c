//! `kill -9` of a backup while another process writes its source: the source, its writer, the repository and what
//! lies beside them are as if the backup had not been.

use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use keepsum::backup::ShapeChoice;
use keepsum::location::SourceOptions;
use testkit::seed;

use crate::place::{HOST, Place, SHAPES, ask, assert_sound};
use crate::program::printed;
use crate::writer::{SUM, Writer, make};

/// How many backups are killed before their end, in each journal mode.
const KILLED: u32 = 100;

/// How many are begun for that at most.
const ROUNDS: u64 = 400;

/// The longest that a backup is left to run at first, in microseconds.
const LONGEST: u64 = 100_000;

/// What SQLite keeps beside a database that is written.
const OF_SQLITE: [&str; 4] = ["a.db", "a.db-journal", "a.db-shm", "a.db-wal"];

#[test]
fn a_backup_of_a_database_with_a_log() {
    killed_backups("wal", &[&[]]);
}

#[test]
fn a_backup_of_a_database_with_a_rollback_journal() {
    killed_backups("delete", &[&[], &["--block-writers"]]);
}

/// A snapshot, and the transfers that it holds at least.
struct Taken {
    snapshot: String,
    transfers: i64,
}

fn killed_backups(mode: &str, ways: &[&[&str]]) {
    let (place, seed) = (Place::new(), seed::seed());
    let database = place.path("source/a.db");
    make(&database, mode);
    let mut writer = Writer::start(&database, seed);
    let mut taken = vec![back_up(&place, &database, ShapeChoice::Files)];
    let (mut killed, mut longest) = (0, LONGEST);
    for round in 0..ROUNDS {
        let what = format!("{mode}, round {round}; run again with {}={seed}", seed::SEED);
        let mut drawn = testkit::noise(seed.wrapping_add(round), 32).into_iter();
        let mut below = |limit: u64| {
            let bytes: Vec<u8> = drawn.by_ref().take(8).collect();
            u64::from_le_bytes(bytes.try_into().unwrap()) % limit
        };
        let shape = SHAPES[usize::try_from(below(2)).unwrap()];
        let way = ways[usize::try_from(below(ways.len() as u64)).unwrap()];
        let in_time = kill(&place, &database, shape, way, below(longest));
        // Whatever this machine's speed, most are killed in time, at any moment of theirs.
        longest = if in_time { longest * 11 / 10 } else { longest * 7 / 10 };
        killed += u32::from(in_time);

        assert_sound(&database);
        assert_eq!(sum(&database), SUM, "{what}");
        assert!(writer.is_writing(), "{what}: the writer ended");
        restores(&place, &taken[usize::try_from(below(taken.len() as u64)).unwrap()], &what);
        let next = back_up(&place, &database, shape);
        restores(&place, &next, &what);
        taken.push(next);
        if killed == KILLED {
            break;
        }
    }
    let transfers = writer.end();
    println!("{mode}: {killed} killed of {}, {transfers} transfers meanwhile", taken.len() - 1);
    assert_eq!(killed, KILLED, "too many ended before the signal");
    assert_eq!(ask::<i64>(&database, "SELECT count(*) FROM transfer"), transfers);
    assert!(transfers > 1000, "hardly anything was written meanwhile");
    // The next backup sweeps what the last one that was killed left in the temporary folder.
    let source = format!("sqlite:{}", database.display());
    printed(&place.command(&["backup", &source, "--files", "--host", HOST]).output().unwrap());
    leaves_nothing(&place, &database);
    printed(&place.command(&["verify", "--level", "full"]).output().unwrap());
    place.assert_clean();
}

/// Kills a backup after some time; whether it had not ended before.
fn kill(place: &Place, database: &Path, shape: ShapeChoice, way: &[&str], wait: u64) -> bool {
    let source = format!("sqlite:{}", database.display());
    let shape = if shape == ShapeChoice::Files { "--files" } else { "--records" };
    // A backup finds the pins of one that was killed by the name of its host.
    let arguments = [&["backup", &source, shape, "--host", HOST], way].concat();
    let mut command = place.command(&arguments);
    let mut running = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    thread::sleep(Duration::from_micros(wait));
    let ended = running.try_wait().unwrap().is_some();
    running.kill().unwrap();
    running.wait().unwrap();
    !ended
}

fn sum(database: &Path) -> i64 {
    ask(database, "SELECT sum(balance) FROM account")
}

fn back_up(place: &Place, database: &Path, shape: ShapeChoice) -> Taken {
    let transfers = ask(database, "SELECT count(*) FROM transfer");
    // Without a log, the writer might let no backup end that does not let it wait.
    let options = SourceOptions { block_writers: true, ..SourceOptions::default() };
    let report = place.back_up_with(database, shape, &options).unwrap();
    Taken { snapshot: report.snapshot, transfers }
}

fn restores(place: &Place, taken: &Taken, what: &str) {
    let (restored, _) = place.restore(&taken.snapshot, "restored.db");
    assert_eq!(sum(&restored), SUM, "{what}");
    let transfers: i64 = ask(&restored, "SELECT count(*) FROM transfer");
    assert!(transfers >= taken.transfers, "{what}: {transfers} of {}", taken.transfers);
    for name in place.names(".").iter().filter(|name| name.starts_with("restored.db")) {
        std::fs::remove_file(place.path(name)).unwrap();
    }
}

/// No file and no lock of the backups that were killed.
fn leaves_nothing(place: &Place, database: &Path) {
    let beside = place.names("source");
    let of_others = beside.iter().filter(|name| !OF_SQLITE.contains(&name.as_str()));
    assert_eq!(of_others.count(), 0, "{beside:?}");
    assert_eq!(place.names("tmp"), [""; 0]);
    let connection = rusqlite::Connection::open(database).unwrap();
    connection.busy_timeout(Duration::ZERO).unwrap();
    connection
        .execute_batch("BEGIN EXCLUSIVE; UPDATE account SET pad = NULL; COMMIT; VACUUM")
        .unwrap();
    if ask::<String>(database, "PRAGMA journal_mode") == "wal" {
        let busy = "PRAGMA wal_checkpoint(TRUNCATE)";
        assert_eq!(connection.query_row(busy, [], |row| row.get::<_, i64>(0)), Ok(0));
    }
}
