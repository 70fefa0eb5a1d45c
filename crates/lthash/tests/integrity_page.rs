//! The worked example of docs/INTEGRITY.md, framed by hand.
//!
//! The page's numbers were computed by its Python program, so this also checks the crate against
//! another BLAKE3 library. Whoever changes one side changes the other.

use lthash::{Accumulator, Hasher, Key, LtHash};

type Record = (&'static [u8], &'static [u8], &'static [u8]);

const ALICE: Record = (b"", b"alice", b"100");
const ALICE_CHANGED: Record = (b"", b"alice", b"90");
const BOB: Record = (b"", b"bob", b"");
const CAROL: Record = (b"eu", b"carol", b"7");

fn tagged(tag: &str) -> Hasher {
    Hasher::keyed(&Key::derive("keepsum lthash v1", tag.as_bytes()))
}

fn length(bytes: &[u8]) -> [u8; 4] {
    u32::try_from(bytes.len()).expect("short").to_le_bytes()
}

fn framed((root_key, key, value): Record) -> Vec<u8> {
    [&length(root_key), root_key, &length(key), key, value].concat()
}

fn database(tag: &str, records: &[Record]) -> LtHash {
    let mut accumulator = Accumulator::new(tagged(tag));
    accumulator.insert_all(records.iter().copied().map(framed));
    accumulator.finish()
}

fn checksum(hash: &LtHash) -> String {
    hash.checksum().to_string()
}

#[test]
fn the_key_of_a_tag() {
    assert_eq!(
        hex::encode(blake3::derive_key("keepsum lthash v1", b"default")),
        "ce5fe892e718e4dc633d85ef508c2623988735d6d6eebe94081c7609e01b66c0",
    );
}

#[test]
fn each_record() {
    let expected = [
        (
            ALICE,
            "0000000005000000616c696365313030",
            "f0a12fe239c4b47a69d4e7081c21d155",
            "812dd0e51ddc06dcf1e113f2f4c21d4f82fbf9d2e975d68839d2994403ed1f4a",
        ),
        (
            BOB,
            "0000000003000000626f62",
            "87cd87b8de60cc76b309d7be2f9de662",
            "d9256cae6401605bf959e389b74e2f3b2d580407c0fd8017058b61a3f2ae0509",
        ),
        (
            CAROL,
            "020000006575050000006361726f6c37",
            "5570ef2d7cb84e06f6dcab5f30192b67",
            "a128267790b16b76ccf76b00ba05b6b58a9488ef010d2dac2f4c76947f5d240c",
        ),
    ];
    for (record, bytes, start, sum) in expected {
        let element = tagged("default").element(&framed(record));
        assert_eq!(hex::encode(framed(record)), bytes);
        assert_eq!(hex::encode(&element.to_bytes()[..16]), start);
        assert_eq!(checksum(&element), sum);
    }
}

#[test]
fn the_databases_and_the_whole() {
    let default = database("default", &[ALICE, BOB, CAROL]);
    let audit = database("audit", &[BOB]);
    assert_eq!(hex::encode(&default.to_bytes()[..16]), "ccdfa5c893ddcef712bb69277bd7e21f",);
    assert_eq!(
        checksum(&default),
        "100b8f9af622d2f20c4a5df4f92aed981f144bfc2a79e96ae47e95f91a1cc47d",
    );
    assert_eq!(
        checksum(&audit),
        "b235dac3f7522199969df0a36740cd5280edf13e6db3aeef0b4b1d321c86631d",
    );
    assert_eq!(
        checksum(&(&default + &audit)),
        "be3fc5acbc5dbdd478a8ea973daf1d1f4ae49df12e9e505dd4344c8f3bacdeec",
    );
}

#[test]
fn an_increment() {
    let mut changed = Accumulator::new(tagged("default"));
    changed.add(&database("default", &[ALICE, BOB, CAROL]));
    changed.update(&framed(ALICE), &framed(ALICE_CHANGED));
    let changed = changed.finish();
    assert_eq!(
        checksum(&changed),
        "ea9acf43eccd475914cf19abadec45dd90db47b751b18d497191e0db182e9ec0",
    );
    assert_eq!(changed, database("default", &[ALICE_CHANGED, BOB, CAROL]));
}

/// Why records are framed and databases tagged: each of these would go unnoticed without.
#[test]
fn moved_bytes_and_swapped_databases_show() {
    let of = |record| tagged("default").element(&framed(record));
    assert_ne!(of((b"", b"ab", b"c")), of((b"", b"a", b"bc")));
    assert_ne!(of((b"a", b"b", b"c")), of((b"", b"ab", b"c")));
    assert_ne!(
        &database("default", &[ALICE]) + &database("audit", &[BOB]),
        &database("default", &[BOB]) + &database("audit", &[ALICE]),
    );
}
