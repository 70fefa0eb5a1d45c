//! Databases of a directory.

use archive::directory::{Content, Database, Described, Holding, InlineBuilder, Proof};
use archive::leaf::{LeafRecord, LeafValue};
use archive::limits::{INLINE_DATABASE_BYTES, MAX_SETTINGS_BYTES};
use archive::node::Tree;
use archive::wire::Writer;
use backup_core::integrity::DatabaseSum;
use backup_core::source::Order;
use bytes::Bytes;

use super::{Is, limit, malformed, mismatch, refused};
use crate::samples::{reference, small_records, sum_of, tree_of};

fn parse(name: &[u8], value: &[u8], holding: Holding) -> archive::Result<Database> {
    let value = Bytes::copy_from_slice(value);
    let record = LeafRecord { root_key: b"", key: name, value: LeafValue::Inline(&value) };
    Database::parse(&record, holding, &value)
}

fn inline() -> Content {
    let mut small = InlineBuilder::default();
    for ((root_key, key), value) in &small_records() {
        let record = LeafRecord { root_key, key, value: value.as_leaf_value() };
        assert!(small.push(&record).unwrap());
    }
    small.finish()
}

fn database(content: Content, proof: Option<Proof>) -> Database {
    let described = Described {
        name: "default".into(),
        tag: b"default".to_vec(),
        order: Order::Key,
        settings: Some("[CFOptions]".into()),
        proof,
    };
    Database { described, content }
}

fn proof() -> Proof {
    Proof::of(&sum_of(&small_records()))
}

fn of_tree() -> Database {
    let tree = tree_of(b"", Some(&sum_of(&small_records())));
    database(Content::Tree(Box::new(tree)), Some(proof()))
}

/// One of each kind, with what its directory holds.
fn all() -> Vec<(Database, Holding)> {
    let sum = sum_of(&small_records());
    let nothing = Proof::of(&DatabaseSum::default());
    vec![
        (database(inline(), Some(proof())), Holding::Records),
        (database(Content::Inline(Bytes::new()), Some(nothing)), Holding::Records),
        (of_tree(), Holding::Records),
        (database(Content::Sum(sum.lthash), Some(proof())), Holding::Sums),
        (database(Content::Nothing, None), Holding::Names),
    ]
}

#[test]
fn what_is_written_is_read_and_only_where_it_belongs() {
    for (database, holding) in all() {
        let value = database.encode().unwrap();
        assert_eq!(parse(b"default", &value, holding).unwrap(), database);
        for other in [Holding::Records, Holding::Sums, Holding::Names] {
            assert_eq!(parse(b"default", &value, other).is_ok(), other == holding, "{database:?}");
        }
    }
}

/// Cut anywhere, or with any byte changed, it is refused or says something else, and never the same.
#[test]
fn cut_and_changed_anywhere() {
    for (database, holding) in all() {
        let value = database.encode().unwrap();
        for end in 0..value.len() {
            assert!(parse(b"default", &value[..end], holding).is_err(), "{end}");
        }
        refused(parse(b"default", &[&value[..], b"x"].concat(), holding), malformed);
        for at in 0..value.len() {
            let mut changed = value.clone();
            changed[at] ^= 1;
            if let Ok(read) = parse(b"default", &changed, holding) {
                assert_ne!(read, database, "byte {at}");
            }
        }
    }
}

/// Both directions: it is not written, and bytes that say so are not read.
#[test]
fn proofs_that_are_not_of_what_is_there() {
    let right = proof();
    for (content, proof) in [
        (inline(), Proof { records: 4, ..right }),
        (inline(), Proof { bytes: 20, ..right }),
        (Content::Inline(Bytes::new()), right),
        (of_tree().content, Proof { records: 4, ..right }),
        (of_tree().content, Proof { checksum: [7; 32].into(), ..right }),
        (Content::Sum(sum_of(&small_records()).lthash), Proof { records: 0, bytes: 0, ..right }),
    ] {
        refused(database(content.clone(), Some(proof)).encode(), mismatch);
        refused(database(content, None).encode(), mismatch);
    }
    refused(database(Content::Nothing, Some(right)).encode(), mismatch);
}

#[test]
fn trees_that_cannot_be() {
    let with = |change: fn(&mut Tree)| {
        let mut tree = tree_of(b"", Some(&sum_of(&small_records())));
        change(&mut tree);
        database(Content::Tree(Box::new(tree)), Some(proof())).encode()
    };
    refused(with(|tree| tree.levels = 13), limit);
    refused(with(|tree| tree.root.object.stored = u32::MAX), malformed);
    refused(with(|tree| tree.root.records = 0), malformed);
    refused(with(|tree| tree.root.checksum = None), mismatch);
}

#[test]
fn names_and_settings_above_their_limits() {
    let with = |change: fn(&mut Described)| {
        let mut database = of_tree();
        change(&mut database.described);
        database.encode()
    };
    refused(with(|described| described.name = "n".repeat(4097)), limit);
    refused(with(|described| described.tag = vec![7; 4097]), limit);
    refused(with(|described| described.settings = Some("s".repeat(MAX_SETTINGS_BYTES + 1))), limit);
    let value = of_tree().encode().unwrap();
    refused(parse(&[0xff], &value, Holding::Records), malformed);
    refused(parse(&b"n".repeat(4097), &value, Holding::Records), limit);
    let record = LeafRecord { root_key: b"r", key: b"d", value: LeafValue::Inline(&value) };
    refused(Database::parse(&record, Holding::Records, &Bytes::new()), malformed);
    let pieces = LeafValue::Pieces { total: 5, pieces: vec![reference(1, 5, 100)] };
    let record = LeafRecord { root_key: b"", key: b"d", value: pieces };
    refused(Database::parse(&record, Holding::Records, &Bytes::new()), malformed);
}

/// A small database whose leaf is not one that it could have.
#[test]
fn records_that_are_no_small_database() {
    let with = |leaf: &[u8]| {
        let mut value = b"\x07default\x00\x00\x02".to_vec();
        value.extend_from_slice(proof().checksum.as_bytes());
        value.put_bytes(leaf);
        parse(b"default", &value, Holding::Records)
    };
    let Content::Inline(leaf) = inline() else { panic!() };
    assert!(with(&leaf).is_ok());
    let is: &[(&[u8], Is)] =
        &[(&leaf[1..], malformed), (&[1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], malformed)];
    for (leaf, is) in is {
        refused(with(leaf), *is);
    }
    let summed = crate::samples::leaf_of(&small_records(), Some(&sum_of(&small_records()).lthash));
    refused(with(&summed.content), mismatch);
    refused(with(&vec![1; INLINE_DATABASE_BYTES + 16]), malformed);
}

/// A value that is too long by itself.
static BYTES: [u8; INLINE_DATABASE_BYTES] = [7; INLINE_DATABASE_BYTES];

/// What takes up to the limit stands in the directory, and what takes a byte more does not.
#[test]
fn the_limit_of_a_small_database() {
    let record = |value: &'static [u8]| LeafRecord {
        root_key: b"",
        key: b"k",
        value: LeafValue::Inline(value),
    };
    // Two lengths of one byte, the key, the form, and a length of two bytes.
    let most = INLINE_DATABASE_BYTES - 1 - 1 - 1 - 1 - 2 + 1;
    let mut small = InlineBuilder::default();
    assert!(small.push(&record(&BYTES[..most - 1])).unwrap());
    assert!(!InlineBuilder::default().push(&record(&BYTES[..most])).unwrap());
    assert!(!InlineBuilder::default().push(&record(&BYTES)).unwrap());
    let after = LeafRecord { root_key: b"", key: b"l", value: LeafValue::Inline(b"") };
    assert!(!small.push(&after).unwrap());
    let again = LeafRecord { root_key: b"", key: b"a", value: LeafValue::Inline(b"") };
    let mut unsorted = InlineBuilder::default();
    assert!(unsorted.push(&after).unwrap());
    refused(unsorted.push(&again), malformed);
}
