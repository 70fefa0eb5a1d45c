//! BLAKE3's own vectors through each kernel: its compression, its chunks and parents, and output
//! beyond the first block.

use lthash::{Accumulator, Hasher, Instructions, Key, LtHash};

const VECTORS: &str = include_str!("data/blake3_vectors.txt");
const KEY: &[u8; 32] = b"whats the Elvish word for friend";

struct Vector {
    input: Vec<u8>,
    plain: Vec<u8>,
    keyed: Vec<u8>,
}

fn vectors() -> Vec<Vector> {
    let lines = VECTORS.lines().filter(|line| !line.starts_with('#'));
    lines
        .map(|line| {
            let fields: Vec<_> = line.split(' ').collect();
            let [length, plain, keyed] = fields[..] else { panic!("three fields: {line}") };
            let length: usize = length.parse().expect("a length");
            let bytes = |text| hex::decode(text).expect("hexadecimal");
            let input = (0..=250).cycle().take(length).collect();
            Vector { input, plain: bytes(plain), keyed: bytes(keyed) }
        })
        .collect()
}

/// The output of one input, from a sum in which a whole batch went through the kernel: what the
/// others add is known from the portable path, and taken out again.
fn expanded(instructions: Instructions, hasher: &Hasher, input: &[u8]) -> LtHash {
    let mut sum = Accumulator::with_instructions(hasher.clone(), instructions);
    let others: Vec<Vec<u8>> = (0..16).map(|n| [&[n][..], input].concat()).collect();
    sum.insert(b"the first is hashed alone");
    sum.insert(input);
    // As long as the input, so that they wait with it.
    sum.insert_all(&others);
    let mut found = sum.finish();
    for other in others.iter().map(Vec::as_slice).chain([&b"the first is hashed alone"[..]]) {
        found -= &hasher.element(other);
    }
    found
}

#[test]
fn each_kernel_gives_the_official_output() {
    let vectors = vectors();
    assert_eq!(vectors.len(), 19, "lengths up to two chunks");
    let hashers = [Hasher::new(), Hasher::keyed(&Key::from(*KEY))];
    for instructions in Instructions::available() {
        for Vector { input, plain, keyed } in &vectors {
            for (hasher, expected) in hashers.iter().zip([plain, keyed]) {
                let found = expanded(instructions, hasher, input).to_bytes();
                let length = expected.len();
                assert_eq!(length, 131, "more than two blocks of output");
                assert_eq!(found[..length], expected[..], "{instructions:?}, {}", input.len());
            }
        }
    }
}
