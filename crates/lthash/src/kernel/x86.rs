//! The kernels of x86-64: 16 lanes with AVX-512, 8 with AVX2.
//!
//! Both are one algorithm over [`Vector`]. Its functions are inlined into the two entries,
//! [`sum_avx512`] and [`sum_avx2`], which alone are compiled for their instructions, and are reached
//! only through [`Instructions`], which exists only where the processor has them.

#![expect(unsafe_code, reason = "vector instructions, reached only where the processor has them")]
#![expect(clippy::inline_always, reason = "only in the two entries are the instructions compiled")]

mod avx2;
mod avx512;

use alloc::vec;
use alloc::vec::Vec;
use std::is_x86_feature_detected;

use self::avx2::Avx2;
use self::avx512::Avx512;
use super::BLOCK;
use super::plan::{Chaining, IV, Plan, Root, Run};
use crate::batch::Sign;
use crate::lanes::{LANES, Lanes};

/// The most lanes of a vector; arrays of lanes have this length, and a shorter vector their beginning.
const MOST: usize = 16;

/// One word of each lane, before it is a vector.
type Words = [u32; MOST];

/// Vectors that this processor has.
#[derive(Clone, Copy, Debug)]
pub(super) enum Instructions {
    Avx512,
    Avx2,
}

impl Instructions {
    /// The widest ones, if there are any.
    pub(super) fn detect() -> Option<Self> {
        if is_x86_feature_detected!("avx512f") && is_x86_feature_detected!("avx512bw") {
            return Some(Self::Avx512);
        }
        is_x86_feature_detected!("avx2").then_some(Self::Avx2)
    }

    /// All that this processor has.
    #[cfg(test)]
    pub(super) fn all() -> Vec<Self> {
        let avx512 = Self::detect().filter(|widest| matches!(widest, Self::Avx512));
        let avx2 = is_x86_feature_detected!("avx2").then_some(Self::Avx2);
        avx512.into_iter().chain(avx2).collect()
    }

    /// Adds the elements of a plan to a sum, or takes them out of it.
    pub(super) fn sum(self, plan: &Plan<'_>, sum: &mut Lanes) {
        match self {
            // SAFETY: `detect` is the only way to this value, and found both features.
            Self::Avx512 => unsafe { sum_avx512(plan, sum) },
            // SAFETY: likewise, for AVX2.
            Self::Avx2 => unsafe { sum_avx2(plan, sum) },
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw")]
fn sum_avx512(plan: &Plan<'_>, sum: &mut Lanes) {
    // SAFETY: this function has the features of `Avx512`.
    unsafe { sum_by::<Avx512>(plan, sum) }
}

#[target_feature(enable = "avx2")]
fn sum_avx2(plan: &Plan<'_>, sum: &mut Lanes) {
    // SAFETY: this function has the feature of `Avx2`.
    unsafe { sum_by::<Avx2>(plan, sum) }
}

/// A vector of 32-bit words, one a lane.
///
/// # Safety
/// Every function may be called only where the processor has the instructions of the type.
trait Vector: Copy {
    /// How many words; at most [`MOST`].
    const LANES: usize;

    /// The same word in each lane.
    unsafe fn splat(word: u32) -> Self;
    unsafe fn load(words: &Words) -> Self;
    unsafe fn store(self, words: &mut Words);
    unsafe fn add(self, other: Self) -> Self;
    unsafe fn xor(self, other: Self) -> Self;
    /// Adds the two 16-bit halves of each word apart.
    unsafe fn add_halves(self, other: Self) -> Self;
    unsafe fn subtract_halves(self, other: Self) -> Self;
    /// Rotates each word right.
    unsafe fn rotate_16(self) -> Self;
    unsafe fn rotate_12(self) -> Self;
    unsafe fn rotate_8(self) -> Self;
    unsafe fn rotate_7(self) -> Self;
    /// From a block a lane to a word of every lane a vector.
    unsafe fn transpose(blocks: &[&[u8; BLOCK]; MOST]) -> [Self; 16];
}

/// # Safety
/// The processor has the instructions of `V`.
#[inline(always)]
unsafe fn sum_by<V: Vector>(plan: &Plan<'_>, sum: &mut Lanes) {
    // SAFETY: the caller's promise.
    unsafe {
        let done = compress_runs::<V>(plan, &plan.runs());
        let mut blocks = [[V::splat(0); 16]; XOF_BLOCKS / 8];
        for root in plan.roots(&done) {
            add_root::<V>(&root, &mut blocks);
        }
        put_in_order(&blocks, sum);
    }
}

/// The blocks of an element's XOF.
const XOF_BLOCKS: usize = LANES * 2 / BLOCK;

/// The chaining values of all runs. A lane that is through with one run takes the next.
///
/// # Safety
/// As [`sum_by`].
#[inline(always)]
unsafe fn compress_runs<V: Vector>(plan: &Plan<'_>, runs: &[Run]) -> Vec<Chaining> {
    let mut done = vec![[0; 8]; runs.len()];
    let mut chaining = [[0; MOST]; 8];
    // Of each lane: the run, and the number of its next block.
    let mut lanes = [(usize::MAX, 0); MOST];
    let mut next = 0;
    loop {
        let (mut counter, mut length, mut flags) = ([0; MOST], [0; MOST], [0; MOST]);
        let mut blocks = [&[0; BLOCK]; MOST];
        let mut busy = false;
        for lane in 0..V::LANES {
            let (mut run, mut number) = lanes[lane];
            let step = runs.get(run).and_then(|run| plan.step(run, number));
            let step = step.or_else(|| {
                if let Some(done) = done.get_mut(run) {
                    *done = core::array::from_fn(|word| chaining[word][lane]);
                }
                (run, number) = if next < runs.len() { (next, 0) } else { (usize::MAX, 0) };
                next += 1;
                let begun = plan.step(runs.get(run)?, 0);
                for (words, start) in chaining.iter_mut().zip(plan.start) {
                    words[lane] = start;
                }
                begun
            });
            if let (Some(step), Some(run)) = (step, runs.get(run)) {
                blocks[lane] = step.block;
                (counter[lane], length[lane], flags[lane]) = (run.chunk, step.length, step.flags);
                busy = true;
            }
            lanes[lane] = (run, number + 1);
        }
        if !busy {
            return done;
        }
        // SAFETY: the caller's promise.
        unsafe {
            let message = V::transpose(&blocks);
            let mut before = [V::splat(0); 8];
            for (vector, words) in before.iter_mut().zip(&chaining) {
                *vector = V::load(words);
            }
            let parameters = [V::load(&counter), V::splat(0), V::load(&length), V::load(&flags)];
            let state = compress(&before, &message, &parameters);
            for (word, words) in chaining.iter_mut().enumerate() {
                state[word].xor(state[word + 8]).store(words);
            }
        }
    }
}

/// The sums of the XOF's blocks: of block `LANES * group + lane`, word `word` is in lane `lane` of
/// `sums[group][word]`.
type Sums<V> = [[V; 16]; XOF_BLOCKS / 8];

/// Adds an element's XOF to the sums.
///
/// # Safety
/// As [`sum_by`].
#[inline(always)]
unsafe fn add_root<V: Vector>(root: &Root, sums: &mut Sums<V>) {
    // SAFETY: the caller's promise.
    unsafe {
        let mut message = [V::splat(0); 16];
        for (vector, word) in message.iter_mut().zip(root.block) {
            *vector = V::splat(word);
        }
        let mut before = [V::splat(0); 8];
        for (vector, word) in before.iter_mut().zip(root.chaining) {
            *vector = V::splat(word);
        }
        let mut counter: Words = [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15];
        let step = u32::try_from(V::LANES).expect("a vector has at most 16 lanes");
        for group in &mut sums[..XOF_BLOCKS / V::LANES] {
            let parameters =
                [V::load(&counter), V::splat(0), V::splat(root.length), V::splat(root.flags)];
            let state = compress(&before, &message, &parameters);
            for word in 0..8 {
                let low = state[word].xor(state[word + 8]);
                let high = state[word + 8].xor(before[word]);
                for (place, value) in [(word, low), (word + 8, high)] {
                    group[place] = match root.sign {
                        Sign::Plus => group[place].add_halves(value),
                        Sign::Minus => group[place].subtract_halves(value),
                    };
                }
            }
            for count in &mut counter {
                *count += step;
            }
        }
    }
}

/// Adds the sums of blocks to a sum whose lanes are in the order of their bytes.
///
/// # Safety
/// As [`sum_by`].
#[inline(always)]
unsafe fn put_in_order<V: Vector>(sums: &Sums<V>, sum: &mut Lanes) {
    for (group, words) in sums[..XOF_BLOCKS / V::LANES].iter().enumerate() {
        for (word, vector) in words.iter().enumerate() {
            let mut lanes = [0; MOST];
            // SAFETY: the caller's promise.
            unsafe { vector.store(&mut lanes) };
            for (lane, pair) in lanes.iter().take(V::LANES).enumerate() {
                let at = (group * V::LANES + lane) * BLOCK / 2 + 2 * word;
                // The halves of a little-endian word, in the order of its bytes.
                let [a, b, c, d] = pair.to_le_bytes();
                sum[at] = sum[at].wrapping_add(u16::from_le_bytes([a, b]));
                sum[at + 1] = sum[at + 1].wrapping_add(u16::from_le_bytes([c, d]));
            }
        }
    }
}

/// BLAKE3's compression without its last step, the feed-forward. `parameters` are the two words of
/// the counter, the block's length and the flags.
///
/// # Safety
/// As [`sum_by`].
#[inline(always)]
unsafe fn compress<V: Vector>(
    chaining: &[V; 8],
    message: &[V; 16],
    parameters: &[V; 4],
) -> [V; 16] {
    // SAFETY: the caller's promise.
    unsafe {
        let mut state = [V::splat(0); 16];
        state[..8].copy_from_slice(chaining);
        for (vector, word) in state[8..12].iter_mut().zip(IV) {
            *vector = V::splat(word);
        }
        state[12..].copy_from_slice(parameters);
        // Not a loop: the order of the words is known when this is compiled.
        round(&mut state, message, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        round(&mut state, message, [2, 6, 3, 10, 7, 0, 4, 13, 1, 11, 12, 5, 9, 14, 15, 8]);
        round(&mut state, message, [3, 4, 10, 12, 13, 2, 7, 14, 6, 5, 9, 0, 11, 15, 8, 1]);
        round(&mut state, message, [10, 7, 12, 9, 14, 3, 13, 15, 4, 0, 11, 2, 5, 8, 1, 6]);
        round(&mut state, message, [12, 13, 9, 11, 15, 10, 14, 8, 7, 2, 5, 3, 0, 1, 6, 4]);
        round(&mut state, message, [9, 14, 11, 5, 8, 12, 15, 1, 13, 3, 0, 10, 2, 6, 4, 7]);
        round(&mut state, message, [11, 15, 5, 0, 1, 9, 8, 6, 14, 10, 2, 12, 3, 4, 7, 13]);
        state
    }
}

/// # Safety
/// As [`sum_by`].
#[inline(always)]
unsafe fn round<V: Vector>(state: &mut [V; 16], message: &[V; 16], order: [usize; 16]) {
    // SAFETY: the caller's promise.
    unsafe {
        let pair = |number: usize| (message[order[2 * number]], message[order[2 * number + 1]]);
        mix(state, [0, 4, 8, 12], pair(0));
        mix(state, [1, 5, 9, 13], pair(1));
        mix(state, [2, 6, 10, 14], pair(2));
        mix(state, [3, 7, 11, 15], pair(3));
        mix(state, [0, 5, 10, 15], pair(4));
        mix(state, [1, 6, 11, 12], pair(5));
        mix(state, [2, 7, 8, 13], pair(6));
        mix(state, [3, 4, 9, 14], pair(7));
    }
}

/// # Safety
/// As [`sum_by`].
#[inline(always)]
unsafe fn mix<V: Vector>(state: &mut [V; 16], [a, b, c, d]: [usize; 4], (first, second): (V, V)) {
    // SAFETY: the caller's promise.
    unsafe {
        state[a] = state[a].add(state[b]).add(first);
        state[d] = state[d].xor(state[a]).rotate_16();
        state[c] = state[c].add(state[d]);
        state[b] = state[b].xor(state[c]).rotate_12();
        state[a] = state[a].add(state[b]).add(second);
        state[d] = state[d].xor(state[a]).rotate_8();
        state[c] = state[c].add(state[d]);
        state[b] = state[b].xor(state[c]).rotate_7();
    }
}
