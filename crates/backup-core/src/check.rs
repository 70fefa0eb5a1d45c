//! What an engine says of a store that was restored, beside the proof: a proof tells that the bytes are those
//! that were backed up, a check what the engine thinks of them.
//!
//! A store that its application has used for years may fail a check; it comes back all the same. So a check
//! that nobody asked for only tells, and one that was asked for decides.

use crate::{Error, Result};

/// How much of a restored store its engine looks at, before it is published.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub enum CheckLevel {
    /// Nothing.
    #[default]
    None,
    /// That its structure is sound.
    Quick,
    /// That its parts agree with each other as well, say each index with its table.
    Full,
}

impl CheckLevel {
    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Quick => "quick",
            Self::Full => "full",
        }
    }
}

/// What came of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum CheckResult {
    /// Nothing was looked at.
    #[default]
    NotDone,
    /// The engine found nothing.
    Sound,
    /// The engine found what it calls wrong.
    Findings,
    /// The engine could not look: the store leans on what only its application's program has, or another
    /// version of the engine wrote it.
    NotPossible,
}

impl CheckResult {
    /// The word for it in reports.
    pub fn word(self) -> &'static str {
        match self {
            Self::NotDone => "not_done",
            Self::Sound => "ok",
            Self::Findings => "findings",
            Self::NotPossible => "not_possible",
        }
    }
}

/// A check of a restored store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct CheckReport {
    /// How much was looked at.
    pub level: CheckLevel,
    /// What came of it.
    pub result: CheckResult,
    /// The engine's own words: what it found, or why it could not look.
    pub findings: Vec<String>,
}

impl CheckReport {
    /// Whether the store may be published. Where nobody asked for a check, whatever came of it only tells.
    ///
    /// # Errors
    /// [`Error::Damaged`] for findings, [`Error::Unsupported`] where the engine could not look.
    pub fn decide(&self, asked: Option<CheckLevel>) -> Result<()> {
        if asked.is_none() {
            return Ok(());
        }
        let said = self.findings.join("; ");
        match self.result {
            CheckResult::NotDone | CheckResult::Sound => Ok(()),
            CheckResult::Findings => {
                let level = self.level.word();
                let detail = format!(
                    "the {level} check that was asked for says: {said}; nothing was replaced"
                );
                Err(Error::damaged("the restored store", detail))
            }
            CheckResult::NotPossible => Err(Error::unsupported(
                format!("a {} check of the restored store", self.level.word()),
                format!(
                    "{said}; nothing was replaced; restored without a check it is proved by its hashes all the same"
                ),
            )),
        }
    }
}

/// The answer of an engine that has no check of its own.
///
/// # Errors
/// [`Error::Unsupported`] where one was asked for.
pub fn none_alone(engine: &str, asked: Option<CheckLevel>) -> Result<()> {
    match asked {
        None | Some(CheckLevel::None) => Ok(()),
        Some(level) => Err(Error::unsupported(
            format!("a {} check of a restored {engine} store", level.word()),
            "the engine has none; what is restored is proved by its hashes, without a check",
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(result: CheckResult) -> CheckReport {
        let findings = vec!["row 1 missing from index i".to_owned(), "page 7 unused".to_owned()];
        CheckReport { level: CheckLevel::Quick, result, findings }
    }

    #[test]
    fn a_check_decides_only_where_it_was_asked_for() {
        for result in [CheckResult::Findings, CheckResult::NotPossible] {
            report(result).decide(None).unwrap();
        }
        let asked = Some(CheckLevel::Quick);
        let found = report(CheckResult::Findings).decide(asked).unwrap_err();
        assert!(matches!(found, Error::Damaged { .. }), "{found}");
        assert!(found.to_string().contains("index i; page 7"), "{found}");
        let refused = report(CheckResult::NotPossible).decide(asked).unwrap_err();
        assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
        report(CheckResult::Sound).decide(asked).unwrap();
    }

    #[test]
    fn an_engine_without_a_check_refuses_one() {
        none_alone("memory", None).unwrap();
        none_alone("memory", Some(CheckLevel::None)).unwrap();
        for level in [CheckLevel::Quick, CheckLevel::Full] {
            let refused = none_alone("memory", Some(level)).unwrap_err();
            assert!(matches!(refused, Error::Unsupported { .. }), "{refused}");
        }
    }
}
