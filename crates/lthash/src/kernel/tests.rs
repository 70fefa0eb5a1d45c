//! Every kernel that this processor has, against `blake3` itself.

use alloc::vec::Vec;

use proptest::collection::vec;
use proptest::prelude::*;

use super::plan::Plan;
use super::x86::Instructions;
use super::{BLOCK, MAX_ELEMENT};
use crate::batch::{Sign, Waiting};
use crate::{Hasher, Key, LtHash};

/// The elements as a batch lays them out.
fn laid_out(elements: &[(Vec<u8>, Sign)]) -> (Vec<u8>, Vec<Waiting>) {
    let (mut bytes, mut waiting) = (Vec::new(), Vec::new());
    for (element, sign) in elements {
        waiting.push(Waiting { start: bytes.len(), length: element.len(), sign: *sign });
        bytes.extend_from_slice(element);
        bytes.resize(bytes.len() + element.len().max(1).next_multiple_of(BLOCK) - element.len(), 0);
    }
    (bytes, waiting)
}

fn by_blake3(key: Option<&Key>, elements: &[(Vec<u8>, Sign)]) -> LtHash {
    let hasher = key.map_or_else(Hasher::new, Hasher::keyed);
    let mut sum = LtHash::identity();
    for (element, sign) in elements {
        match sign {
            Sign::Plus => sum += &hasher.element(element),
            Sign::Minus => sum -= &hasher.element(element),
        }
    }
    sum
}

/// Compares every kernel; there is at least one wherever these tests are of use.
fn compare(key: Option<&Key>, elements: &[(Vec<u8>, Sign)]) {
    let (bytes, waiting) = laid_out(elements);
    let expected = by_blake3(key, elements);
    for instructions in Instructions::all() {
        let mut sum = LtHash::identity();
        instructions.sum(&Plan::new(key, &bytes, &waiting), sum.lanes_mut());
        let lengths: Vec<_> = waiting.iter().map(|element| element.length).collect();
        assert!(sum == expected, "{instructions:?} is wrong for elements of {lengths:?} bytes");
    }
}

fn bytes_of(length: usize) -> Vec<u8> {
    let byte = |at: usize| u8::try_from((at * 31 + at / 251 + length) % 256).expect("a remainder");
    (0..length).map(byte).collect()
}

#[test]
fn every_length_alone() {
    let key = Key::derive("kernel", b"every length");
    let near = |end: usize| end.saturating_sub(2)..=(end + 2).min(MAX_ELEMENT);
    let ends = (0..=MAX_ELEMENT).step_by(BLOCK).flat_map(near);
    for length in (0..200).chain(ends) {
        for key in [None, Some(&key)] {
            compare(key, &[(bytes_of(length), Sign::Plus)]);
        }
    }
}

#[test]
fn all_lengths_together() {
    let elements: Vec<_> =
        (0..=MAX_ELEMENT).step_by(13).map(|length| (bytes_of(length), Sign::Plus)).collect();
    compare(None, &elements);
    compare(Some(&Key::derive("kernel", b"all lengths")), &elements);
}

proptest! {
    #[test]
    fn any_elements_that_come_and_go(
        key in proptest::option::of(any::<[u8; 32]>()),
        elements in vec((vec(any::<u8>(), 0..2500), any::<bool>()), 0..40),
    ) {
        let sign = |comes| if comes { Sign::Plus } else { Sign::Minus };
        let elements: Vec<_> =
            elements.into_iter().map(|(bytes, comes)| (bytes, sign(comes))).collect();
        compare(key.map(Key::from).as_ref(), &elements);
    }
}

#[test]
fn elements_are_added_to_what_is_there() {
    let (first, second) = ([(bytes_of(70), Sign::Plus)], [(bytes_of(1500), Sign::Minus)]);
    let expected = by_blake3(None, &first) + &by_blake3(None, &second);
    for instructions in Instructions::all() {
        let mut sum = LtHash::identity();
        for elements in [&first, &second] {
            let (bytes, waiting) = laid_out(elements);
            instructions.sum(&Plan::new(None, &bytes, &waiting), sum.lanes_mut());
        }
        assert_eq!(sum, expected, "{instructions:?}");
    }
}
