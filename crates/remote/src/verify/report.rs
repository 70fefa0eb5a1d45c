//! What `verify` found.

use std::collections::BTreeSet;

use archive::object::ObjectName;

use crate::catalog::Head;
use crate::{Error, Result};

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is wrong, in the order it was found.
    pub findings: Vec<Finding>,
    /// The objects among it: writers must not reuse them.
    pub damaged: BTreeSet<ObjectName>,
    /// How many objects and entries were looked at.
    pub objects_checked: u64,
    /// How many stored bytes were read.
    pub bytes_read: u64,
    /// Objects that nothing live reaches: no damage. A collection removes them, or a backup that is
    /// under way is going to refer to them.
    pub unreached: Leftovers,
    /// The state that was looked at; none where the catalog could not be read.
    pub(crate) head: Option<Head>,
}

/// Objects that nothing live reaches.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Leftovers {
    /// How many there are.
    pub objects: u64,
    /// Their stored bytes.
    pub bytes: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The object or entry, by its name in the repository.
    pub what: String,
    /// What was expected, what was found, and what it breaks.
    pub detail: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// It is not there.
    Missing,
    /// Its bytes are not what they must be.
    Damaged,
    /// The catalog is not a continuation of what this host saw before.
    History,
}

impl FindingKind {
    /// The word that JSON and messages use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::History => "history",
        }
    }
}

impl Report {
    /// Records damage as a finding; any other error is passed on.
    pub fn note(&mut self, error: Error, breaks: &str) -> Result<()> {
        let (kind, what, detail) = match error {
            Error::Missing { what } => (FindingKind::Missing, what, "it is not there".to_owned()),
            Error::Damaged { what, source } => (FindingKind::Damaged, what, source.to_string()),
            Error::Unfinished { .. } | Error::Gone { .. } => {
                let what = crate::descriptor::PATH.to_owned();
                (FindingKind::Missing, what, error.to_string())
            }
            Error::History { .. } => {
                (FindingKind::History, "the catalog".to_owned(), error.to_string())
            }
            other => return Err(other),
        };
        let detail =
            if breaks.is_empty() { detail } else { format!("{detail}; it breaks {breaks}") };
        let object = what.rsplit('/').next().and_then(|last| last.parse::<ObjectName>().ok());
        let finding = Finding { kind, what, detail };
        // What is damaged for the first time was not said before, however long the list.
        let is_new = object.is_some_and(|object| self.damaged.insert(object));
        if is_new || !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
        Ok(())
    }
}
