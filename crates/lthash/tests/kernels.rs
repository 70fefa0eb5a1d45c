//! Every kernel against the portable path, on lengths, counts, keys and orders of all kinds.

use lthash::{Accumulator, Hasher, Instructions, Key, LtHash};
use proptest::prelude::*;

/// The sum as the portable path has it: one element after the other.
fn serial(hasher: &Hasher, inserted: &[Vec<u8>], removed: &[Vec<u8>]) -> LtHash {
    let sum: LtHash = inserted.iter().map(|element| hasher.element(element)).sum();
    removed.iter().fold(sum, |sum, element| sum - &hasher.element(element))
}

fn by(instructions: Instructions, hasher: &Hasher, in_: &[Vec<u8>], out: &[Vec<u8>]) -> LtHash {
    let mut accumulator = Accumulator::with_instructions(hasher.clone(), instructions);
    accumulator.insert_all(in_);
    let mut slices = Accumulator::with_instructions(hasher.clone(), instructions);
    slices.insert_slices(in_);
    assert_eq!(slices.finish(), accumulator.sum(), "where they lie, {instructions:?}");
    for element in out {
        accumulator.remove(element);
    }
    assert_eq!(accumulator.sum(), accumulator.clone().finish(), "asking changes nothing");
    accumulator.finish()
}

fn hashers() -> [Hasher; 2] {
    [Hasher::new(), Hasher::keyed(&Key::derive("lthash tests", b"kernels"))]
}

#[test]
fn what_cannot_run_here_is_said() {
    let here = Instructions::available();
    println!("kernels that were tested: {here:?}");
    for instructions in [Instructions::Avx2, Instructions::Avx512] {
        if !here.contains(&instructions) {
            println!("not tested, for this processor has it not: {instructions:?}");
        }
    }
    assert_eq!(here[0], Instructions::Portable);
    assert_eq!(here.last(), Some(&Instructions::best()));
}

#[test]
fn every_length_alone_and_among_others() {
    for hasher in hashers() {
        for instructions in Instructions::available() {
            for length in (0..=260).chain(1000..1100).chain(2000..2100).chain([4096, 100_000]) {
                let element = |fill: u8| vec![fill; length];
                let alone = [element(1)];
                let found = by(instructions, &hasher, &alone, &[]);
                assert_eq!(found, serial(&hasher, &alone, &[]), "{instructions:?}, {length}");
                let many: Vec<_> = (0..16).map(|n| vec![n; length + usize::from(n)]).collect();
                let found = by(instructions, &hasher, &many, &[]);
                assert_eq!(found, serial(&hasher, &many, &[]), "{instructions:?}, {length} and on");
            }
        }
    }
}

#[test]
fn every_number_of_elements() {
    for hasher in hashers() {
        for instructions in Instructions::available() {
            for count in 0..70_u8 {
                let elements: Vec<_> = (0..count).map(|n| vec![n; 100 + usize::from(n)]).collect();
                let (inserted, removed) = elements.split_at(elements.len() / 2);
                let found = by(instructions, &hasher, inserted, removed);
                let expected = serial(&hasher, inserted, removed);
                assert_eq!(found, expected, "{instructions:?}, {count} elements");
            }
        }
    }
}

/// At the ends of blocks and of chunks, of which a kernel takes nine, and in between.
const LENGTHS: [usize; 26] = [
    0, 1, 63, 64, 65, 100, 128, 1000, 1024, 1025, 2048, 2049, 3072, 3073, 4096, 4097, 5000, 5121,
    6144, 7168, 7169, 8192, 8193, 9216, 9217, 20_000,
];

/// Elements of as many chunks as there are lanes, and of all numbers of chunks side by side.
#[test]
fn every_number_of_chunks() {
    for hasher in hashers() {
        for instructions in Instructions::available() {
            for length in LENGTHS {
                let elements: Vec<_> = (0..17_u8).map(|n| vec![n; length]).collect();
                let found = by(instructions, &hasher, &elements, &[]);
                let expected = serial(&hasher, &elements, &[]);
                assert_eq!(found, expected, "{instructions:?}, {length} bytes");
            }
            for step in [0, 7, 300, 512, 600, 700] {
                for first in [0, 1025, 2049, 3000, 8200] {
                    let lengths = (0..16).map(|lane| (first + lane * step) % 9217);
                    let elements: Vec<_> = lengths.map(|length| vec![7; length]).collect();
                    let found = by(instructions, &hasher, &elements, &[]);
                    let expected = serial(&hasher, &elements, &[]);
                    assert_eq!(found, expected, "{instructions:?}, {first} and {step} more");
                }
            }
        }
    }
}

/// Where an element that comes alone is hashed otherwise than one of many, so is one that is taken out.
#[test]
fn one_update_of_every_length() {
    for hasher in hashers() {
        for instructions in Instructions::available() {
            for length in LENGTHS {
                let (old, new) = (vec![1; length], vec![2; length / 2]);
                let mut sum = Accumulator::with_instructions(hasher.clone(), instructions);
                sum.update(&old, &new);
                let expected = hasher.element(&new) - &hasher.element(&old);
                assert_eq!(sum.finish(), expected, "{instructions:?}, {length}");
                let mut sum = Accumulator::with_instructions(hasher.clone(), instructions);
                sum.remove(&old);
                assert_eq!(sum.finish(), -hasher.element(&old), "{instructions:?}, {length}");
            }
        }
    }
}

/// Elements of one word for each lane: a lane that was mixed up with another shows.
#[test]
fn each_lane_is_its_own() {
    for instructions in Instructions::available() {
        let hasher = Hasher::new();
        for lane in 0..16 {
            let mut elements = vec![b"the same".to_vec(); 16];
            elements[lane] = b"another".to_vec();
            let found = by(instructions, &hasher, &elements, &[]);
            assert_eq!(found, serial(&hasher, &elements, &[]), "{instructions:?}, lane {lane}");
        }
    }
}

fn element() -> impl Strategy<Value = Vec<u8>> {
    let length = prop_oneof![
        6 => 0..200_usize,
        2 => 0..1100_usize,
        1 => 1000..2200_usize,
        2 => 2000..9500_usize,
    ];
    length.prop_flat_map(|length| proptest::collection::vec(any::<u8>(), length))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn kernels_agree(
        key in proptest::option::of(any::<[u8; 32]>()),
        inserted in proptest::collection::vec(element(), 0..60),
        removed in proptest::collection::vec(element(), 0..30),
    ) {
        let hasher = key.map_or_else(Hasher::new, |key| Hasher::keyed(&Key::from(key)));
        let expected = serial(&hasher, &inserted, &removed);
        for instructions in Instructions::available() {
            prop_assert_eq!(by(instructions, &hasher, &inserted, &removed), expected.clone());
        }
    }

    #[test]
    fn cutting_parts_changes_nothing(
        elements in proptest::collection::vec(element(), 1..40),
        cut in any::<proptest::sample::Index>(),
    ) {
        for instructions in Instructions::available() {
            let hasher = Hasher::new();
            let mut whole = Accumulator::with_instructions(hasher.clone(), instructions);
            let mut parts = Accumulator::with_instructions(hasher.clone(), instructions);
            for element in &elements {
                whole.insert(element);
                let (one, other) = element.split_at(cut.index(element.len() + 1));
                parts.insert_parts(&[one, b"", other]);
            }
            prop_assert_eq!(whole.finish(), parts.finish());
        }
    }
}
