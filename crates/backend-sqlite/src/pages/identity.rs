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
const SPELLING: &[u8] = b"sqlite pages 2";

/// The identity of the content that files had when they were seen. None where in doubt.
///
/// `log` is the running checksum of the log after its last frame, where there is a log. Salts and the
/// number of frames do not tell enough: a power cut can take the last transactions, and others of as many
/// frames come in their place, in the same log and with nothing changed in the main file.
pub(crate) fn identity(
    seen: &Seen,
    header: &Header,
    position: &Position,
    log: [u32; 2],
    clock: &Clock,
) -> Option<Vec<u8>> {
    let now = clock();
    // Of the log, `log` and the position tell the content. When it was changed tells nothing: SQLite gives it
    // to the database's owner whenever root opens it, for this backup too.
    let old = |log: &Stamp| log.is_modified_before(AGE, now);
    if !seen.main.is_older(AGE, now) || !seen.wal.as_ref().is_none_or(old) {
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
    let of_the_log = [salts[0], salts[1], frame, log[0], log[1]];
    for number in [header.change_counter, header.valid_for].into_iter().chain(of_the_log) {
        bytes.extend_from_slice(&number.to_le_bytes());
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;
    use std::time::UNIX_EPOCH;

    use super::*;
    use backup_core::stamp::Stamp;

    /// All that an identity is made of.
    #[derive(Clone)]
    struct Of {
        seen: Seen,
        header: Header,
        position: Position,
        log: [u32; 2],
        /// In milliseconds.
        now: u64,
    }

    /// What is in doubt, and how it comes to be.
    type Doubt = (&'static str, fn(&mut Of));

    impl Of {
        fn identity(&self) -> Option<Vec<u8>> {
            let now = UNIX_EPOCH + Duration::from_millis(self.now);
            let clock: Clock = Arc::new(move || now);
            identity(&self.seen, &self.header, &self.position, self.log, &clock)
        }
    }

    fn stamp() -> Stamp {
        let (modified, changed) = ((100, 7), (100, 8));
        Stamp { device: 1, inode: 2, bytes: 8192, modified, changed, mode: 0o644, owner: (0, 0) }
    }

    fn settled() -> Of {
        let mut header = [0; 100];
        header[..24].copy_from_slice(b"SQLite format 3\0\x10\0\x02\x02\0\x40\x20\x20");
        let header = Header::parse(Path::new("/x.db"), &header).unwrap();
        let seen = Seen { main: stamp(), wal: Some(stamp()), shm: None, journal: None };
        let position = Position::Sqlite { salts: [3, 4], frame: 5 };
        Of { seen, header, position, log: [6, 7], now: 102_001 }
    }

    /// LESSONS: a changed database is taken for the one that was backed up, and not read.
    #[test]
    fn each_doubt_alone_is_another_identity() {
        let settled = settled();
        let first = settled.identity().unwrap();
        assert_eq!(settled.clone().identity().unwrap(), first);
        let doubts: [Doubt; 13] = [
            ("device", |of| of.seen.main.device += 1),
            ("inode", |of| of.seen.main.inode += 1),
            ("length", |of| of.seen.main.bytes += 1),
            ("ctime", |of| of.seen.main.changed.0 -= 1),
            ("ctime, nanoseconds", |of| of.seen.main.changed.1 -= 1),
            ("mtime", |of| of.seen.main.modified.0 -= 1),
            ("mtime, nanoseconds", |of| of.seen.main.modified.1 -= 1),
            ("change counter", |of| of.header.change_counter += 1),
            ("version of the writer", |of| of.header.valid_for += 1),
            ("salts", |of| of.position = Position::Sqlite { salts: [3, 5], frame: 5 }),
            ("frames", |of| of.position = Position::Sqlite { salts: [3, 4], frame: 6 }),
            ("checksum", |of| of.log[0] += 1),
            ("other checksum", |of| of.log[1] += 1),
        ];
        for (doubt, change) in doubts {
            let mut other = settled.clone();
            change(&mut other);
            assert_ne!(other.identity().unwrap(), first, "{doubt}");
        }
    }

    /// Lost: the identity of every live database that root backed up, at each backup.
    #[test]
    fn a_log_that_was_given_to_its_owner_is_no_doubt() {
        let mut given = settled();
        given.seen.wal = Some(Stamp { changed: (102, 0), ..stamp() });
        assert_eq!(given.identity(), settled().identity());
        assert!(given.identity().is_some());
    }

    /// Within two seconds a file can change once more and look the same.
    #[test]
    fn what_was_changed_just_now_has_no_identity() {
        let recent: [Doubt; 5] = [
            ("all of it", |of| of.now -= 2),
            ("main file, mtime", |of| of.seen.main.modified.0 += 1),
            ("main file, ctime", |of| of.seen.main.changed.0 += 1),
            ("log", |of| of.seen.wal = Some(Stamp { modified: (101, 7), ..stamp() })),
            ("a clock that was set back", |of| of.now = 50_000),
        ];
        for (doubt, change) in recent {
            let mut other = settled();
            change(&mut other);
            assert_eq!(other.identity(), None, "{doubt}");
        }
    }
}
