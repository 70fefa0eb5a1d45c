//! What a crash left, damaged byte by byte.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backup_core::Error;
use rusqlite::Connection;

use crate::ground::{
    SUM, beside, bytes_of, carried_back, chain, copy_files, look_into, make, place, recovered,
    seen, take_settled as take,
};

/// A copy of a database's files as a crash of its process would leave them.
fn left(pragmas: &str, work: &str) -> (tempfile::TempDir, std::path::PathBuf) {
    let (_folder, live) = place();
    let connection = make(&live, pragmas);
    connection.execute_batch(work).unwrap();
    let (folder, path) = place();
    copy_files(&live, &path);
    (folder, path)
}

/// A small database of three states, each a transaction, in a log that was left.
fn small_log() -> (tempfile::TempDir, std::path::PathBuf, Vec<Vec<u8>>) {
    let (_folder, live) = place();
    let connection = Connection::open(&live).unwrap();
    let mut states = Vec::new();
    connection
        .execute_batch(
            "PRAGMA page_size=512; PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;
             CREATE TABLE t(x); CREATE TABLE u(x); PRAGMA wal_checkpoint(TRUNCATE);",
        )
        .unwrap();
    states.push(fs::read(&live).unwrap());
    for number in 1..=3 {
        let both = format!(
            "BEGIN; INSERT INTO t VALUES({number}); INSERT INTO u VALUES({number}); COMMIT"
        );
        connection.execute_batch(&both).unwrap();
        states.push(carried_back(&live));
    }
    let (folder, path) = place();
    copy_files(&live, &path);
    (folder, path, states)
}

/// Flips a bit of the byte at `at`, and undoes that of the byte before.
fn flip(path: &Path, original: &[u8], at: usize) {
    let file = fs::OpenOptions::new().write(true).open(path).unwrap();
    if let Some(before) = at.checked_sub(1) {
        file.write_all_at(&original[before..at], before as u64).unwrap();
    }
    file.write_all_at(&[original[at] ^ 1 << (at % 8)], at as u64).unwrap();
}

/// LESSONS: verify the running frame checksums, stop at a torn one.
#[test]
fn each_byte_of_a_log_flipped_is_an_error_or_an_earlier_state() {
    let (_folder, path, states) = small_log();
    let log = fs::read(beside(&path, "-wal")).unwrap();
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[3]);
    let (mut errors, mut earlier) = (0, 0);
    for at in 0..log.len() {
        flip(&beside(&path, "-wal"), &log, at);
        match take(&path).and_then(|snapshot| bytes_of(&snapshot)) {
            Ok(image) => {
                let state = states.iter().position(|state| *state == image);
                // The checkpoint's number in the header says nothing of the content.
                assert!(
                    state.is_some_and(|state| state < 3) || (12..16).contains(&at),
                    "byte {at}"
                );
                earlier += 1;
            }
            Err(error) => {
                assert!(matches!(error, Error::Damaged { .. }), "byte {at}: {}", chain(&error));
                errors += 1;
            }
        }
    }
    println!("{errors} errors, {earlier} earlier states of {} bytes", log.len());
    assert!(errors > 0 && earlier > 0);
}

#[test]
fn each_length_of_a_log_is_an_earlier_state() {
    let (_folder, path, states) = small_log();
    let log = fs::read(beside(&path, "-wal")).unwrap();
    for length in (0..log.len()).step_by(7).chain([0, 1, 31, 32, 33]) {
        fs::write(beside(&path, "-wal"), &log[..length]).unwrap();
        let image = bytes_of(&take(&path).unwrap()).unwrap();
        assert!(states[..3].contains(&image), "{length}");
        assert!(image == carried_back(&path), "{length}");
    }
}

/// LESSONS: WAL files from before a checkpoint applied over what came after.
#[test]
fn a_log_of_which_a_part_is_older_is_read_up_to_that() {
    let (_folder, path) = left(
        "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0",
        "UPDATE accounts SET pad = randomblob(900); PRAGMA wal_checkpoint(RESTART);
         INSERT INTO log VALUES(1, 'after');",
    );
    let before = seen(path.parent().unwrap());
    let image = bytes_of(&take(&path).unwrap()).unwrap();
    assert_eq!(seen(path.parent().unwrap()), before);
    assert!(image == carried_back(&path));
    assert_eq!(look_into(&image).logged, (1, 1));
}

#[test]
fn a_log_without_a_header_counts_for_nothing_and_one_with_another_is_refused() {
    let (_folder, path, states) = small_log();
    fs::write(beside(&path, "-wal"), [0; 4096]).unwrap();
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[0]);
    fs::write(beside(&path, "-wal"), [7; 4096]).unwrap();
    assert!(matches!(take(&path).map(drop), Err(Error::Damaged { .. })));
}

/// What is in memory that processes shared is nothing without them.
#[test]
fn a_stale_shm_is_not_read() {
    let (_folder, path, states) = small_log();
    fs::write(beside(&path, "-shm"), vec![0xff; 32_768]).unwrap();
    let before = seen(path.parent().unwrap());
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[3]);
    assert_eq!(seen(path.parent().unwrap()), before);
}

/// A database whose writer was killed within a transaction that had been written in part.
fn small_journal(pragmas: &str) -> (tempfile::TempDir, std::path::PathBuf, Vec<u8>) {
    let (_folder, live) = place();
    let connection = Connection::open(&live).unwrap();
    connection
        .execute_batch(&format!(
            "PRAGMA page_size=512; {pragmas};
             CREATE TABLE t(x, y);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
               INSERT INTO t SELECT i, hex(zeroblob(100)) FROM n;"
        ))
        .unwrap();
    let original = fs::read(&live).unwrap();
    connection
        .execute_batch(
            "PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN; UPDATE t SET y = hex(randomblob(100));
             INSERT INTO t SELECT x, y FROM t; DELETE FROM t WHERE x < 10;",
        )
        .unwrap();
    let (folder, path) = place();
    copy_files(&live, &path);
    assert!(fs::read(&path).unwrap() != original, "nothing was written yet");
    (folder, path, original)
}

/// The bytes of a journal that something in it vouches for. Nothing does for the numbers of pages, and
/// for all bytes of a page but every 200th; and where records are not counted, nothing for the number
/// that their checksums begin with.
fn covered(journal: &[u8]) -> Vec<bool> {
    const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];
    let number = |at: usize| u32::from_be_bytes(journal[at..at + 4].try_into().unwrap());
    let (sector, record) = (512, 512 + 8);
    let mut covered = vec![false; journal.len()];
    let mut at = 0;
    while at + sector <= journal.len() && journal[at..at + 8] == MAGIC {
        covered[at..at + 28].fill(true);
        let mut count = usize::try_from(number(at + 8)).unwrap();
        if number(at + 8) == u32::MAX {
            count = (journal.len() - sector) / record - 1;
            covered[at + 12..at + 16].fill(false);
        }
        for start in (0..count).map(|number| at + sector + number * record) {
            for step in [200, 400] {
                covered[start + 4 + 512 - step] = true;
            }
            covered[start + 4 + 512..start + record].fill(true);
        }
        if number(at + 8) == u32::MAX {
            break;
        }
        at = (at + sector + count * record).next_multiple_of(sector);
    }
    covered
}

#[test]
fn each_byte_of_a_journal_flipped_is_an_error_or_the_state_before() {
    for pragmas in ["PRAGMA synchronous=OFF", "PRAGMA synchronous=FULL"] {
        let (_folder, path, original) = small_journal(pragmas);
        let journal = fs::read(beside(&path, "-journal")).unwrap();
        let covered = covered(&journal);
        let before = seen(path.parent().unwrap());
        assert!(bytes_of(&take(&path).unwrap()).unwrap() == original);
        assert_eq!(seen(path.parent().unwrap()), before, "it was rolled back in place");
        let (mut errors, mut unseen) = (0, 0);
        for (at, covered) in covered.iter().enumerate() {
            flip(&beside(&path, "-journal"), &journal, at);
            match take(&path).and_then(|snapshot| bytes_of(&snapshot)) {
                Ok(image) if image == original => {}
                Ok(_) => {
                    assert!(!covered, "{pragmas}, byte {at}");
                    unseen += 1;
                }
                Err(error) => {
                    let refused =
                        matches!(error, Error::Damaged { .. } | Error::Unsupported { .. });
                    assert!(refused, "{pragmas}, byte {at}: {}", chain(&error));
                    errors += 1;
                }
            }
        }
        println!("{pragmas}: {errors} errors, {unseen} of {} bytes not seen", journal.len());
    }
}

/// Several segments, as a journal has that was synced several times.
#[test]
fn a_journal_of_several_segments() {
    for pragmas in
        ["PRAGMA synchronous=FULL", "PRAGMA synchronous=NORMAL; PRAGMA journal_mode=persist"]
    {
        let (_folder, path, original) = small_journal(pragmas);
        assert!(bytes_of(&take(&path).unwrap()).unwrap() == original, "{pragmas}");
        assert!(carried_back(&path) == original, "{pragmas}");
    }
}

#[test]
fn each_length_of_a_journal_is_an_error_or_sound() {
    let (_folder, path, original) = small_journal("PRAGMA synchronous=FULL");
    let journal = fs::read(beside(&path, "-journal")).unwrap();
    for length in (29..journal.len()).step_by(61) {
        fs::write(beside(&path, "-journal"), &journal[..length]).unwrap();
        match take(&path).and_then(|snapshot| bytes_of(&snapshot)) {
            Ok(image) => assert!(image == original || is_as_sqlite(&path, &image), "{length}"),
            Err(error) => assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error)),
        }
    }
}

fn is_as_sqlite(path: &Path, image: &[u8]) -> bool {
    carried_back(path).get(..image.len()) == Some(image)
}

#[test]
fn a_journal_of_several_databases_is_refused_while_the_others_wait() {
    let (_folder, path, original) = small_journal("PRAGMA synchronous=OFF");
    let over_all = beside(&path, "-mj01234567");
    let name = over_all.to_str().unwrap();
    let mut journal = fs::read(beside(&path, "-journal")).unwrap();
    let sum: u32 = name.bytes().map(u32::from).sum();
    journal.extend_from_slice(&(0x4000_0000_u32 / 512 + 1).to_be_bytes());
    journal.extend_from_slice(name.as_bytes());
    journal.extend_from_slice(&u32::try_from(name.len()).unwrap().to_be_bytes());
    journal.extend_from_slice(&sum.to_be_bytes());
    journal.extend_from_slice(&[0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7]);
    fs::write(beside(&path, "-journal"), &journal).unwrap();
    fs::write(&over_all, "names").unwrap();
    let error = take(&path).map(drop).unwrap_err();
    assert!(error.to_string().contains("several databases"), "{error}");
    // Without it, the transaction over all of them was committed.
    fs::remove_file(&over_all).unwrap();
    let image = bytes_of(&take(&path).unwrap()).unwrap();
    assert!(image != original);
}

#[test]
fn a_journal_that_was_committed_is_left_alone() {
    let (_folder, path) = left("PRAGMA journal_mode=persist", "UPDATE accounts SET pad = NULL");
    assert!(fs::metadata(beside(&path, "-journal")).unwrap().len() > 0);
    let image = bytes_of(&take(&path).unwrap()).unwrap();
    assert!(image == fs::read(&path).unwrap());
    assert_eq!(look_into(&image).sum, SUM);
    assert_eq!(recovered(&path), look_into(&image));
}
