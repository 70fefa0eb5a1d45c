//! The arithmetic of BLAKE3's compression alone, in registers: no kernel is faster with the same
//! instructions.

use lthash::Instructions;

/// Does the arithmetic of so many compressions, as many at once as a vector has words. `false` where
/// these instructions have no such vectors here.
pub fn run(instructions: Instructions, compressions: usize) -> bool {
    #[cfg(target_arch = "x86_64")]
    if Instructions::available().contains(&instructions) {
        match instructions {
            // SAFETY: the processor has the instructions.
            Instructions::Avx512 => unsafe { x86::avx512(compressions.div_ceil(16)) },
            // SAFETY: as above.
            Instructions::Avx2 => unsafe { x86::avx2(compressions.div_ceil(8)) },
            _ => return false,
        }
        return true;
    }
    let _ = (instructions, compressions);
    false
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;
    use std::hint::black_box;

    /// The quarter rounds of a compression: four columns and four diagonals in each of seven rounds.
    /// `$message` stands for the words of the block: what they are changes no time.
    macro_rules! compressions {
        ($times:expr, $message:expr, $start:expr, $add:ident, $xor:ident, $rotate:ident) => {{
            let message = $message;
            // Opaque words: equal ones would be computed once.
            let mut v = black_box([$start; 16]);
            for _ in 0..$times {
                for _ in 0..7 {
                    quarter!(v, 0, 4, 8, 12, message, $add, $xor, $rotate);
                    quarter!(v, 1, 5, 9, 13, message, $add, $xor, $rotate);
                    quarter!(v, 2, 6, 10, 14, message, $add, $xor, $rotate);
                    quarter!(v, 3, 7, 11, 15, message, $add, $xor, $rotate);
                    quarter!(v, 0, 5, 10, 15, message, $add, $xor, $rotate);
                    quarter!(v, 1, 6, 11, 12, message, $add, $xor, $rotate);
                    quarter!(v, 2, 7, 8, 13, message, $add, $xor, $rotate);
                    quarter!(v, 3, 4, 9, 14, message, $add, $xor, $rotate);
                }
            }
            black_box(v);
        }};
    }

    macro_rules! quarter {
        ($v:ident, $a:literal, $b:literal, $c:literal, $d:literal,
         $message:ident, $add:ident, $xor:ident, $rotate:ident) => {
            $v[$a] = $add($add($v[$a], $v[$b]), $message);
            $v[$d] = $rotate!(16, 16, $xor($v[$d], $v[$a]));
            $v[$c] = $add($v[$c], $v[$d]);
            $v[$b] = $rotate!(20, 12, $xor($v[$b], $v[$c]));
            $v[$a] = $add($add($v[$a], $v[$b]), $message);
            $v[$d] = $rotate!(24, 8, $xor($v[$d], $v[$a]));
            $v[$c] = $add($v[$c], $v[$d]);
            $v[$b] = $rotate!(25, 7, $xor($v[$b], $v[$c]));
        };
    }

    macro_rules! rotate_512 {
        ($left:literal, $right:literal, $word:expr) => {
            _mm512_ror_epi32::<$right>($word)
        };
    }

    macro_rules! rotate_256 {
        (16, 16, $word:expr) => {
            _mm256_shuffle_epi8($word, bytes_16())
        };
        (24, 8, $word:expr) => {
            _mm256_shuffle_epi8($word, bytes_8())
        };
        ($left:literal, $right:literal, $word:expr) => {{
            let word = $word;
            _mm256_or_si256(_mm256_srli_epi32::<$right>(word), _mm256_slli_epi32::<$left>(word))
        }};
    }

    #[target_feature(enable = "avx512f")]
    pub fn avx512(times: usize) {
        let (message, start) = (black_box(_mm512_set1_epi32(3)), _mm512_set1_epi32(7));
        compressions!(times, message, start, _mm512_add_epi32, _mm512_xor_si512, rotate_512);
    }

    #[target_feature(enable = "avx2")]
    pub fn avx2(times: usize) {
        let (message, start) = (black_box(_mm256_set1_epi32(3)), _mm256_set1_epi32(7));
        compressions!(times, message, start, _mm256_add_epi32, _mm256_xor_si256, rotate_256);
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn bytes_16() -> __m256i {
        _mm256_setr_epi8(
            2, 3, 0, 1, 6, 7, 4, 5, 10, 11, 8, 9, 14, 15, 12, 13, 2, 3, 0, 1, 6, 7, 4, 5, 10, 11,
            8, 9, 14, 15, 12, 13,
        )
    }

    #[target_feature(enable = "avx2")]
    #[inline]
    fn bytes_8() -> __m256i {
        _mm256_setr_epi8(
            1, 2, 3, 0, 5, 6, 7, 4, 9, 10, 11, 8, 13, 14, 15, 12, 1, 2, 3, 0, 5, 6, 7, 4, 9, 10,
            11, 8, 13, 14, 15, 12,
        )
    }
}
