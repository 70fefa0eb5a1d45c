//! The header of a database: what keepsum reads of a main file is what SQLite sees of it.

#![no_main]

mod left;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|main: &[u8]| {
    let path = left::put(main, None);
    let Ok(image) = left::read(&path) else { return };
    if let Some(bytes) = &image.bytes {
        let there = bytes.len().min(main.len());
        assert_eq!(bytes[..there], main[..there]);
    }
    left::compare(&path, &image);
});
