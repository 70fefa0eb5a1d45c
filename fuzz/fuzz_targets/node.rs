//! An inner node of any level. The first byte chooses the level that is asked for.

#![no_main]

use archive::node::Node;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some((level, content)) = input.split_first() else { return };
    let Ok(node) = Node::parse(content, *level) else { return };
    assert_eq!(node.level, *level);
    assert!(node.children.is_sorted_by(|one, next| one.last < next.first), "children overlap");
    assert_eq!(node.encode(), content, "one node has one form");
});
