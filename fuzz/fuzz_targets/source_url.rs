//! The address of a store, and the name of a snapshot.

#![no_main]

use keepsum::{SnapshotSpec, StoreLocation};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match text.parse::<StoreLocation>() {
        Ok(location) => {
            let shown = location.to_string();
            let again: StoreLocation = shown.parse().expect("what it shows can be read");
            assert_eq!(again.to_string(), shown);
        }
        Err(error) => assert!(!error.to_string().contains('\n'), "an error is one line: {error}"),
    }
    if let Err(error) = text.parse::<SnapshotSpec>() {
        assert!(!error.to_string().contains('\n'), "an error is one line: {error}");
    }
});
