//! The laws a user builds on, on random elements.

use lthash::{Accumulator, Hasher, Key, LtHash};
use proptest::collection::vec;
use proptest::prelude::*;

/// Longer than a BLAKE3 block (64) and a chunk (1024) often enough to cross both.
fn element() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![vec(any::<u8>(), 0..80), vec(any::<u8>(), 900..2200)]
}

fn elements() -> impl Strategy<Value = Vec<Vec<u8>>> {
    vec(element(), 0..12)
}

fn hasher() -> impl Strategy<Value = Hasher> {
    prop_oneof![
        Just(Hasher::new()),
        any::<[u8; 32]>().prop_map(|key| Hasher::keyed(&Key::from(key))),
    ]
}

fn sum(hasher: &Hasher, elements: &[Vec<u8>]) -> LtHash {
    elements.iter().map(|bytes| hasher.element(bytes)).sum()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn union_commutes(hasher in hasher(), a in elements(), b in elements()) {
        let (a, b) = (sum(&hasher, &a), sum(&hasher, &b));
        prop_assert_eq!(&a + &b, &b + &a);
    }

    #[test]
    fn union_associates(hasher in hasher(), a in elements(), b in elements(), c in elements()) {
        let (a, b, c) = (sum(&hasher, &a), sum(&hasher, &b), sum(&hasher, &c));
        prop_assert_eq!((&a + &b) + &c, &a + &(&b + &c));
    }

    #[test]
    fn the_identity_changes_nothing(hasher in hasher(), a in elements()) {
        let a = sum(&hasher, &a);
        prop_assert_eq!(&a + &LtHash::identity(), a.clone());
        prop_assert_eq!(&a - &LtHash::identity(), a);
    }

    #[test]
    fn difference_undoes_union(hasher in hasher(), a in elements(), b in elements()) {
        let (a, b) = (sum(&hasher, &a), sum(&hasher, &b));
        let mut both = a.clone();
        both += &b;
        prop_assert_eq!(&both - &b, a.clone());
        prop_assert_eq!(&both + &-&b, a.clone());
        both -= &a;
        prop_assert_eq!(both, b.clone());
        prop_assert!((b.clone() - &b).is_identity());
    }

    #[test]
    fn removal_is_exact(
        hasher in hasher(), kept in elements(), gone in elements(), removed_first: bool,
    ) {
        let mut accumulator = Accumulator::new(hasher.clone());
        if removed_first {
            for bytes in &gone {
                accumulator.remove(bytes);
            }
        }
        accumulator.insert_all(&kept);
        accumulator.insert_all(&gone);
        if !removed_first {
            for bytes in &gone {
                accumulator.remove(bytes);
            }
        }
        prop_assert_eq!(accumulator.finish(), sum(&hasher, &kept));
    }

    #[test]
    fn update_replaces(hasher in hasher(), kept in elements(), old in element(), new in element()) {
        let mut accumulator = Accumulator::new(hasher.clone());
        accumulator.insert(&old);
        accumulator.insert_all(&kept);
        accumulator.update(&old, &new);
        prop_assert_eq!(accumulator.finish(), sum(&hasher, &kept) + &hasher.element(&new));
    }

    #[test]
    fn order_does_not_matter(
        hasher in hasher(),
        (ordered, shuffled) in elements().prop_flat_map(|all| (Just(all.clone()), Just(all).prop_shuffle())),
    ) {
        let mut one = Accumulator::new(hasher.clone());
        one.insert_all(&ordered);
        let mut other = Accumulator::new(hasher);
        other.insert_all(&shuffled);
        prop_assert_eq!(one.finish(), other.finish());
    }

    #[test]
    fn split_anywhere_equals_whole(hasher in hasher(), all in elements(), at: prop::sample::Index) {
        let (left, right) = all.split_at(at.index(all.len() + 1));
        let mut one = Accumulator::new(hasher.clone());
        one.insert_all(left);
        let mut other = Accumulator::new(hasher.clone());
        other.insert_all(right);

        let mut added = one.clone();
        added.add(&other.sum());
        let mut merged = one.clone();
        merged.merge(other.clone());
        let mut left_again = merged.clone();
        left_again.subtract(&other.sum());

        prop_assert_eq!(merged.sum(), sum(&hasher, &all));
        prop_assert_eq!(added.finish(), merged.finish());
        prop_assert_eq!(left_again.finish(), one.finish());
    }

    #[test]
    fn a_sum_goes_on_from_its_bytes(hasher in hasher(), a in elements(), b in elements()) {
        let stored = sum(&hasher, &a).to_bytes();
        let mut accumulator = Accumulator::new(hasher.clone());
        accumulator.add(&LtHash::from_bytes(&stored));
        accumulator.insert_all(&b);
        prop_assert_eq!(accumulator.finish(), sum(&hasher, &a) + &sum(&hasher, &b));
    }

    #[test]
    fn streaming_and_parts_equal_concatenation(hasher in hasher(), pieces in elements()) {
        let whole = hasher.element(&pieces.concat());

        let mut stream = hasher.stream();
        for piece in &pieces {
            stream.update(piece);
        }
        prop_assert_eq!(stream.finish(), whole.clone());

        let parts: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let mut accumulator = Accumulator::new(hasher);
        accumulator.insert_parts(&parts);
        prop_assert_eq!(accumulator.sum(), whole);
        accumulator.remove_parts(&parts);
        prop_assert!(accumulator.finish().is_identity());
    }

    #[test]
    fn different_elements_differ(hasher in hasher(), a in element(), b in element()) {
        prop_assert_eq!(a == b, hasher.element(&a) == hasher.element(&b));
        prop_assert_eq!(a == b, hasher.element(&a).checksum() == hasher.element(&b).checksum());
    }

    #[test]
    fn keys_separate(one: [u8; 32], other: [u8; 32], bytes in element()) {
        prop_assume!(one != other);
        let unkeyed = Hasher::new().element(&bytes);
        let one = Hasher::keyed(&Key::from(one)).element(&bytes);
        let other = Hasher::keyed(&Key::from(other)).element(&bytes);
        prop_assert_ne!(&one, &other);
        prop_assert_ne!(one, unkeyed.clone());
        prop_assert_ne!(other, unkeyed);
    }
}

#[test]
fn sums_by_value_and_by_reference_agree() {
    let hashes: Vec<LtHash> = (0_u8..5).map(|n| Hasher::new().element(&[n])).collect();
    let by_reference: LtHash = hashes.iter().sum();
    let by_value: LtHash = hashes.into_iter().sum();
    assert_eq!(by_reference, by_value);
    assert!(!by_value.is_identity());
    assert!(std::iter::empty::<LtHash>().sum::<LtHash>().is_identity());
}

/// Elements are hashed many at a time; what waits must be in every sum that is asked for.
#[test]
fn a_sum_holds_all_that_came_before_it() {
    let hasher = Hasher::keyed(&Key::derive("algebra", b"batches"));
    let mut rows = Accumulator::new(hasher.clone());
    let mut expected = LtHash::identity();
    for number in 0..300_usize {
        let bytes = vec![u8::try_from(number % 256).expect("a remainder"); number * 37];
        let (start, end) = bytes.split_at(number);
        if number % 7 == 3 {
            rows.remove_parts(&[start, end]);
            expected -= &hasher.element(&bytes);
        } else {
            rows.insert_parts(&[start, end]);
            expected += &hasher.element(&bytes);
        }
        assert_eq!(rows.sum(), expected, "after {number}");
    }
    let (copy, mut other) = (rows.clone(), Accumulator::new(hasher.clone()));
    other.insert(b"one more");
    rows.merge(other);
    assert_eq!(copy.finish(), expected);
    assert_eq!(rows.finish(), expected + &hasher.element(b"one more"));
}
