//! Bytes as hex digits, without allocating.

use crate::LtHashError;

const DIGITS: &[u8; 16] = b"0123456789abcdef";

/// Writes `bytes` as lowercase digits into `digits`, which has room for two a byte, and returns them
/// as text.
pub(crate) fn encode<'a>(bytes: &[u8], digits: &'a mut [u8]) -> &'a str {
    assert_eq!(digits.len(), 2 * bytes.len(), "two digits a byte");
    for (pair, byte) in digits.as_chunks_mut::<2>().0.iter_mut().zip(bytes) {
        *pair = [DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]];
    }
    core::str::from_utf8(digits).expect("hex digits are ASCII")
}

/// Reads exactly `N` bytes from digits of either case.
pub(crate) fn decode<const N: usize>(text: &str) -> Result<[u8; N], LtHashError> {
    if text.len() != 2 * N {
        return Err(LtHashError::HexLength { expected: 2 * N, found: text.len() });
    }
    let mut bytes = [0; N];
    // Only ASCII passes, so every offset that fails is where a character starts.
    for (offset, found) in text.char_indices() {
        let digit = found
            .to_digit(16)
            .and_then(|digit| u8::try_from(digit).ok())
            .ok_or(LtHashError::HexDigit { offset, found })?;
        let byte = &mut bytes[offset / 2];
        *byte = *byte << 4 | digit;
    }
    Ok(bytes)
}
