//! A database of ten thousand tables; of as many as `KEEPSUM_TABLES` says, where that is set.

use keepsum::backup::ShapeChoice;
use keepsum::report::DatabaseDiff;
use rusqlite::Connection;
use serde_json::Value;

use crate::place::{Place, SHAPES, ask};

const TABLES: u32 = 10_000;

/// The longest that any step may take for ten thousand tables on a busy machine, in seconds. Nothing may go
/// with the square of their number.
const LONGEST: f64 = 120.0;

fn tables() -> u32 {
    std::env::var("KEEPSUM_TABLES").map_or(TABLES, |tables| tables.parse().unwrap())
}

/// What changes is found by its table and row, among all the others; what does not costs nothing again.
#[test]
fn ten_thousand_tables() {
    let place = Place::new();
    let database = place.path("source/many.db");
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch(&script()).unwrap();
    let held = rows(&connection);
    let longest = LONGEST * f64::from(tables()) / f64::from(TABLES);
    let mut before = String::new();
    for shape in SHAPES {
        let there = place.back_up(&database, shape).unwrap();
        let (restored, back) = place.restore(&there.snapshot, &format!("{shape:?}.db"));
        let took = [there.elapsed_seconds, back.elapsed_seconds];
        println!("{shape:?}: {} s there, {} s back", took[0], took[1]);
        assert!(took.iter().all(|seconds| *seconds < longest), "{shape:?}: {took:?}");
        assert_eq!(rows(&Connection::open(&restored).unwrap()), held, "{shape:?}");
        before = there.snapshot;
    }
    let objects = objects(&place);
    assert!(objects <= u64::from(tables()) / 50, "{objects} objects");
    let again = place.back_up(&database, ShapeChoice::Records).unwrap();
    println!("again: {} s, {} bytes", again.elapsed_seconds, again.uploaded_bytes);
    assert!(self::objects(&place) <= objects + 1, "an unchanged database stores its manifest");
    connection.execute_batch("UPDATE t7654 SET a = 'changed' WHERE id = 2").unwrap();
    let after = place.back_up(&database, ShapeChoice::Records).unwrap();
    assert!(self::objects(&place) <= objects + 1 + 5, "one table stores its neighbourhood");
    let found = place.diff(&before, &after.snapshot);
    let with_the_schema = usize::try_from(tables()).unwrap() + 1;
    assert_eq!((after.databases.len(), found.databases.len()), (with_the_schema, with_the_schema));
    let differs = |table: &DatabaseDiff| table.added + table.removed + table.changed > 0;
    let differing: Vec<_> = found.databases.into_iter().filter(differs).collect();
    let [table] = differing.as_slice() else { panic!("{differing:?}") };
    assert_eq!((table.name.as_str(), table.changed), ("t7654", 1), "{table:?}");
    assert_eq!(table.records.as_ref().unwrap().len(), 1, "{table:?}");
    by_command(&place, &after.snapshot);
    place.assert_clean();
}

/// How many objects the repository has.
fn objects(place: &Place) -> u64 {
    said(place, &["status", "--json"])["objects"].as_u64().unwrap()
}

/// What the command says, as JSON.
fn said(place: &Place, arguments: &[&str]) -> Value {
    let output = place.command(arguments).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {text}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// A list of all, what is whole, and one table alone as a portable file.
fn by_command(place: &Place, snapshot: &str) {
    let shown = said(place, &["show", snapshot, "--json"]);
    assert_eq!(shown["databases"].as_array().unwrap().len() as u64, u64::from(tables()) + 1);
    let salvaged = place.path("salvaged.db");
    let target = format!("sqlite:{}", salvaged.display());
    let report = said(place, &["restore", snapshot, &target, "--salvage", "--json"]);
    assert_eq!(report["losses"].as_array().unwrap().len(), 0);
    let count = "SELECT count(*) FROM sqlite_schema WHERE type = 'table'";
    assert_eq!(ask::<u32>(&salvaged, count), tables());
    let file = place.path("one.bcs");
    let file = file.to_str().unwrap();
    let report = said(place, &["export", snapshot, file, "--database", "t7654", "--json"]);
    assert_eq!(report["databases"][0]["records"], 2, "{report}");
}

/// Each table with an index and two rows of its own.
fn script() -> String {
    let table = |number: u32| {
        format!(
            "CREATE TABLE t{number}(id INTEGER PRIMARY KEY, a TEXT UNIQUE);
             INSERT INTO t{number}(a) VALUES('x of {number}'), ('y of {number}');"
        )
    };
    let all: String = (0..tables()).map(table).collect();
    format!("PRAGMA synchronous = OFF; BEGIN; {all} COMMIT;")
}

/// All rows of some tables, and how many objects the schema has.
fn rows(connection: &Connection) -> Vec<String> {
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let some = (0..tables())
        .step_by(97)
        .map(|number| text(&format!("SELECT group_concat(id || a ORDER BY id) FROM t{number}")));
    let schema = "SELECT count(*) || group_concat(sql) FROM sqlite_schema WHERE name GLOB '*1'";
    some.chain([text(schema)]).collect()
}
