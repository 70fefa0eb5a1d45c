//! The key of a row: a column that can be read has one form, and a scan from any bytes leaves out no row
//! whose key comes after them.

#![no_main]

use backend_sqlite::fuzzing::{Bound, COLLATIONS, key_bound, key_column};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Some(([collation, length], rest)) = input.split_first_chunk() else { return };
    let collation = COLLATIONS[usize::from(*collation) % COLLATIONS.len()];
    let Some((from, key)) = rest.split_at_checked((*length).into()) else { return };
    for bytes in [from, key] {
        let mut left = bytes;
        while let Some(again) = key_column(&mut left, collation) {
            let end = bytes.len() - left.len();
            assert!(bytes[..end].ends_with(&again), "{again:?} of {:?}", &bytes[..end]);
        }
    }
    let mut left = key;
    let Some(row) = key_column(&mut left, collation) else { return };
    if row[..] < *from {
        return;
    }
    match key_bound(from, collation) {
        Some(Bound::Column(bound)) => assert!(bound <= row, "{row:?} is not found from {bound:?}"),
        bound => assert_eq!(bound, Some(Bound::Start), "{row:?} is not found"),
    }
});
