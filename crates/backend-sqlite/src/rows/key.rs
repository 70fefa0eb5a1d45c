//! Keys: what a table's rows are found by, as bytes that sort as SQLite sorts them.
//!
//! `docs/FORMAT.md` describes the same bytes for readers without Rust.

use std::borrow::Cow;

/// What a column of a key begins with, in SQLite's order of storage classes.
const NULL: u8 = 1;
const NUMBER: u8 = 2;
const TEXT: u8 = 3;
const BLOB: u8 = 4;
/// Text that is no UTF-16, under a collation that would see it changed.
const RAW_TEXT: u8 = 5;

/// How a text or a blob ends, and how a zero byte within it is written: what goes on sorts after what ends.
const END: [u8; 2] = [0, 0];
const ZERO: [u8; 2] = [0, 0xff];

/// A key holds only the length of some texts. A search makes such a text anew, up to this many bytes.
const MAX_REMADE: usize = 1 << 20;

/// The length in bytes of a rowid in a key.
const ROWID_BYTES: usize = 8;

/// The collations that every SQLite has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Collation {
    /// Byte by byte.
    Binary,
    /// As if the 26 upper case letters of ASCII were lower case.
    NoCase,
    /// As if there were no spaces at the end.
    RTrim,
}

impl Collation {
    /// The collation of this name, if every SQLite has it.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Binary, Self::NoCase, Self::RTrim]
            .into_iter()
            .find(|collation| collation.name().eq_ignore_ascii_case(name))
    }

    /// Its name.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Binary => "BINARY",
            Self::NoCase => "NOCASE",
            Self::RTrim => "RTRIM",
        }
    }
}

/// A column of a key. Text is as its collation sees it: in UTF-8, but for BINARY in the database's encoding.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Part<'a> {
    /// No value.
    Null,
    /// An integer.
    Integer(i64),
    /// A floating-point number.
    Real(f64),
    /// Text.
    Text(Cow<'a, [u8]>),
    /// Bytes.
    Blob(Cow<'a, [u8]>),
}

/// Adds a column to a key.
pub(super) fn push(key: &mut Vec<u8>, part: &Part<'_>, collation: Collation) {
    match part {
        Part::Null => key.push(NULL),
        Part::Integer(number) => {
            let (floor, above) = floor(*number);
            push_number(key, floor, above);
        }
        Part::Real(number) => push_number(key, *number, 0),
        Part::Text(text) => {
            key.push(TEXT);
            push_text(key, text, collation);
        }
        Part::Blob(bytes) => {
            key.push(BLOB);
            push_bytes(key, bytes.iter().copied());
            key.extend(END);
        }
    }
}

/// Adds text to a key that is no UTF-16, and that its collation would see changed: as it is stored.
pub(super) fn push_raw(key: &mut Vec<u8>, text: &[u8]) {
    key.push(RAW_TEXT);
    push_bytes(key, text.iter().copied());
    key.extend(END);
}

/// Adds a rowid to a key.
pub(super) fn push_rowid(key: &mut Vec<u8>, rowid: i64) {
    key.extend((rowid.cast_unsigned() ^ SIGN).to_be_bytes());
}

/// The sign bit of 64.
const SIGN: u64 = 1 << 63;

/// The largest floating-point number that is not above an integer, and how much the integer is above it.
#[expect(clippy::cast_precision_loss, reason = "what is lost is the remainder")]
#[expect(clippy::cast_possible_truncation, reason = "a double of this size is an integer")]
fn floor(number: i64) -> (f64, u16) {
    let nearest = number as f64;
    let floor = if nearest as i128 > i128::from(number) { nearest.next_down() } else { nearest };
    // Doubles below 2^63 are at most 1024 apart.
    let above = u16::try_from(i128::from(number) - floor as i128).unwrap_or(u16::MAX);
    (floor, above)
}

fn push_number(key: &mut Vec<u8>, floor: f64, above: u16) {
    // -0.0 and 0.0 are one number.
    let bits = (floor + 0.0).to_bits();
    let rising = if bits & SIGN == 0 { bits | SIGN } else { !bits };
    key.push(NUMBER);
    key.extend(rising.to_be_bytes());
    key.extend(above.to_be_bytes());
}

fn push_text(key: &mut Vec<u8>, text: &[u8], collation: Collation) {
    match collation {
        Collation::Binary => push_bytes(key, text.iter().copied()),
        Collation::RTrim => {
            let spaces = text.iter().rev().take_while(|byte| **byte == b' ').count();
            push_bytes(key, text.iter().take(text.len() - spaces).copied());
        }
        Collation::NoCase => {
            let folded = text.iter().map(u8::to_ascii_lowercase).take_while(|byte| *byte != 0);
            let before = key.len();
            key.extend(folded);
            let compared = key.len() - before;
            if compared < text.len() {
                // Of what follows a zero byte, this collation compares the length alone.
                key.extend(ZERO);
                let rest = u32::try_from(text.len() - compared - 1).unwrap_or(u32::MAX);
                key.extend(rest.to_be_bytes());
                return;
            }
        }
    }
    key.extend(END);
}

fn push_bytes(key: &mut Vec<u8>, bytes: impl Iterator<Item = u8>) {
    for byte in bytes {
        key.push(byte);
        if byte == 0 {
            key.push(ZERO[1]);
        }
    }
}

/// What was read from the beginning of a key, of which any bytes may be given.
#[derive(Debug, PartialEq)]
pub(super) enum Taken {
    /// A column.
    Whole(Part<'static>),
    /// What no column of a key from here on is below.
    AtLeast(Part<'static>),
    /// Nothing is known of this column.
    Nothing,
    /// No column of a key from here on comes before this.
    Beyond,
}

/// Reads a column and goes on behind it.
///
/// A column that is written as no key has it is a bound and not a column: keys that begin with what it
/// stands for come after these bytes, whatever follows in them.
pub(super) fn take(key: &mut &[u8], collation: Collation) -> Taken {
    let begin = *key;
    match read(key, collation) {
        Taken::Whole(part) if !is_written_so(begin, key, &part, collation) => {
            Taken::AtLeast(below(part, collation))
        }
        Taken::AtLeast(part) => Taken::AtLeast(below(part, collation)),
        taken => taken,
    }
}

/// Whether a column that was read has this form in a key: `rest` is what follows it in `begin`.
fn is_written_so(begin: &[u8], rest: &[u8], part: &Part<'_>, collation: Collation) -> bool {
    let mut written = Vec::new();
    push(&mut written, part, collation);
    begin.len().checked_sub(rest.len()).and_then(|end| begin.get(..end)) == Some(&written)
}

/// The first thing that is not before text with capital letters, which no key of NOCASE has: where a key
/// would have one, those that come after have at least the byte behind `Z`.
fn below(part: Part<'static>, collation: Collation) -> Part<'static> {
    match part {
        Part::Text(text) if collation == Collation::NoCase => {
            let small = text.iter().take_while(|byte| !byte.is_ascii_uppercase()).copied();
            let mut bound: Vec<u8> = small.collect();
            if bound.len() < text.len() {
                bound.push(b'Z' + 1);
            }
            Part::Text(bound.into())
        }
        part => part,
    }
}

fn read(key: &mut &[u8], collation: Collation) -> Taken {
    let Some((kind, rest)) = key.split_first() else { return Taken::Nothing };
    *key = rest;
    match *kind {
        NULL => Taken::Whole(Part::Null),
        NUMBER => take_number(key),
        TEXT => match take_text(key, collation) {
            (text, true) => Taken::Whole(Part::Text(text.into())),
            (text, false) => Taken::AtLeast(Part::Text(text.into())),
        },
        BLOB => match take_bytes(key) {
            (bytes, true) => Taken::Whole(Part::Blob(bytes.into())),
            (bytes, false) => Taken::AtLeast(Part::Blob(bytes.into())),
        },
        // Where such a text lies in the tree is not known.
        0 | RAW_TEXT => Taken::Nothing,
        _ => Taken::Beyond,
    }
}

/// Reads a rowid and goes on behind it; missing bytes are taken for zeros.
pub(super) fn take_rowid(key: &mut &[u8]) -> i64 {
    (u64::from_be_bytes(take_filled::<ROWID_BYTES>(key)) ^ SIGN).cast_signed()
}

/// Takes so many bytes; missing ones are zeros.
fn take_filled<const N: usize>(key: &mut &[u8]) -> [u8; N] {
    let mut bytes = [0; N];
    for byte in &mut bytes {
        let Some((first, rest)) = key.split_first() else { break };
        (*byte, *key) = (*first, rest);
    }
    bytes
}

/// The rowid that is a whole key.
pub(super) fn rowid(key: &[u8]) -> Option<i64> {
    let bytes: [u8; ROWID_BYTES] = key.try_into().ok()?;
    Some((u64::from_be_bytes(bytes) ^ SIGN).cast_signed())
}

fn take_number(key: &mut &[u8]) -> Taken {
    let rising = u64::from_be_bytes(take_filled(key));
    let bits = if rising & SIGN == 0 { !rising } else { rising & !SIGN };
    let (floor, above) = (f64::from_bits(bits), u16::from_be_bytes(take_filled(key)));
    match integer(floor, above) {
        Some(number) => Taken::Whole(Part::Integer(number)),
        None if floor.is_nan() => Taken::Nothing,
        None if above == 0 => Taken::Whole(Part::Real(floor)),
        // No number is written so.
        None => Taken::AtLeast(Part::Real(floor)),
    }
}

/// The integer that is written as so much above a floating-point number, if there is one.
#[expect(clippy::cast_possible_truncation, reason = "the bounds of i64 are checked first")]
fn integer(below: f64, above: u16) -> Option<i64> {
    const BOUND: f64 = 9_223_372_036_854_775_808.0;
    let whole = below.trunc().to_bits() == below.to_bits() && (-BOUND..BOUND).contains(&below);
    let number = whole.then_some(below as i64)?.checked_add(above.into())?;
    (floor(number) == (below, above)).then_some(number)
}

/// Reads text, and whether it was whole.
fn take_text(key: &mut &[u8], collation: Collation) -> (Vec<u8>, bool) {
    if collation != Collation::NoCase {
        return take_bytes(key);
    }
    let end = key.iter().position(|byte| *byte == 0).unwrap_or(key.len());
    let (text, rest) = key.split_at(end);
    let mut text = text.to_vec();
    if let Some(rest) = rest.strip_prefix(&END) {
        *key = rest;
        return (text, true);
    }
    *key = &[];
    let Some((length, rest)) = rest.strip_prefix(&ZERO).and_then(<[u8]>::split_first_chunk::<4>)
    else {
        return (text, false);
    };
    let length = u32::from_be_bytes(*length) as usize;
    if length > MAX_REMADE {
        return (text, false);
    }
    *key = rest;
    text.resize(text.len() + 1 + length, 0);
    (text, true)
}

/// Reads bytes up to their end, and whether it came.
fn take_bytes(key: &mut &[u8]) -> (Vec<u8>, bool) {
    let mut bytes = Vec::new();
    while let Some((byte, rest)) = key.split_first() {
        *key = rest;
        if *byte != 0 {
            bytes.push(*byte);
            continue;
        }
        match rest.split_first() {
            Some((&0xff, rest)) => {
                *key = rest;
                bytes.push(0);
            }
            Some((0, rest)) => {
                *key = rest;
                return (bytes, true);
            }
            _ => break,
        }
    }
    *key = &[];
    (bytes, false)
}

#[cfg(test)]
#[path = "key_tests.rs"]
mod tests;
