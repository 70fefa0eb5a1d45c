//! 8 lanes in 256 bits.

use core::arch::x86_64::{
    __m256i, _mm256_add_epi16, _mm256_add_epi32, _mm256_loadu_si256, _mm256_or_si256,
    _mm256_permute2x128_si256, _mm256_set1_epi32, _mm256_setr_epi8, _mm256_shuffle_epi8,
    _mm256_slli_epi32, _mm256_srli_epi32, _mm256_storeu_si256, _mm256_sub_epi16,
    _mm256_unpackhi_epi32, _mm256_unpackhi_epi64, _mm256_unpacklo_epi32, _mm256_unpacklo_epi64,
    _mm256_xor_si256,
};

use super::{BLOCK, MOST, Vector, Words};

/// A vector of AVX2.
#[derive(Clone, Copy)]
pub(super) struct Avx2(__m256i);

// SAFETY, of every block below: the processor has the instructions (the trait's contract). Loads and
// stores need no alignment, and their 32 bytes are within the array that is borrowed.
impl Vector for Avx2 {
    const LANES: usize = 8;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn load(words: &Words) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_loadu_si256(words.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, words: &mut Words) {
        // SAFETY: see above.
        unsafe { _mm256_storeu_si256(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_xor_si256(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn add_halves(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_add_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn subtract_halves(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm256_sub_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn rotate_16(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let bytes = _mm256_setr_epi8(
                2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10,
                11, 8, 9, 14, 15, 12, 13,
            );
            _mm256_shuffle_epi8(self.0, bytes)
        })
    }

    #[inline(always)]
    unsafe fn rotate_12(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            _mm256_or_si256(_mm256_srli_epi32::<12>(self.0), _mm256_slli_epi32::<20>(self.0))
        })
    }

    #[inline(always)]
    unsafe fn rotate_8(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            let bytes = _mm256_setr_epi8(
                1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9,
                10, 11, 8, 13, 14, 15, 12,
            );
            _mm256_shuffle_epi8(self.0, bytes)
        })
    }

    #[inline(always)]
    unsafe fn rotate_7(self) -> Self {
        // SAFETY: see above.
        Self(unsafe {
            _mm256_or_si256(_mm256_srli_epi32::<7>(self.0), _mm256_slli_epi32::<25>(self.0))
        })
    }

    #[inline(always)]
    unsafe fn transpose(blocks: &[&[u8; BLOCK]; MOST]) -> [Self; 16] {
        // SAFETY: see above.
        unsafe {
            let mut words = [Self::splat(0); 16];
            for (half, words) in words.as_chunks_mut::<8>().0.iter_mut().enumerate() {
                let mut rows = [_mm256_set1_epi32(0); 8];
                for (row, block) in rows.iter_mut().zip(blocks) {
                    *row = _mm256_loadu_si256(block[32 * half..].as_ptr().cast());
                }
                *words = transpose_half(rows).map(Self);
            }
            words
        }
    }
}

/// 8 by 8 words.
///
/// # Safety
/// The processor has AVX2.
#[inline(always)]
unsafe fn transpose_half(rows: [__m256i; 8]) -> [__m256i; 8] {
    // SAFETY: the caller's promise.
    unsafe {
        // Within each 128 bits: 4 by 4 words of four neighbouring rows.
        let mut quads = rows;
        for at in [0, 4] {
            let [a, b, c, d] = [rows[at], rows[at + 1], rows[at + 2], rows[at + 3]];
            let (low, high) = (_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
            let (low_2, high_2) = (_mm256_unpacklo_epi32(c, d), _mm256_unpackhi_epi32(c, d));
            quads[at] = _mm256_unpacklo_epi64(low, low_2);
            quads[at + 1] = _mm256_unpackhi_epi64(low, low_2);
            quads[at + 2] = _mm256_unpacklo_epi64(high, high_2);
            quads[at + 3] = _mm256_unpackhi_epi64(high, high_2);
        }
        // The 128-bit halves.
        let mut words = rows;
        for at in 0..4 {
            words[at] = _mm256_permute2x128_si256::<0x20>(quads[at], quads[at + 4]);
            words[at + 4] = _mm256_permute2x128_si256::<0x31>(quads[at], quads[at + 4]);
        }
        words
    }
}
