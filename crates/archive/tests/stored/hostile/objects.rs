//! Objects.

use archive::object::{self, Hashed, Index, Kind, ObjectHash, ObjectName, ObjectRef};
use archive::wire::Writer;

use super::{Is, limit, malformed, mismatch, newer, refused};
use crate::samples::{key, stored};

/// A frame as its index entry describes it.
#[derive(Clone, Copy)]
struct Frame<'a> {
    plain: u32,
    codec: u8,
    stored: &'a [u8],
    hash: [u8; 32],
}

/// An object made by hand, and its reference.
fn crafted(frames: &[Frame<'_>]) -> (Vec<u8>, ObjectRef) {
    let mut bytes = b"KSOB\x01\x01\0\0".to_vec();
    let mut index = Vec::new();
    let key = blake3::derive_key("keepsum object v1", b"a repository");
    let mut hasher = blake3::Hasher::new_keyed(&key);
    hasher.update(&[Kind::Piece as u8]);
    for frame in frames {
        bytes.extend_from_slice(frame.stored);
        index.put_u32(frame.plain);
        index.put_u32(u32::try_from(frame.stored.len()).unwrap());
        index.put_u8(frame.codec);
        index.extend_from_slice(&frame.hash);
        hasher.update(&frame.plain.to_le_bytes());
        hasher.update(&frame.hash);
    }
    bytes.append(&mut index);
    bytes.put_u32(u32::try_from(frames.len()).unwrap());
    bytes.extend_from_slice(b"KSOE");
    let checksum = xxhash_rust::xxh3::xxh3_128(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let name = ObjectName { hash: ObjectHash(*hasher.finalize().as_bytes()), nonce: [0; 8] };
    let plain = frames.iter().map(|frame| frame.plain).sum();
    let stored = u32::try_from(bytes.len()).unwrap();
    (bytes, ObjectRef { name, plain, stored })
}

/// An object of one frame.
fn one(plain: u32, codec: u8, stored: &[u8], hash: [u8; 32]) -> (Vec<u8>, ObjectRef) {
    crafted(&[Frame { plain, codec, stored, hash }])
}

fn frame_hash(plain: &[u8]) -> [u8; 32] {
    let key = blake3::derive_key("keepsum frame v1", b"a repository");
    *blake3::keyed_hash(&key, plain).as_bytes()
}

#[test]
fn what_is_crafted_well_is_read() {
    let (bytes, reference) = one(5, 0, b"hello", frame_hash(b"hello"));
    assert_eq!(*object::open(&bytes, &reference, Kind::Piece, &key()).unwrap(), *b"hello");
    assert_eq!(stored(Kind::Piece, b"hello").0, bytes);
}

#[test]
fn frames_that_unpack_to_another_length() {
    let zeros = zstd::bulk::compress(&vec![0; 4 << 20], 3).unwrap();
    let short = zstd::bulk::compress(&[0; 200], 3).unwrap();
    let hash = frame_hash(&[0; 1000]);
    let unpacks = [
        // A bomb, one that holds too little, and one followed by a second frame.
        (1000, &zeros),
        (1000, &short),
        (256 << 10, &zeros),
        (200, &[short.clone(), short.clone()].concat()),
    ];
    for (plain, frame) in unpacks {
        let (bytes, reference) = one(plain, 1, frame, hash);
        refused(object::open(&bytes, &reference, Kind::Piece, &key()), |error| {
            malformed(error) || mismatch(error)
        });
    }
    let (bytes, reference) = one(200, 1, &short, frame_hash(&[0; 200]));
    assert_eq!(*object::open(&bytes, &reference, Kind::Piece, &key()).unwrap(), [0; 200]);
}

#[test]
fn frames_of_impossible_lengths_or_codec() {
    let objects = [
        one(4, 0, b"hello", frame_hash(b"hello")),
        one(6, 0, b"hello", frame_hash(b"hello")),
        one(5, 1, b"hello", frame_hash(b"hello")),
        one(5, 2, b"hello", frame_hash(b"hello")),
    ];
    for (bytes, reference) in objects {
        refused(object::open(&bytes, &reference, Kind::Piece, &key()), malformed);
    }
}

/// A frame that zstd would make longer is stored plain, so no frame is longer than its content.
#[test]
fn a_frame_that_is_longer_for_zstd() {
    let zeros = vec![0; 256 << 10];
    let packed = zstd::bulk::compress(&zeros, 3).unwrap();
    let longer = zstd::bulk::compress(b"hello", 3).unwrap();
    let first = Frame { plain: 256 << 10, codec: 1, stored: &packed, hash: frame_hash(&zeros) };
    let hash = frame_hash(b"hello");
    let wrong = Frame { plain: 5, codec: 1, stored: &longer, hash };
    let (bytes, reference) = crafted(&[first, wrong]);
    refused(object::open(&bytes, &reference, Kind::Piece, &key()), malformed);

    let right = Frame { plain: 5, codec: 0, stored: b"hello", hash };
    let (bytes, reference) = crafted(&[first, right]);
    let content = object::open(&bytes, &reference, Kind::Piece, &key()).unwrap();
    assert_eq!(content[256 << 10..], *b"hello");
}

#[test]
fn content_of_another_hash() {
    let (bytes, reference) = one(5, 0, b"hello", frame_hash(b"jello"));
    refused(object::open(&bytes, &reference, Kind::Piece, &key()), mismatch);
}

#[test]
fn another_kind() {
    let (bytes, reference) = stored(Kind::Leaf, b"content");
    refused(object::open(&bytes, &reference, Kind::Node, &key()), mismatch);
    refused(Index::from_tail(&bytes, &reference, Kind::Node, &key()), mismatch);
}

#[test]
fn headers_of_another_version_or_kind() {
    let (bytes, reference) = stored(Kind::Leaf, b"content");
    let heads: [(&[u8], Is); 5] = [
        (b"KSOB\x02", newer),
        (b"KSOB\x00", malformed),
        (b"ELF!", malformed),
        (b"KSOB\x01\x09", mismatch),
        (b"KSOB\x01\x02\0\x01", malformed),
    ];
    for (head, with) in heads {
        let mut bytes = bytes.clone();
        bytes[..head.len()].copy_from_slice(head);
        let covered = bytes.len() - 16;
        let checksum = xxhash_rust::xxh3::xxh3_128(&bytes[..covered]);
        bytes[covered..].copy_from_slice(&checksum.to_le_bytes());
        refused(object::open(&bytes, &reference, Kind::Leaf, &key()), with);
    }
}

#[test]
fn references_of_impossible_lengths() {
    let (bytes, right) = stored(Kind::Piece, b"content");
    for (plain, stored) in [(u32::MAX, right.stored), (0, right.stored), (7, 0), (7, u32::MAX)] {
        let wrong = ObjectRef { plain, stored, ..right };
        refused(object::open(&bytes, &wrong, Kind::Piece, &key()), malformed);
        refused(Index::from_tail(&bytes, &wrong, Kind::Piece, &key()), malformed);
        let tail = Index::tail_range(&wrong);
        assert!(tail.start <= tail.end && tail.end == u64::from(stored));
    }
}

#[test]
fn content_above_the_limit_is_not_stored() {
    let long = vec![0; (32 << 20) + 1];
    refused(Hashed::new(Kind::Piece, &long, &key()), limit);
    let hashed = Hashed::new(Kind::Piece, &long[1..], &key()).unwrap();
    assert_eq!(hashed.plain(), 32 << 20);
}
