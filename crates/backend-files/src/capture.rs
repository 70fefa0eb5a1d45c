//! Getting hold of files as they are at one moment: by reflink, by hard link, or by copying.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};
use rustix::fs::{AtFlags, CWD, Mode, OFlags};
use rustix::io::Errno;

use crate::selection::{Change, Listing, Seen, Selection};

/// How much is copied between two looks at the cancellation, in bytes.
const STEP: u64 = 16 << 20;

/// How a file was got hold of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// It shares the original's blocks, until one of the two is changed.
    Reflink,
    /// It is the original, under another name.
    HardLink,
    /// It is a copy.
    Copy,
}

/// A file that was got hold of.
#[derive(Debug)]
pub(crate) struct Captured {
    pub(crate) path: FilePath,
    pub(crate) seen: Seen,
    pub(crate) way: Way,
    /// Where it can be read now.
    pub(crate) at: PathBuf,
}

/// The files of a store at one moment.
#[derive(Debug)]
pub(crate) struct Capture {
    pub(crate) files: Vec<Captured>,
    pub(crate) listing: Listing,
}

/// What a capture came to.
pub(crate) enum Outcome {
    /// Nothing changed between the first look and the last.
    Whole(Capture),
    /// This file did.
    Changed(PathBuf),
}

/// Captures every selected file into `scratch`, and looks at all of them before and after.
///
/// `settled` says whether a file, as it was first seen, can be told from one that is changed later.
pub(crate) fn capture(
    folder: &Path,
    selection: &Selection,
    scratch: &Path,
    settled: impl Fn(&Stamp) -> bool,
    context: &Context,
) -> Result<Outcome> {
    let listing = selection.list(folder)?;
    let lengths = listing.files.values().map(|seen| seen.stamp.bytes);
    // Sparse files claim more than there is.
    let total = lengths.fold(0, u64::saturating_add);
    context.phase("capturing files", Some(total));
    let mut reflinks = true;
    let mut files = Vec::with_capacity(listing.files.len());
    for (number, (path, seen)) in listing.files.iter().enumerate() {
        context.check()?;
        let from = path.below(folder);
        if !settled(&seen.stamp) {
            return Ok(Outcome::Changed(from));
        }
        let at = scratch.join(format!("{number:08}"));
        let Some(way) = capture_file(&from, &at, seen, &mut reflinks, context)? else {
            return Ok(Outcome::Changed(from));
        };
        context.advance(seen.stamp.bytes, 0);
        files.push(Captured { path: path.clone(), seen: seen.clone(), way, at });
    }
    let after = selection.list(folder)?;
    Ok(match first_change(&files, &after.files) {
        Some(path) => Outcome::Changed(path.below(folder)),
        None => Outcome::Whole(Capture { files, listing }),
    })
}

/// The first file that came, went or changed.
fn first_change(before: &[Captured], after: &BTreeMap<FilePath, Seen>) -> Option<FilePath> {
    let changed = before
        .iter()
        .find(|file| !after.get(&file.path).is_some_and(|now| file.seen.is_still(&now.stamp)));
    let came =
        || after.keys().find(|path| before.binary_search_by_key(path, |file| &file.path).is_err());
    changed.map(|file| &file.path).or_else(came).cloned()
}

/// Captures one file; `None` where it is not any more what it was when it was listed.
fn capture_file(
    from: &Path,
    at: &Path,
    seen: &Seen,
    reflinks: &mut bool,
    context: &Context,
) -> Result<Option<Way>> {
    // The name may stand for something else by now: a link is not followed, a pipe not waited for.
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let source = match rustix::fs::open(from, flags, Mode::empty()) {
        Ok(opened) => File::from(opened),
        Err(Errno::NOENT | Errno::LOOP | Errno::NXIO) => return Ok(None),
        Err(errno) => return Err(Error::io("open", from)(errno.into())),
    };
    let opened = source.metadata().map_err(Error::io("look at", from))?;
    if !seen.is_still(&Stamp::new(&opened)) {
        return Ok(None);
    }
    if *reflinks {
        let copy = create(at)?;
        match reflink(&copy, &source) {
            Ok(()) => return Ok(Some(Way::Reflink)),
            Err(errno) if is_impossible(errno) => *reflinks = false,
            Err(errno) => return Err(Error::io("reflink", from)(errno.into())),
        }
        fs::remove_file(at).map_err(Error::io("remove", at))?;
    }
    if seen.change != Change::InPlace && hard_link(from, at)? {
        return Ok(Some(Way::HardLink));
    }
    let whole = copy(source, from, at, seen.stamp.bytes, context)?;
    Ok(whole.then_some(Way::Copy))
}

#[cfg(target_os = "linux")]
fn reflink(copy: &File, source: &File) -> Result<(), Errno> {
    rustix::fs::ioctl_ficlone(copy, source)
}

#[cfg(not(target_os = "linux"))]
fn reflink(_copy: &File, _source: &File) -> Result<(), Errno> {
    Err(Errno::OPNOTSUPP)
}

/// Whether this file system, or this pair of them, has no such links at all.
fn is_impossible(errno: Errno) -> bool {
    [Errno::OPNOTSUPP, Errno::XDEV, Errno::NOTTY, Errno::NOSYS, Errno::INVAL, Errno::PERM]
        .contains(&errno)
}

/// Makes a hard link where the file system and its rules allow one.
fn hard_link(from: &Path, at: &Path) -> Result<bool> {
    match rustix::fs::linkat(CWD, from, CWD, at, AtFlags::empty()) {
        Ok(()) => Ok(true),
        Err(errno) if [Errno::ACCESS, Errno::MLINK].contains(&errno) || is_impossible(errno) => {
            Ok(false)
        }
        Err(errno) => Err(Error::io("link", from)(errno.into())),
    }
}

/// Copies the length that was listed; whether there was as much.
fn copy(mut source: File, from: &Path, at: &Path, bytes: u64, context: &Context) -> Result<bool> {
    let mut copy = create(at)?;
    let mut left = bytes;
    while left > 0 {
        context.check()?;
        let mut step = Read::by_ref(&mut source).take(left.min(STEP));
        let done = io::copy(&mut step, &mut copy).map_err(Error::io("copy", from))?;
        if done == 0 {
            return Ok(false);
        }
        left -= done;
    }
    Ok(true)
}

fn create(at: &Path) -> Result<File> {
    let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(at);
    made.map_err(Error::io("create", at))
}
