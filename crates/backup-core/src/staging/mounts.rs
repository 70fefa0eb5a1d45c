//! What the system has mounted, as its table of mounts says.

use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::Path;

use crate::{Error, Result};

/// The table of what this process sees mounted. Other systems than Linux have none.
const TABLE: &str = "/proc/self/mountinfo";

/// Refuses a file that is a mount of its own: nothing can be put in its place while it is mounted.
///
/// # Errors
/// [`Error::Unsupported`] with what to do instead.
pub fn refuse_mounted_file(file: &Path) -> Result<()> {
    let Ok(file) = super::place::resolve(file) else { return Ok(()) };
    if !file.is_file() || !is_mounted(&file) {
        return Ok(());
    }
    let what = format!("restoring into the mounted file {}", file.display());
    let why = "nothing can be put in its place while it is mounted; mount the folder that holds it \
               instead, or restore to another path";
    Err(Error::unsupported(what, why))
}

/// Whether a path, without symbolic links in it, is one at which something is mounted.
pub(super) fn is_mounted(path: &Path) -> bool {
    fs::read(TABLE).is_ok_and(|table| is_mounted_in(&table, path))
}

fn is_mounted_in(table: &[u8], path: &Path) -> bool {
    let points = table.split(|byte| *byte == b'\n').filter_map(|line| {
        // The fifth field is where; the first four have no blanks in them.
        line.split(|byte| *byte == b' ').nth(4)
    });
    points.map(unescaped).any(|point| Path::new(&point) == path)
}

/// A field of the table, in which a blank, a tab, an end of line and a backslash are `\` and three octal
/// digits.
fn unescaped(field: &[u8]) -> OsString {
    let (mut bytes, mut left) = (Vec::with_capacity(field.len()), field);
    while let Some((first, rest)) = left.split_first() {
        let digits = rest.get(..3).filter(|_| *first == b'\\');
        let octal = digits.and_then(|digits| str::from_utf8(digits).ok());
        if let Some(byte) = octal.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            bytes.push(byte);
            left = &rest[3..];
        } else {
            bytes.push(*first);
            left = rest;
        }
    }
    OsString::from_vec(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MOUNTS: &str = "\
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
36 22 8:1 /srv/app.db /data/app.db rw,relatime shared:1 - ext4 /dev/sda1 rw
37 22 8:1 /srv/a /data/with\\040a\\134blank rw - ext4 /dev/sda1 rw
";

    #[test]
    fn what_the_table_names_is_mounted_and_nothing_else() {
        let is = |path: &str| is_mounted_in(MOUNTS.as_bytes(), Path::new(path));
        assert!(is("/data/app.db"));
        assert!(is("/data/with a\\blank"));
        assert!(is("/"));
        assert!(!is("/srv/app.db"), "what is mounted there is no mount itself");
        assert!(!is("/data"));
        assert!(!is("/data/app.db-wal"));
        assert!(!is_mounted_in(b"no table\n\n", Path::new("/data")));
    }

    #[test]
    fn the_root_is_mounted_here() {
        if cfg!(target_os = "linux") {
            assert!(is_mounted(Path::new("/")));
        }
    }
}
