//! Whether a process has a database open, found out without opening its LOCK: closing any
//! descriptor of that file would drop this process's own locks on it.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{major, minor};

use crate::format::file_name::LOCK;

/// The process that holds the lock of the database in `folder`, as far as the system tells: it
/// shows no locks of other containers, and on some file systems none at all.
pub(crate) fn holder(folder: &Path) -> Option<u32> {
    let lock = fs::metadata(folder.join(LOCK)).ok()?;
    let place = (u64::from(major(lock.dev())), u64::from(minor(lock.dev())), lock.ino());
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let (pid, held) = held(line)?;
        (held == place).then_some(pid)
    })
}

/// The process and the file (device, inode) of a line such as
/// `1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 0 EOF`.
fn held(line: &str) -> Option<(u32, (u64, u64, u64))> {
    let mut fields = line.split_whitespace().skip_while(|field| *field != "WRITE").skip(1);
    let pid = fields.next()?.parse().ok()?;
    let mut place = fields.next()?.split(':');
    let device = |part: Option<&str>| u64::from_str_radix(part?, 16).ok();
    let (major, minor) = (device(place.next())?, device(place.next())?);
    Some((pid, (major, minor, place.next()?.parse().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = "1: POSIX  ADVISORY  WRITE 1234 fd:01:5678 0 EOF";
        assert_eq!(held(line), Some((1234, (0xfd, 1, 5678))));
        assert_eq!(held("2: FLOCK  ADVISORY  READ 1 00:2e:9 0 EOF"), None);
        assert_eq!(held(""), None);
        assert_eq!(held("1: POSIX ADVISORY WRITE x y z"), None);
    }
}
