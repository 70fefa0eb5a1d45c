//! What tells one state of a file from another without reading it.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use std::{fs, io};

/// A file as its folder shows it. Two equal stamps are of one unchanged file only where the clock of
/// the file system ticked between two changes: see [`is_older`](Self::is_older).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The device the file is on.
    pub device: u64,
    /// Its number there.
    pub inode: u64,
    /// Its length.
    pub bytes: u64,
    /// When its content last changed: seconds since 1970 and nanoseconds.
    pub modified: (i64, i64),
    /// When anything of it last changed, the number of its links included.
    pub changed: (i64, i64),
    /// Its permission bits.
    pub mode: u32,
    /// The numbers of its owner and its group.
    pub owner: (u32, u32),
}

impl Stamp {
    /// The file at a path; a symbolic link is followed.
    ///
    /// # Errors
    /// Those of the system.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|found| Self::new(&found))
    }

    /// The file that was found so.
    pub fn new(found: &Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
            bytes: found.len(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
            mode: found.mode() & 0o777,
            owner: (found.uid(), found.gid()),
        }
    }

    /// Which file it is, whatever its name and content.
    pub fn file(&self) -> (u64, u64) {
        (self.device, self.inode)
    }

    /// Whether it is the same but for hard links to it, which change when it was last changed.
    pub fn is_same_but_for_links(&self, other: &Self) -> bool {
        *self == Self { changed: self.changed, ..*other }
    }

    /// Whether its last change lies further back than `age` at the time `now`.
    pub fn is_older(&self, age: Duration, now: SystemTime) -> bool {
        self.is_modified_before(age, now) && is_before(self.changed, age, now)
    }

    /// Whether the last change of its content does.
    pub fn is_modified_before(&self, age: Duration, now: SystemTime) -> bool {
        is_before(self.modified, age, now)
    }
}

fn is_before((seconds, nanos): (i64, i64), age: Duration, now: SystemTime) -> bool {
    let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else {
        return false;
    };
    let changed = UNIX_EPOCH.checked_add(Duration::new(seconds, nanos));
    // A time that is yet to come tells nothing.
    let since = changed.and_then(|changed| now.duration_since(changed).ok());
    since.is_some_and(|since| since > age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stamp(modified: i64, changed: i64) -> Stamp {
        let (modified, changed) = ((modified, 0), (changed, 0));
        Stamp { device: 1, inode: 2, bytes: 3, modified, changed, mode: 0o644, owner: (0, 0) }
    }

    #[test]
    fn a_change_is_old_once_it_lies_further_back_than_asked() {
        let now = UNIX_EPOCH + Duration::from_secs(100);
        let age = Duration::from_secs(10);
        assert!(stamp(89, 89).is_older(age, now));
        assert!(!stamp(90, 89).is_older(age, now));
        assert!(!stamp(90, 89).is_modified_before(age, now));
        assert!(stamp(89, 90).is_modified_before(age, now));
        assert!(!stamp(89, 90).is_older(age, now));
        assert!(!stamp(101, 89).is_older(age, now), "a time that is yet to come");
        assert!(!stamp(-1, 89).is_older(age, now), "a time before all times");
    }

    #[test]
    fn links_change_nothing_but_when_it_was_changed() {
        assert!(stamp(1, 1).is_same_but_for_links(&stamp(1, 2)));
        assert!(!stamp(1, 1).is_same_but_for_links(&stamp(2, 1)));
        assert!(!stamp(1, 1).is_same_but_for_links(&Stamp { inode: 9, ..stamp(1, 1) }));
    }
}
