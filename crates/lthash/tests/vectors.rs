//! Public vectors of the construction, and each of its steps redone with the blake3 crate alone.

use lthash::{Accumulator, Checksum, Hasher, Key, LtHash};

const EMPTY: &str = "be2a8de3dcf46c94ce85cdc8e07ac308f4d8a95490d956c38d780fd610db0813";
const HELLO: &str = "4f9c1ab89ccd5ed0b6eb21936f99e598cf854b6db6c6773d0b51294618576455";
const WORLD: &str = "ab35b90ab3313097572b8d0d2b987901900778bc73f8d6dce5d2af86d7e712f5";
const BOTH: &str = "2373c49a9c365a1d6ccaf3a8e6e84570b901cd342e3980f4568ba269ad508b09";

#[test]
fn empty_set() {
    assert_eq!(LtHash::identity().checksum().to_string(), EMPTY);
    assert_eq!(LtHash::default(), LtHash::identity());
    assert!(LtHash::identity().is_identity());
    assert_eq!(LtHash::identity().to_bytes(), [0; LtHash::BYTES]);
}

#[test]
fn single_elements() {
    let hasher = Hasher::new();
    assert_eq!(hasher.element(b"hello").checksum().to_string(), HELLO);
    assert_eq!(hasher.element(b"world!").checksum().to_string(), WORLD);
}

#[test]
fn two_elements() {
    let mut accumulator = Accumulator::new(Hasher::new());
    accumulator.insert(b"hello");
    accumulator.insert(b"world!");
    assert_eq!(accumulator.finish().checksum().to_string(), BOTH);
}

#[test]
fn an_empty_element_is_an_element() {
    let element = Hasher::new().element(b"");
    assert!(!element.is_identity());
    let mut accumulator = Accumulator::new(Hasher::new());
    accumulator.insert(b"");
    assert_eq!(accumulator.sum(), element);
    accumulator.insert_parts(&[]);
    assert_eq!(accumulator.finish(), element.clone() + &element);
}

#[test]
fn an_element_is_the_xof() {
    let mut expected = [0; LtHash::BYTES];
    let mut xof = blake3::Hasher::new();
    xof.update(b"hello").finalize_xof().fill(&mut expected);
    assert_eq!(Hasher::new().element(b"hello").to_bytes(), expected);
}

#[test]
fn a_keyed_element_is_the_keyed_xof() {
    let key = [7; 32];
    let mut expected = [0; LtHash::BYTES];
    let mut xof = blake3::Hasher::new_keyed(&key);
    xof.update(b"hello").finalize_xof().fill(&mut expected);
    let element = Hasher::keyed(&Key::from(key)).element(b"hello");
    assert_eq!(element.to_bytes(), expected);
}

#[test]
fn a_derived_key_is_blake3_derive_key() {
    let derived = Key::derive("lthash tests", b"material");
    let expected = blake3::derive_key("lthash tests", b"material");
    assert_eq!(
        Hasher::keyed(&derived).element(b"hello"),
        Hasher::keyed(&Key::from(expected)).element(b"hello"),
    );
}

#[test]
fn a_checksum_is_never_keyed() {
    let element = Hasher::keyed(&Key::from([7; 32])).element(b"hello");
    let expected: [u8; 32] = blake3::hash(&element.to_bytes()).into();
    assert_eq!(element.checksum(), Checksum::from(expected));
    assert_eq!(element.checksum().as_bytes(), &expected);
}

#[test]
fn lanes_are_little_endian_and_wrap_alone() {
    let mut bytes = [0; LtHash::BYTES];
    bytes[..4].copy_from_slice(&[0xff, 0xff, 0x01, 0x00]);
    let most = LtHash::from_bytes(&bytes);
    bytes[..4].copy_from_slice(&[0x01, 0x01, 0xff, 0x00]);
    let other = LtHash::from_bytes(&bytes);

    // 0xffff + 0x0101 = 0x0100 without a carry into the next lane, 0x0001 + 0x00ff = 0x0100.
    assert_eq!((&most + &other).to_bytes()[..4], [0x00, 0x01, 0x00, 0x01]);
    // 0xffff - 0x0101 = 0xfefe, 0x0001 - 0x00ff = 0xff02 without a borrow from the next lane.
    assert_eq!((&most - &other).to_bytes()[..4], [0xfe, 0xfe, 0x02, 0xff]);
    assert_eq!((-most).to_bytes()[..4], [0x01, 0x00, 0xff, 0xff]);
}
