//! What can go wrong, sorted by what a caller does about it.

use std::io;
use std::path::PathBuf;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause from an engine or another library, kept as a source and never turned into text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// What a caller does about an error. Every crate's error has one, whichever crate it came from: `kind()`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// What was in the way passes: do the same again.
    Retry,
    /// A source changed while it was read: read it again.
    Changed,
    /// Stored bytes are not what they must be: restore from elsewhere.
    Damaged,
    /// Something is there that must not be touched, or is in use: choose another place, or make room.
    Refused,
    /// Nothing of that name is there.
    Missing,
    /// The engine, the store or this version cannot do it: choose another way.
    Unsupported,
    /// The input cannot be used as it is: mend it.
    Invalid,
    /// The caller asked to stop.
    Cancelled,
    /// A file, an engine or a service failed: see to what it says.
    Failed,
}

/// An error of a source, a target or a key-value store.
///
/// [`kind`](Error::kind) says what a caller does about it. `Display` does not print the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file operation failed.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in "cannot *open* /path".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// An engine refused or failed.
    #[error("{engine}: cannot {action}")]
    Engine {
        /// The engine's name, as in a location: `rocksdb`.
        engine: &'static str,
        /// What was tried and on what, as in "cannot *open /path*".
        action: String,
        /// What the engine said.
        #[source]
        source: Cause,
    },
    /// Something that was asked for is not there.
    #[error("{what} does not exist{}", then(hint))]
    NotFound {
        /// What was looked for, with its name or path.
        what: String,
        /// What to do next, or empty.
        hint: String,
    },
    /// The target already holds something, and replacing it was not asked for.
    #[error("{} is not empty; name another target, or replace it (the old one is kept aside)", path.display())]
    Occupied {
        /// The target.
        path: PathBuf,
    },
    /// Another process or handle holds what this call needs for itself.
    #[error("{what} is in use{}", then(hint))]
    InUse {
        /// What is held.
        what: String,
        /// What to do next, or empty.
        hint: String,
    },
    /// The engine, or this store, cannot do what was asked.
    #[error("{what} is not possible here: {why}")]
    Unsupported {
        /// What was asked for.
        what: String,
        /// Why not, and what can be done instead.
        why: String,
    },
    /// A key, value or batch is larger than a documented limit.
    #[error("{what} is {found} bytes long, the limit is {limit}")]
    Limit {
        /// What is too large.
        what: String,
        /// Its size in bytes.
        found: u64,
        /// The largest size in bytes.
        limit: u64,
    },
    /// Stored bytes are not what they must be.
    #[error("{what} is damaged: {detail}")]
    Damaged {
        /// The file, database or record.
        what: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// Input that cannot be used as it is.
    #[error("{what}: {detail}")]
    Invalid {
        /// The argument, file or name.
        what: String,
        /// What is wrong with it and what would be right.
        detail: String,
    },
    /// A source changed while it was read, and nothing could keep it from that. Nothing that was read of it
    /// may be used; the same again may succeed.
    #[error("{what} changed while it was read{}", then(hint))]
    Changed {
        /// What changed.
        what: String,
        /// What would keep it from changing, or empty.
        hint: String,
    },
    /// The caller cancelled.
    #[error("cancelled; no snapshot was made, and no store was replaced")]
    Cancelled,
}

/// A hint as it follows a sentence.
pub fn then(hint: &str) -> String {
    if hint.is_empty() { String::new() } else { format!("; {hint}") }
}

impl Error {
    /// What a caller does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Engine { .. } => ErrorKind::Failed,
            Self::NotFound { .. } => ErrorKind::Missing,
            Self::Occupied { .. } | Self::InUse { .. } => ErrorKind::Refused,
            Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::Limit { .. } | Self::Invalid { .. } => ErrorKind::Invalid,
            Self::Damaged { .. } => ErrorKind::Damaged,
            Self::Changed { .. } => ErrorKind::Changed,
            Self::Cancelled => ErrorKind::Cancelled,
        }
    }

    /// An [`Error::Io`] maker for `map_err`: `File::open(p).map_err(Error::io("open", p))`.
    pub fn io(action: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::Io { action, path, source }
    }

    /// An [`Error::Engine`] maker for `map_err`.
    pub fn engine<E: Into<Cause>>(
        engine: &'static str,
        action: impl Into<String>,
    ) -> impl FnOnce(E) -> Self {
        let action = action.into();
        move |source| Self::Engine { engine, action, source: source.into() }
    }

    /// An [`Error::Damaged`].
    pub fn damaged(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Damaged { what: what.into(), detail: detail.into() }
    }

    /// An [`Error::Invalid`].
    pub fn invalid(what: impl Into<String>, detail: impl Into<String>) -> Self {
        Self::Invalid { what: what.into(), detail: detail.into() }
    }

    /// An [`Error::Unsupported`].
    pub fn unsupported(what: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Unsupported { what: what.into(), why: why.into() }
    }
}
