//! Every byte flipped, every truncation, every byte too many.

use std::borrow::Cow;

use std::fmt::Debug;

use archive::catalog::Entry;
use archive::leaf::{Leaf, LeafValue};
use archive::manifest::{FileMeta, Manifest};
use archive::node::Node;
use archive::object::{self, Index, Kind, ObjectRef};
use backup_core::source::FileNature;
use proptest::prelude::*;

use crate::samples::{
    entry, files_manifest, key, paged_manifest, records_manifest, small_leaf, small_node, stored,
};

/// Calls `look` with each single flip of `bytes`: lowest bit, highest bit, all bits.
fn each_flip(bytes: &[u8], mut look: impl FnMut(&[u8], usize)) {
    let mut damaged = bytes.to_vec();
    for at in 0..bytes.len() {
        for flip in [0x01, 0x80, 0xff] {
            damaged[at] = bytes[at] ^ flip;
            look(&damaged, at);
        }
        damaged[at] = bytes[at];
    }
}

/// Checks that each truncation, and each byte appended, is an error.
fn no_other_length<T: Debug>(bytes: &[u8], parse: impl Fn(&[u8]) -> archive::Result<T>) {
    for end in 0..bytes.len() {
        assert!(parse(&bytes[..end]).is_err(), "cut at {end}");
    }
    let mut longer = bytes.to_vec();
    longer.push(0);
    for more in 0..=255 {
        *longer.last_mut().unwrap() = more;
        assert!(parse(&longer).is_err(), "{more} appended");
    }
}

/// Checks that each flip is an error or another value: no byte is without meaning.
fn no_silent_flip<T: Debug + PartialEq>(bytes: &[u8], parse: impl Fn(&[u8]) -> archive::Result<T>) {
    let whole = parse(bytes).unwrap();
    each_flip(bytes, |damaged, at| {
        if let Ok(found) = parse(damaged) {
            assert_ne!(found, whole, "byte {at} changes nothing");
        }
    });
}

/// Objects of every form: empty, plain, compressed, of several frames.
fn objects() -> Vec<(Vec<u8>, Vec<u8>, ObjectRef, Kind)> {
    let contents = [
        (Kind::Names, Vec::new()),
        (Kind::Piece, testkit::noise(5, 100)),
        (Kind::Manifest, b"compressible ".repeat(40)),
        (Kind::Leaf, small_leaf().content.to_vec()),
        (Kind::Piece, b"several frames ".repeat(40_000)),
    ];
    let store = |(kind, content): (Kind, Vec<u8>)| {
        let (bytes, reference) = stored(kind, &content);
        (content, bytes, reference, kind)
    };
    contents.into_iter().map(store).collect()
}

#[test]
fn an_object_shows_every_flip() {
    for (_, bytes, reference, kind) in objects() {
        each_flip(&bytes, |damaged, at| {
            let found = object::open(damaged, &reference, kind, &key());
            assert!(found.is_err(), "{kind:?}: byte {at}");
        });
    }
}

#[test]
fn an_object_of_another_length_is_refused() {
    for (_, bytes, reference, kind) in objects() {
        no_other_length(&bytes, |bytes| {
            object::open(bytes, &reference, kind, &key()).map(Cow::into_owned)
        });
        // Even where the reference says that length.
        no_other_length(&bytes, |bytes| {
            let stored = u32::try_from(bytes.len()).unwrap();
            object::open(bytes, &ObjectRef { stored, ..reference }, kind, &key())
                .map(Cow::into_owned)
        });
    }
}

/// A reader of a range sees less, and still never content that was not stored.
#[test]
fn a_range_of_a_damaged_object_is_right_or_refused() {
    for (content, bytes, reference, kind) in objects() {
        let tail = usize::try_from(Index::tail_range(&reference).start).unwrap();
        let plain = 0..content.len() as u64;
        each_flip(&bytes, |damaged, at| {
            let read = || {
                let index = Index::from_tail(&damaged[tail..], &reference, kind, &key())?;
                let (range, _) = index.stored_range(&plain);
                let start = usize::try_from(range.start).unwrap();
                let end = usize::try_from(range.end).unwrap();
                index.open_range(&plain, &damaged[start..end], &key())
            };
            match read() {
                Ok(found) => assert!(found == content, "{kind:?}: byte {at}"),
                Err(error) => assert!(!error.to_string().is_empty()),
            }
        });
    }
}

#[test]
fn an_object_in_the_place_of_another_is_refused() {
    let objects = objects();
    for (_, bytes, _, _) in &objects {
        for (_, own, reference, kind) in &objects {
            let found = object::open(bytes, reference, *kind, &key());
            assert_eq!(found.is_ok(), own == bytes);
        }
    }
}

#[test]
fn an_object_of_another_repository_is_refused() {
    for (_, bytes, reference, kind) in objects() {
        let other = object::ObjectKey::derive(b"another repository");
        let error = object::open(&bytes, &reference, kind, &other).unwrap_err();
        assert!(matches!(error, archive::Error::Mismatch { .. }), "{error}");
    }
}

/// What a leaf says, as far as it can be compared.
fn leaf_values(content: &[u8]) -> archive::Result<impl Debug + PartialEq + use<>> {
    let leaf = Leaf::parse(content)?;
    let owned = |value: LeafValue<'_>| match value {
        LeafValue::Inline(value) => (value.to_vec(), Vec::new()),
        LeafValue::Pieces { total, pieces } => (total.to_le_bytes().to_vec(), pieces),
    };
    let records: Vec<_> = leaf
        .iter()
        .map(|record| (record.root_key.to_vec(), record.key.to_vec(), owned(record.value)))
        .collect();
    assert_eq!(records.len() as u64, leaf.records, "parse has read each of them");
    Ok((leaf.sum, leaf.bytes, records, leaf.first, leaf.last))
}

#[test]
fn a_leaf_has_no_byte_without_meaning() {
    let content = small_leaf().content.to_vec();
    no_silent_flip(&content, leaf_values);
    no_other_length(&content, leaf_values);
}

#[test]
fn a_node_has_no_byte_without_meaning() {
    let content = small_node().encode();
    no_silent_flip(&content, |content| Node::parse(content, 1));
    no_other_length(&content, |content| Node::parse(content, 1));
}

#[test]
fn a_manifest_has_no_byte_without_meaning() {
    for manifest in [records_manifest(), files_manifest(), paged_manifest()] {
        let content = manifest.encode().unwrap();
        no_silent_flip(&content, Manifest::parse);
        no_other_length(&content, Manifest::parse);
    }
}

#[test]
fn a_file_has_no_byte_without_meaning() {
    let identity = Some(b"session 7".to_vec());
    let file =
        FileMeta { bytes: 4096, mode: 0o640, nature: FileNature::Immutable, identity, owner: None };
    let value = file.encode().unwrap();
    no_silent_flip(&value, FileMeta::parse);
    no_other_length(&value, FileMeta::parse);
}

#[test]
fn a_catalog_entry_shows_every_flip() {
    let small = Entry { changes: Vec::new(), state: None, number: 3, floor: 0, ..entry() };
    for entry in [entry(), small] {
        let bytes = entry.encode().unwrap();
        each_flip(&bytes, |damaged, at| assert!(Entry::parse(damaged).is_err(), "byte {at}"));
        no_other_length(&bytes, Entry::parse);
    }
}

proptest! {
    /// Several bytes at once, checksums not mended: an answer, and never a panic.
    #[test]
    fn heavy_damage_is_survived(
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        end in any::<prop::sample::Index>(),
    ) {
        let damage = |bytes: &[u8]| {
            let mut damaged = bytes.to_vec();
            for (place, byte) in &places {
                damaged[place.index(bytes.len())] = *byte;
            }
            damaged.truncate(bytes.len() - end.index(bytes.len()) / 8);
            damaged
        };
        let leaf = damage(&small_leaf().content);
        prop_assert!(leaf_values(&leaf).is_err() || Leaf::parse(&leaf).is_ok());
        let node = damage(&small_node().encode());
        if let Ok(node) = Node::parse(&node, 1) {
            prop_assert!(!node.children.is_empty());
        }
        let manifest = damage(&records_manifest().encode().unwrap());
        if let Ok(manifest) = Manifest::parse(&manifest) {
            prop_assert!(manifest.encode().is_ok());
        }
        for (_, bytes, reference, kind) in objects() {
            let damaged = damage(&bytes);
            let found = object::open(&damaged, &reference, kind, &key());
            prop_assert!(found.is_err() || damaged == bytes);
        }
    }

    #[test]
    fn any_bytes_are_survived(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        prop_assert!(Entry::parse(&bytes).is_err());
        let mut versioned = vec![1, 0];
        versioned.extend_from_slice(&bytes);
        if let Ok(manifest) = Manifest::parse(&versioned) {
            prop_assert_eq!(manifest.encode().unwrap(), versioned);
        }
        let mut leaf = vec![1, 0];
        leaf.extend_from_slice(&bytes);
        prop_assert!(leaf_values(&leaf).is_err() || Leaf::parse(&leaf).is_ok());
        let node = Node::parse(&leaf, 0);
        prop_assert!(node.is_err());
        let file = FileMeta::parse(&bytes);
        prop_assert!(file.is_err() || file.unwrap().encode().unwrap() == bytes);
    }
}
