//! The program that has a database for itself, and what the system tells of it.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// What Linux counts time in where it tells it to programs, on every machine that this runs on.
const TICKS_A_SECOND: u64 = 100;

/// Who has a main file for itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Holder {
    /// Its number; none where the system does not tell it, as of one in another container.
    pub(crate) process: Option<u32>,
    pub(crate) scope: Scope,
}

/// What its lock is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scope {
    /// A transaction took it: the one that runs, or the first one in exclusive mode, which then keeps it and
    /// its journal.
    Transaction,
    /// The process took it when it opened the file (the VFS `unix-excl`). It says nothing of transactions,
    /// and a journal goes with each of them.
    Process,
}

impl Holder {
    /// This process: its own locks are not shown to it.
    pub(crate) fn own() -> Self {
        Self { process: Some(std::process::id()), scope: Scope::Transaction }
    }

    /// When it began, or a little earlier. None where that cannot be found out.
    pub(crate) fn began(&self) -> Option<SystemTime> {
        began(&fs::read_to_string(format!("/proc/{}/stat", self.process?)).ok()?)
    }

    /// Whether it has a file open, by device and inode. None where that cannot be found out.
    pub(crate) fn has_open(&self, file: (u64, u64)) -> Option<bool> {
        use std::os::unix::fs::MetadataExt;
        let folder = fs::read_dir(format!("/proc/{}/fd", self.process?)).ok()?;
        for entry in folder {
            // One that was closed meanwhile leads nowhere.
            let Ok(found) = fs::metadata(entry.ok()?.path()) else { continue };
            if (found.dev(), found.ino()) == file {
                return Some(true);
            }
        }
        Some(false)
    }
}

/// The time in `/proc/PID/stat` at which a process began, counted in ticks since the machine did. The second
/// in which that was is cut off, so that the time found is never too late.
fn began(stat: &str) -> Option<SystemTime> {
    // The name of the program stands in brackets, and may hold any.
    let (_, rest) = stat.rsplit_once(')')?;
    let ticks: u64 = rest.split_whitespace().nth(19)?.parse().ok()?;
    let machine = fs::read_to_string("/proc/stat").ok()?;
    let started: u64 =
        machine.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    Some(UNIX_EPOCH + Duration::from_secs(started + ticks / TICKS_A_SECOND))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    #[test]
    fn this_process_began_before_now_and_has_open_what_it_opened() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a file");
        fs::write(&path, "").unwrap();
        let found = fs::metadata(&path).unwrap();
        let file = (found.dev(), found.ino());
        let own = Holder::own();
        assert_eq!(own.has_open(file), Some(false));
        let opened = fs::File::open(&path).unwrap();
        assert_eq!(own.has_open(file), Some(true));
        drop(opened);
        let modified = found.modified().unwrap();
        let began = own.began().unwrap();
        assert!(began <= modified, "{began:?} {modified:?}");
        assert!(modified.duration_since(began).unwrap() < Duration::from_hours(24));
    }

    #[test]
    fn a_name_with_brackets_hides_nothing() {
        let rest = "S 1 1 1 0 -1 4194560 0 0 0 0 0 0 0 0 20 0 1 0 4200 0 0";
        let plain = began(&format!("7 (a) {rest}")).unwrap();
        assert_eq!(began(&format!("7 (a) 9 (b) {rest}")), Some(plain));
        assert_eq!(began("7 (a"), None);
    }

    #[test]
    fn nothing_is_known_of_a_process_that_is_not_seen() {
        let hidden = Holder { process: None, scope: Scope::Transaction };
        assert_eq!((hidden.began(), hidden.has_open((1, 1))), (None, None));
    }
}
