//! What a crash left, damaged byte by byte.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use backup_core::{Error, Files};
use rusqlite::Connection;
use rusqlite::config::DbConfig;

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

/// LESSONS: only the last transaction of a log was applied, and what those before it had changed was lost.
#[test]
fn every_transaction_of_a_log_counts() {
    let (_folder, path) = left(
        "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0",
        "PRAGMA wal_checkpoint(TRUNCATE); INSERT INTO log VALUES(1, 'first'); DELETE FROM pairs;",
    );
    let image = bytes_of(&take(&path).unwrap()).unwrap();
    assert!(image == carried_back(&path));
    assert_eq!(look_into(&image).logged, (1, 1));
}

/// SQLite would drop the transactions behind a frame that a disk changed, without a word.
#[test]
fn a_changed_frame_before_whole_transactions_is_refused() {
    let (_folder, path, states) = small_log();
    let log = fs::read(beside(&path, "-wal")).unwrap();
    let frames = (log.len() - 32) / (24 + 512);
    for frame in 0..frames {
        let mut changed = log.clone();
        changed[32 + frame * (24 + 512) + 24 + 100] ^= 1;
        fs::write(beside(&path, "-wal"), &changed).unwrap();
        match take(&path).and_then(|snapshot| bytes_of(&snapshot)) {
            // Nothing tells a change of the last frame from a transaction that a crash cut off.
            Ok(image) => assert!(frame == frames - 1 && image == states[2], "frame {frame}"),
            Err(error) => {
                assert!(frame < frames - 1, "frame {frame}: {}", chain(&error));
                assert!(error.to_string().contains("whole transactions follow"), "{error}");
            }
        }
    }
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

/// Gives the last transaction of a small log another count of pages, under checksums that are right.
fn count_otherwise(log: &mut [u8], pages: u32) {
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().unwrap());
    let add = |sum: &mut [u32; 2], bytes: &[u8]| {
        for pair in bytes.chunks_exact(8) {
            sum[0] = sum[0].wrapping_add(number(&pair[..4])).wrapping_add(sum[1]);
            sum[1] = sum[1].wrapping_add(number(&pair[4..])).wrapping_add(sum[0]);
        }
    };
    assert_eq!(log[3] & 1, 0, "its checksums are of little-endian words");
    let mut sum = [0; 2];
    add(&mut sum, &log[..24]);
    let last = (log.len() - 32) / (24 + 512) - 1;
    for (at, frame) in log[32..].chunks_exact_mut(24 + 512).enumerate() {
        if at == last {
            frame[4..8].copy_from_slice(&pages.to_be_bytes());
        }
        add(&mut sum, &frame[..8]);
        add(&mut sum, &frame[24..]);
        for (place, word) in frame[16..24].chunks_exact_mut(4).zip(sum) {
            place.copy_from_slice(&word.to_be_bytes());
        }
    }
}

/// The fuzzer found it: a log that counts more pages than the database says of itself. All were backed up, and
/// no restore would have taken them, as the length was not the header's. SQLite goes by the header.
#[test]
fn a_log_that_counts_more_pages_than_the_header_is_read_as_sqlite_reads_it() {
    let (_folder, path, states) = small_log();
    let mut log = fs::read(beside(&path, "-wal")).unwrap();
    count_otherwise(&mut log, 23);
    fs::write(beside(&path, "-wal"), &log).unwrap();
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[3], "left");
    let connection = Connection::open(&path).unwrap();
    let pages = connection.query_row("PRAGMA page_count", [], |row| row.get::<_, u32>(0));
    assert_eq!(pages.unwrap() as usize * 512, states[3].len());
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[3], "live");
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[3], "carried back");
    drop(connection);
    // Fewer than the header says are none that SQLite would read.
    let (_folder, path, _) = small_log();
    count_otherwise(&mut log, 2);
    fs::write(beside(&path, "-wal"), &log).unwrap();
    let error = take(&path).map(drop).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
}

/// A power cut took the last transaction of a log, and another of as many frames came in its place. The next
/// backup took the database for unchanged, and kept the transaction that was lost instead of the other.
#[test]
fn a_log_that_lost_its_end_and_grew_again_is_another_content() {
    let (_folder, path, states) = small_log();
    let first = take(&path).unwrap();
    let (transaction, wal) = (2 * (512 + 24), beside(&path, "-wal"));
    let log = fs::read(&wal).unwrap();
    fs::write(&wal, &log[..log.len() - transaction]).unwrap();
    assert!(bytes_of(&take(&path).unwrap()).unwrap() == states[2]);
    let connection = Connection::open(&path).unwrap();
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).unwrap();
    connection
        .execute_batch("BEGIN; INSERT INTO t VALUES(8); INSERT INTO u VALUES(8); COMMIT")
        .unwrap();
    let live = take(&path).unwrap();
    drop(connection);
    let left = take(&path).unwrap();
    for other in [&live, &left] {
        assert_eq!(other.position(), first.position(), "as many frames in the same log");
        assert!(other.list()[0].identity.is_some());
        assert_ne!(other.list()[0].identity, first.list()[0].identity);
    }
    assert_eq!(live.list()[0].identity, left.list()[0].identity, "open or not, it is the same");
    assert!(bytes_of(&left).unwrap() == carried_back(&path) && carried_back(&path) != states[3]);
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

/// The fuzzer found it: a crash within the first transaction of a database. It was taken for another kind of
/// file, or an encrypted one; before that transaction it was empty.
#[test]
fn a_crash_within_the_first_transaction_leaves_an_empty_database() {
    let (_folder, live) = place();
    let connection = Connection::open(&live).unwrap();
    connection
        .execute_batch(
            "PRAGMA page_size=512; PRAGMA cache_size=1; PRAGMA cache_spill=1; BEGIN; CREATE TABLE t(x);
             WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
               INSERT INTO t SELECT zeroblob(400) FROM n;",
        )
        .unwrap();
    let (folder, path) = place();
    copy_files(&live, &path);
    assert!(fs::metadata(&path).unwrap().len() > 0, "nothing was written yet");
    let before = seen(folder.path());
    let snapshot = take(&path).unwrap();
    assert_eq!((snapshot.page_count(), snapshot.notes().len()), (0, 1), "{:?}", snapshot.notes());
    assert!(bytes_of(&snapshot).unwrap().is_empty());
    assert_eq!(seen(folder.path()), before, "it was rolled back in place");
    assert!(carried_back(&path).is_empty());
}

/// The fuzzer found it: a header in a sector that the file does not fill. SQLite goes by it.
#[test]
fn a_journal_that_ends_within_a_large_sector_counts() {
    let (_folder, path, original) = small_journal("PRAGMA synchronous=FULL");
    let mut journal = fs::read(beside(&path, "-journal")).unwrap();
    journal.truncate(512);
    // No record, as many pages as the half-written transaction left, and sectors of 64 KiB.
    let pages = u32::try_from(fs::metadata(&path).unwrap().len() / 512 - 1).unwrap();
    assert!(pages as usize > original.len() / 512);
    journal[8..12].fill(0);
    journal[16..20].copy_from_slice(&pages.to_be_bytes());
    journal[20..24].copy_from_slice(&65_536_u32.to_be_bytes());
    let image = |journal: &[u8]| {
        fs::write(beside(&path, "-journal"), journal).unwrap();
        bytes_of(&take(&path)?)
    };
    let found = image(&journal).map_err(|error| chain(&error));
    assert!(found.is_ok_and(|found| is_as_sqlite(&path, &found)));
    let short = image(&journal[..511]).map_err(|error| chain(&error));
    assert!(short.is_ok_and(|found| is_as_sqlite(&path, &found)));
}

/// The fuzzer found it: records that a disk gave the numbers of pages that were not there. They were taken for
/// the end of the journal, and those behind them not put back.
#[test]
fn records_of_pages_that_were_not_there_are_no_end_of_a_journal() {
    let (_folder, path, _) = small_journal("PRAGMA synchronous=OFF");
    let mut journal = fs::read(beside(&path, "-journal")).unwrap();
    // The last one has none behind it that would tell.
    let whole = journal.clone();
    let last = journal.len() - (512 + 8);
    assert_eq!(last % (512 + 8), 512, "the journal ends with a record");
    journal[last..last + 4].copy_from_slice(&0x0c00_0000_u32.to_be_bytes());
    fs::write(beside(&path, "-journal"), &journal).unwrap();
    let error = take(&path).map(drop).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
    journal = whole;
    for record in [1, 2] {
        let at = 512 + record * (512 + 8);
        journal[at..at + 4].copy_from_slice(&0x0c00_0000_u32.to_be_bytes());
    }
    fs::write(beside(&path, "-journal"), &journal).unwrap();
    let error = take(&path).map(drop).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
    // With other checksums too, SQLite goes on behind them.
    for record in [1, 2] {
        journal[512 + record * (512 + 8) + 4 + 512] ^= 1;
    }
    fs::write(beside(&path, "-journal"), &journal).unwrap();
    let error = take(&path).map(drop).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{}", chain(&error));
}

/// LESSONS: the lock-byte page. No page is kept there, so a record of it is none: in a journal that is one of
/// several, the name of the journal over them begins so.
#[test]
fn a_record_of_the_lock_byte_page_is_none() {
    let (_folder, path, _) = small_journal("PRAGMA synchronous=OFF");
    let mut journal = fs::read(beside(&path, "-journal")).unwrap();
    let lock_page = 0x4000_0000_u32 / 512 + 1;
    // The number of pages that there were, and that of the first record. No checksum covers them.
    journal[16..20].copy_from_slice(&(lock_page + 1).to_be_bytes());
    journal[512..516].copy_from_slice(&lock_page.to_be_bytes());
    fs::write(beside(&path, "-journal"), &journal).unwrap();
    let error = take(&path).map(drop).unwrap_err();
    assert!(error.to_string().contains("the record at byte 512"), "{error}");
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
