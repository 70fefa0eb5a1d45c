//! Databases that a program has for itself are read as a crash at that moment would leave them: always a
//! committed state, or none.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, SystemTime};

use backend_sqlite::pages::{Options, capture};
use backend_sqlite::{Patience, SqliteSource};
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Error, Source};
use pollster::FutureExt as _;
use testkit::seed;

use crate::ground::{SUM, beside, bytes_of, chain, look_into, make, now, options, place, seen};
use crate::writer::{Other, Said, Writer};

const NOTE: &str = "as a crash at this moment would leave it";

/// What every account gives or takes, so that all together hold the same.
const TRANSFER: &str = "UPDATE accounts SET pad = randomblob(700), \
     balance = balance + CASE id % 2 WHEN 0 THEN 7 ELSE -7 END";

fn patient(seconds: f64) -> Options {
    Options { patience: Patience::of(Duration::from_secs_f64(seconds)), ..options() }
}

/// Takes a snapshot and reads it, as a backup does: one that is spoiled meanwhile is begun anew within the same
/// time.
pub(crate) fn take_within(
    path: &Path,
    seconds: f64,
) -> backup_core::Result<(Vec<u8>, Vec<String>)> {
    let options = patient(seconds);
    let begun = now();
    let is_over = || now().duration_since(begun).is_ok_and(|spent| spent.as_secs_f64() > seconds);
    loop {
        let read = capture(path, &options, &Context::default())
            .and_then(|snapshot| Ok((bytes_of(&snapshot)?, snapshot.notes().to_vec())));
        match read {
            Err(backup_core::Error::Changed { .. }) if !is_over() => {}
            read => return read,
        }
    }
}

/// A database in a journal mode, closed.
fn closed(mode: &str) -> (tempfile::TempDir, PathBuf) {
    let (folder, path) = place();
    drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
    (folder, path)
}

/// A program that has it for itself from its first transaction on.
fn exclusive(path: &Path, mode: &str) -> Other {
    Other::start(path, &format!("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode={mode};"))
}

fn does(other: &mut Other, sql: &str) {
    let said = other.run(sql);
    assert!(matches!(said, Said::Done(_)), "{sql}: {said:?}");
}

/// Refused after 5 to 18 seconds, of a browser at rest.
#[test]
fn a_program_at_rest() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        let (folder, path) = closed(mode);
        let mut other = exclusive(&path, mode);
        does(&mut other, "INSERT INTO log(what) VALUES('one')");
        let before = seen(folder.path());
        let (image, notes) =
            take_within(&path, 5.0).unwrap_or_else(|e| panic!("{mode}: {}", chain(&e)));
        assert_eq!(seen(folder.path()), before, "{mode}: the source was changed");
        let held = look_into(&image);
        assert_eq!((held.sum, held.logged), (SUM, (1, 1)), "{mode}");
        assert!(notes.iter().any(|note| note.contains(NOTE)), "{mode}: {notes:?}");
        // What it does from then on is no matter, and a second snapshot sees it.
        does(&mut other, TRANSFER);
        does(&mut other, "INSERT INTO log(what) VALUES('two')");
        let held = look_into(&take_within(&path, 5.0).unwrap().0);
        assert_eq!((held.sum, held.logged), (SUM, (2, 2)), "{mode}");
    }
}

/// The log's memory that processes share is there, and their locks with it, where a program went over to the
/// mode later.
#[test]
fn a_program_that_went_over_to_the_mode_later() {
    let (_folder, path) = closed("wal");
    let mut other = Other::start(&path, "PRAGMA journal_mode=wal;");
    does(
        &mut other,
        "INSERT INTO log(what) VALUES('one'); PRAGMA locking_mode=EXCLUSIVE; SELECT 1",
    );
    does(&mut other, "INSERT INTO log(what) VALUES('two')");
    assert!(beside(&path, "-shm").exists());
    let held = look_into(&take_within(&path, 5.0).unwrap().0);
    assert_eq!((held.sum, held.logged), (SUM, (2, 2)));
}

/// Half of a transaction is in the main file, and what it was before is in the journal.
#[test]
fn a_program_in_the_middle_of_a_transaction() {
    for mode in ["wal", "delete", "truncate", "persist"] {
        let (_folder, path) = closed(mode);
        let mut other = exclusive(&path, &format!("{mode}; PRAGMA cache_size=5"));
        does(&mut other, "INSERT INTO log(what) VALUES('one')");
        let whole = fs::read(&path).unwrap();
        does(&mut other, "BEGIN; UPDATE accounts SET balance = balance + 1, pad = randomblob(900)");
        assert!(mode == "wal" || fs::read(&path).unwrap() != whole, "{mode}: nothing was spilled");
        let (image, _) =
            take_within(&path, 5.0).unwrap_or_else(|e| panic!("{mode}: {}", chain(&e)));
        let held = look_into(&image);
        assert_eq!((held.sum, held.logged), (SUM, (1, 1)), "{mode}");
        does(&mut other, "ROLLBACK");
        let held = look_into(&take_within(&path, 5.0).unwrap().0);
        assert_eq!((held.sum, held.logged), (SUM, (1, 1)), "{mode}");
    }
}

/// Without a journal on the disk no byte tells of a transaction that runs; the state is then not taken, and
/// one that was ended is not either.
#[test]
fn a_program_without_a_journal_on_the_disk() {
    for mode in ["memory", "off"] {
        for stale in [false, true] {
            let (_folder, path) = closed("persist");
            if !stale {
                fs::remove_file(beside(&path, "-journal")).unwrap();
            }
            // So that what it writes is later than its beginning, of which the second is known.
            let mut other = exclusive(&path, &format!("{mode}; PRAGMA cache_size=5"));
            thread::sleep(Duration::from_millis(1100));
            does(
                &mut other,
                "BEGIN; UPDATE accounts SET balance = balance + 1, pad = randomblob(900)",
            );
            for end in ["SELECT 1", "COMMIT"] {
                let error = take_within(&path, 0.7).unwrap_err();
                assert!(matches!(error, Error::InUse { .. }), "{mode} {end}: {}", chain(&error));
                assert!(error.to_string().contains("EXCLUSIVE"), "{error}");
                assert!(
                    error.to_string().contains("no journal on the disk"),
                    "{mode} {stale}: {error}"
                );
                does(&mut other, end);
            }
        }
    }
}

/// One that went over to another journal mode has ended the journal of the transaction before.
#[test]
fn a_program_that_went_over_to_a_journal_in_memory() {
    for mode in ["delete", "persist", "truncate"] {
        let (_folder, path) = closed(mode);
        let mut other = exclusive(&path, &format!("{mode}; PRAGMA cache_size=5"));
        does(&mut other, "INSERT INTO log(what) VALUES('one')");
        does(
            &mut other,
            "PRAGMA journal_mode=MEMORY; BEGIN; UPDATE accounts SET balance = balance + 1, \
             pad = randomblob(900)",
        );
        // Within the tick of a clock, the two have one time.
        let journal = fs::File::options().write(true).open(beside(&path, "-journal")).unwrap();
        journal.set_modified(fs::metadata(&path).unwrap().modified().unwrap()).unwrap();
        let error = take_within(&path, 0.7).unwrap_err();
        assert!(error.to_string().contains("no journal on the disk"), "{mode}: {}", chain(&error));
    }
}

/// What a program has for itself and has not written is as the one before it left it.
#[test]
fn a_program_that_has_written_nothing() {
    for mode in ["delete", "memory", "off"] {
        let (_folder, path) = closed("delete");
        set_times(&path, Duration::from_mins(1));
        let mut other = exclusive(&path, mode);
        does(&mut other, "BEGIN EXCLUSIVE; COMMIT");
        let held = look_into(&take_within(&path, 5.0).unwrap().0);
        assert_eq!((held.sum, held.logged), (SUM, (0, 0)), "{mode}");
    }
}

/// The VFS that browsers use locks the file for as long as it is open, and leaves no journal.
#[test]
fn a_process_that_locked_the_file_when_it_opened_it() {
    let (folder, path) = closed("delete");
    let mut other = Other::start(&vfs(&path), "PRAGMA journal_mode=delete;");
    does(&mut other, "INSERT INTO log(what) VALUES('one')");
    let held = look_into(&take_within(&path, 6.0).unwrap().0);
    assert_eq!((held.sum, held.logged), (SUM, (1, 1)));
    // In its middle, from the journal.
    does(
        &mut other,
        "PRAGMA cache_size=5; BEGIN; UPDATE accounts SET balance = balance + 1, pad = randomblob(900)",
    );
    let held = look_into(&take_within(&path, 5.0).unwrap().0);
    assert_eq!((held.sum, held.logged), (SUM, (1, 1)));
    does(&mut other, "ROLLBACK");
    // A journal in memory was never removed from the folder.
    does(&mut other, "PRAGMA journal_mode=memory; SELECT 1");
    thread::sleep(Duration::from_millis(20));
    does(&mut other, "BEGIN; UPDATE accounts SET balance = balance + 1, pad = randomblob(900)");
    let error = take_within(&path, 3.0).unwrap_err();
    assert!(error.to_string().contains("no journal on the disk"), "{}", chain(&error));
    drop(folder);
}

/// This process is the program.
#[test]
fn a_program_that_backs_itself_up() {
    for mode in ["wal", "delete"] {
        let (_folder, path) = closed(mode);
        let own = rusqlite::Connection::open(&path).unwrap();
        own.execute_batch(
            "PRAGMA locking_mode=EXCLUSIVE; INSERT INTO log(what) VALUES('one'); \
             UPDATE accounts SET balance = balance",
        )
        .unwrap();
        let held = look_into(
            &take_within(&path, 5.0).unwrap_or_else(|e| panic!("{mode}: {}", chain(&e))).0,
        );
        assert_eq!((held.sum, held.logged), (SUM, (1, 1)), "{mode}");
        own.execute_batch("INSERT INTO log(what) VALUES('two')").unwrap();
    }
}

/// Both shapes, and both together.
#[test]
fn rows_of_it() {
    for mode in ["wal", "delete"] {
        let (_folder, path) = closed(mode);
        let mut other = exclusive(&path, mode);
        does(&mut other, TRANSFER);
        let source = SqliteSource::path(&path).unwrap().with_clock(std::sync::Arc::new(now));
        for view in [View::Records, View::Both] {
            let snapshot = source.snapshot(view, &Context::default()).block_on().unwrap();
            assert!(snapshot.info().notes.iter().any(|note| note.contains(NOTE)), "{mode}");
            let names: Vec<_> =
                snapshot.info().databases.iter().map(|database| database.name.clone()).collect();
            assert!(names.contains(&"accounts".to_owned()), "{mode}: {names:?}");
        }
    }
}

/// A program that never rests is refused in time, in its own words.
#[test]
fn a_program_that_never_rests() {
    let (_folder, path) = closed("persist");
    let quick =
        "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=persist; PRAGMA synchronous=OFF";
    let mut writer = Writer::start(&path, quick, "transfers", 7);
    thread::sleep(Duration::from_millis(300));
    let begun = now();
    let error = take_within(&path, 2.0).unwrap_err();
    let took = now().duration_since(begun).unwrap();
    assert!(writer.is_writing());
    assert!(error.to_string().contains("EXCLUSIVE"), "{}", chain(&error));
    assert!(error.to_string().contains("did not rest for 2 seconds"), "{}", chain(&error));
    assert!(took >= Duration::from_secs(2) && took < Duration::from_secs(8), "{took:?}");
}

/// Transfers in bursts, in a process that has the database for itself: the sum over all accounts holds in
/// every state.
#[test]
fn states_between_bursts_of_writes() {
    for (mode, pragmas) in [
        ("wal", "PRAGMA synchronous=OFF; PRAGMA wal_autocheckpoint=40"),
        ("wal", "PRAGMA synchronous=NORMAL"),
        ("delete", "PRAGMA synchronous=OFF; PRAGMA cache_size=5"),
        ("truncate", "PRAGMA synchronous=FULL"),
        ("persist", "PRAGMA synchronous=OFF; PRAGMA cache_size=5"),
    ] {
        let (_folder, path) = closed(mode);
        let seed = seed::seed();
        println!("{mode}: run again with {}={seed}", seed::SEED);
        let pragmas =
            format!("PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode={mode}; {pragmas}");
        let mut writer = Writer::start(&path, &pragmas, "bursts", seed);
        let mut last = 0;
        for _ in 0..6 {
            let (image, _) =
                take_within(&path, 30.0).unwrap_or_else(|e| panic!("{mode}: {}", chain(&e)));
            assert!(writer.is_writing(), "{mode}");
            let held = look_into(&image);
            assert_eq!(held.sum, SUM, "{mode}");
            assert!(held.logged.1 >= last, "{mode}: an older state than the one before");
            last = held.logged.1;
        }
        assert!(last > 0, "{mode}: nobody wrote");
    }
}

/// A log tells its own commits, so that who writes without a pause is read all the same.
#[test]
fn a_log_that_grows_without_a_pause() {
    let (_folder, path) = closed("wal");
    // Without checkpoints: a log that begins anew within each read is another matter, and is refused in time.
    let quick = "PRAGMA locking_mode=EXCLUSIVE; PRAGMA journal_mode=wal; PRAGMA synchronous=OFF; \
                 PRAGMA wal_autocheckpoint=0";
    let mut writer = Writer::start(&path, quick, "transfers", seed::seed());
    let mut last = 0;
    for _ in 0..6 {
        let (image, _) = take_within(&path, 30.0).unwrap_or_else(|e| panic!("{}", chain(&e)));
        assert!(writer.is_writing());
        let held = look_into(&image);
        assert_eq!(held.sum, SUM);
        assert!(held.logged.1 >= last);
        last = held.logged.1;
    }
    assert!(last > 0);
}

/// All databases in a folder that a program uses: `KEEPSUM_TEST_PROFILE=~/.mozilla/firefox/x.default`.
#[test]
#[ignore = "looks at a folder that is named by hand, such as a browser's"]
fn databases_of_a_folder() {
    let folder = std::env::var_os("KEEPSUM_TEST_PROFILE").expect("it names a folder");
    let mut folders = vec![PathBuf::from(folder)];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.is_symlink() {
                folders.push(path);
                continue;
            }
            let is_database = fs::read(&path).is_ok_and(|all| all.starts_with(b"SQLite format 3"));
            if !is_database {
                continue;
            }
            let begun = now();
            let said = match take_within(&path, 10.0) {
                Ok((image, notes)) => format!("{}; {notes:?}", sound(&image)),
                Err(error) => format!("REFUSED: {}", chain(&error)),
            };
            let took = now().duration_since(begun).unwrap().as_millis();
            println!("{}: {took} ms: {said}", path.display());
        }
    }
}

fn sound(image: &[u8]) -> String {
    let (_folder, path) = place();
    fs::write(&path, image).unwrap();
    let connection = rusqlite::Connection::open(&path).unwrap();
    let check = connection.query_row("PRAGMA integrity_check", [], |row| row.get::<_, String>(0));
    check.unwrap_or_else(|error| error.to_string())
}

/// The name under which SQLite opens a file with the lock of the process.
pub(crate) fn vfs(path: &Path) -> PathBuf {
    let name = path.to_str().unwrap().replace(' ', "%20");
    format!("file:{name}?vfs=unix-excl").into()
}

fn set_times(path: &Path, ago: Duration) {
    let file = fs::File::options().write(true).open(path).unwrap();
    let then: SystemTime = now() - ago;
    file.set_modified(then).unwrap();
}
