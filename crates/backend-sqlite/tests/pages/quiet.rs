//! Databases that nobody writes, of every shape.

use std::fs;
use std::os::unix::fs::{FileExt, PermissionsExt};

use backup_core::Files;
use backup_core::position::{Consistency, Position};
use backup_core::source::FileNature;
use pollster::FutureExt as _;
use rusqlite::Connection;

use crate::ground::{
    SUM, SeenFile, beside, bytes_of, carried_back, chain, later, look_into, make, options, place,
    seen, take,
};
use backend_sqlite::pages::capture;
use backup_core::progress::Context;

/// LESSONS: page sizes 512–65536, a database in rollback-journal mode, and one with a log.
#[test]
fn every_page_size_and_journal_mode_is_read_byte_for_byte() {
    for page_size in [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536] {
        for mode in ["delete", "truncate", "persist", "memory", "off", "wal"] {
            for open in [true, false] {
                let (folder, path) = place();
                let pragmas = format!("PRAGMA page_size={page_size}; PRAGMA journal_mode={mode};");
                let connection = make(&path, &pragmas);
                if !open {
                    drop(connection);
                }
                let before = seen(folder.path());
                let snapshot = take(&path).unwrap();
                let what = format!("{page_size} {mode} {open}");
                assert_eq!(snapshot.page_size(), page_size, "{what}");
                let image = bytes_of(&snapshot).unwrap();
                let pages = u64::from(snapshot.page_count());
                assert_eq!(image.len() as u64, pages * u64::from(page_size));
                assert_eq!(snapshot.consistency(), Consistency::PointInTime);
                drop(snapshot);
                if mode == "wal" && open {
                    // A reader leaves its mark in the memory that it shares.
                    let names = |all: Vec<SeenFile>| -> Vec<_> {
                        all.into_iter().map(|(file, _)| file).collect()
                    };
                    assert_eq!(names(seen(folder.path())), names(before), "{what}");
                } else {
                    assert_eq!(seen(folder.path()), before, "{what}");
                }
                assert!(image == carried_back(&path), "{what}");
                let held = look_into(&image);
                assert_eq!((held.sum, held.user_version), (SUM, 77), "{what}");
            }
        }
    }
}

#[test]
fn auto_vacuum_reserved_bytes_and_what_the_header_says_are_kept() {
    for vacuum in ["full", "incremental", "none"] {
        for mode in ["delete", "wal"] {
            let (_folder, path) = place();
            let pragmas = format!("PRAGMA auto_vacuum={vacuum}; PRAGMA journal_mode={mode};");
            let connection = make(&path, &pragmas);
            connection
                .execute_batch("CREATE TABLE much(b); INSERT INTO much VALUES(zeroblob(300000)); DELETE FROM much;")
                .unwrap();
            if vacuum == "incremental" {
                connection.execute_batch("PRAGMA incremental_vacuum(20)").unwrap();
            }
            let image = bytes_of(&take(&path).unwrap()).unwrap();
            assert!(image == carried_back(&path), "{vacuum} {mode}");
            assert_eq!(image[71], 64, "application_id, 123456 = 0x1e240");
            look_into(&image);
        }
    }
}

/// The shell can reserve bytes at the end of each page, as encrypting programs do.
#[test]
fn reserved_bytes_are_kept() {
    let Some(shell) = testkit::program::named("KEEPSUM_SQLITE3") else { return };
    let (_folder, path) = place();
    drop(make(&path, ""));
    let mut reserving = std::process::Command::new(shell);
    let reserving = reserving.arg(&path).args([".filectrl reserve_bytes 32", "VACUUM;"]);
    let output = reserving.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let image = bytes_of(&take(&path).unwrap()).unwrap();
    assert_eq!(image[20], 32);
    assert!(image == fs::read(&path).unwrap());
    assert_eq!(look_into(&image).sum, SUM);
}

/// LESSONS: the lock-byte page at 1 GiB.
#[test]
fn the_page_of_the_lock_byte_past_a_gibibyte() {
    for mode in ["delete", "wal"] {
        let (_folder, path) = place();
        let pragmas = format!("PRAGMA page_size=65536; PRAGMA journal_mode={mode};");
        drop(make(&path, &pragmas));
        // A sparse file, which the header counts in full: its free pages are on no list, so only their
        // being unused is what integrity_check would tell.
        let pages: u32 = (1 << 14) + 20;
        let file = fs::OpenOptions::new().read(true).write(true).open(&path).unwrap();
        file.set_len(u64::from(pages) * 65_536).unwrap();
        file.write_all_at(&pages.to_be_bytes(), 28).unwrap();
        let mut counter = [0; 4];
        file.read_exact_at(&mut counter, 24).unwrap();
        file.write_all_at(&counter, 92).unwrap();
        drop(file);
        // SQLite goes on behind the page that it must not use.
        let connection = Connection::open(&path).unwrap();
        connection
            .execute_batch(
                "PRAGMA wal_autocheckpoint=0; INSERT INTO log VALUES(1, hex(zeroblob(100000)));",
            )
            .unwrap();
        let snapshot = take(&path).unwrap();
        assert!(snapshot.page_count() > pages, "{mode}");
        let length = snapshot.list()[0].bytes;
        let lock_page = 0x4000_0000..0x4001_0000;
        let bytes = snapshot.read(0, lock_page).block_on().unwrap();
        assert!(bytes.iter().all(|byte| *byte == 0), "{mode}");
        let end = snapshot.read(0, length - 70_000..length).block_on().unwrap();
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        let mut there = vec![0; 70_000];
        fs::File::open(&path).unwrap().read_exact_at(&mut there, length - 70_000).unwrap();
        assert!(end == there, "{mode}");
    }
}

#[test]
fn the_one_file_is_listed_and_any_range_of_it_is_read() {
    for mode in ["delete", "wal"] {
        let (_folder, path) = place();
        let connection =
            make(&path, &format!("PRAGMA journal_mode={mode}; PRAGMA wal_autocheckpoint=0;"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let snapshot = take(&path).unwrap();
        let file = snapshot.list()[0].clone();
        assert_eq!((file.path.as_str(), file.mode), ("database.sqlite", 0o640));
        assert_eq!(file.nature, FileNature::Changing);
        let image = bytes_of(&snapshot).unwrap();
        for from in [0, 1, 99, 4095, 4096, 4097, 50_000] {
            for length in [0_u64, 1, 100, 4096, 8192, 30_001] {
                let range = from..(from + length).min(file.bytes);
                let read = snapshot.read(0, range.clone()).block_on().unwrap();
                let at = usize::try_from(range.start).unwrap();
                assert!(read == image[at..at + read.len()], "{range:?}");
            }
        }
        snapshot.read(0, 0..file.bytes + 1).block_on().unwrap_err();
        snapshot.read(0, 0..1 << 60).block_on().unwrap_err();
        snapshot.read(1, 0..0).block_on().unwrap_err();
        let threads: Vec<_> = std::thread::scope(|scope| {
            let readers: Vec<_> =
                (0..4).map(|_| scope.spawn(|| bytes_of(&snapshot).unwrap())).collect();
            readers.into_iter().map(|reader| reader.join().unwrap()).collect()
        });
        assert!(threads.iter().all(|read| *read == image));
        drop(connection);
    }
}

/// What is read without a `-shm`, or where none can be made.
#[test]
fn a_file_and_a_folder_that_can_only_be_read() {
    for mode in ["delete", "wal"] {
        let (folder, path) = place();
        drop(make(&path, &format!("PRAGMA journal_mode={mode}")));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o444)).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o555)).unwrap();
        let before = seen(folder.path());
        let image = bytes_of(&take(&path).unwrap()).unwrap();
        assert_eq!(seen(folder.path()), before);
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        assert!(image == fs::read(&path).unwrap());
    }
}

#[test]
fn an_empty_file_is_a_database_without_tables() {
    let (folder, path) = place();
    fs::write(&path, "").unwrap();
    let before = seen(folder.path());
    let snapshot = take(&path).unwrap();
    assert_eq!((snapshot.page_count(), snapshot.list()[0].bytes), (0, 0));
    assert_eq!(bytes_of(&snapshot).unwrap(), b"");
    assert_eq!(seen(folder.path()), before);
}

#[test]
fn a_symbolic_link_leads_to_the_database_and_its_log() {
    let (folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;");
    let link = folder.path().join("link.db");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let image = bytes_of(&take(&link).unwrap()).unwrap();
    assert!(image == carried_back(&path));
    drop(connection);
}

#[test]
fn positions_are_those_of_the_log_or_of_the_header() {
    let (_folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=delete");
    let Position::Log(first) = *take(&path).unwrap().position() else { panic!() };
    connection.execute_batch("INSERT INTO log VALUES(1, 'x')").unwrap();
    let Position::Log(next) = *take(&path).unwrap().position() else { panic!() };
    assert_eq!(next, first + 1);
    connection.query_row("PRAGMA journal_mode=wal", [], |_| Ok(())).unwrap();
    connection.execute_batch("INSERT INTO log VALUES(2, 'x')").unwrap();
    let Position::Sqlite { salts, frame } = *take(&path).unwrap().position() else { panic!() };
    assert!(frame > 0 && salts != [0, 0]);
    connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())).unwrap();
    assert_eq!(*take(&path).unwrap().position(), Position::Sqlite { salts, frame });
    connection.query_row("PRAGMA wal_checkpoint(RESTART)", [], |_| Ok(())).unwrap();
    connection.execute_batch("INSERT INTO log VALUES(3, 'x')").unwrap();
    let Position::Sqlite { salts: others, .. } = *take(&path).unwrap().position() else { panic!() };
    assert_ne!(others, salts);
}

/// LESSONS: WAL changes are not seen in sizes; so they are not what an identity is made of.
#[test]
fn an_identity_names_one_content_and_is_absent_in_doubt() {
    for mode in ["delete", "wal"] {
        let (_folder, path) = place();
        let connection = make(&path, &format!("PRAGMA journal_mode={mode}"));
        let identity = |options: &backend_sqlite::pages::Options| {
            capture(&path, options, &Context::default()).unwrap().list()[0].identity.clone()
        };
        assert_eq!(identity(&options()), None, "{mode}: changed just now");
        let first = identity(&later());
        assert!(first.is_some(), "{mode}");
        assert_eq!(identity(&later()), first, "{mode}");
        connection
            .execute_batch(
                "UPDATE accounts SET balance = balance WHERE id = 7; UPDATE log SET id = id",
            )
            .unwrap();
        connection.execute_batch("UPDATE accounts SET balance = balance + 1 WHERE id = 7").unwrap();
        assert_ne!(identity(&later()), first, "{mode}");
    }
}

/// Where the file system shares blocks between files, the copy is made under a short lock; else nothing is
/// left of the try.
#[test]
fn a_scratch_folder_is_for_a_reflink_and_empty_afterwards() {
    let (folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=delete");
    let scratch = folder.path().join("scratch");
    fs::create_dir(&scratch).unwrap();
    let options = backend_sqlite::pages::Options { scratch: Some(scratch.clone()), ..options() };
    let snapshot = capture(&path, &options, &Context::default()).unwrap();
    let linked = fs::read_dir(&scratch).unwrap().count();
    assert_eq!(snapshot.pause().is_some(), linked == 1);
    let first = bytes_of(&snapshot).unwrap();
    assert_eq!(look_into(&first).sum, SUM);
    connection.execute_batch("INSERT INTO log VALUES(1, 'x')").unwrap();
    match linked {
        0 => println!("skipped: this file system has no reflinks; slices were read"),
        _ => assert!(bytes_of(&snapshot).unwrap() == first),
    }
    drop(snapshot);
    assert_eq!(fs::read_dir(&scratch).unwrap().count(), 0);
}

/// Programs with a SQLite of their own, and virtual tables in what they make.
#[test]
fn what_the_distributions_shell_made() {
    let Some(shell) = testkit::program::named("KEEPSUM_SQLITE3") else { return };
    for page_size in [512, 4096, 65_536] {
        for mode in ["delete", "persist", "wal"] {
            let (folder, path) = place();
            let mut shell = std::process::Command::new(&shell);
            let made = shell.arg(&path).arg(format!(
                "PRAGMA page_size={page_size}; PRAGMA journal_mode={mode}; CREATE VIRTUAL TABLE f USING \
                 fts5(t); INSERT INTO f VALUES('some words'); CREATE VIRTUAL TABLE r USING rtree(i,a,b); \
                 INSERT INTO r VALUES(1,2,3);"
            ));
            let output = made.output().unwrap();
            assert!(output.status.success(), "{output:?}");
            let before = seen(folder.path());
            let image = bytes_of(&take(&path).unwrap()).unwrap();
            assert_eq!(seen(folder.path()), before, "{page_size} {mode}");
            assert!(image == fs::read(&path).unwrap(), "{page_size} {mode}");
        }
    }
}

/// A last close carries the log back and removes it; ours must not be one.
#[test]
fn closing_a_snapshot_changes_nothing() {
    let (_folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=wal; PRAGMA wal_autocheckpoint=0;");
    let log = fs::read(beside(&path, "-wal")).unwrap();
    let main = fs::read(&path).unwrap();
    let snapshot = take(&path).unwrap();
    let image = bytes_of(&snapshot).unwrap();
    drop(snapshot);
    assert!(fs::read(beside(&path, "-wal")).unwrap() == log);
    assert!(fs::read(&path).unwrap() == main);
    connection.execute_batch("INSERT INTO log VALUES(1, 'x')").unwrap();
    drop(connection);
    assert_eq!(look_into(&image).logged, (0, 0));
}

#[test]
fn cancelled_before_it_begins() {
    let (_folder, path) = place();
    drop(make(&path, ""));
    let context = Context::default();
    context.cancel();
    let error = capture(&path, &options(), &context).unwrap_err();
    assert!(matches!(error, backup_core::Error::Cancelled), "{}", chain(&error));
}
