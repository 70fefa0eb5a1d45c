//! Schemas: what is built on tables comes back, and what cannot is named.

use backend_sqlite::SqliteSource;
use backup_core::Source;
use backup_core::progress::Context;
use backup_core::source::View;
use pollster::FutureExt as _;
use rusqlite::Connection;

use crate::ground::Ground;

#[test]
fn sequences_keep_their_numbers() {
    let ground = Ground::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT, a); CREATE TABLE u(id INTEGER PRIMARY KEY AUTOINCREMENT);
         INSERT INTO t(a) VALUES(1), (2), (3); DELETE FROM t WHERE id > 1; INSERT INTO u VALUES(5);
         UPDATE sqlite_sequence SET seq = 2 WHERE name = 'u';",
    );
    ground.assert_round_trip();
    let copy = Connection::open(ground.copy()).unwrap();
    copy.execute("INSERT INTO t(a) VALUES('next')", []).unwrap();
    assert_eq!(
        ground.ask::<i64>("SELECT max(id) FROM t"),
        4,
        "a number that was used comes never again"
    );
    let ground = Ground::new(
        "CREATE TABLE t(id INTEGER PRIMARY KEY AUTOINCREMENT); INSERT INTO t VALUES(9); DROP TABLE t; CREATE TABLE u(a);",
    );
    ground.assert_round_trip();
}

#[test]
fn triggers_do_not_fire_and_come_back() {
    let ground = Ground::new(
        "CREATE TABLE t(a); CREATE TABLE log(a);
         CREATE TRIGGER r AFTER INSERT ON t BEGIN INSERT INTO log VALUES(new.a); END;
         CREATE TRIGGER refuse BEFORE INSERT ON log WHEN new.a = 'restored' BEGIN SELECT raise(ABORT, 'fired'); END;
         CREATE VIEW v AS SELECT a FROM t;
         CREATE TRIGGER through INSTEAD OF INSERT ON v BEGIN INSERT INTO t VALUES(new.a); END;
         CREATE TRIGGER r2 AFTER INSERT ON t BEGIN UPDATE t SET a = 'second' WHERE rowid = new.rowid; END;
         INSERT INTO v VALUES('x'); DELETE FROM log; DROP TRIGGER refuse;
         INSERT INTO log VALUES('restored');
         CREATE TRIGGER refuse BEFORE INSERT ON log WHEN new.a = 'restored' BEGIN SELECT raise(ABORT, 'fired'); END;",
    );
    ground.assert_round_trip();
    let copy = Connection::open(ground.copy()).unwrap();
    copy.execute("INSERT INTO v VALUES('y')", []).unwrap();
    assert_eq!(ground.ask::<i64>("SELECT count(*) FROM log"), 2, "they fire again afterwards");
}

#[test]
fn foreign_keys_in_circles_and_broken_ones_are_told() {
    let ground = Ground::new(
        "CREATE TABLE a(id INTEGER PRIMARY KEY, b REFERENCES b(id)); CREATE TABLE b(id INTEGER PRIMARY KEY, a REFERENCES a(id) ON DELETE CASCADE);
         INSERT INTO a VALUES(1, 1), (2, 2); INSERT INTO b VALUES(1, 2), (2, 1);",
    );
    assert!(ground.assert_round_trip().notes.is_empty());
    let ground = Ground::new(
        "CREATE TABLE p(id INTEGER PRIMARY KEY); CREATE TABLE c(p REFERENCES p); INSERT INTO c VALUES(1), (2), (NULL);",
    );
    let notes = ground.assert_round_trip().notes;
    assert!(notes[0].contains("2 rows of table \"c\"") && notes[0].contains("\"p\""), "{notes:?}");
}

#[test]
fn rows_that_checks_would_not_let_in_are_told() {
    let ground = Ground::new(
        "CREATE TABLE t(a CHECK(a < 10)); PRAGMA ignore_check_constraints = 1; INSERT INTO t VALUES(1), (100);",
    );
    let notes = ground.assert_round_trip().notes;
    assert!(notes[0].contains("CHECK constraint failed in t"), "{notes:?}");
}

#[test]
fn indexes_of_every_kind_and_statistics() {
    let ground = Ground::new(
        "CREATE TABLE t(a, b TEXT, c UNIQUE, UNIQUE(a, b) ON CONFLICT REPLACE);
         WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 500)
         INSERT INTO t SELECT i % 10, 'b' || i, i FROM n;
         CREATE INDEX part ON t(a) WHERE a > 3; CREATE INDEX expr ON t(lower(b), a + 1 DESC);
         CREATE UNIQUE INDEX nocase ON t(b COLLATE NOCASE); DROP INDEX part; CREATE INDEX part ON t(a) WHERE a > 4;
         ANALYZE;",
    );
    ground.assert_round_trip();
    let plan = "EXPLAIN QUERY PLAN SELECT 1 FROM t WHERE lower(b) = 'b7'";
    let copy = Connection::open(ground.copy()).unwrap();
    let plan: String = copy.query_row(plan, [], |row| row.get(3)).unwrap();
    assert!(plan.contains("expr"), "{plan}");
    // Statistics alone, of one kind.
    let ground = Ground::new(
        "CREATE TABLE t(a); CREATE INDEX i ON t(a); INSERT INTO t VALUES(1); ANALYZE; DROP TABLE sqlite_stat4;",
    );
    ground.assert_round_trip();
}

#[test]
fn full_text_search_with_content_without_and_with_that_of_another_table() {
    let ground = Ground::new(
        "CREATE TABLE doc(id INTEGER PRIMARY KEY, body TEXT);
         CREATE VIRTUAL TABLE own USING fts5(body);
         CREATE VIRTUAL TABLE none USING fts5(body, content='');
         CREATE VIRTUAL TABLE ext USING fts5(body, content='doc', content_rowid='id');
         CREATE VIRTUAL TABLE old USING fts4(body);
         CREATE TRIGGER doc_ai AFTER INSERT ON doc BEGIN INSERT INTO ext(rowid, body) VALUES(new.id, new.body); END;
         INSERT INTO doc(body) VALUES('the quick brown fox'), ('jumps over'), ('the lazy dog');
         INSERT INTO own(body) SELECT body FROM doc; INSERT INTO none(rowid, body) SELECT id, body FROM doc;
         INSERT INTO old(body) SELECT body FROM doc; DELETE FROM own WHERE rowid = 2;",
    );
    assert!(ground.assert_round_trip().notes.is_empty());
    for table in ["own", "none", "ext", "old"] {
        let found = format!("SELECT group_concat(rowid) FROM {table} WHERE {table} MATCH 'the'");
        assert_eq!(ground.ask::<String>(&found), "1,3", "{table}");
    }
    let copy = Connection::open(ground.copy()).unwrap();
    copy.execute("INSERT INTO doc(body) VALUES('another fox')", []).unwrap();
    assert_eq!(ground.ask::<i64>("SELECT count(*) FROM ext WHERE ext MATCH 'fox'"), 2);
}

/// A restore that fails for what the original was already would be none when it is needed.
#[test]
fn a_virtual_table_at_odds_with_itself_comes_back_and_is_told() {
    let ground = Ground::new(
        "CREATE VIRTUAL TABLE f USING fts5(body); INSERT INTO f VALUES('one'), ('two'); DELETE FROM f_content WHERE id = 1;",
    );
    let notes = ground.assert_round_trip().notes;
    assert!(notes[0].contains("FTS5 table main.f"), "{notes:?}");
}

#[test]
fn rtrees() {
    let ground = Ground::new(
        "CREATE VIRTUAL TABLE r USING rtree(id, x0, x1, +note);
         WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 1000)
         INSERT INTO r SELECT i, i, i + 10, 'note ' || i FROM n;",
    );
    assert!(ground.assert_round_trip().notes.is_empty());
    assert_eq!(ground.ask::<i64>("SELECT count(*) FROM r WHERE x0 <= 500 AND x1 >= 500"), 11);
}

#[test]
fn a_virtual_table_whose_module_is_missing_is_carried_and_named() {
    let ground = Ground::new(
        "CREATE TABLE \"geo_data\"(a, b); INSERT INTO geo_data VALUES(1, 2);
         PRAGMA writable_schema = ON;
         INSERT INTO sqlite_schema VALUES('table', 'geo', 'geo', 0, 'CREATE VIRTUAL TABLE geo USING no_such_module(a, b)');
         PRAGMA writable_schema = OFF;",
    );
    let notes = ground.assert_round_trip().notes;
    assert!(notes[0].contains("geo") && notes[0].contains("no_such_module"), "{notes:?}");
}

/// Puts the application's own collation and function where SQLite's were.
fn of_the_application(sql: &str) -> Ground {
    let ground = Ground::new(sql);
    let schema = "PRAGMA writable_schema = ON;
         UPDATE sqlite_schema SET sql = replace(replace(sql, '\"BINARY\"', 'mine'), 'abs(', 'mine(');";
    ground.connection().execute_batch(schema).unwrap();
    ground
}

/// Refused: rows of a table that is UNIQUE by a collation of the application.
#[test]
fn what_is_unique_by_a_collation_that_is_not_here_comes_back_with_an_empty_index() {
    for constraint in ["PRIMARY KEY", "UNIQUE"] {
        let ground = of_the_application(&format!(
            "CREATE TABLE t(a TEXT {constraint} COLLATE \"BINARY\", b UNIQUE); INSERT INTO t VALUES('x', 1), ('y', 2);"
        ));
        let backed_up = SqliteSource::path(ground.original()).unwrap();
        let snapshot = backed_up.snapshot(View::Records, &Context::default()).block_on().unwrap();
        let notes = snapshot.info().notes.join(", ");
        assert!(notes.contains("mine") && notes.contains("REINDEX"), "{notes}");
        let not_carried = ground.assert_proved();
        let [index] = not_carried.as_slice() else { panic!("{not_carried:?}") };
        assert_eq!(index.name, "sqlite_autoindex_t_1");
        assert!(index.why.contains("mine") && index.why.contains("REINDEX"), "{index:?}");
        assert!(index.records.is_empty(), "the schema has it");
        // Its program has the collation.
        let copy = Connection::open(ground.copy()).unwrap();
        copy.create_collation("mine", |a, b| b.cmp(a)).unwrap();
        copy.execute_batch("REINDEX").unwrap();
        let ask = |sql: &str| copy.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
        assert_eq!(ask("PRAGMA integrity_check"), "ok");
        assert_eq!(ask("SELECT group_concat(b) FROM t WHERE a = 'y'"), "2");
        assert!(copy.execute("INSERT INTO t VALUES('x', 3)", []).is_err(), "it is unique again");
    }
}

#[test]
fn rows_come_back_whatever_their_schema_calls() {
    for (sql, carries_all) in [
        ("CREATE TABLE t(a TEXT COLLATE \"BINARY\"); INSERT INTO t VALUES(1);", true),
        ("CREATE TABLE t(a, g AS (abs(a))); INSERT INTO t VALUES(-1);", true),
        ("CREATE TABLE t(a, g AS (abs(a)) STORED); INSERT INTO t VALUES(-1);", true),
        ("CREATE TABLE t(a CHECK(abs(a) > 1)); INSERT INTO t VALUES(-2);", true),
        ("CREATE TABLE t(a DEFAULT (abs(-1))); INSERT INTO t VALUES(-2);", true),
        (
            "CREATE TABLE t(a); INSERT INTO t VALUES(1); CREATE INDEX i ON t(a COLLATE \"BINARY\");",
            false,
        ),
        ("CREATE TABLE t(a); INSERT INTO t VALUES(1); CREATE INDEX i ON t(abs(a));", false),
        (
            "CREATE TABLE t(a); INSERT INTO t VALUES(1); CREATE INDEX i ON t(a) WHERE abs(a) > 0;",
            false,
        ),
    ] {
        let ground = of_the_application(sql);
        let not_carried = ground.assert_proved();
        let names: Vec<_> = not_carried.iter().map(|part| part.name.as_str()).collect();
        let expected: &[&str] = if carries_all { &[] } else { &["i"] };
        assert_eq!(names, expected, "{sql}");
        assert!(not_carried.iter().all(|part| part.why.contains("mine")), "{not_carried:?}");
    }
}

#[test]
fn reserved_bytes_come_back() {
    let ground = Ground::empty();
    for (page, vacuum) in [(512_u32, 0), (4096, 2), (65536, 1)] {
        for reserved in [8_u8, 32] {
            let _ = std::fs::remove_file(ground.original());
            let empty = format!(
                "PRAGMA page_size = {page}; PRAGMA auto_vacuum = {vacuum}; PRAGMA user_version = 1;"
            );
            ground.connection().execute_batch(&empty).unwrap();
            let mut first = std::fs::read(ground.original()).unwrap();
            first[20] = reserved;
            // Where the cells of the empty page begin; 65536 is written as 0, and there is less room than that.
            let usable = u16::try_from(page - u32::from(reserved)).unwrap();
            first[105..107].copy_from_slice(&usable.to_be_bytes());
            std::fs::write(ground.original(), first).unwrap();
            let script = "CREATE TABLE t(a PRIMARY KEY, b);
                 WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                 INSERT INTO t SELECT i, hex(i) FROM n; CREATE INDEX i ON t(b);";
            ground.connection().execute_batch(script).unwrap();
            ground.assert_round_trip();
            let header = std::fs::read(ground.copy()).unwrap();
            assert_eq!(header[20], reserved, "{page}");
            assert_eq!(ground.ask::<String>("PRAGMA integrity_check"), "ok");
            for made in ["copy.db", "copy.db.keepsum"] {
                std::fs::remove_file(ground.folder.path().join(made)).unwrap();
            }
        }
    }
}

#[test]
fn settings_of_the_database() {
    for page in [512, 1024, 65536] {
        for vacuum in [0, 1, 2] {
            for mode in ["wal", "delete"] {
                let ground = Ground::new(&format!(
                    "PRAGMA page_size = {page}; PRAGMA auto_vacuum = {vacuum}; PRAGMA journal_mode = {mode};
                     CREATE TABLE t(a); INSERT INTO t VALUES(zeroblob(100000)); PRAGMA application_id = -5; PRAGMA user_version = 7;"
                ));
                ground.transfer().unwrap();
                for left in ["copy.db-wal", "copy.db-shm", "copy.db-journal"] {
                    assert!(!ground.folder.path().join(left).exists(), "{left}");
                }
                for made in ["copy.db", "copy.db.keepsum"] {
                    std::fs::remove_file(ground.folder.path().join(made)).unwrap();
                }
                ground.assert_round_trip();
            }
        }
    }
}
