//! Elements of all lengths, in and out, in any order: each kernel gives the portable sum.

#![no_main]

use libfuzzer_sys::fuzz_target;
use lthash::{Accumulator, Hasher, Instructions, Key};

fuzz_target!(|input: &[u8]| {
    let Some((key, mut rest)) = input.split_first_chunk::<32>() else { return };
    // An even first byte stands for no key.
    let hasher =
        if key[0] % 2 == 0 { Hasher::new() } else { Hasher::keyed(&Key::from(*key)) };
    let kernels = Instructions::available();
    let mut sums: Vec<_> = kernels
        .iter()
        .map(|instructions| Accumulator::with_instructions(hasher.clone(), *instructions))
        .collect();
    // A length in two bytes, whose lowest bit says whether the element is taken out; then as many of
    // the bytes as there are, over again where they are too few.
    while let Some((head, tail)) = rest.split_first_chunk::<2>() {
        let head = u16::from_le_bytes(*head);
        let length = usize::from(head >> 1) % 9400;
        let element: Vec<u8> = tail.iter().chain(key).cycle().take(length).copied().collect();
        for sum in &mut sums {
            if head % 2 == 0 { sum.insert(&element) } else { sum.remove(&element) }
        }
        rest = tail.get(length.min(tail.len()).min(64)..).unwrap_or_default();
    }
    let first = sums.pop().expect("the portable path is always there").finish();
    for sum in sums {
        assert_eq!(sum.finish(), first, "{kernels:?}");
    }
});
