//! A SQLite database through the command: live, as pages and as rows, restored whole or not at all.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use rusqlite::Connection;

use crate::place::{Answer, Place};

/// A database with a log, which the connection keeps open.
fn application(path: &Path, rows: u32) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection
        .execute_batch(
            "PRAGMA wal_autocheckpoint = 0;
             CREATE TABLE IF NOT EXISTS account(id INTEGER PRIMARY KEY, name TEXT, balance INTEGER);
             CREATE INDEX IF NOT EXISTS by_name ON account(name);
             CREATE VIRTUAL TABLE IF NOT EXISTS notes USING fts5(body);
             INSERT INTO notes VALUES ('a note to find')",
        )
        .unwrap();
    for number in 0..rows {
        let row = (format!("account {number}"), 1000);
        connection.execute("INSERT INTO account(name, balance) VALUES (?1, ?2)", row).unwrap();
    }
    connection
}

fn sqlite(place: &Place, name: &str) -> String {
    format!("sqlite:{}", place.text(name))
}

/// How many accounts there are, in a database that SQLite finds sound.
fn accounts(path: &Path) -> u32 {
    let connection = Connection::open(path).unwrap();
    let check: String =
        connection.query_row("PRAGMA integrity_check", [], |row| row.get(0)).unwrap();
    assert_eq!(check, "ok");
    let found: String = connection
        .query_row("SELECT body FROM notes WHERE notes MATCH 'find'", [], |row| row.get(0))
        .unwrap();
    assert_eq!(found, "a note to find");
    connection.query_row("SELECT count(*) FROM account", [], |row| row.get(0)).unwrap()
}

#[test]
fn a_live_database_comes_back_in_both_shapes() {
    let place = Place::new();
    let live = application(&place.path("app.db"), 100);
    let source = sqlite(&place, "app.db");
    for shape in ["--files", "--records"] {
        let made = place.json(["backup", &source, shape]);
        assert_eq!(made["notes"], serde_json::json!([]), "{made}");
        let id = made["snapshot"].as_str().unwrap();
        let copy = format!("copy{shape}.db");
        place.run(["restore", id, &sqlite(&place, &copy), "--check=full"]).done();
        assert_eq!(accounts(&place.path(&copy)), 100);
        let diff = place.json(["diff", id, &source]);
        assert_eq!(diff["equal"], true, "{diff}");
    }
    live.execute_batch(
        "UPDATE account SET balance = 0 WHERE id = 7; DELETE FROM account WHERE id = 9",
    )
    .unwrap();
    let diff = place.json(["diff", "latest", &source, "--records"]);
    let databases = diff["databases"].as_array().unwrap();
    let of = |name: &str| databases.iter().find(|database| database["name"] == name).unwrap();
    assert_eq!(
        (&of("account")["changed"], &of("account")["removed"]),
        (&1.into(), &1.into()),
        "{diff}"
    );
    assert_eq!(of("account")["records"].as_array().unwrap().len(), 2, "{diff}");
    drop(live);
}

/// Rows move to other engines with the same LtHash, and come back as rows.
#[test]
fn one_table_is_restored_under_another_name() {
    let place = Place::new();
    let live = application(&place.path("app.db"), 100);
    let made = place.json(["backup", &sqlite(&place, "app.db"), "--records"]);
    let id = made["snapshot"].as_str().unwrap();
    let ledger = sqlite(&place, "ledger.db");
    place
        .run(["restore", id, &ledger, "--database", "account", "--as", "ledger", "--check"])
        .done();
    let copy = Connection::open(place.path("ledger.db")).unwrap();
    let sum: i64 = copy.query_row("SELECT sum(balance) FROM ledger", [], |row| row.get(0)).unwrap();
    assert_eq!(sum, 100_000);
    drop(live);
}

#[test]
fn rows_go_through_memory_and_rocksdb() {
    let place = Place::new();
    drop(application(&place.path("app.db"), 50));
    let made = place.json(["backup", &sqlite(&place, "app.db"), "--records"]);
    let id = made["snapshot"].as_str().unwrap();
    for target in [place.memory("memory"), format!("rocksdb:{}", place.text("rocksdb"))] {
        let restored = place.json(["restore", id, &target]);
        assert_eq!(restored["global_lthash"], made["global_lthash"]);
    }
}

/// An unchanged database that nobody touches is not read again.
#[test]
fn an_unchanged_database_sends_next_to_nothing() {
    let place = Place::new();
    let live = application(&place.path("app.db"), 2000);
    live.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap();
    drop(live);
    let source = sqlite(&place, "app.db");
    let first = place.json(["backup", &source]);
    assert_eq!(first["shape"], "files");
    let again = place.json(["backup", &source]);
    assert!(again["uploaded_bytes"].as_u64().unwrap() < 10_000, "{again}");
    assert!(again["reused_bytes"].as_u64().unwrap() > 20_000, "{again}");
    place.run(["restore", "latest", &sqlite(&place, "copy.db")]).done();
    assert_eq!(accounts(&place.path("copy.db")), 2000);
}

/// LESSONS: an old log applied over a newer database; live files removed before the rename.
#[test]
fn what_was_there_goes_aside_with_its_log() {
    let place = Place::new();
    drop(application(&place.path("app.db"), 10));
    place.run(["backup", &sqlite(&place, "app.db")]).done();
    let target = sqlite(&place, "old.db");
    // A crash left a database with a log that holds all of it.
    let crashed = application(&place.path("crashed.db"), 20);
    for ending in ["", "-wal", "-shm"] {
        fs::copy(
            place.path(&format!("crashed.db{ending}")),
            place.path(&format!("old.db{ending}")),
        )
        .unwrap();
    }
    drop(crashed);
    place.run(["restore", "latest", &target]).fails(5, &["not empty", "replace it"]);
    let restored = place.json(["restore", "latest", &target, "--replace"]);
    assert_eq!(restored["kept_aside"], place.text("old.db.keepsum-old").as_str());
    assert!(!place.path("old.db-wal").exists(), "the old log is beside the new database");
    assert_eq!(accounts(&place.path("old.db")), 10);
    assert_eq!(accounts(&place.path("old.db.keepsum-old")), 20);
}

#[test]
fn a_log_without_its_database_goes_aside() {
    let place = Place::new();
    drop(application(&place.path("app.db"), 10));
    place.run(["backup", &sqlite(&place, "app.db")]).done();
    for ending in ["-wal", "-journal"] {
        fs::write(place.path(&format!("new.db{ending}")), "an orphan").unwrap();
    }
    place.run(["restore", "latest", &sqlite(&place, "new.db")]).done();
    assert_eq!(accounts(&place.path("new.db")), 10);
    for ending in ["-wal", "-journal"] {
        let aside = fs::read(place.path(&format!("new.db.keepsum-old{ending}"))).unwrap();
        assert_eq!(aside, b"an orphan");
    }
}

/// LESSONS: a restore at every boot over an open database.
#[test]
fn a_database_that_is_open_is_not_replaced() {
    let place = Place::new();
    let open = application(&place.path("app.db"), 10);
    place.run(["backup", &sqlite(&place, "app.db")]).done();
    let said = place.run(["restore", "latest", &sqlite(&place, "app.db"), "--replace"]);
    said.fails(5, &["process", &std::process::id().to_string(), "has it open"]);
    drop(open);
    place.run(["restore", "latest", &sqlite(&place, "app.db"), "--replace"]).done();
}

#[test]
fn where_missing_it_is_restored_and_where_it_is_there_not_touched() {
    let place = Place::new();
    let (target, source) = (sqlite(&place, "data.db"), sqlite(&place, "app.db"));
    let start = |place: &Place| {
        place.run_json(["restore", "latest", &target, "--if-missing", "--source", &source])
    };
    // No backup yet: that is an answer of its own.
    start(&place).fails(4, &["no snapshot"]);
    assert!(!place.path("data.db").exists());
    drop(application(&place.path("app.db"), 10));
    place.run(["backup", &sqlite(&place, "app.db")]).done();
    let restored = start(&place).done().json();
    assert_eq!(restored["proved"], "physical");
    assert_eq!(accounts(&place.path("data.db")), 10);
    drop(application(&place.path("data.db"), 5));
    let there = fs::read(place.path("data.db")).unwrap();
    // Also where the repository cannot be reached.
    fs::rename(place.path("repo"), place.path("gone")).unwrap();
    let answer = start(&place).done().json();
    assert_eq!(answer, serde_json::json!({"target": target, "already_there": true}));
    assert_eq!(fs::read(place.path("data.db")).unwrap(), there);
}

/// LESSONS: a transient store error taken for "no backup: start fresh".
#[test]
fn a_repository_that_is_not_there_is_not_a_missing_backup() {
    let place = Place::empty();
    let target = sqlite(&place, "data.db");
    let said = place.run(["restore", "latest", &target, "--if-missing"]);
    said.fails(1, &["is not a keepsum repository", "keepsum init"]);
    fs::create_dir(place.path("repo")).unwrap();
    fs::write(place.path("repo/keepsum.json"), "{}").unwrap();
    let broken = place.run(["restore", "latest", &target, "--if-missing"]);
    assert!(![0, 4].contains(&broken.code), "{broken:?}");
    assert!(!place.path("data.db").exists());
}

#[test]
fn of_several_starts_one_restores() {
    let place = Place::new();
    drop(application(&place.path("app.db"), 3000));
    place.run(["backup", &sqlite(&place, "app.db")]).done();
    for round in 0..5 {
        let target = sqlite(&place, &format!("data-{round}.db"));
        let source = sqlite(&place, "app.db");
        let start = || {
            let args =
                ["restore", "latest", &target, "--if-missing", "--json", "--source", &source];
            let mut command = place.command(args);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
        };
        let started: Vec<_> = (0..4).map(|_| start()).collect();
        let answers =
            started.into_iter().map(|child| Answer::of(&child.wait_with_output().unwrap()));
        let answers: Vec<_> = answers.map(|answer| answer.done().json()).collect();
        let restored = answers.iter().filter(|answer| answer["proved"] == "physical").count();
        assert_eq!(restored, 1, "{answers:?}");
        assert_eq!(accounts(&place.path(&format!("data-{round}.db"))), 3000);
    }
}

#[test]
fn what_does_not_go_together_is_refused() {
    let place = Place::with_snapshot();
    place.run(["backup", &place.memory("store.bcs"), "--block-writers"]).fails(2, &["sqlite:FILE"]);
    let memory = place.memory("x.bcs");
    place.run(["restore", "latest", &memory, "--check=full"]).fails(5, &["check", "memory"]);
    fs::write(place.path("no.db"), "this is no database, and longer than its header is").unwrap();
    place.run(["backup", &sqlite(&place, "no.db")]).fails(5, &["no.db"]);
    place.run(["backup", &sqlite(&place, "none.db")]).fails(1, &["none.db"]);
}
