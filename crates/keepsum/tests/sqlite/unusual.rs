//! Databases that their applications use and that SQLite's checks, or this SQLite, are not content with: what
//! the command answers for each is a table in the README of `backend-sqlite`, and each cell of it is tried here.

use std::cmp::Ordering;
use std::fs;
use std::path::Path;

use rusqlite::Connection;
use rusqlite::functions::FunctionFlags;
use serde_json::Value;

use crate::place::Place;

const README: &str = include_str!("../../../backend-sqlite/README.md");

/// What the columns of the table after the first are called.
const COLUMNS: [&str; 8] = [
    "restore",
    "`--check`",
    "`--check=full`",
    "`--if-missing`",
    "`--replace`",
    "`--proof logical`",
    "`hash`",
    "`diff`",
];

/// What makes a database of a kind.
type Make = fn(&Path);

/// The kinds, named as in the table.
const KINDS: [(&str, Make); 11] = [
    ("an index by a collation of the application's", |path| {
        made(
            path,
            "CREATE TABLE tags(tag TEXT PRIMARY KEY COLLATE unicase) WITHOUT ROWID;
             CREATE TABLE decks(id INTEGER PRIMARY KEY, name TEXT COLLATE unicase); CREATE UNIQUE INDEX i ON decks(name);
             INSERT INTO tags VALUES ('Beta'), ('alpha'); INSERT INTO decks(name) VALUES ('b'), ('A')",
        );
    }),
    ("a tokenizer of the application's", |path| {
        let connection =
            made(path, "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('a word')");
        rewrite(&connection, "f", "CREATE VIRTUAL TABLE f USING fts5(body, tokenize='mine')");
    }),
    ("a function of the application's in a VIRTUAL column", |path| {
        made(
            path,
            "CREATE TABLE t(id INTEGER PRIMARY KEY, code TEXT, s TEXT AS (slug(code)) VIRTUAL);
             INSERT INTO t(code) VALUES ('Abc'), ('Def')",
        );
    }),
    ("a schema of a newer or another SQLite", |path| {
        let connection = made(path, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
        rewrite(&connection, "t", "CREATE TABLE t(a) FUTURE");
    }),
    ("a table of more than 2,000 columns", |path| {
        let connection = made(path, "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
        let columns: Vec<_> = (0..2100).map(|number| format!("c{number}")).collect();
        rewrite(&connection, "t", &format!("CREATE TABLE t({})", columns.join(",")));
    }),
    ("NULL where NOT NULL is said", |path| {
        let connection = made(
            path,
            "CREATE TABLE t(id TEXT PRIMARY KEY, notes TEXT); INSERT INTO t VALUES ('a', NULL), ('b', 'c')",
        );
        rewrite(&connection, "t", "CREATE TABLE t(id TEXT PRIMARY KEY, notes TEXT NOT NULL)");
    }),
    ("a full-text index at odds with its table", |path| {
        made(
            path,
            "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES ('one'), ('two');
             UPDATE f_content SET c0 = 'three' WHERE id = 1",
        );
    }),
    ("an R-tree at odds with itself", |path| {
        made(
            path,
            "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1); INSERT INTO r VALUES (1, 0, 1), (2, 5, 6);
             UPDATE r_rowid SET nodeno = 99 WHERE rowid = 2",
        );
    }),
    ("a free list whose count is off", |path| {
        made(
            path,
            "CREATE TABLE t(a); CREATE TABLE u(a); INSERT INTO t VALUES (1); INSERT INTO u VALUES (zeroblob(90000));
             DROP TABLE u",
        );
        let mut bytes = fs::read(path).unwrap();
        assert!(bytes[39] > 1, "nothing is free");
        bytes[39] -= 1;
        fs::write(path, bytes).unwrap();
    }),
    ("an index at odds with its table", |path| {
        let connection = made(
            path,
            "CREATE TABLE t(id INTEGER PRIMARY KEY, x, y); CREATE INDEX i ON t(x);
             INSERT INTO t VALUES (1, 'p', 'q'), (2, 'r', 's')",
        );
        rewrite(&connection, "i", "CREATE INDEX i ON t(y)");
    }),
    ("a cipher with its header in the clear", |path| {
        made(path, "CREATE TABLE t(a); INSERT INTO t VALUES (zeroblob(90000))");
        let mut bytes = fs::read(path).unwrap();
        bytes[20] = 80;
        let noise = testkit::noise(3, bytes.len() - 32);
        bytes[32..].copy_from_slice(&noise);
        fs::write(path, bytes).unwrap();
    }),
];

/// Makes a database as its application does, which has what nobody else has.
fn made(path: &Path, sql: &str) -> Connection {
    let connection = Connection::open(path).unwrap();
    let compare = |one: &str, other: &str| -> Ordering {
        one.to_lowercase().cmp(&other.to_lowercase()).then(one.cmp(other))
    };
    connection.create_collation("unicase", compare).unwrap();
    let flags = FunctionFlags::SQLITE_UTF8 | FunctionFlags::SQLITE_DETERMINISTIC;
    let slug = |context: &rusqlite::functions::Context<'_>| {
        Ok(context.get::<Option<String>>(0)?.map(|text| text.to_lowercase()))
    };
    connection.create_scalar_function("slug", 1, flags, slug).unwrap();
    connection.execute_batch(sql).unwrap();
    connection
}

/// Gives an object of the schema another statement, as tools and old programs do.
fn rewrite(connection: &Connection, name: &str, sql: &str) {
    connection.pragma_update(None, "writable_schema", 1).unwrap();
    let change = "UPDATE sqlite_schema SET sql = ?2 WHERE name = ?1";
    assert_eq!(connection.execute(change, [name, sql]).unwrap(), 1);
}

fn sqlite(place: &Place, name: &str) -> String {
    format!("sqlite:{}", place.path(name).display())
}

/// What a run of the command said.
#[derive(Debug)]
struct Answer {
    code: i32,
    stdout: String,
    stderr: String,
}

fn run(place: &Place, arguments: &[&str]) -> Answer {
    let output = place.command(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    Answer { code, stdout: text(output.stdout), stderr: text(output.stderr) }
}

impl Answer {
    #[track_caller]
    fn done(self) -> Self {
        assert_eq!(self.code, 0, "{self:?}");
        self
    }

    /// One line says why, with all of these words.
    #[track_caller]
    fn fails(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, code, "{self:?}");
        let lines: Vec<_> =
            self.stderr.lines().filter(|line| line.starts_with("keepsum: ")).collect();
        let [line] = lines.as_slice() else { panic!("not one line of error: {self:?}") };
        assert!(words.iter().all(|word| line.contains(word)), "{words:?}: {line}");
    }
}

/// The document of a run that ends well.
#[track_caller]
fn json(place: &Place, arguments: &[&str]) -> Value {
    let answer = run(place, &[arguments, &["--json"]].concat()).done();
    serde_json::from_str(&answer.stdout).unwrap()
}

/// Backs a database up as its pages, and tries each column of the table on it.
fn cells(make: Make) -> Vec<String> {
    let place = Place::new();
    make(&place.path("app.db"));
    let source = sqlite(&place, "app.db");
    let bytes = fs::read(place.path("app.db")).unwrap();
    let same = |name: &str| fs::read(place.path(name)).is_ok_and(|found| found == bytes);
    let stored = json(&place, &["backup", &source, "--files"]);
    let id = stored["snapshot"].as_str().unwrap();
    let restored = json(&place, &["restore", id, &sqlite(&place, "plain.db")]);
    assert!(same("plain.db"), "other bytes came back: {restored}");
    assert_eq!(restored["proved"], "physical");
    let mut cells = vec![format!("0, {}", restored["check"]["result"].as_str().unwrap())];
    for how in ["--check", "--check=full"] {
        let name = format!("checked{how}.db");
        let answer = run(&place, &["restore", id, &sqlite(&place, &name), how]);
        assert_eq!(place.path(&name).exists(), answer.code == 0, "{how}: {answer:?}");
        assert!(answer.code != 0 || same(&name), "{how}: other bytes came back");
        cells.push(cell(&answer));
    }
    let missing = sqlite(&place, "missing.db");
    let if_missing = ["restore", id, &missing, "--if-missing"];
    cells.push(cell(&run(&place, &if_missing)));
    assert!(same("missing.db"), "other bytes came back");
    fs::write(place.path("old.db"), "what was there").unwrap();
    cells.push(cell(&run(&place, &["restore", id, &sqlite(&place, "old.db"), "--replace"])));
    assert!(same("old.db") && place.path("old.db.keepsum-old").exists());
    let proof = run(&place, &["backup", &source, "--files", "--proof", "logical"]);
    let (hash, diff) = (run(&place, &["hash", &source]), run(&place, &["diff", id, &source]));
    for answer in [proof, hash, diff] {
        if answer.code != 0 {
            // It says what can be done instead.
            answer.fails(5, &["files"]);
        }
        cells.push(cell(&answer));
    }
    assert!(same("app.db"), "the source was changed");
    cells
}

fn cell(answer: &Answer) -> String {
    answer.code.to_string()
}

/// The rows of the table: the kind, and its cells.
fn table() -> Vec<(String, Vec<String>)> {
    let heading = format!("| a database with | {} |", COLUMNS.join(" | "));
    let mut lines = README.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "the table does not begin with {heading:?}");
    let rows = lines.skip(1).take_while(|line| line.starts_with('|'));
    rows.map(|line| {
        let mut cells = line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned());
        (cells.next().unwrap(), cells.collect())
    })
    .collect()
}

/// Lost: databases that were backed up, verified whole, and could not be restored.
#[test]
fn the_readme_says_what_each_unusual_database_gets() {
    let found: Vec<_> =
        KINDS.iter().map(|(kind, make)| ((*kind).to_owned(), cells(*make))).collect();
    let row = |(kind, cells): &(String, Vec<String>)| format!("| {kind} | {} |", cells.join(" | "));
    let shown: Vec<_> = found.iter().map(row).collect();
    assert!(found == table(), "the table is to say:\n{}", shown.join("\n"));
}

/// It is said when the database is backed up, kept, and said again.
#[test]
fn what_is_unusual_is_kept_and_said_again() {
    let place = Place::new();
    (KINDS[0].1)(&place.path("app.db"));
    let source = sqlite(&place, "app.db");
    let says = |document: &Value| document["unusual"].to_string().contains("unicase");
    let made = json(&place, &["backup", &source, "--files"]);
    let id = made["snapshot"].as_str().unwrap();
    let (dry, copy) = (sqlite(&place, "dry.db"), sqlite(&place, "copy.db"));
    let shown = json(&place, &["show", id]);
    let planned = json(&place, &["restore", id, &dry, "--dry-run"]);
    for document in [&made, &shown, &planned] {
        assert!(says(document), "{document}");
    }
    let restored = run(&place, &["restore", id, &copy]).done();
    let notes: Vec<_> = restored.stderr.lines().filter(|line| line.starts_with("note: ")).collect();
    // What is unusual, and what the check says.
    assert_eq!(notes.len(), 2, "{restored:?}");
    assert!(notes.iter().all(|note| note.contains("unicase")), "{notes:?}");
    for told in [&["backup", &source, "--files"][..], &["show", id]] {
        let told = run(&place, told).done();
        assert!(told.stderr.contains("unicase"), "{told:?}");
    }
}

/// Only SQLite has a check of its own.
#[test]
fn another_engine_refuses_a_check() {
    let place = Place::new();
    made(&place.path("app.db"), "CREATE TABLE t(a); INSERT INTO t VALUES (1)");
    json(&place, &["backup", &sqlite(&place, "app.db"), "--records"]);
    let target = format!("memory:{}", place.path("copy").display());
    for how in ["--check", "--check=full"] {
        run(&place, &["restore", "latest", &target, how]).fails(5, &["check", "memory"]);
        assert!(!place.path("copy").exists());
    }
    let done = json(&place, &["restore", "latest", &target, "--check=none"]);
    let none = serde_json::json!({"level": "none", "result": "not_done", "findings": []});
    assert_eq!(done["check"], none);
}

/// What nobody has proved is not checked, and says so.
#[test]
fn salvaged_pages_go_where_they_were_unchecked() {
    for (kind, make) in [KINDS[0], KINDS[8]] {
        let place = Place::new();
        make(&place.path("app.db"));
        let made = json(&place, &["backup", &sqlite(&place, "app.db"), "--files"]);
        let (id, target) = (made["snapshot"].as_str().unwrap(), sqlite(&place, "salvaged.db"));
        let done = json(&place, &["restore", id, &target, "--salvage"]);
        assert_eq!(done["check"]["result"], "not_done", "{kind}");
        assert_eq!(done["proved"], Value::Null, "{kind}");
        assert!(done["notes"].to_string().contains("not checked"), "{done}");
        let (copy, original) = (place.path("salvaged.db"), place.path("app.db"));
        assert!(fs::read(copy).unwrap() == fs::read(original).unwrap(), "{kind}");
        let sidecar = fs::read_to_string(place.path("salvaged.db.keepsum")).unwrap();
        assert!(sidecar.contains("salvaged: not proved"), "{sidecar}");
    }
}
