//! The encoding of a database's text, and whether text comes through it unchanged.

use std::borrow::Cow;

/// How a database keeps its text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Encoding {
    Utf8,
    Utf16Le,
    Utf16Be,
}

impl Encoding {
    /// The encoding that `PRAGMA encoding` calls so.
    pub(super) fn named(name: &str) -> Option<Self> {
        [Self::Utf8, Self::Utf16Le, Self::Utf16Be]
            .into_iter()
            .find(|encoding| encoding.name() == name)
    }

    /// What `PRAGMA encoding` calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Utf8 => "UTF-8",
            Self::Utf16Le => "UTF-16le",
            Self::Utf16Be => "UTF-16be",
        }
    }

    /// Whether characters have two bytes or four.
    pub(super) fn is_wide(self) -> bool {
        self != Self::Utf8
    }

    /// The text of these bytes of a database in UTF-16, if SQLite makes the same bytes of it again.
    ///
    /// It would not of halves of pairs, nor of U+FFFE and U+FFFF, which it takes for errors.
    pub(super) fn text(self, bytes: &[u8]) -> Option<String> {
        let (pairs, []) = bytes.as_chunks::<2>() else { return None };
        let units = pairs.iter().map(|pair| match self {
            Self::Utf16Be => u16::from_be_bytes(*pair),
            Self::Utf8 | Self::Utf16Le => u16::from_le_bytes(*pair),
        });
        let kept = |found: &char| !matches!(found, '\u{fffe}' | '\u{ffff}');
        char::decode_utf16(units).map(|found| found.ok().filter(kept)).collect()
    }

    /// The bytes of text in the database; what is no UTF-8 stays as it is, which only one in UTF-8 has.
    pub(super) fn bytes(self, text: &[u8]) -> Cow<'_, [u8]> {
        let wide = |pair: fn(u16) -> [u8; 2]| {
            let text = std::str::from_utf8(text).ok()?;
            Some(text.encode_utf16().flat_map(pair).collect::<Vec<_>>().into())
        };
        let found = match self {
            Self::Utf8 => None,
            Self::Utf16Le => wide(u16::to_le_bytes),
            Self::Utf16Be => wide(u16::to_be_bytes),
        };
        found.unwrap_or(Cow::Borrowed(text))
    }
}
