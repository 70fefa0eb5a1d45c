//! Databases past 1 GiB, whose page at that place SQLite never uses: it holds the bytes of its locks.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use keepsum::backup::ShapeChoice;
use rusqlite::Connection;

use crate::place::{Place, ask, assert_sound};

/// Where the bytes of the locks are.
const LOCK_BYTE: u64 = 1 << 30;

/// How much is compared at a time.
const PIECE: usize = 8 << 20;

/// Fills a database beyond the page that is never used: with values of zeros, which take no time to make, and
/// with rows after them.
fn make(path: &Path, page_size: u32) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size={page_size}; PRAGMA journal_mode=off; PRAGMA synchronous=off;
             CREATE TABLE zeros(id INTEGER PRIMARY KEY, b BLOB);
             CREATE TABLE after(id INTEGER PRIMARY KEY, what TEXT);
             INSERT INTO zeros VALUES(1, zeroblob(540000000)), (2, zeroblob(540000000));
             WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
               INSERT INTO after SELECT i, 'row ' || i || hex(randomblob(300)) FROM n;"
        ))
        .unwrap();
    connection
}

/// LESSONS: the lock-byte page at 1 GiB.
#[test]
fn the_page_of_the_lock_byte_comes_back_unused() {
    for page_size in [512, 4096] {
        let place = Place::on_disk();
        let database = place.path("source/large.db");
        let connection = make(&database, page_size);
        let length = database.metadata().unwrap().len();
        let pages: u64 = ask::<i64>(&database, "PRAGMA page_count").unsigned_abs();
        assert_eq!(length, pages * u64::from(page_size), "{page_size}");
        assert!(length > LOCK_BYTE + 10 * u64::from(page_size), "{page_size}: {length}");

        // Its pages are summed on the way there, and again on the way back.
        let report = place.back_up(&database, ShapeChoice::Files).unwrap();
        let (restored, back) = place.restore(&report.snapshot, "restored.db");
        println!(
            "{page_size}: {} s there, {} s back",
            report.elapsed_seconds, back.elapsed_seconds
        );
        assert_eq!(back.proved, Some("physical"));
        drop(connection);
        assert_same(&database, &restored, page_size);
        let rows = "SELECT count(*) || ' ' || sum(length(what)) FROM after";
        assert_eq!(ask::<String>(&restored, rows), ask::<String>(&database, rows), "{page_size}");
        // It grows on, and SQLite finds all of it sound.
        let grown = Connection::open(&restored).unwrap();
        grown.execute_batch("INSERT INTO after SELECT NULL, what FROM after").unwrap();
        assert_sound(&restored);
    }
}

/// Both files byte for byte; the page of the lock byte is zeros.
fn assert_same(one: &Path, other: &Path, page_size: u32) {
    let length = one.metadata().unwrap().len();
    assert_eq!(other.metadata().unwrap().len(), length, "{page_size}");
    let files = [one, other].map(|path| File::open(path).unwrap());
    let mut read = [vec![0; PIECE], vec![0; PIECE]];
    for at in (0..length).step_by(PIECE) {
        let end = PIECE.min(usize::try_from(length - at).unwrap());
        for (file, bytes) in files.iter().zip(&mut read) {
            file.read_exact_at(&mut bytes[..end], at).unwrap();
        }
        assert!(read[0][..end] == read[1][..end], "{page_size}: the bytes from {at} on");
    }
    let mut page = vec![1; usize::try_from(page_size).unwrap()];
    files[1].read_exact_at(&mut page, LOCK_BYTE).unwrap();
    assert!(page.iter().all(|byte| *byte == 0), "{page_size}");
}
