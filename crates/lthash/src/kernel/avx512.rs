//! Sixteen elements at once, with AVX-512.

use core::arch::x86_64::{
    __m512i, _mm_add_epi16, _mm_cvtsi128_si32, _mm_shuffle_epi32, _mm256_add_epi16,
    _mm256_castsi256_si128, _mm256_extracti128_si256, _mm512_add_epi16, _mm512_add_epi32,
    _mm512_and_si512, _mm512_castsi512_si256, _mm512_extracti64x4_epi64, _mm512_loadu_si512,
    _mm512_ror_epi32, _mm512_set1_epi32, _mm512_setzero_si512, _mm512_shuffle_i32x4,
    _mm512_storeu_si512, _mm512_sub_epi16, _mm512_unpackhi_epi32, _mm512_unpackhi_epi64,
    _mm512_unpacklo_epi32, _mm512_unpacklo_epi64, _mm512_xor_si512,
};

use super::vector::{self, Vector};
use super::{BLOCK, MAX_WIDTH, Work};

/// Does the work.
///
/// # Safety
/// The processor must have AVX-512 F and BW.
#[target_feature(enable = "avx512f,avx512bw")]
pub(super) unsafe fn run(work: Work<'_>) {
    // SAFETY: this function is compiled for the instructions, and its caller has checked for them.
    unsafe { vector::run::<__m512i>(work) }
}

// SAFETY: each method uses AVX-512 F and BW alone.
unsafe impl Vector for __m512i {
    const WIDTH: usize = 16;

    #[inline(always)]
    unsafe fn rows(blocks: &[&[u8; BLOCK]; MAX_WIDTH]) -> [Self; 16] {
        // SAFETY: sixteen words of each block are readable, at any alignment, and the caller has
        // checked for the instructions.
        unsafe {
            let mut rows = [_mm512_setzero_si512(); 16];
            for (row, block) in rows.iter_mut().zip(blocks) {
                *row = _mm512_loadu_si512(block.as_ptr().cast());
            }
            rows
        }
    }

    #[inline(always)]
    unsafe fn transpose(rows: [Self; 16]) -> [Self; 16] {
        // SAFETY: the caller has checked for the instructions.
        unsafe {
            // Four rows by four columns, in each quarter of a vector.
            let mut quarters = rows;
            for four in [0, 4, 8, 12] {
                let low = _mm512_unpacklo_epi32(rows[four], rows[four + 1]);
                let high = _mm512_unpackhi_epi32(rows[four], rows[four + 1]);
                let next_low = _mm512_unpacklo_epi32(rows[four + 2], rows[four + 3]);
                let next_high = _mm512_unpackhi_epi32(rows[four + 2], rows[four + 3]);
                quarters[four] = _mm512_unpacklo_epi64(low, next_low);
                quarters[four + 1] = _mm512_unpackhi_epi64(low, next_low);
                quarters[four + 2] = _mm512_unpacklo_epi64(high, next_high);
                quarters[four + 3] = _mm512_unpackhi_epi64(high, next_high);
            }
            // Four quarters by four vectors.
            let mut words = quarters;
            for at in 0..4 {
                let [a, b, c, d] =
                    [quarters[at], quarters[at + 4], quarters[at + 8], quarters[at + 12]];
                let even = _mm512_shuffle_i32x4::<0x88>(a, b);
                let odd = _mm512_shuffle_i32x4::<0xdd>(a, b);
                let next_even = _mm512_shuffle_i32x4::<0x88>(c, d);
                let next_odd = _mm512_shuffle_i32x4::<0xdd>(c, d);
                words[at] = _mm512_shuffle_i32x4::<0x88>(even, next_even);
                words[at + 4] = _mm512_shuffle_i32x4::<0x88>(odd, next_odd);
                words[at + 8] = _mm512_shuffle_i32x4::<0xdd>(even, next_even);
                words[at + 12] = _mm512_shuffle_i32x4::<0xdd>(odd, next_odd);
            }
            words
        }
    }

    #[inline(always)]
    unsafe fn load(words: &[u32; MAX_WIDTH]) -> Self {
        // SAFETY: sixteen words are readable, at any alignment.
        unsafe { _mm512_loadu_si512(words.as_ptr().cast()) }
    }

    #[inline(always)]
    unsafe fn store(self, words: &mut [u32; MAX_WIDTH]) {
        // SAFETY: sixteen words are writable, at any alignment.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self) }
    }

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm512_set1_epi32(word.cast_signed()) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm512_add_epi32(self, other) }
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm512_xor_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn and(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm512_and_si512(self, other) }
    }

    #[inline(always)]
    unsafe fn rotate<const LEFT: i32, const RIGHT: i32>(self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm512_ror_epi32::<RIGHT>(self) }
    }

    #[inline(always)]
    unsafe fn add_halves(self, other: Self) -> Self {
        // SAFETY: the caller has checked for the instructions.
        unsafe { _mm512_add_epi16(self, other) }
    }

    #[inline(always)]
    unsafe fn sum_halves(self) -> u32 {
        // SAFETY: the caller has checked for the instructions. A processor with AVX-512 has AVX2.
        unsafe {
            let low = _mm512_castsi512_si256(self);
            let high = _mm512_extracti64x4_epi64::<1>(self);
            let eight = _mm256_add_epi16(low, high);
            let four =
                _mm_add_epi16(_mm256_castsi256_si128(eight), _mm256_extracti128_si256::<1>(eight));
            let two = _mm_add_epi16(four, _mm_shuffle_epi32::<0b00_00_11_10>(four));
            let one = _mm_add_epi16(two, _mm_shuffle_epi32::<0b00_00_00_01>(two));
            _mm_cvtsi128_si32(one).cast_unsigned()
        }
    }

    #[inline(always)]
    unsafe fn add_to(self, lanes: &mut [u16], added: bool) {
        assert_eq!(lanes.len(), 2 * Self::WIDTH);
        let place = lanes.as_mut_ptr().cast();
        // SAFETY: thirty-two lanes are readable and writable, at any alignment, and the caller has checked
        // for the instructions.
        unsafe {
            let sum = _mm512_loadu_si512(place);
            let sum = if added { _mm512_add_epi16(sum, self) } else { _mm512_sub_epi16(sum, self) };
            _mm512_storeu_si512(place, sum);
        }
    }
}
