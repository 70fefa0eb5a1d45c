//! Publishing one file, with the files that its engine keeps beside it.
//!
//! A new database must never meet the log of an old one, which an engine would apply to it. So what is
//! beside the target is moved aside with it, under the same name, before the new file is placed; also
//! where the target itself is missing. Under which name is written down first: after a crash between
//! two of the moves, the next restore finishes them, so that an old database keeps its own log.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use super::belonging::Belonging;
use super::names::{Found, exists, free_name_of, parent_of, sidecar_of, with_suffix};
use super::{PRIVATE, Staging};
use crate::disk::Disk;
use crate::target::Origin;
use crate::{Error, Result};

/// The name of the file in the hidden folder that says where the old file is moved.
const ASIDE: &str = ".keepsum-aside";

/// What its content ends with, which no name holds.
const END: &[u8] = b"\0";

impl Staging {
    /// Puts the file that was built where the target is.
    pub(super) fn swap_file(
        &self,
        companions: &[&str],
        origin: &Origin,
        belonging: &mut Belonging,
    ) -> Result<Option<PathBuf>> {
        let (built, disk) = (self.file(), self.disk.as_ref());
        self.write_sidecar(&sidecar_of(&built), origin)?;
        for path in [sidecar_of(&built), built.clone()] {
            belonging.give_file(disk, &path)?;
            disk.sync_file(&path)?;
        }
        self.still_there()?;
        // An empty file is nothing that is kept; the new one takes its name.
        let there = self.found()? == Found::Store;
        if there {
            self.still_allowed()?;
        }
        let beside = present(&self.target, companions)?;
        let moved = there || !beside.is_empty();
        let aside = if moved { Some(free_name_of(&self.target, companions)?) } else { None };
        let placed = self.replace(&built, there, &beside, aside.as_deref());
        if let (Err(_), Some(aside)) = (&placed, &aside) {
            if !exists(&sidecar_of(&built))? {
                // The new one's, which says nothing of the old store.
                self.disk.remove(&sidecar_of(&self.target))?;
                self.disk.sync_folder(parent_of(&self.target))?;
            }
            self.put_back(&sidecar_of(aside), &sidecar_of(&self.target));
            for suffix in &beside {
                self.put_back(&with_suffix(aside, suffix), &with_suffix(&self.target, suffix));
            }
            self.put_back(aside, &self.target);
        }
        placed?;
        self.disk.sync_folder(parent_of(&self.target))?;
        Ok(aside.filter(|_| there))
    }

    /// Moves what is there aside, and the new file into the place that is then free.
    fn replace(
        &self,
        built: &Path,
        there: bool,
        beside: &[&str],
        aside: Option<&Path>,
    ) -> Result<()> {
        let (disk, parent) = (self.disk.as_ref(), parent_of(&self.target));
        if let Some(aside) = aside {
            if !beside.is_empty() {
                self.write_down(aside)?;
            }
            if there {
                disk.rename(&self.target, aside)?;
            }
            if !beside.is_empty() {
                // What is beside a file is never gone before the file.
                disk.sync_folder(parent)?;
                move_beside(disk, &self.target, aside, beside)?;
            }
            let sidecar = sidecar_of(&self.target);
            if there && exists(&sidecar)? {
                disk.rename(&sidecar, &sidecar_of(aside))?;
            }
        }
        disk.sync_folder(parent)?;
        disk.rename(&sidecar_of(built), &sidecar_of(&self.target))?;
        disk.sync_folder(parent)?;
        disk.rename(built, &self.target)
    }

    fn write_down(&self, aside: &Path) -> Result<()> {
        let name = aside.file_name().unwrap_or_default();
        let mut file = self.disk.create_file(&self.folder.join(ASIDE), PRIVATE)?;
        file.write_at(0, &[name.as_bytes(), END].concat())?;
        file.sync()?;
        self.disk.sync_folder(&self.folder)?;
        self.disk.sync_folder(parent_of(&self.folder))
    }

    /// After an error: what was moved aside goes back, unless something has its place by now.
    pub(super) fn put_back(&self, aside: &Path, place: &Path) {
        let back = || -> Result<()> {
            if exists(aside)? && !exists(place)? {
                self.disk.rename(aside, place)?;
                self.disk.sync_folder(parent_of(place))?;
            }
            Ok(())
        };
        if let Err(error) = back() {
            let aside = aside.display();
            tracing::warn!(%error, %aside, "what was there before stays aside");
        }
    }
}

/// Finishes the moves of a restore that was cut off between them: what is beside the target's place
/// follows the file that was there. Where there is a file, what is beside it is its own.
pub(super) fn finish_moves(
    disk: &dyn Disk,
    target: &Path,
    folder: &Path,
    companions: &[&str],
) -> Result<()> {
    let path = folder.join(ASIDE);
    if exists(target)? || !exists(&path)? {
        return Ok(());
    }
    let written = fs::read(&path).map_err(Error::io("read", &path))?;
    // A name that is not whole was never acted on.
    let Some(name) = written.strip_suffix(END) else { return Ok(()) };
    let aside = target.with_file_name(OsStr::from_bytes(name));
    if !exists(&aside)? {
        // There was no file, only what is beside it.
        return Ok(());
    }
    let beside = present(target, companions)?;
    move_beside(disk, target, &aside, &beside)?;
    disk.sync_folder(parent_of(target))
}

/// Moves what is beside a file to the name that the file itself has by now.
fn move_beside(disk: &dyn Disk, target: &Path, aside: &Path, beside: &[&str]) -> Result<()> {
    for suffix in beside {
        let place = with_suffix(aside, suffix);
        if !exists(&place)? {
            disk.rename(&with_suffix(target, suffix), &place)?;
        }
    }
    Ok(())
}

/// Which of the files that an engine keeps beside a file are there.
fn present<'a>(target: &Path, companions: &[&'a str]) -> Result<Vec<&'a str>> {
    let mut beside = Vec::new();
    for suffix in companions {
        if exists(&with_suffix(target, suffix))? {
            beside.push(*suffix);
        }
    }
    Ok(beside)
}
