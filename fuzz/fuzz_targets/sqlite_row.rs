//! The value of a row: what can be read has one form, read whole or without the blob it ends with.

#![no_main]

use backend_sqlite::fuzzing::row;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((columns, value)) = input.split_first() else { return };
    match row(value, (*columns).into()) {
        Ok(again) => assert_eq!(again, [value, value]),
        Err(detail) => assert!(!detail.contains('\n'), "an error is one line: {detail}"),
    }
});
