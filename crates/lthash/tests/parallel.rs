//! Many threads give the sum that one gives.
#![cfg(feature = "std")]

use std::num::NonZeroUsize;
use std::panic::catch_unwind;

use lthash::{Accumulator, Hasher, Key, LtHash};
use proptest::prelude::*;

fn threads(number: usize) -> NonZeroUsize {
    NonZeroUsize::new(number).expect("not zero")
}

fn serial(hasher: &Hasher, elements: &[Vec<u8>]) -> LtHash {
    let mut accumulator = Accumulator::new(hasher.clone());
    accumulator.insert_all(elements);
    accumulator.finish()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn parallel_equals_serial(
        key: [u8; 32],
        elements in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..100), 0..1500),
        number in 1_usize..9,
    ) {
        let hasher = Hasher::keyed(&Key::from(key));
        prop_assert_eq!(
            hasher.sum_parallel(&elements, threads(number)),
            serial(&hasher, &elements),
        );
    }
}

/// Sizes around the block that a thread takes at a time, and more threads than blocks.
#[test]
fn every_edge_of_a_block_is_summed_once() {
    let elements: Vec<Vec<u8>> = (0_u32..1025).map(|n| n.to_le_bytes().to_vec()).collect();
    let hasher = Hasher::new();
    for len in [0, 1, 255, 256, 257, 511, 512, 513, 1024, 1025] {
        for number in [1, 2, 64] {
            assert_eq!(
                hasher.sum_parallel(&elements[..len], threads(number)),
                serial(&hasher, &elements[..len]),
                "{len} elements, {number} threads",
            );
        }
    }
}

#[test]
fn an_absurd_number_of_threads_is_bounded_by_the_work() {
    let sum = Hasher::new().sum_parallel(&[b"hello"], NonZeroUsize::MAX);
    assert_eq!(sum, Hasher::new().element(b"hello"));
}

#[test]
fn a_panic_in_an_element_reaches_the_caller() {
    struct Fragile(usize);
    impl AsRef<[u8]> for Fragile {
        fn as_ref(&self) -> &[u8] {
            assert_ne!(self.0, 700, "element 700 breaks");
            b"sound"
        }
    }
    let elements: Vec<Fragile> = (0..1024).map(Fragile).collect();
    let outcome = catch_unwind(|| Hasher::new().sum_parallel(&elements, threads(3)));
    assert!(outcome.is_err());
}
