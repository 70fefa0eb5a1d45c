//! What cannot be read is refused in words.

use std::fs;
use std::path::Path;

use backup_core::Error;
use rusqlite::Connection;

use crate::ground::{SUM, beside, bytes_of, chain, look_into, make, place, seen, take};

fn refusal(path: &Path) -> Error {
    take(path).map(drop).unwrap_err()
}

#[test]
fn nothing_a_folder_and_another_kind_of_file() {
    let (folder, path) = place();
    assert!(matches!(refusal(&path), Error::NotFound { .. }));
    assert!(refusal(folder.path()).to_string().contains("is a folder"));
    fs::write(&path, "this is no database, and it is long enough to be one ".repeat(100)).unwrap();
    let error = refusal(&path);
    assert!(matches!(error, Error::Unsupported { .. }), "{}", chain(&error));
    assert!(error.to_string().contains("encrypts"), "{error}");
    fs::write(&path, "short").unwrap();
    assert!(matches!(refusal(&path), Error::Unsupported { .. }));
    fs::write(&path, "SQLite format 3\0 and no more").unwrap();
    assert!(matches!(refusal(&path), Error::Damaged { .. }));
}

/// What an encrypting program writes shows nothing of a database, in its log neither.
#[test]
fn an_encrypted_database_with_a_log() {
    let (_folder, path) = place();
    fs::write(&path, testkit::noise(5, 40_960)).unwrap();
    fs::write(beside(&path, "-wal"), testkit::noise(6, 40_960)).unwrap();
    let before = seen(path.parent().unwrap());
    let error = refusal(&path);
    assert!(matches!(error, Error::Unsupported { .. }), "{}", chain(&error));
    assert_eq!(seen(path.parent().unwrap()), before);
}

#[test]
fn a_main_file_shorter_than_it_says() {
    for mode in ["delete", "wal"] {
        let (_folder, path) = place();
        drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
        let whole = fs::read(&path).unwrap();
        // SQLite takes a last page in part.
        fs::write(&path, &whole[..whole.len() - 100]).unwrap();
        take(&path).unwrap();
        fs::write(&path, &whole[..whole.len() - 5000]).unwrap();
        let error = refusal(&path);
        assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
        assert!(error.to_string().contains("counts"), "{error}");
    }
}

#[test]
fn a_log_or_journal_beside_an_empty_main_file() {
    let (folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=wal");
    let (_other, lost) = place();
    fs::write(&lost, "").unwrap();
    fs::copy(beside(&path, "-wal"), beside(&lost, "-wal")).unwrap();
    let before = seen(lost.parent().unwrap());
    let error = refusal(&lost);
    assert!(error.to_string().contains("main file is empty"), "{error}");
    assert_eq!(seen(lost.parent().unwrap()), before, "SQLite would have removed the log");
    drop((connection, folder));
}

const EXCLUSIVE: &str = "
import sqlite3, sys
c = sqlite3.connect(sys.argv[1], isolation_level=None)
c.execute('PRAGMA locking_mode=EXCLUSIVE').fetchall()
c.execute('INSERT INTO log(what) VALUES (1)')
sys.stdout.write('r'); sys.stdout.flush()
sys.stdin.read()
";

/// A process that ends as the last one has the database for itself while it carries its log back.
#[test]
fn a_database_that_is_being_closed_is_waited_for() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=wal"));
    let script = EXCLUSIVE.replace("sys.stdin.read()", "import time; time.sleep(0.7); c.close()");
    let mut other = std::process::Command::new("python3")
        .args(["-c", &script])
        .arg(&path)
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 1];
    std::io::Read::read_exact(other.stdout.as_mut().unwrap(), &mut ready).unwrap();
    let held = look_into(&bytes_of(&take(&path).unwrap()).unwrap());
    other.wait().unwrap();
    assert_eq!((held.sum, held.logged.0), (SUM, 1));
}

#[test]
fn a_database_of_a_later_version_of_the_format() {
    let (_folder, path) = place();
    Connection::open(&path).unwrap().execute_batch("CREATE TABLE t(x)").unwrap();
    let mut bytes = fs::read(&path).unwrap();
    bytes[19] = 3;
    fs::write(&path, &bytes).unwrap();
    assert!(matches!(refusal(&path), Error::Unsupported { .. }));
}
