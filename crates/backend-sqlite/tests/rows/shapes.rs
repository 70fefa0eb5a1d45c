//! Tables of every shape, with values of every class.

use crate::ground::Ground;

/// Values of every class and at every edge, as a list for VALUES.
const VALUES: &str = "(NULL), (0), (1), (-1), (9223372036854775807), (-9223372036854775808), \
    (9007199254740992), (9007199254740993), (9007199254740992.0), (9007199254740994.0), \
    (9223372036854775808.0), (-9223372036854775808.0), (9223372036854774784.0), (9223372036854775806), \
    (0.1), (-0.5), (1e308), (-1e308), (9e999), (-9e999), (5e-324), (''), ('a'), ('A'), ('a '), ('5'), \
    ('5.0abc'), (' 5'), ('é'), ('𝄞'), (CAST(x'00' AS TEXT)), (CAST(x'6100FF' AS TEXT)), \
    (CAST(x'FFFE80' AS TEXT)), (x''), (x'00'), (x'00FF'), (x'616263'), (zeroblob(5000))";

fn assert_round_trip(sql: &str) -> Ground {
    let ground = Ground::new(sql);
    ground.assert_round_trip();
    ground
}

#[test]
fn all_classes_in_a_column_of_each_type() {
    for kind in ["", "INTEGER", "TEXT", "REAL", "NUMERIC", "BLOB", "VARCHAR(10)", "ANY"] {
        assert_round_trip(&format!(
            "CREATE TABLE t(a {kind}); INSERT INTO t WITH v(x) AS (VALUES {VALUES}) SELECT x FROM v;"
        ));
    }
}

#[test]
fn all_classes_in_a_primary_key_of_each_type() {
    for kind in
        ["", "INT", "TEXT", "REAL", "NUMERIC", "BLOB", "TEXT COLLATE NOCASE", "COLLATE RTRIM"]
    {
        for order in ["ASC", "DESC"] {
            for with in ["", "WITHOUT ROWID"] {
                assert_round_trip(&format!(
                    "CREATE TABLE t(a {kind}, b, PRIMARY KEY(a {order})) {with};
                     INSERT OR IGNORE INTO t WITH v(x) AS (VALUES {VALUES}) SELECT x, 'b' FROM v;
                     INSERT OR IGNORE INTO t VALUES(NULL, 1), (NULL, 2), (NULL, NULL);"
                ));
            }
        }
    }
}

#[test]
fn keys_of_several_columns_in_mixed_directions() {
    for with in ["", "WITHOUT ROWID"] {
        for orders in [["ASC", "ASC", "ASC"], ["DESC", "DESC", "DESC"], ["ASC", "DESC", "ASC"]] {
            let [a, b, c] = orders;
            assert_round_trip(&format!(
                "CREATE TABLE t(x, a, b TEXT COLLATE NOCASE, c, PRIMARY KEY(a {a}, b {b}, c COLLATE RTRIM {c})) {with};
                 WITH n(i) AS (VALUES(0) UNION ALL SELECT i + 1 FROM n WHERE i < 3000)
                 INSERT OR IGNORE INTO t SELECT randomblob(400), i % 5, char(65 + i % 7) || (i % 3), i % 100 || substr('   ', 1, i % 4) FROM n;
                 INSERT OR IGNORE INTO t VALUES(1, NULL, 'a', 1), (2, NULL, 'a', 1), (3, NULL, NULL, NULL),
                     (4, 1, NULL, 2), (5, 1, NULL, 2), (6, 2, 'b', NULL), (7, NULL, NULL, NULL);"
            ));
        }
    }
}

#[test]
fn without_a_primary_key_and_with_gaps_between_rowids() {
    assert_round_trip(
        "CREATE TABLE t(a, b);
         INSERT INTO t(rowid, a, b) VALUES(-9223372036854775808, 1, 2), (-1, 1, 2), (0, 1, 2), (7, NULL, NULL),
             (9223372036854775807, 'last', 3);",
    );
}

#[test]
fn a_rowid_with_other_names() {
    for column in ["rowid", "oid", "_rowid_", "ROWID"] {
        assert_round_trip(&format!(
            "CREATE TABLE t({column} TEXT, b); INSERT INTO t VALUES('x', 1), ('x', 2), (NULL, 3);
             CREATE TABLE u({column} INTEGER PRIMARY KEY, b); INSERT INTO u VALUES(5, 1), (7, 2);
             CREATE TABLE v({column} TEXT PRIMARY KEY, b); INSERT INTO v VALUES('x', 1), (NULL, 2), (NULL, 3);"
        ));
    }
    assert_round_trip(
        "CREATE TABLE t(rowid INTEGER PRIMARY KEY, oid, _rowid_); INSERT INTO t VALUES(3, 4, 5);
         CREATE TABLE u(rowid, oid, _rowid_, PRIMARY KEY(oid)) WITHOUT ROWID; INSERT INTO u VALUES(3, 4, 5);",
    );
}

#[test]
fn names_that_need_quotes() {
    assert_round_trip(
        "CREATE TABLE \"a \"\"b\"\" c\"(\"select\" INTEGER PRIMARY KEY, \"x y\", \"'\", [q ]);
         INSERT INTO \"a \"\"b\"\" c\" VALUES(1, 2, 3, 4);
         CREATE TABLE \"table\"(\"group\", \"order\", PRIMARY KEY(\"order\", \"group\")) WITHOUT ROWID;
         INSERT INTO \"table\" VALUES(1, 2), (2, 1);
         CREATE TABLE [bracket](`tick`); INSERT INTO bracket VALUES(1);
         CREATE TABLE 'single''s'(a); INSERT INTO 'single''s' VALUES(1);
         CREATE TABLE \"Zähler % 𝄞\"(ü TEXT PRIMARY KEY, \"a.b\"); INSERT INTO \"Zähler % 𝄞\" VALUES('ö', 1);
         CREATE INDEX \"an \"\"index\" ON \"table\"(\"group\"); CREATE VIEW \"a view\" AS SELECT 1 AS \"x y\";",
    );
}

#[test]
fn strict_tables() {
    assert_round_trip(
        "CREATE TABLE t(i INTEGER, n INT, r REAL, s TEXT, b BLOB, a ANY) STRICT;
         INSERT INTO t VALUES(1, 2, 3, 'x', x'00', '5'), (NULL, NULL, NULL, NULL, NULL, 5), (1, 2, 3.5, '', x'', 5.0);
         CREATE TABLE u(a ANY PRIMARY KEY) STRICT, WITHOUT ROWID;
         INSERT INTO u VALUES('5'), (5), (x'35'), (5.5);",
    );
}

#[test]
fn generated_columns() {
    assert_round_trip(
        "CREATE TABLE t(a INTEGER, v AS (a * 2), s TEXT GENERATED ALWAYS AS ('n' || a) STORED, b,
             w TEXT COLLATE NOCASE AS (upper(b)) VIRTUAL UNIQUE);
         INSERT INTO t(a, b) VALUES(1, 'x'), (2, 'y'), (NULL, NULL);
         CREATE INDEX by_v ON t(v); CREATE INDEX by_s ON t(s);
         CREATE TABLE u(id INTEGER PRIMARY KEY, v AS (id + 1), s AS (id * 2) STORED);
         INSERT INTO u(id) VALUES(1), (2);",
    );
}

#[test]
fn columns_added_and_dropped() {
    assert_round_trip(
        "CREATE TABLE t(a, b, c); INSERT INTO t VALUES(1, 2, 3);
         ALTER TABLE t ADD COLUMN d DEFAULT 'd'; ALTER TABLE t ADD COLUMN e NOT NULL DEFAULT 5;
         INSERT INTO t VALUES(2, 3, 4, NULL, 6); ALTER TABLE t DROP COLUMN b; ALTER TABLE t RENAME TO u;
         ALTER TABLE u RENAME COLUMN c TO \"the c\"; ALTER TABLE u ADD COLUMN g AS (a + 1);",
    );
}

#[test]
fn minus_zero_infinities_and_numbers_beside_each_other() {
    let ground = Ground::new("CREATE TABLE t(a); CREATE TABLE u(a PRIMARY KEY) WITHOUT ROWID;");
    let connection = ground.connection();
    for number in [-0.0, 0.0, f64::INFINITY, f64::NEG_INFINITY, f64::MAX, f64::MIN_POSITIVE] {
        connection.execute("INSERT INTO t VALUES(?1)", [number]).unwrap();
        connection.execute("INSERT OR IGNORE INTO u VALUES(?1)", [number]).unwrap();
    }
    for shift in 50..63 {
        for near in -3..=3_i64 {
            for number in [(1_i64 << shift) + near, -(1_i64 << shift) + near] {
                let sql = "INSERT OR IGNORE INTO u VALUES(?1), (CAST(?1 AS REAL))";
                connection.execute(sql, [number]).unwrap();
            }
        }
    }
    ground.assert_round_trip();
}

#[test]
fn text_of_any_bytes_under_every_collation() {
    let ground = Ground::new(
        "CREATE TABLE b(a TEXT PRIMARY KEY); CREATE TABLE n(a TEXT PRIMARY KEY COLLATE NOCASE);
         CREATE TABLE r(a TEXT PRIMARY KEY COLLATE RTRIM) WITHOUT ROWID;",
    );
    let connection = ground.connection();
    let pieces: [&[u8]; 8] = [b"", b"a", b"A", b" ", b"\0", b"\xff", b"\x01", b"Z"];
    for one in pieces {
        for two in pieces {
            for three in pieces {
                let text = [one, two, three].concat();
                for table in ["b", "n", "r"] {
                    let sql = format!("INSERT OR IGNORE INTO {table} VALUES(CAST(?1 AS TEXT))");
                    connection.execute(&sql, [&text]).unwrap();
                }
            }
        }
    }
    ground.assert_round_trip();
}

#[test]
fn databases_in_utf16() {
    for encoding in ["UTF-16le", "UTF-16be"] {
        let ground = assert_round_trip(&format!(
            "PRAGMA encoding = '{encoding}';
             CREATE TABLE t(a TEXT PRIMARY KEY, b); CREATE TABLE n(a TEXT PRIMARY KEY COLLATE NOCASE, b BLOB) WITHOUT ROWID;
             CREATE TABLE p(a); CREATE INDEX by_a ON p(a);
             INSERT INTO t VALUES('a', 'ä'), ('Ā', '𝄞'), ('ÿ', x'00'), ('', 1.5), (char(0xFFFD), char(0xFFFF)), ('A', NULL);
             INSERT INTO t VALUES(CAST(x'00D8' AS TEXT), CAST(x'D800' AS TEXT)), (CAST(x'3DD861' || x'00' AS TEXT), 7);
             INSERT INTO n VALUES('a', 'x'), ('B', x'0102'), ('ä', 3);
             INSERT INTO p VALUES(CAST(x'FFFE4100' AS TEXT)), (CAST(x'FEFF0041' AS TEXT)), ('bom');"
        ));
        assert_eq!(ground.ask::<String>("PRAGMA encoding"), encoding);
    }
}

#[test]
fn rows_of_nothing_and_empty_tables() {
    assert_round_trip(
        "CREATE TABLE none(a, b); CREATE TABLE only(id INTEGER PRIMARY KEY); INSERT INTO only VALUES(1), (5);
         CREATE TABLE nulls(a, b); INSERT INTO nulls VALUES(NULL, NULL), (NULL, NULL);",
    );
    assert_round_trip("PRAGMA user_version = 5;");
}
