//! What hostile bytes cost: never more than 64 MiB beside themselves, and never a second.
//!
//! The peak of the process is what Linux says it is, so this is a test binary of its own with one
//! test.
#![cfg(target_os = "linux")]
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs;

use archive::catalog::Entry;
use archive::leaf::Leaf;
use archive::manifest::Manifest;
use archive::node::Node;
use archive::object::{self, Kind, ObjectHash, ObjectKey, ObjectName, ObjectRef};
use archive::wire::{MAX_SEQUENCE, Writer};

const MAX_MEMORY: u64 = 64 << 20;
const OBJECT: usize = 32 << 20;

/// Makes the largest memory of this process so far what it is now.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").expect("a process may forget its own peak");
}

/// The largest memory of this process since, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    let kilobytes = line.split_whitespace().nth(1).unwrap();
    kilobytes.parse::<u64>().unwrap() << 10
}

/// The CPU time of this process so far, in hundredths of a second: other work does not count.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}

fn refused<T>(what: &str, found: impl FnOnce() -> archive::Result<T>) {
    forget_peak();
    let (memory, time) = (peak(), cpu());
    assert!(found().is_err(), "{what} must be refused");
    let (memory, time) = (peak() - memory, cpu() - time);
    println!("{what}: {} KiB, {time}0 ms", memory >> 10);
    assert!(memory <= MAX_MEMORY, "{what} took {memory} bytes");
    assert!(time <= 100, "{what} took {time} hundredths of a second");
}

/// `head`, then `element` as often as `size` has room for it.
fn repeated(head: &[u8], element: &[u8], size: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(size);
    bytes.extend_from_slice(head);
    while bytes.len() + element.len() <= size {
        bytes.extend_from_slice(element);
    }
    bytes
}

/// The fields of a manifest before its databases, and their claimed number.
fn manifest_head(databases: u32) -> Vec<u8> {
    let mut head = vec![1, 0];
    let source = ("memory", "memory:FILE", None::<String>);
    let texts = (None::<String>, None::<String>);
    head.extend(bcs::to_bytes(&([0_u8; 16], 0_u64, "host", source, texts)).unwrap());
    // Position unknown, a point in time, plain.
    head.extend_from_slice(&[0, 0, 0]);
    head.put_uleb128(databases);
    head
}

fn manifests() {
    // A database of six bytes has hundreds in memory.
    let database = [0, 0, 0, 0, 0, 0];
    let count = (OBJECT / database.len()).try_into().unwrap();
    let many = repeated(&manifest_head(count), &database, OBJECT);
    refused("millions of databases", || Manifest::parse(&many));
    drop(many);
    let claimed = manifest_head(MAX_SEQUENCE);
    refused("a claim of 2^31 databases", || Manifest::parse(&claimed));

    let mut head = manifest_head(0);
    // The records shape, no proof, and then the notes.
    head.extend_from_slice(&[0, 0]);
    let mut claimed = head.clone();
    claimed.put_uleb128(MAX_SEQUENCE);
    refused("a claim of 2^31 notes", || Manifest::parse(&claimed));
    head.put_uleb128(u32::try_from(OBJECT - head.len() - 4).unwrap());
    let notes = repeated(&head, &[0], OBJECT);
    refused("millions of notes", || Manifest::parse(&notes));
    drop(notes);

    let mut tag = manifest_head(1);
    tag.put_bytes(b"name");
    tag.put_uleb128(MAX_SEQUENCE);
    refused("a claim of a tag of 2 GiB", || Manifest::parse(&tag));
    let tag = repeated(&tag, &[7], OBJECT);
    refused("a tag of 32 MiB", || Manifest::parse(&tag));
}

/// A catalog entry's head, up to the claimed number of its changes.
fn entry_head(changes: u32) -> Vec<u8> {
    let mut head = b"KSCE\x01\0".to_vec();
    // Repository, number, previous, floor, commit, time.
    for (bytes, with) in [(16, 1), (8, 1), (32, 2), (8, 0), (16, 3), (8, 4)] {
        head.extend(std::iter::repeat_n(with, bytes));
    }
    head.put_uleb128(changes);
    head
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let checksum = blake3::hash(&bytes);
    bytes.extend_from_slice(checksum.as_bytes());
    bytes
}

fn entries() {
    let size = (16 << 20) - 32;
    let mut forget = vec![1];
    forget.extend_from_slice(&[5; 16]);
    let count = u32::try_from(size / forget.len()).unwrap();
    let many = sealed(repeated(&entry_head(count), &forget, size));
    refused("a million changes", || Entry::parse(&many));
    let most = sealed(repeated(&entry_head(65_536), &forget, 65_536 * forget.len() + 200));
    refused("the most changes, and more bytes", || Entry::parse(&most));
    let claimed = sealed(entry_head(MAX_SEQUENCE));
    refused("a claim of 2^31 changes", || Entry::parse(&claimed));

    // A state with as many snapshots as there is room for, and one byte too many at its end.
    let mut head = entry_head(0);
    head.push(1);
    let object = [[9; 32].as_slice(), &[9; 8], &[5, 0, 0, 0], &[78, 0, 0, 0]].concat();
    let length = 16 + 16 + object.len() + 8 + 3;
    let count = (size - head.len() - 20) / length;
    head.put_uleb128(count.try_into().unwrap());
    let mut bytes = Vec::with_capacity(size + 32);
    bytes.extend_from_slice(&head);
    for number in 0..count {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&(number as u64).to_be_bytes());
        for part in [&id[..], &id, &object, &[0; 8], &[0; 3]] {
            bytes.extend_from_slice(part);
        }
    }
    bytes.extend_from_slice(&[0, 0, 0, 0]);
    let many = sealed(bytes);
    refused("a hundred thousand snapshots", || Entry::parse(&many));
}

fn leaves_and_nodes() {
    let mut head = vec![1, 0];
    head.put_u64(1 << 60);
    head.put_uleb128(MAX_SEQUENCE);
    refused("a claim of 2^31 records", || Leaf::parse(&head));
    let mut key = head.clone();
    key.put_uleb128(MAX_SEQUENCE);
    refused("a claim of a key of 2 GiB", || Leaf::parse(&key));
    // Records of one key, refused at the second.
    let leaf = repeated(&head, &[0, 0, 0, 0], OBJECT);
    refused("millions of records", || Leaf::parse(&leaf));
    drop(leaf);
    // One value in as many pieces as a leaf has room for.
    let mut pieces = head.clone();
    pieces.extend_from_slice(&[0, 0, 1]);
    pieces.put_u64(1 << 60);
    pieces.put_uleb128(u32::try_from(OBJECT / 48 - 1).unwrap());
    let pieces = repeated(&pieces, &[1; 48], OBJECT);
    refused("a value in 700,000 pieces", || Leaf::parse(&pieces));
    drop(pieces);
    let mut node = vec![1, 1, 0];
    node.put_uleb128(MAX_SEQUENCE);
    refused("a claim of 2^31 children", || Node::parse(&node, 1));
}

/// An object whose one frame claims `plain` bytes, stored as `frame`.
fn bomb(plain: u32, frame: &[u8]) -> (Vec<u8>, ObjectRef) {
    let mut bytes = b"KSOB\x01\x01\0\0".to_vec();
    bytes.extend_from_slice(frame);
    bytes.put_u32(plain);
    bytes.put_u32(u32::try_from(frame.len()).unwrap());
    bytes.put_u8(1);
    bytes.extend_from_slice(&[7; 32]);
    bytes.put_u32(1);
    bytes.extend_from_slice(b"KSOE");
    let checksum = xxhash_rust::xxh3::xxh3_128(&bytes);
    bytes.extend_from_slice(&checksum.to_le_bytes());
    let key = blake3::derive_key("keepsum object v1", b"a repository");
    let named = [&[Kind::Piece as u8], plain.to_le_bytes().as_slice(), &[7; 32]].concat();
    let hash = ObjectHash(*blake3::keyed_hash(&key, &named).as_bytes());
    let stored = u32::try_from(bytes.len()).unwrap();
    (bytes, ObjectRef { name: ObjectName { hash, nonce: [0; 8] }, plain, stored })
}

fn objects() {
    // 4 GiB of zeros, made without 4 GiB of memory: frames one after the other.
    let zeros = zstd::bulk::compress(&vec![0; 1 << 20], 3).unwrap();
    let frame = zeros.repeat(4096);
    assert!(frame.len() < 256 << 10, "{} bytes", frame.len());
    let key = ObjectKey::derive(b"a repository");
    for plain in [1000, 256 << 10, 1 << 20, 32 << 20, u32::MAX] {
        let (bytes, reference) = bomb(plain, &frame);
        refused(&format!("4 GiB that claim to be {plain} bytes"), || {
            object::open(&bytes, &reference, Kind::Piece, &key)
        });
    }
}

#[test]
fn hostile_bytes_are_refused_within_memory_and_time() {
    objects();
    leaves_and_nodes();
    entries();
    manifests();
}
