//! A manifest, and the description of a file that lies in a tree of files.

#![no_main]

use archive::manifest::{FileMeta, Manifest};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    if let Ok(manifest) = Manifest::parse(content) {
        assert_eq!(manifest.encode().expect("it was within the limits"), content);
    }
    if let Ok(meta) = FileMeta::parse(content) {
        assert_eq!(meta.encode().expect("it was within the limits"), content);
    }
});
