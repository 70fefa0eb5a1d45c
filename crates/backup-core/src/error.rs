//! What can go wrong, sorted by what a caller does about it.

use std::io;
use std::path::PathBuf;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A cause from an engine or another library, kept as a source and never turned into text.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;

/// An error of a source, a target or a key-value store.
///
/// A kind exists only where a caller acts differently on it: retry ([`Io`](Error::Io),
/// [`Engine`](Error::Engine)), fix the input ([`Invalid`](Error::Invalid),
/// [`NotFound`](Error::NotFound), [`Limit`](Error::Limit)), choose another way
/// ([`Unsupported`](Error::Unsupported), [`Occupied`](Error::Occupied), [`InUse`](Error::InUse)),
/// or restore from elsewhere ([`Damaged`](Error::Damaged)). `Display` does not print the source.
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
    #[error("{what} does not exist{hint}")]
    NotFound {
        /// What was looked for, with its name or path.
        what: String,
        /// What to do next, starting with "; ", or empty.
        hint: String,
    },
    /// The target already holds something, and replacing it was not asked for.
    #[error("{} is not empty; name another target, or replace it (the old one is kept aside)", path.display())]
    Occupied {
        /// The target.
        path: PathBuf,
    },
    /// Another process or handle holds what this call needs for itself.
    #[error("{what} is in use{hint}")]
    InUse {
        /// What is held.
        what: String,
        /// What to do next, starting with "; ", or empty.
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
    #[error("{what} changed while it was read{hint}")]
    Changed {
        /// What changed.
        what: String,
        /// What would keep it from changing, beginning with `; `, or nothing.
        hint: String,
    },
    /// The caller cancelled.
    #[error("cancelled; no snapshot was made, and no store was replaced")]
    Cancelled,
}

impl Error {
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
