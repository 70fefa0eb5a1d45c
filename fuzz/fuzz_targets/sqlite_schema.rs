//! The settings of tables and the records of a schema, as a restore reads them from a snapshot: they have one
//! form, and their statements make what they say and nothing else.

#![no_main]

use backend_sqlite::fuzzing::{object, schema_record, settings, table};
use libfuzzer_sys::fuzz_target;

/// What SQLite makes by itself for a table, beside the indexes of its keys.
const OF_SQLITE: &str = "sqlite_sequence";

fuzz_target!(|input: &[u8]| {
    let Some(([kind, length], rest)) = input.split_first_chunk() else { return };
    let Some((name, content)) = rest.split_at_checked((*length).into()) else { return };
    if kind & 1 == 1 {
        if let Ok(Some(again)) = schema_record(name, content) {
            assert_eq!((&again.0[..], &again.1[..]), (name, content));
        }
        if let Ok(Some(made)) = object(name, content) {
            let others = made.iter().filter(|[_, name, ..]| name != "t").count();
            assert!(others <= 1, "{made:?}");
        }
        return;
    }
    let (Ok(name), Ok(text)) = (str::from_utf8(name), str::from_utf8(content)) else { return };
    match settings(name, text) {
        Ok(again) => assert_eq!(again, text),
        Err(error) => assert!(!error.to_string().contains('\n'), "an error is one line: {error}"),
    }
    if let Ok(Some(made)) = table(name, text) {
        let own: Vec<_> = made.iter().filter(|[_, made, ..]| made == name).collect();
        assert!(matches!(own[..], [[kind, ..]] if kind == "table"), "{made:?}");
        let [_, _, _, statement] = own[0];
        // SQLite writes the first two words itself.
        let behind = statement.strip_prefix("CREATE TABLE ").expect("it is one of a table");
        assert!(text.contains(behind), "{statement}");
        for [_, other, of, _] in &made {
            assert!(of == name || other == OF_SQLITE, "{made:?}");
        }
    }
});
