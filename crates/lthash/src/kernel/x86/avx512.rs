//! 16 lanes in 512 bits.

use core::arch::x86_64::{
    __m512i, _mm512_add_epi16, _mm512_add_epi32, _mm512_loadu_si512, _mm512_ror_epi32,
    _mm512_set1_epi32, _mm512_shuffle_i32x4, _mm512_storeu_si512, _mm512_sub_epi16,
    _mm512_unpackhi_epi32, _mm512_unpackhi_epi64, _mm512_unpacklo_epi32, _mm512_unpacklo_epi64,
    _mm512_xor_si512,
};

use super::{BLOCK, MOST, Vector, Words};

/// A vector of AVX-512 (F and BW).
#[derive(Clone, Copy)]
pub(super) struct Avx512(__m512i);

// SAFETY, of every block below: the processor has the instructions (the trait's contract). Loads and
// stores need no alignment, and their 64 bytes are those of the array that is borrowed.
impl Vector for Avx512 {
    const LANES: usize = 16;

    #[inline(always)]
    unsafe fn splat(word: u32) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_set1_epi32(word.cast_signed()) })
    }

    #[inline(always)]
    unsafe fn load(words: &Words) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_loadu_si512(words.as_ptr().cast()) })
    }

    #[inline(always)]
    unsafe fn store(self, words: &mut Words) {
        // SAFETY: see above.
        unsafe { _mm512_storeu_si512(words.as_mut_ptr().cast(), self.0) }
    }

    #[inline(always)]
    unsafe fn add(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_epi32(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn xor(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_xor_si512(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn add_halves(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_add_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn subtract_halves(self, other: Self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_sub_epi16(self.0, other.0) })
    }

    #[inline(always)]
    unsafe fn rotate_16(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ror_epi32::<16>(self.0) })
    }

    #[inline(always)]
    unsafe fn rotate_12(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ror_epi32::<12>(self.0) })
    }

    #[inline(always)]
    unsafe fn rotate_8(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ror_epi32::<8>(self.0) })
    }

    #[inline(always)]
    unsafe fn rotate_7(self) -> Self {
        // SAFETY: see above.
        Self(unsafe { _mm512_ror_epi32::<7>(self.0) })
    }

    #[inline(always)]
    unsafe fn transpose(blocks: &[&[u8; BLOCK]; MOST]) -> [Self; 16] {
        // SAFETY: see above.
        unsafe {
            let mut rows = [_mm512_set1_epi32(0); 16];
            for (row, block) in rows.iter_mut().zip(blocks) {
                *row = _mm512_loadu_si512(block.as_ptr().cast());
            }
            // Within each 128 bits: 4 by 4 words of four neighbouring rows.
            let mut quads = rows;
            for at in [0, 4, 8, 12] {
                let [a, b, c, d] = [rows[at], rows[at + 1], rows[at + 2], rows[at + 3]];
                let (low, high) = (_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
                let (low_2, high_2) = (_mm512_unpacklo_epi32(c, d), _mm512_unpackhi_epi32(c, d));
                quads[at] = _mm512_unpacklo_epi64(low, low_2);
                quads[at + 1] = _mm512_unpackhi_epi64(low, low_2);
                quads[at + 2] = _mm512_unpacklo_epi64(high, high_2);
                quads[at + 3] = _mm512_unpackhi_epi64(high, high_2);
            }
            // The 128-bit quarters: 4 by 4 of the rows that stand four apart.
            let mut words = rows;
            for at in 0..4 {
                let [a, b, c, d] = [quads[at], quads[at + 4], quads[at + 8], quads[at + 12]];
                let even = _mm512_shuffle_i32x4::<0b10_00_10_00>(a, b);
                let odd = _mm512_shuffle_i32x4::<0b11_01_11_01>(a, b);
                let even_2 = _mm512_shuffle_i32x4::<0b10_00_10_00>(c, d);
                let odd_2 = _mm512_shuffle_i32x4::<0b11_01_11_01>(c, d);
                words[at] = _mm512_shuffle_i32x4::<0b10_00_10_00>(even, even_2);
                words[at + 4] = _mm512_shuffle_i32x4::<0b10_00_10_00>(odd, odd_2);
                words[at + 8] = _mm512_shuffle_i32x4::<0b11_01_11_01>(even, even_2);
                words[at + 12] = _mm512_shuffle_i32x4::<0b11_01_11_01>(odd, odd_2);
            }
            words.map(Self)
        }
    }
}
