//! A database of ten thousand tables.

use keepsum::backup::ShapeChoice;
use keepsum::report::DatabaseDiff;
use rusqlite::Connection;

use crate::place::{Place, SHAPES};

const TABLES: u32 = 10_000;

/// The longest that any step may take on a busy machine, in seconds. SQLite looks at the whole schema for each
/// table that it makes, which is most of what a restore of rows takes; nothing else may go with the square.
const LONGEST: f64 = 300.0;

/// What changes is found by its table and row, among all the others.
#[test]
fn ten_thousand_tables() {
    let place = Place::new();
    let database = place.path("source/many.db");
    let connection = Connection::open(&database).unwrap();
    connection.execute_batch(&script()).unwrap();
    let held = rows(&connection);
    let mut before = String::new();
    for shape in SHAPES {
        let there = place.back_up(&database, shape).unwrap();
        let (restored, back) = place.restore(&there.snapshot, &format!("{shape:?}.db"));
        let took = [there.elapsed_seconds, back.elapsed_seconds];
        println!("{shape:?}: {} s there, {} s back", took[0], took[1]);
        assert!(took.iter().all(|seconds| *seconds < LONGEST), "{shape:?}: {took:?}");
        assert_eq!(rows(&Connection::open(&restored).unwrap()), held, "{shape:?}");
        before = there.snapshot;
    }
    connection.execute_batch("UPDATE t7654 SET a = 'changed' WHERE id = 2").unwrap();
    let after = place.back_up(&database, ShapeChoice::Records).unwrap();
    let found = place.diff(&before, &after.snapshot);
    let with_the_schema = usize::try_from(TABLES).unwrap() + 1;
    assert_eq!((after.databases.len(), found.databases.len()), (with_the_schema, with_the_schema));
    let differs = |table: &DatabaseDiff| table.added + table.removed + table.changed > 0;
    let differing: Vec<_> = found.databases.into_iter().filter(differs).collect();
    let [table] = differing.as_slice() else { panic!("{differing:?}") };
    assert_eq!((table.name.as_str(), table.changed), ("t7654", 1), "{table:?}");
    assert_eq!(table.records.as_ref().unwrap().len(), 1, "{table:?}");
}

/// Each table with an index and two rows of its own.
fn script() -> String {
    let table = |number: u32| {
        format!(
            "CREATE TABLE t{number}(id INTEGER PRIMARY KEY, a TEXT UNIQUE);
             INSERT INTO t{number}(a) VALUES('x of {number}'), ('y of {number}');"
        )
    };
    let all: String = (0..TABLES).map(table).collect();
    format!("PRAGMA synchronous = OFF; BEGIN; {all} COMMIT;")
}

/// All rows of some tables, and how many objects the schema has.
fn rows(connection: &Connection) -> Vec<String> {
    let text = |sql: &str| connection.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
    let some = (0..TABLES)
        .step_by(97)
        .map(|number| text(&format!("SELECT group_concat(id || a ORDER BY id) FROM t{number}")));
    let schema = "SELECT count(*) || group_concat(sql) FROM sqlite_schema WHERE name GLOB '*1'";
    some.chain([text(schema)]).collect()
}
