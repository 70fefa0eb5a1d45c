//! Where in a source's history a state stands, and how exact that statement is.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A place in a source's own history.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Position {
    /// The source has no notion of a position.
    Unknown,
    /// The number of atomic batches that a memory store has applied.
    Version(u64),
    /// A RocksDB sequence number.
    RocksDb {
        /// The number of the last write that is included.
        sequence: u64,
    },
    /// A place in a SQLite WAL.
    Sqlite {
        /// The salts of the WAL header, which change when the WAL starts over.
        salts: [u32; 2],
        /// The last commit frame that is included, 0 for none.
        frame: u32,
    },
    /// A log sequence number of another engine.
    Log(u64),
    /// What a caller's own callback said.
    Named(String),
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("unknown"),
            Self::Version(number) => write!(f, "version {number}"),
            Self::RocksDb { sequence } => write!(f, "sequence {sequence}"),
            Self::Sqlite { salts: [a, b], frame } => {
                write!(f, "salts {a:08x}{b:08x} frame {frame}")
            }
            Self::Log(number) => write!(f, "log {number}"),
            Self::Named(name) => f.write_str(name),
        }
    }
}

/// How exactly a snapshot is one moment of its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Consistency {
    /// One true point in time, across all databases.
    PointInTime,
    /// What a crash of the source at one moment would have left: writes that its process had not
    /// yet handed to the operating system are absent.
    Crash,
    /// Read over a window, in milliseconds of Unix time; writes within it may be seen in part.
    Window {
        /// When reading began.
        from_ms: u64,
        /// When reading ended.
        to_ms: u64,
    },
}

impl fmt::Display for Consistency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::PointInTime => f.write_str("a point in time"),
            Self::Crash => f.write_str("crash-consistent; writes not yet in the log are absent"),
            Self::Window { from_ms, to_ms } => {
                write!(f, "read over {} ms, not one point in time", to_ms.saturating_sub(*from_ms))
            }
        }
    }
}
