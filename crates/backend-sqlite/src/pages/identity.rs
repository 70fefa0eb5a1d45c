//! A name for a database's content, so that one that did not change is not read again.

use std::time::Duration;

use backup_core::position::Position;
use backup_core::stamp::Stamp;

use super::Clock;
use crate::file::header::Header;
use crate::file::place::Seen;

/// How old the last change must be. Within the tick of a file system's clock a file can change once more
/// and look the same; those with the longest tick have one of two seconds.
const AGE: Duration = Duration::from_secs(2);

/// What the bytes begin with; another way to spell them begins otherwise.
const SPELLING: &[u8] = b"sqlite pages 1";

/// The identity of the content that files had when they were seen. None where in doubt.
pub(crate) fn identity(
    seen: &Seen,
    header: &Header,
    position: &Position,
    clock: &Clock,
) -> Option<Vec<u8>> {
    let now = clock();
    let old = |stamp: &Stamp| stamp.is_older(AGE, now);
    if !old(&seen.main) || !seen.wal.as_ref().is_none_or(old) {
        return None;
    }
    let (salts, frame) = match position {
        Position::Sqlite { salts, frame } => (*salts, *frame),
        Position::Log(_) => ([0; 2], 0),
        _ => return None,
    };
    let main = &seen.main;
    let mut bytes = SPELLING.to_vec();
    for number in [main.device, main.inode, main.bytes] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for number in [main.changed.0, main.changed.1, main.modified.0, main.modified.1] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    for number in [header.change_counter, header.valid_for, salts[0], salts[1], frame] {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    Some(bytes)
}
