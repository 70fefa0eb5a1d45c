//! What a SQLite database is on a disk: its files, their bytes, and the locks on them.
//!
//! SQLite's own source (`sqlite3.c` of the bundled version) is the reference for all of it.

pub(crate) mod descriptors;
pub(crate) mod header;
pub(crate) mod holder;
pub(crate) mod journal;
pub(crate) mod locks;
pub(crate) mod page_map;
pub(crate) mod place;
pub(crate) mod shm;
pub(crate) mod wal;

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

/// The big-endian number at `at`; 0 where the bytes end before. Callers give whole structures.
pub(crate) fn be32(bytes: &[u8], at: usize) -> u32 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<4>());
    found.map_or(0, |number| u32::from_be_bytes(*number))
}

/// As [`be32`], of two bytes.
pub(crate) fn be16(bytes: &[u8], at: usize) -> u16 {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
    found.map_or(0, |number| u16::from_be_bytes(*number))
}

/// A number of 1 to 9 bytes, as a b-tree's cells have them, and what follows it.
pub(crate) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().enumerate().take(9) {
        if at == 8 {
            return Some((number << 8 | u64::from(*byte), &bytes[9..]));
        }
        number = number << 7 | u64::from(byte & 0x7f);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[at + 1..]));
        }
    }
    None
}

/// The kinds of pages that the b-tree of a table with rowids has.
pub(crate) const INNER_PAGE: u8 = 5;
pub(crate) const LEAF_PAGE: u8 = 13;

/// Whether a page can have this size.
fn is_page_size(bytes: u32) -> bool {
    bytes.is_power_of_two() && (512..=65_536).contains(&bytes)
}

/// Reads at `offset` until `bytes` are full or the file ends, and gives how many there were.
pub(crate) fn read_up_to(file: &File, mut bytes: &mut [u8], offset: u64) -> io::Result<usize> {
    let (mut at, mut read) = (offset, 0);
    while !bytes.is_empty() {
        match file.read_at(bytes, at) {
            Ok(0) => break,
            Ok(some) => {
                bytes = bytes.split_at_mut(some).1;
                at += some as u64;
                read += some;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}
