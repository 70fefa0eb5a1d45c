//! Databases of the system's shell, of every page size, journal mode and auto-vacuum, backed up while the shell
//! has them open, and read by it when they are back.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Stdio};

use crate::place::{Place, SHAPES};
use crate::program::Program;

const PAGE_SIZES: [u32; 8] = [512, 1024, 2048, 4096, 8192, 16_384, 32_768, 65_536];
const MODES: [&str; 6] = ["delete", "truncate", "persist", "memory", "wal", "off"];
const VACUUMS: [&str; 3] = ["none", "full", "incremental"];

/// Tables of several kinds, with pages freed in their midst.
const MAKE: &str = "
CREATE TABLE plain(a, b TEXT, c REAL DEFAULT 1.5);
CREATE TABLE keyed(k TEXT PRIMARY KEY COLLATE NOCASE, v BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE counted(id INTEGER PRIMARY KEY AUTOINCREMENT, x UNIQUE);
CREATE INDEX by_b ON plain(b, a DESC) WHERE a > 3;
CREATE VIEW seen AS SELECT a, x FROM plain JOIN counted ON a = id;
CREATE TRIGGER taken AFTER DELETE ON plain BEGIN INSERT INTO counted(x) VALUES('gone ' || OLD.a); END;
CREATE VIRTUAL TABLE words USING fts5(body);
CREATE VIRTUAL TABLE boxes USING rtree(id, x0, x1);
INSERT INTO words VALUES('some words to find'), ('and others');
INSERT INTO boxes VALUES(1, 2, 3), (4, 5, 6);
BEGIN;
WITH n(i) AS (VALUES(1) UNION ALL SELECT i + 1 FROM n WHERE i < 400)
  INSERT INTO plain SELECT i, 'text ' || i, i / 7.0 FROM n;
INSERT INTO keyed SELECT 'Key ' || a, zeroblob(a % 90) FROM plain;
INSERT INTO keyed VALUES('long', zeroblob(70000)), ('longer', CAST(printf('%.*c', 150000, 'x') AS BLOB));
INSERT INTO plain VALUES(NULL, '', -0.0), (9223372036854775807, 'é𝄞', 9e999), (x'00ff', NULL, NULL);
COMMIT;
DELETE FROM plain WHERE typeof(a) = 'integer' AND a % 5 = 0;
DELETE FROM keyed WHERE k = 'long';
PRAGMA incremental_vacuum(3);
PRAGMA application_id = 1234567; PRAGMA user_version = -42;
";

/// What the shell says of a database: that it is sound, its settings, its schema and a hash of its content.
const READ: &str = "
PRAGMA integrity_check;
PRAGMA application_id; PRAGMA user_version; PRAGMA page_size; PRAGMA auto_vacuum; PRAGMA encoding;
PRAGMA foreign_key_check;
SELECT body FROM words WHERE words MATCH 'find'; SELECT id FROM boxes WHERE x0 > 4;
SELECT * FROM sqlite_sequence;
SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY type, name;
.sha3sum --sha3-256
";

/// A shell that has a database open.
struct Session {
    shell: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    fn open(shell: &Program, database: &Path) -> Self {
        let mut command = shell.call(database.parent().unwrap(), ["-batch", "-bail"]);
        let command = command.arg(database).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut shell = command.spawn().unwrap();
        let (input, output) = (shell.stdin.take().unwrap(), shell.stdout.take().unwrap());
        Self { shell, input, output: BufReader::new(output) }
    }

    /// Does something, and waits until it is done.
    fn run(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql}\n.print done").unwrap();
        self.input.flush().unwrap();
        let mut said = String::new();
        while !said.ends_with("done\n") {
            let read = self.output.read_line(&mut said).unwrap();
            assert!(read > 0, "the shell ended: {said}");
        }
        said.truncate(said.len() - "done\n".len());
        said
    }

    fn close(mut self) {
        drop(self.input);
        assert!(self.shell.wait().unwrap().success());
    }
}

fn read(shell: &Program, database: &Path) -> String {
    let mut session = Session::open(shell, database);
    let said = session.run(READ);
    session.close();
    said
}

/// LESSONS: page sizes 512–65536; auto-vacuum and shrinking files; a database in rollback-journal mode.
#[test]
fn every_page_size_journal_mode_and_auto_vacuum() {
    let Some(shell) = Program::named("KEEPSUM_SQLITE3") else { return };
    let place = Place::new();
    let mut kinds = 0;
    for page_size in PAGE_SIZES {
        for mode in MODES {
            for vacuum in VACUUMS {
                comes_back(&shell, &place, page_size, mode, vacuum);
                kinds += 1;
            }
        }
    }
    println!("{kinds} kinds of database, each there and back in {} shapes", SHAPES.len());
}

fn comes_back(shell: &Program, place: &Place, page_size: u32, mode: &str, vacuum: &str) {
    let what = format!("{page_size}-{mode}-{vacuum}");
    let database = place.path(&format!("source/{what}.db"));
    let mut session = Session::open(shell, &database);
    let settings = format!(
        "PRAGMA page_size={page_size}; PRAGMA auto_vacuum={vacuum}; PRAGMA journal_mode={mode};"
    );
    assert_eq!(session.run(&settings).trim(), mode);
    session.run(MAKE);
    // The shell holds the database open, in its mode: a log is not carried back, a journal stays.
    let snapshots = SHAPES.map(|shape| place.back_up(&database, shape).unwrap().snapshot);
    let held = session.run(READ);
    session.close();
    let number = VACUUMS.iter().position(|name| *name == vacuum).unwrap();
    let settings =
        format!("ok\n1234567\n-42\n{page_size}\n{number}\nUTF-8\nsome words to find\n4\n");
    assert!(held.starts_with(&settings), "{what}: {held}");
    for (snapshot, shape) in snapshots.iter().zip(SHAPES) {
        let (restored, _) = place.restore(snapshot, &format!("{what}-{shape:?}.db"));
        assert_eq!(read(shell, &restored), held, "{what} {shape:?}");
    }
}

/// The shell can reserve bytes at the end of each page, as programs that encrypt do.
#[test]
fn bytes_reserved_in_every_page() {
    let Some(shell) = Program::named("KEEPSUM_SQLITE3") else { return };
    let place = Place::new();
    let database = place.path("source/reserved.db");
    let mut session = Session::open(&shell, &database);
    session.run(".filectrl reserve_bytes 32");
    session.run(MAKE);
    let held = session.run(READ);
    session.close();
    let reserved = |path: &Path| std::fs::read(path).unwrap()[20];
    assert_eq!(reserved(&database), 32);
    for shape in SHAPES {
        let snapshot = place.back_up(&database, shape).unwrap().snapshot;
        let (restored, _) = place.restore(&snapshot, &format!("{shape:?}.db"));
        assert_eq!(read(&shell, &restored), held, "{shape:?}");
        // Rows are written into pages of their own; what pages reserve is theirs.
        let kept = reserved(&restored);
        assert!(kept == 32 || format!("{shape:?}") == "Records", "{shape:?} reserves {kept}");
    }
}
