//! A leaf: what is read of it can be written again, and is then the same bytes.

#![no_main]

use archive::leaf::{Leaf, LeafBuilder};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|content: &[u8]| {
    let Ok(leaf) = Leaf::parse(content) else { return };
    let mut again = LeafBuilder::new();
    for record in leaf.iter() {
        again.push(&record).expect("what was read is in order and within the limits");
    }
    let again = again.finish(leaf.sum.as_ref());
    assert_eq!(again.content, content, "one content has one form");
    assert_eq!((&again.first, &again.last), (&leaf.first, &leaf.last));
});
