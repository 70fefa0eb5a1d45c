//! What the hash does *not* do. These tests document limits; they are no defects to repair.

use lthash::{Accumulator, Hasher, Key, LtHash};

/// A lane has 16 bits, so counts are taken modulo 2^16: 65,536 copies of one element add up to the
/// empty set, and 65,537 to one copy. Callers hash sets, whose elements carry what makes them unique.
#[test]
fn sixty_five_thousand_five_hundred_and_thirty_six_copies_vanish() {
    let element = Hasher::new().element(b"copy");
    let mut accumulator = Accumulator::new(Hasher::new());
    for _ in 0..65_535 {
        accumulator.insert(b"copy");
    }
    assert_eq!(accumulator.sum(), -&element);
    accumulator.insert(b"copy");
    assert!(accumulator.sum().is_identity());
    accumulator.insert(b"copy");
    assert_eq!(accumulator.finish(), element);
}

/// Fewer copies are counted: unlike an XOR, pairs do not cancel.
#[test]
fn fewer_copies_do_not_vanish() {
    let mut copies = Hasher::new().element(b"copy");
    for doubling in 1..=16 {
        copies = &copies + &copies;
        assert_eq!(copies.is_identity(), doubling == 16, "2^{doubling} copies");
    }
}

/// It is no MAC: who has seen the hashes of {a}, {a, b} and {a, c} knows that of {a, b, c} without the
/// key.
#[test]
fn a_key_does_not_stop_forgery() {
    let hasher = Hasher::keyed(&Key::derive("lthash tests", b"secret"));
    let of = |elements: &[&str]| -> LtHash {
        let mut accumulator = Accumulator::new(hasher.clone());
        accumulator.insert_all(elements);
        accumulator.finish()
    };
    let forged = (&of(&["a", "b"]) + &of(&["a", "c"])) - &of(&["a"]);
    assert_eq!(forged, of(&["a", "b", "c"]));
}

/// Nothing is remembered of elements, so removing what never was in is silent, and shows only where
/// the sum is compared with that of a full scan.
#[test]
fn a_phantom_removal_shows_in_a_full_scan_only() {
    let mut kept = Accumulator::new(Hasher::new());
    kept.insert(b"row");
    kept.remove(b"a row that never was");
    let mut scanned = Accumulator::new(Hasher::new());
    scanned.insert(b"row");
    assert_ne!(kept.sum(), scanned.sum());
    kept.insert(b"a row that never was");
    assert_eq!(kept.finish(), scanned.finish());
}

/// The crate hashes the bytes it is given; framing is the caller's.
#[test]
fn unframed_fields_run_together() {
    let mut one = Accumulator::new(Hasher::new());
    one.insert_parts(&[b"ab", b"c"]);
    let mut other = Accumulator::new(Hasher::new());
    other.insert_parts(&[b"a", b"bc"]);
    assert_eq!(one.finish(), other.finish());
}
