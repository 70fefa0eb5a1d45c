//! What can go wrong in an operation, and the exit code the command answers with.

use backup_core::ErrorKind;

use crate::report::SourceReport;

/// A result with this crate's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// An error of the engine.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The arguments do not go together, or name nothing that exists in this way.
    #[error("{what}: {detail}")]
    Usage {
        /// The argument.
        what: String,
        /// What is wrong with it and what would be right.
        detail: String,
    },
    /// No such snapshot.
    #[error("no snapshot {spec}; `keepsum snapshots` lists what is there")]
    NoSnapshot {
        /// What was asked for.
        spec: String,
    },
    /// Snapshots of several sources may be meant, and to choose among them would be a guess.
    #[error("{spec} may be a snapshot of any of {} sources: {}", sources.len(), listed(sources))]
    SeveralSources {
        /// What was asked for.
        spec: String,
        /// The sources that are left.
        sources: Vec<SourceReport>,
    },
    /// The repository has snapshots, and none of the source that is meant.
    #[error("the repository has no snapshot of {own}, but of {}", listed(sources))]
    OnlyOthers {
        /// What is meant.
        own: String,
        /// The sources that are there.
        sources: Vec<SourceReport>,
    },
    /// More than one snapshot has the id's prefix.
    #[error("{count} snapshots begin with {prefix}; give more of the id")]
    AmbiguousSnapshot {
        /// The prefix.
        prefix: String,
        /// How many have it.
        count: usize,
    },
    /// The operation is refused, and says what can be done.
    #[error("{what}; {instead}")]
    Refused {
        /// What was asked for and why it cannot be done.
        what: String,
        /// What can be done.
        instead: String,
    },
    /// What came back is not what was there.
    #[error("database {database:?} is not what the snapshot says it was: {detail}")]
    NotProved {
        /// The database.
        database: String,
        /// What was expected and what was found.
        detail: String,
    },
    /// What leads to everything of a snapshot cannot be read.
    #[error(
        "nothing of snapshot {snapshot} can be salvaged: its manifest, or every list of its databases, is \
         damaged or missing; restore another one that `keepsum snapshots` lists, or put the object \
         back from a copy of the repository"
    )]
    NothingToSalvage {
        /// The snapshot that was asked for.
        snapshot: String,
        /// What is damaged.
        #[source]
        source: remote::Error,
    },
    /// The repository failed or refused.
    #[error(transparent)]
    Remote(#[from] remote::Error),
    /// The archive's bytes are not what they must be.
    #[error(transparent)]
    Archive(#[from] archive::Error),
    /// A source or target failed or refused.
    #[error(transparent)]
    Core(#[from] backup_core::Error),
}

/// The most sources that a message lists.
const MOST_LISTED: usize = 20;

fn listed(sources: &[SourceReport]) -> String {
    let mut words: Vec<String> =
        sources.iter().take(MOST_LISTED).map(ToString::to_string).collect();
    if sources.len() > MOST_LISTED {
        words.push(format!("{} more", sources.len() - MOST_LISTED));
    }
    words.join("; ")
}

/// What the command's exit code says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCode {
    /// Done.
    Done = 0,
    /// Failed.
    Failed = 1,
    /// Wrong usage.
    Usage = 2,
    /// Damage was found.
    Damaged = 3,
    /// There is nothing of that name.
    Nothing = 4,
    /// Refused: target not empty, store in use, a shape that cannot do this.
    Refused = 5,
}

impl Error {
    /// What a caller does about it, wherever it came from.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Usage { .. } | Self::AmbiguousSnapshot { .. } => ErrorKind::Invalid,
            Self::NoSnapshot { .. } => ErrorKind::Missing,
            Self::Refused { .. } | Self::SeveralSources { .. } | Self::OnlyOthers { .. } => {
                ErrorKind::Refused
            }
            Self::NotProved { .. } | Self::NothingToSalvage { .. } => ErrorKind::Damaged,
            Self::Remote(error) => error.kind(),
            Self::Archive(error) => error.kind(),
            Self::Core(error) => error.kind(),
        }
    }

    /// Whether a source changed while it was read, so that reading it again may succeed.
    pub(crate) fn is_change(&self) -> bool {
        self.kind() == ErrorKind::Changed
    }

    /// Whether the work is begun anew after it, so that what it stored is not worth keeping.
    pub(crate) fn starts_over(&self) -> bool {
        self.is_change() || matches!(self, Self::Remote(error) if error.starts_over())
    }

    /// The exit code that the command answers with.
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Usage { .. } | Self::AmbiguousSnapshot { .. } => return ExitCode::Usage,
            Self::NoSnapshot { .. } | Self::Remote(remote::Error::NotFound { .. }) => {
                return ExitCode::Nothing;
            }
            // Nothing of the user's is refused: the program is too old.
            Self::Remote(remote::Error::Newer { .. })
            | Self::Archive(archive::Error::Newer { .. }) => return ExitCode::Failed,
            _ => {}
        }
        match self.kind() {
            ErrorKind::Damaged => ExitCode::Damaged,
            ErrorKind::Refused | ErrorKind::Unsupported | ErrorKind::Changed => ExitCode::Refused,
            _ => ExitCode::Failed,
        }
    }
}
