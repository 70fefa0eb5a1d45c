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
