//! What can go wrong with a repository, sorted by what a caller does about it.

use backup_core::ErrorKind;
use backup_core::error::then;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of a repository.
///
/// `Display` does not print the source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object store refused or failed, after the retries that made sense. Try again later, or
    /// see to what it says.
    #[error("cannot {action} {path}")]
    Store {
        /// What was tried, as in "cannot *read* path".
        action: &'static str,
        /// The address of what it was tried on.
        path: String,
        /// What the object store said: an [`object_store::Error`], or an error that says more, as
        /// `S3Error` does.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// There is no repository at the address.
    #[error("{address} is not a keepsum repository; make one there with `keepsum init`")]
    NoRepository {
        /// Where it was looked for.
        address: String,
    },
    /// A catalog without its `keepsum.json`.
    #[error(
        "{address} has a catalog but no keepsum.json; if its `keepsum init` was interrupted run it \
         again, else put keepsum.json back from a copy of the repository"
    )]
    Unfinished {
        /// Where it was looked for.
        address: String,
    },
    /// There is no `keepsum.json` where this host has used a repository.
    #[error(
        "{address} has no keepsum.json, although this host has used a repository there, up to catalog \
         entry {remembered}: it was removed, or the address leads elsewhere now (is the volume mounted? is \
         it the same bucket and account?); put keepsum.json back from a copy, and make no new repository \
         there before you know"
    )]
    Gone {
        /// Where it was looked for.
        address: String,
        /// The number of the newest entry that was seen.
        remembered: u64,
    },
    /// `init` found something where the repository was to be made.
    #[error("{address} {found}; name another place for the new repository")]
    Occupied {
        /// The address.
        address: String,
        /// What is there, as in "*already is a keepsum repository*".
        found: String,
    },
    /// Written by a newer version of keepsum.
    #[error(
        "{address} has format version {found}; this program reads up to {known}: use a newer one"
    )]
    Newer {
        /// The repository.
        address: String,
        /// Its version.
        found: u64,
        /// The newest version known here.
        known: u64,
    },
    /// The object store cannot hold a repository.
    #[error("{address} cannot hold a repository: {why}")]
    Unfit {
        /// The address.
        address: String,
        /// What it was found to do wrong.
        why: String,
    },
    /// Stored bytes are not what they must be.
    #[error("{what} is damaged")]
    Damaged {
        /// The file of the repository.
        what: String,
        /// What is wrong with it.
        #[source]
        source: archive::Error,
    },
    /// Something that the repository refers to is not there.
    #[error("{what} is missing; `keepsum verify` shows what else is")]
    Missing {
        /// The file of the repository.
        what: String,
    },
    /// No such snapshot, or it was removed while it was being used.
    #[error("{what} is not in the repository{}", then(hint))]
    NotFound {
        /// What was looked for.
        what: String,
        /// What to do next, or empty.
        hint: String,
    },
    /// The catalog is not a continuation of the one that this host saw before.
    #[error(
        "{address} {found}, where this host has seen entry {remembered} before: {cause}; if that was \
         intended, accept it as it is now"
    )]
    History {
        /// The repository.
        address: String,
        /// How it differs, as in "*ends at catalog entry 4*".
        found: String,
        /// The number of the newest entry that was seen.
        remembered: u64,
        /// What may have happened, the likeliest first.
        cause: String,
    },
    /// The store said that it created a catalog entry, and does not have it: what was to be committed is
    /// not there.
    #[error(
        "{path} was created, and {found}: what was to be committed is not in the repository; the store \
         lets two writers create one name, although {condition}; move the repository to a store that \
         keeps to that, and run this again"
    )]
    Overwritten {
        /// The address of the entry.
        path: String,
        /// What is there, as in "*another writer's entry is there*".
        found: String,
        /// What the store does not keep to.
        condition: &'static str,
    },
    /// What a session built on may be gone. Nothing was committed; run it again.
    #[error("nothing was committed and the backup must start over: {why}")]
    StartOver {
        /// What happened meanwhile.
        why: String,
    },
    /// Others kept committing first.
    #[error("cannot commit to {address}: other writers were first {tries} times; try again later")]
    Contended {
        /// The repository.
        address: String,
        /// How often.
        tries: u32,
    },
    /// Something that was to be stored does not fit the format.
    #[error("cannot store {what}")]
    Format {
        /// What was to be stored.
        what: &'static str,
        /// Why it cannot be.
        #[source]
        source: archive::Error,
    },
    /// A location, a file of this host, or the caller's cancellation.
    #[error(transparent)]
    Core(#[from] backup_core::Error),
}

impl Error {
    /// An [`Error::Damaged`] maker for `map_err`.
    pub(crate) fn damaged(what: impl Into<String>) -> impl FnOnce(archive::Error) -> Self {
        let what = what.into();
        move |source| Self::Damaged { what, source }
    }

    /// What a caller does about it.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store { .. } | Self::Overwritten { .. } | Self::Format { .. } => {
                ErrorKind::Failed
            }
            Self::NoRepository { .. } | Self::NotFound { .. } => ErrorKind::Missing,
            Self::Unfinished { .. }
            | Self::Gone { .. }
            | Self::Damaged { .. }
            | Self::Missing { .. }
            | Self::History { .. } => ErrorKind::Damaged,
            Self::Occupied { .. } | Self::Unfit { .. } => ErrorKind::Refused,
            Self::Newer { .. } => ErrorKind::Unsupported,
            Self::StartOver { .. } | Self::Contended { .. } => ErrorKind::Retry,
            Self::Core(error) => error.kind(),
        }
    }

    /// Whether stored bytes are wrong or gone: a finding, which trying again does not mend.
    pub fn is_damage(&self) -> bool {
        matches!(self, Self::Damaged { .. } | Self::Missing { .. })
    }

    /// Whether the work is begun anew after it. What it stored is not worth keeping then: it may be condemned
    /// already, or is of a source that changed and is read again at once, time and again.
    pub fn starts_over(&self) -> bool {
        matches!(self, Self::StartOver { .. }) || self.kind() == ErrorKind::Changed
    }
}
