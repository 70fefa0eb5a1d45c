//! What the declared type of a column makes of what is put there.

use super::key::Part;

/// What a column makes of what is put there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Affinity {
    Text,
    Numeric,
    None,
}

impl Affinity {
    /// By the rules of "Determination Of Column Affinity" in SQLite's documentation.
    pub(super) fn of(declared: &str) -> Self {
        let declared = declared.to_ascii_uppercase();
        let has = |word| declared.contains(word);
        if has("INT") {
            Self::Numeric
        } else if has("CHAR") || has("CLOB") || has("TEXT") {
            Self::Text
        } else if has("BLOB") || declared.is_empty() || declared == "ANY" {
            Self::None
        } else {
            Self::Numeric
        }
    }

    /// Whether the column keeps such a value as it is. SQLite treats what a column is compared with as what
    /// is put there, so that a row could be looked for in the wrong place if not.
    pub(super) fn keeps(self, part: &Part<'_>) -> bool {
        match (self, part) {
            (Self::Text, Part::Integer(_) | Part::Real(_)) => false,
            (Self::Numeric, Part::Text(text)) => !looks_like_a_number(text),
            _ => true,
        }
    }
}

/// Whether a column is declared to hold floating-point numbers, by the same rules.
pub(super) fn is_real(declared: &str) -> bool {
    let declared = declared.to_ascii_uppercase();
    let has = |word| declared.contains(word);
    let is_other = ["INT", "CHAR", "CLOB", "TEXT", "BLOB"].into_iter().any(has);
    !is_other && ["REAL", "FLOA", "DOUB"].into_iter().any(has)
}

/// Whether SQLite might take text for a number. It errs on the side of numbers.
fn looks_like_a_number(text: &[u8]) -> bool {
    // Of UTF-16, the zero bytes between are no part of a number either way.
    let text: Vec<u8> = text.iter().copied().filter(|byte| *byte != 0).collect();
    std::str::from_utf8(&text).is_ok_and(|text| {
        let text = text.trim();
        text.starts_with(|first: char| first.is_ascii_digit() || "+-.".contains(first))
            && text.parse::<f64>().is_ok()
    })
}
