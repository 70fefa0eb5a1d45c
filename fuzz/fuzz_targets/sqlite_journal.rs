//! A rollback journal that was left: where it can be read, the pages are those that SQLite rolls back to.
//!
//! The input is that of `left::Parts`, and its first byte says how many records of the first segment get
//! the checksum that they must have: nothing would find those by chance.

#![no_main]

mod left;

use left::Parts;
use libfuzzer_sys::fuzz_target;

const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

fuzz_target!(|input: &[u8]| {
    let Some(mut parts) = Parts::of(input) else { return };
    seal(&mut parts.beside, parts.sealed);
    // SQLite would remove whatever file such a journal names.
    if parts.beside.ends_with(&MAGIC) {
        return;
    }
    let path = left::put(parts.main, Some(("-journal", &parts.beside)));
    let Ok(image) = left::read(&path) else { return };
    left::compare(&path, &image);
});

/// Makes the header and so many records whole.
fn seal(journal: &mut [u8], records: usize) {
    if records == 0 || journal.len() < 28 {
        return;
    }
    journal[..8].copy_from_slice(&MAGIC);
    let number = |at: usize| {
        u32::from_be_bytes([journal[at], journal[at + 1], journal[at + 2], journal[at + 3]])
    };
    let (nonce, sector, page_size) = (number(12), number(20) as usize, number(24) as usize);
    if !(512..=65_536).contains(&page_size) || sector > journal.len() {
        return;
    }
    for record in journal[sector..].chunks_exact_mut(page_size + 8).take(records) {
        let (page, stored) = record[4..].split_at_mut(page_size);
        let mut sum = nonce;
        // Every 200th byte from the end, as long as there is one before it.
        let mut at = page_size - 200;
        while at > 0 {
            sum = sum.wrapping_add(u32::from(page[at]));
            at = at.saturating_sub(200);
        }
        stored.copy_from_slice(&sum.to_be_bytes());
    }
}
