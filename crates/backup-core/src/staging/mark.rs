//! What the mark of a hidden folder says: what is being built there, and what it replaces.
//!
//! Where a crash leaves nothing in the place of an old store, the same restore again finds none whose owner
//! and permission bits the new one could get. So they are written down before the old one goes aside.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::MARK;
use crate::Result;
use crate::disk::Disk;
use crate::ownership::{Owner, Ownership};

/// What the last line begins and ends with, where it says what is replaced.
const BEGIN: &str = "replaced ";
const END: &str = " end\n";

/// What the mark says is being built, and what that replaces. An incomplete last line is ignored.
pub(super) fn read(folder: &Path) -> Option<(String, Option<Ownership>)> {
    let text = fs::read_to_string(folder.join(MARK)).ok()?;
    let replaced = text.strip_suffix(END).and_then(|rest| {
        let start = rest.rfind('\n').map_or(0, |end| end + 1);
        Some((start, parse(rest[start..].strip_prefix(BEGIN)?)?))
    });
    match replaced {
        Some((start, replaced)) => Some((text[..start].to_owned(), Some(replaced))),
        None => Some((text, None)),
    }
}

/// What was being replaced, if this user wrote it down: the folder may be another user's already.
pub(super) fn replaced(folder: &Path) -> Option<Ownership> {
    let found = fs::symlink_metadata(folder.join(MARK)).ok()?;
    let own = found.is_file() && found.uid() == rustix::process::geteuid().as_raw();
    read(folder).filter(|_| own)?.1
}

fn parse(line: &str) -> Option<Ownership> {
    let numbers =
        line.split(' ').map(|number| number.parse().ok()).collect::<Option<Vec<u32>>>()?;
    let [user, group, mode, files @ ..] = &numbers[..] else { return None };
    let owner = Owner::of_numbers(*user, *group);
    Some(Ownership { owner, mode: *mode, files_mode: files.first().copied() })
}

/// The line that says what is replaced.
pub(super) fn line(replaced: &Ownership) -> String {
    let (user, group) = replaced.owner.numbers();
    let files = replaced.files_mode.map(|mode| format!(" {mode}")).unwrap_or_default();
    format!("{BEGIN}{user} {group} {}{files}{END}", replaced.mode)
}

/// Writes down what is replaced, durably, unless the mark says so.
pub(super) fn add(disk: &dyn Disk, folder: &Path, replaced: &Ownership) -> Result<()> {
    let Some((built, written)) = read(folder) else { return Ok(()) };
    if written.as_ref() == Some(replaced) {
        return Ok(());
    }
    let mut file = disk.open_file(&folder.join(MARK))?;
    // Where another line stands, this one takes its place; what is left of a longer one is no whole line.
    file.write_at(built.len() as u64, line(replaced).as_bytes())?;
    file.sync()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced_comes_back_whole_or_not_at_all() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(MARK);
        for (built, files_mode) in [("", None), ("one\ntwo\n", Some(0o640))] {
            let owner = Owner::of_numbers(4_000_000, 4_000_001);
            let replaced = Ownership { owner, mode: 0o2750, files_mode };
            let whole = format!("{built}{}", line(&replaced));
            fs::write(&path, &whole).unwrap();
            assert_eq!(read(home.path()), Some((built.to_owned(), Some(replaced))));
            for length in built.len()..whole.len() {
                fs::write(&path, &whole[..length]).unwrap();
                let expected = Some((whole[..length].to_owned(), None));
                assert_eq!(read(home.path()), expected, "{length} bytes of it");
            }
        }
    }
}
