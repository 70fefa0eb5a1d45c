//! What is written is read back as it was.

use archive::catalog::{Entry, EntryHash};
use archive::leaf::Leaf;
use archive::manifest::{FileMeta, Manifest};
use archive::node::{Child, Node};
use archive::object::{self, Kind};
use backup_core::source::FileNature;
use proptest::prelude::*;

use crate::samples::{
    Value, any_entry, any_manifest, any_node, any_owner, any_records, any_sum, key, leaf_of,
    reference, stored,
};

const KINDS: [Kind; 5] = [Kind::Piece, Kind::Leaf, Kind::Node, Kind::Manifest, Kind::Names];

proptest! {
    #[test]
    fn an_object(
        seed in any::<u64>(),
        length in prop_oneof![0_usize..600, 262_100_usize..262_200, 500_000_usize..1_100_000],
        repeated in any::<bool>(),
        kind in 0_usize..5,
    ) {
        let mut content = testkit::noise(seed, length);
        if repeated {
            content.chunks_mut(1000).for_each(|chunk| chunk.fill(7));
        }
        let (bytes, reference) = stored(KINDS[kind], &content);
        prop_assert_eq!(object::open(&bytes, &reference, KINDS[kind], &key()).unwrap(), content);
        if repeated && length > 1000 {
            prop_assert!(bytes.len() < length / 2);
        }
    }

    #[test]
    fn a_leaf(records in any_records(), sum in any_sum()) {
        let finished = leaf_of(&records, sum.as_ref());
        let leaf = Leaf::parse(&finished.content).unwrap();
        prop_assert_eq!(&leaf.sum, &sum);
        let pieces = |value: &Value| match value {
            Value::Inline(_) => 0,
            Value::Pieces(pieces) => pieces.len(),
        };
        prop_assert_eq!(leaf.pieces, records.values().map(pieces).sum::<usize>() as u64);
        prop_assert_eq!(leaf.records, records.len() as u64);
        let found: Vec<_> = leaf.iter().collect();
        prop_assert_eq!(found.len(), records.len());
        for (found, ((root_key, key), value)) in found.iter().zip(&records) {
            prop_assert_eq!((found.root_key, found.key), (root_key.as_slice(), key.as_slice()));
            prop_assert_eq!(&found.value, &value.as_leaf_value());
        }
        Child::of_leaf(reference(1, 5, 100), &finished, sum.as_ref()).check_leaf(&leaf).unwrap();
    }

    #[test]
    fn a_node(node in any_node()) {
        let content = node.encode();
        let read = Node::parse(&content, node.level).unwrap();
        Child::of_node(reference(1, 5, 100), &node).check_node(&read).unwrap();
        prop_assert_eq!(read, node);
    }

    #[test]
    fn a_manifest(manifest in any_manifest()) {
        let content = manifest.encode().unwrap();
        let read = Manifest::parse(&content).unwrap();
        let proved = manifest.proved_from.is_some();
        prop_assert_eq!(read.global().is_some(), proved);
        prop_assert_eq!(read, manifest);
    }

    #[test]
    fn a_catalog_entry(entry in any_entry()) {
        let bytes = entry.encode().unwrap();
        prop_assert_eq!(EntryHash::of(&bytes).0, *blake3::hash(&bytes).as_bytes());
        prop_assert_eq!(Entry::parse(&bytes).unwrap(), entry);
    }

    #[test]
    fn a_file(
        bytes in any::<u64>(),
        mode in 0_u32..=0o7777,
        immutable in any::<bool>(),
        identity in any::<Option<Vec<u8>>>(),
        owner in any_owner(),
    ) {
        let nature = if immutable { FileNature::Immutable } else { FileNature::Changing };
        let file = FileMeta { bytes, mode, nature, identity, owner };
        prop_assert_eq!(FileMeta::parse(&file.encode().unwrap()).unwrap(), file);
    }
}

/// Each content has one encoding, so equal content has equal names.
#[test]
fn the_same_content_is_the_same_object_under_one_key_only() {
    let hash = |kind, content: &[u8], material: &[u8]| {
        let key = object::ObjectKey::derive(material);
        object::Hashed::new(kind, content, &key).unwrap().hash
    };
    let one = hash(Kind::Leaf, b"content", b"a");
    assert_eq!(one, hash(Kind::Leaf, b"content", b"a"));
    assert_ne!(one, hash(Kind::Leaf, b"content", b"b"));
    assert_ne!(one, hash(Kind::Node, b"content", b"a"));
    assert_ne!(one, hash(Kind::Leaf, b"contents", b"a"));
}
