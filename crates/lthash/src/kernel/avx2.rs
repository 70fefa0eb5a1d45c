//! Eight elements at once, with AVX2.

use core::arch::x86_64::{
    __m256i, _mm_add_epi16, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi16,
    _mm256_add_epi32, _mm256_and_si256, _mm256_castsi256_si128, _mm256_extracti128_si256,
    _mm256_loadu_si256, _mm256_or_si256, _mm256_permute2x128_si256, _mm256_set1_epi32,
    _mm256_setr_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_slli_epi32,
    _mm256_srli_epi32, _mm256_storeu_si256, _mm256_sub_epi16, _mm256_unpackhi_epi32,
    _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64, _mm256_xor_si256,
};

use super::vector::{self, Vector};
use super::{BLOCK, MAX_WIDTH, Work};

/// Does the work.
///
/// # Safety
/// The processor must have AVX2.
#[target_feature(enable = "avx2")]
pub(super) unsafe fn run(work: Work<'_>) {
    // SAFETY: this function is compiled for the instructions, and its caller has checked for them.
    unsafe { vector::run::<__m256i>(work) }
}

// SAFETY: each method uses AVX2 alone.
unsafe impl Vector for __m256i {
    const WIDTH: usize = 8;

    #[inline(always)]
    unsafe fn rows(blocks: &[&[u8; BLOCK]; MAX_WIDTH]) -> [Self; 16] {
        // SAFETY: sixteen words of each block are readable, at any alignment, and the caller has
        // checked for the instructions.
        unsafe {
            let mut rows = [_mm256_setzero_si256(); 16];
            for half in [0, 8] {
                for (row, block) in rows[half..].iter_mut().zip(&blocks[..8]) {
                    *row = _mm256_loadu_si256(block[4 * half..].as_ptr().cast());
                }
            }
            rows
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        // SAFETY: the caller has checked for the instructions.
        unsafe {
            let mut words = rows;
            for half in [0, 8] {
                // Four rows by four columns, in each half of a vector.
                let mut halves = [_mm256_setzero_si256(); 8];
                for four in [0, 4] {
                    let rows = &rows[half + four..];
                    let low = _mm256_unpacklo_epi32(rows[0], rows[1]);
                    let high = _mm256_unpackhi_epi32(rows[0], rows[1]);
                    let next_low = _mm256_unpacklo_epi32(rows[2], rows[3]);
                    let next_high = _mm256_unpackhi_epi32(rows[2], rows[3]);
                    halves[four] = _mm256_unpacklo_epi64(low, next_low);
                    halves[four + 1] = _mm256_unpackhi_epi64(low, next_low);
                    halves[four + 2] = _mm256_unpacklo_epi64(high, next_high);
                    halves[four + 3] = _mm256_unpackhi_epi64(high, next_high);
                }
                for at in 0..4 {
                    let (one, other) = (halves[at], halves[at + 4]);
                    words[half + at] = _mm256_permute2x128_si256::<0x20>(one, other);
                    words[half + at + 4] = _mm256_permute2x128_si256::<0x31>(one, other);
                }
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn load(words: &[u32; MAX_WIDTH]) -> Self {
        // SAFETY: eight words and more are readable, at any alignment.
        unsafe { _mm256_loadu_si256(words.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, words: &mut [u32; MAX_WIDTH]) {
        // SAFETY: eight words and more are writable, at any alignment.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm256_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm256_add_epi32(self, other) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm256_xor_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm256_and_si256(self, other) }
    }

    #[inline(always)]
    unsafe fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe {
            // Whole bytes are moved by one shuffle.
            match RIGHT {
                16 => _mm256_shuffle_epi8(
                    self,
                    _mm256_setr_epi8(
                        2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4,
                        5, 10, 11, 8, 9, 14, 15, 12, 13,
                    ),
                ),
                8 => _mm256_shuffle_epi8(
                    self,
                    _mm256_setr_epi8(
                        1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7,
                        4, 9, 10, 11, 8, 13, 14, 15, 12,
                    ),
                ),
                _ => _mm256_or_si256(
                    _mm256_srli_epi32::<RIGHT>(self),
                    _mm256_slli_epi32::<LEFT>(self),
                ),
            }
        }
    }

    #[inline(always)]
    unsafe fn add_halves(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm256_add_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn sum_halves(self) -> u32 {
        // SAFETY: the caller has checked for the instructions.
        unsafe {
            let four =
                _mm_add_epi16(_mm256_castsi256_si128(self), _mm256_extracti128_si256::<1>(self));
            let two = _mm_add_epi16(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
            let one = _mm_add_epi16(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
            _mm_cvtsi128_si32(one).cast_unsigned()
        }
    }

    #[inline(always)]
    unsafe fn add_to(self, lanes: &mut [u16], added: bool) {
        assert_eq!(lanes.len(), 2 * Self::WIDTH);
        let place = lanes.as_mut_ptr().cast();
        // SAFETY: sixteen lanes are readable and writable, at any alignment, and the caller has checked for
        // the instructions.
        unsafe {
            let sum = _mm256_loadu_si256(place);
            let sum = if added { _mm256_add_epi16(sum, self) } else { _mm256_sub_epi16(sum, self) };
            _mm256_storeu_si256(place, sum);
        }
    }
}
