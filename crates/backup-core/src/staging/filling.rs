//! Filling a mount point, which cannot be renamed over, entry by entry.
//!
//! What is to be moved is written down first ([`Moves`]), so that a filling that did not end is taken
//! back: by the restore itself after an error, by the next one after a crash. It has ended once the
//! last entry is in place; from then on nothing is taken back.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use super::belonging::Belonging;
use super::names::{entries, exists, free_name, is_aside};
use super::{MARK, PRIVATE, Staging};
use crate::disk::Disk;
use crate::{Error, Result};

/// The name of the list of what is to be moved, in the hidden folder.
const MOVES: &str = ".keepsum-moves";

/// What the list begins and ends with.
const BEGIN: &str = "keepsum-moves 1";
const END: &str = "end";

/// What is to be moved, in this order.
#[derive(Debug, Default, PartialEq, Eq)]
struct Moves {
    /// The folder in the target that the old entries go to.
    aside: OsString,
    old: Vec<OsString>,
    new: Vec<OsString>,
}

impl Staging {
    /// Moves the hidden folder's entries into the mount point that holds it.
    pub(super) fn fill(
        &self,
        last: Option<&str>,
        belonging: &mut Belonging,
    ) -> Result<Option<PathBuf>> {
        let target = &self.target;
        let is_last = |name: &OsString| last.is_some_and(|last| name == last);
        let own = |path: &PathBuf| *path == self.folder || is_aside(path) || path.ends_with(MARK);
        let mut moves = Moves { old: names(target, own)?, ..Moves::default() };
        moves.new = names(&self.folder, |path| path.ends_with(MARK))?;
        // The entry that makes a store is the first to go and the last to come, so that at no
        // moment does an engine find half a store.
        moves.old.sort_by_key(|name| !is_last(name));
        moves.new.sort_by_key(is_last);
        let aside = free_name(&target.join(target.file_name().unwrap_or_default()))?;
        if !moves.old.is_empty() {
            self.still_allowed()?;
            aside.file_name().unwrap_or_default().clone_into(&mut moves.aside);
        }
        let mut written = self.disk.create_file(&self.folder.join(MOVES), PRIVATE)?;
        written.write_at(0, &moves.encode())?;
        written.sync()?;
        self.disk.sync_folder(&self.folder)?;
        self.disk.sync_folder(target)?;
        if !moves.old.is_empty() {
            self.disk.create_private_folder(&aside)?;
            belonging.give_folder(self.disk.as_ref(), &aside)?;
            self.disk.sync_folder(&aside)?;
            self.disk.sync_folder(target)?;
            for name in &moves.old {
                self.disk.rename(&target.join(name), &aside.join(name))?;
                self.disk.sync_folder(target)?;
            }
            self.disk.sync_folder(&aside)?;
        }
        if moves.old.is_empty() {
            // A file system that was just made belongs to root.
            belonging.give_mount_point(self.disk.as_ref(), target)?;
            self.disk.sync_folder(target)?;
        }
        for name in &moves.new {
            if is_last(name) {
                self.disk.sync_folder(target)?;
            }
            self.disk.rename(&self.folder.join(name), &target.join(name))?;
        }
        self.disk.sync_folder(target)?;
        Ok((!moves.old.is_empty()).then_some(aside))
    }
}

/// Takes back a filling that did not end.
pub(super) fn undo(disk: &dyn Disk, target: &Path, folder: &Path) -> Result<()> {
    let path = folder.join(MOVES);
    if !exists(&path)? {
        return Ok(());
    }
    let list = fs::read(&path).map_err(Error::io("read", &path))?;
    // A list that is not whole was never acted on.
    if let Some(moves) = Moves::decode(&list) {
        moves.undo(disk, target, folder)?;
    }
    disk.sync_folder(target)?;
    // The list goes first: what it says of names in the target is no longer true.
    disk.remove(&path)?;
    disk.sync_folder(folder)
}

impl Moves {
    fn undo(&self, disk: &dyn Disk, target: &Path, folder: &Path) -> Result<()> {
        let mut waiting = false;
        for name in &self.new {
            waiting |= exists(&folder.join(name))?;
        }
        if !waiting {
            return Ok(());
        }
        for name in self.new.iter().rev() {
            let (placed, built) = (target.join(name), folder.join(name));
            if exists(&placed)? && !exists(&built)? {
                disk.rename(&placed, &built)?;
            }
        }
        // An old entry that came back before its new one was gone would be taken for that.
        disk.sync_folder(folder)?;
        disk.sync_folder(target)?;
        let aside = target.join(&self.aside);
        if self.old.is_empty() || !exists(&aside)? {
            return Ok(());
        }
        for name in self.old.iter().rev() {
            let (kept, place) = (aside.join(name), target.join(name));
            if exists(&kept)? && !exists(&place)? {
                disk.rename(&kept, &place)?;
                disk.sync_folder(target)?;
            }
        }
        if entries(&aside)?.is_empty() { disk.remove(&aside) } else { Ok(()) }
    }

    fn encode(&self) -> Vec<u8> {
        let counts = [self.old.len().to_string(), self.new.len().to_string()];
        let fields = [OsStr::new(BEGIN), self.aside.as_os_str()]
            .into_iter()
            .chain(counts.iter().map(OsStr::new))
            .chain(self.old.iter().chain(&self.new).map(OsString::as_os_str))
            .chain([OsStr::new(END)]);
        let mut bytes = Vec::new();
        for field in fields {
            bytes.extend_from_slice(field.as_bytes());
            bytes.push(0);
        }
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let mut fields = bytes.strip_suffix(&[0])?.split(|byte| *byte == 0);
        let count = |field: &[u8]| str::from_utf8(field).ok()?.parse::<usize>().ok();
        if fields.next()? != BEGIN.as_bytes() {
            return None;
        }
        let aside = fields.next()?.to_vec();
        let (old, new) = (count(fields.next()?)?, count(fields.next()?)?);
        let name = |field: &[u8]| OsString::from_vec(field.to_vec());
        let rest: Vec<&[u8]> = fields.collect();
        let (last, moved) = rest.split_last()?;
        if *last != END.as_bytes() || old.checked_add(new) != Some(moved.len()) {
            return None;
        }
        Some(Self {
            aside: OsString::from_vec(aside),
            old: moved[..old].iter().map(|field| name(field)).collect(),
            new: moved[old..].iter().map(|field| name(field)).collect(),
        })
    }
}

/// The names of the entries of a folder, but for those left out.
fn names(folder: &Path, left_out: impl Fn(&PathBuf) -> bool) -> Result<Vec<OsString>> {
    let kept = entries(folder)?.into_iter().filter(|path| !left_out(path));
    Ok(kept.filter_map(|path| path.file_name().map(OsStr::to_owned)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_comes_back_whole_or_not_at_all() {
        let name = |bytes: &[u8]| OsString::from_vec(bytes.to_vec());
        let moves = Moves {
            aside: name(b"store.keepsum-old"),
            old: vec![name(b"CURRENT"), name(b"a\nb")],
            new: vec![name(b"\xff\xfe"), name(b"end"), name(b"CURRENT")],
        };
        let bytes = moves.encode();
        assert_eq!(Moves::decode(&bytes), Some(moves));
        for length in 0..bytes.len() {
            assert_eq!(Moves::decode(&bytes[..length]), None, "{length} bytes of it");
        }
    }
}
