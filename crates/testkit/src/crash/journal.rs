//! The journal that the preloaded shim writes (`shim/faults.c`).

use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::op::Op;
use super::volume::below;

/// Reads a journal: a sequence of entries, each a letter, two numbers of 8 bytes, and two strings of
/// bytes with their lengths of 4 bytes before them, all little-endian. What lies outside of `root` is
/// left out.
///
/// # Errors
/// Where it is not what the shim writes. An entry cut off at the end is one that never happened.
pub(crate) fn parse(journal: &[u8], root: &Path) -> io::Result<Vec<Op>> {
    let mut ops = Vec::new();
    let mut left = journal;
    while let Some((entry, rest)) = Entry::take(left) {
        left = rest;
        ops.extend(entry.op(root)?);
    }
    Ok(ops)
}

/// Whether the fault that the shim was to bring has come.
pub(crate) fn starts_fault(journal: &[u8]) -> bool {
    let mut left = journal;
    while let Some((entry, rest)) = Entry::take(left) {
        if entry.kind == b'!' {
            return true;
        }
        left = rest;
    }
    false
}

struct Entry<'a> {
    kind: u8,
    inode: u64,
    number: u64,
    one: &'a [u8],
    other: &'a [u8],
}

impl<'a> Entry<'a> {
    fn take(bytes: &'a [u8]) -> Option<(Self, &'a [u8])> {
        let (kind, rest) = bytes.split_first()?;
        let (inode, rest) = rest.split_first_chunk()?;
        let (number, rest) = rest.split_first_chunk()?;
        let (one, rest) = string(rest)?;
        let (other, rest) = string(rest)?;
        let (inode, number) = (u64::from_le_bytes(*inode), u64::from_le_bytes(*number));
        Some((Self { kind: *kind, inode, number, one, other }, rest))
    }

    fn op(&self, root: &Path) -> io::Result<Option<Op>> {
        let Self { inode, number, .. } = *self;
        let paths = || Some((inside(root, self.one)?, inside(root, self.other)?));
        let path = || inside(root, self.one);
        Ok(match self.kind {
            b'd' => path().map(|path| Op::CreateFolder { path, inode }),
            b'o' => path().map(|path| Op::Open { path, inode }),
            b't' => Some(Op::Truncate { inode, length: number }),
            b'w' => Some(Op::Write { inode, offset: number, bytes: self.one.to_vec() }),
            b's' => Some(Op::Sync { inode }),
            b'f' => Some(Op::FailedSync { inode }),
            b'l' => paths().map(|(from, to)| Op::Link { from, to }),
            b'r' => paths().map(|(from, to)| Op::Rename { from, to }),
            b'x' => paths().map(|(one, other)| Op::Exchange { one, other }),
            b'u' => path().map(|path| Op::Remove { path }),
            b'!' => None,
            other => return Err(io::Error::other(format!("no entry begins with byte {other}"))),
        })
    }
}

fn string(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::try_from(u32::from_le_bytes(*length)).ok()?)
}

fn inside(root: &Path, path: &[u8]) -> Option<PathBuf> {
    let path = Path::new(OsStr::from_bytes(path));
    path.starts_with(root).then(|| below(root, path))
}
