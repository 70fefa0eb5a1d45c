//! A write-ahead log that was left: where it can be read, the pages are those that SQLite recovers.
//!
//! The input is that of `left::Parts`, and its first byte says how many frames get the salts and the running
//! checksum that they must have: nothing would find those by chance.

#![no_main]

mod left;

use left::Parts;
use libfuzzer_sys::fuzz_target;

const HEADER: usize = 32;
const FRAME_HEADER: usize = 24;

fuzz_target!(|input: &[u8]| {
    let Some(mut parts) = Parts::of(input) else { return };
    seal(&mut parts.beside, parts.sealed);
    let path = left::put(parts.main, Some(("-wal", &parts.beside)));
    let Ok(image) = left::read(&path) else { return };
    left::compare(&path, &image);
});

/// Makes the header and so many frames whole.
fn seal(log: &mut [u8], frames: usize) {
    if frames == 0 || log.len() < HEADER {
        return;
    }
    let big_endian = log[3] & 1 == 1;
    let mut sum = [0; 2];
    add(&mut sum, &log[..24], big_endian);
    store(&mut log[24..32], sum);
    let page_size = u32::from_be_bytes([log[8], log[9], log[10], log[11]]);
    if !(512..=65_536).contains(&page_size) {
        return;
    }
    let (header, frames_bytes) = log.split_at_mut(HEADER);
    let whole = frames_bytes.chunks_exact_mut(FRAME_HEADER + page_size as usize);
    for frame in whole.take(frames) {
        frame[8..16].copy_from_slice(&header[16..24]);
        add(&mut sum, &frame[..8], big_endian);
        add(&mut sum, &frame[FRAME_HEADER..], big_endian);
        store(&mut frame[16..24], sum);
    }
}

/// The checksum of SQLite's file format, section 4.2 "Checksum Algorithm".
fn add(sum: &mut [u32; 2], bytes: &[u8], big_endian: bool) {
    for pair in bytes.chunks_exact(8) {
        let word = |at: usize| {
            let word = [pair[at], pair[at + 1], pair[at + 2], pair[at + 3]];
            if big_endian { u32::from_be_bytes(word) } else { u32::from_le_bytes(word) }
        };
        sum[0] = sum[0].wrapping_add(word(0)).wrapping_add(sum[1]);
        sum[1] = sum[1].wrapping_add(word(4)).wrapping_add(sum[0]);
    }
}

fn store(place: &mut [u8], sum: [u32; 2]) {
    place[..4].copy_from_slice(&sum[0].to_be_bytes());
    place[4..].copy_from_slice(&sum[1].to_be_bytes());
}
