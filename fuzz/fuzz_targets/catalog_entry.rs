//! A catalog entry. The checksum is made right, or hardly any input would get beyond it.

#![no_main]

use archive::catalog::{Entry, State};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| {
    // Whatever comes is refused or read, but never a panic.
    let _ = Entry::parse(body);
    let mut bytes = body.to_vec();
    bytes.extend_from_slice(blake3::hash(body).as_bytes());
    let Ok(entry) = Entry::parse(&bytes) else { return };
    assert_eq!(entry.encode().expect("it was within the limits"), bytes);
    let mut state = entry.state.clone().unwrap_or_else(State::default);
    entry.changes.iter().for_each(|change| state.apply(change));
});
