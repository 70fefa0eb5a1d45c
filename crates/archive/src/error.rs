//! What can be wrong with stored bytes.

use std::path::PathBuf;

use backup_core::{Cause, ErrorKind};

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the stored form.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Bytes that are not what the format says.
    #[error("{what} is malformed at byte {offset}: {detail}")]
    Malformed {
        /// What was being read: "a leaf", "the manifest".
        what: &'static str,
        /// Where, in bytes from its beginning.
        offset: u64,
        /// What was expected and what was found.
        detail: String,
        /// What the decoder said, where the bytes were another library's to read.
        #[source]
        source: Option<Cause>,
    },
    /// Content whose hash, sum or count is not the one that refers to it.
    #[error("{what} does not match what refers to it: {detail}")]
    Mismatch {
        /// What was read.
        what: &'static str,
        /// What was expected and what was found.
        detail: String,
    },
    /// Something larger than a limit of the format.
    #[error("{what} has {found}, the limit is {limit}")]
    Limit {
        /// What is too large, and in which unit.
        what: &'static str,
        /// Its size.
        found: u64,
        /// The largest size.
        limit: u64,
    },
    /// Written by a newer version of keepsum.
    #[error("{what} has format version {found}; this program reads up to {known}: use a newer one")]
    Newer {
        /// What was read.
        what: &'static str,
        /// Its version.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: std::io::Error,
    },
    /// A source, a target or a record was refused.
    #[error(transparent)]
    Core(#[from] backup_core::Error),
}

impl Error {
    /// What a caller does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Malformed { .. } | Self::Mismatch { .. } => ErrorKind::Damaged,
            Self::Limit { .. } => ErrorKind::Invalid,
            Self::Newer { .. } => ErrorKind::Unsupported,
            Self::Io { .. } => ErrorKind::Failed,
            Self::Core(error) => error.kind(),
        }
    }

    /// An [`Error::Malformed`].
    pub fn malformed(what: &'static str, offset: usize, detail: impl Into<String>) -> Self {
        Self::Malformed { what, offset: offset as u64, detail: detail.into(), source: None }
    }

    /// An [`Error::Malformed`] for bytes that are not `expected`, by the word of their decoder.
    pub(crate) fn unreadable(
        what: &'static str,
        offset: usize,
        expected: &str,
        source: impl Into<Cause>,
    ) -> Self {
        let detail = format!("it is not {expected}");
        Self::Malformed { what, offset: offset as u64, detail, source: Some(source.into()) }
    }

    /// An [`Error::Mismatch`].
    pub fn mismatch(what: &'static str, detail: impl Into<String>) -> Self {
        Self::Mismatch { what, detail: detail.into() }
    }
}
