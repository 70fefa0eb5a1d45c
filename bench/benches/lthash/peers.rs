//! What others would take instead.

use lthash_rs::LtHash as _;
use solana_lattice_hash::lt_hash::LtHash as SolanaLtHash;

/// The BLAKE3 crate and an addition, one element after the other.
pub fn serial(elements: &[Vec<u8>]) -> Box<[u16; 1024]> {
    let mut sum = Box::new([0_u16; 1024]);
    let mut bytes = [0; 2048];
    for element in elements {
        blake3::Hasher::new().update(element).finalize_xof().fill(&mut bytes);
        for (lane, pair) in sum.iter_mut().zip(bytes.as_chunks::<2>().0) {
            *lane = lane.wrapping_add(u16::from_le_bytes(*pair));
        }
    }
    sum
}

/// As Solana's validators do it.
pub fn solana(elements: &[Vec<u8>]) -> SolanaLtHash {
    let mut sum = SolanaLtHash::identity();
    for element in elements {
        sum.mix_in(&SolanaLtHash::with(blake3::Hasher::new().update(element)));
    }
    sum
}

/// By lthash-rs, over BLAKE3.
pub fn lthash_rs(elements: &[Vec<u8>]) -> lthash_rs::LtHash16<Blake3> {
    let mut sum = lthash_rs::LtHash16::<Blake3>::default();
    for element in elements {
        sum.insert(element);
    }
    sum
}

/// So many expansions to 2048 bytes, without any hashing before.
pub fn expand(count: usize) -> [u8; 2048] {
    let mut bytes = [0; 2048];
    let hasher = blake3::Hasher::new();
    for _ in 0..count {
        std::hint::black_box(&hasher).finalize_xof().fill(&mut bytes);
    }
    bytes
}

/// BLAKE3 as lthash-rs takes hash functions.
#[derive(Default)]
pub struct Blake3(blake3::Hasher);

/// Its output.
pub struct Output(blake3::OutputReader);

impl digest::Update for Blake3 {
    fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }
}

impl digest::ExtendableOutput for Blake3 {
    type Reader = Output;

    fn finalize_xof(self) -> Output {
        Output(self.0.finalize_xof())
    }
}

impl digest::XofReader for Output {
    fn read(&mut self, buffer: &mut [u8]) {
        self.0.fill(buffer);
    }
}
