//! The files of a plan, written as they come into the folder that is being built.
//!
//! What a restore of the same snapshot left there when it was interrupted stays where it is and can be
//! read ([`Placing::left_over`]); the restore checks it, and places it as it would what it fetches.

use std::collections::{HashMap, HashSet};
use std::fs::{self, File, Metadata};
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use super::names::entries;
use super::{End, Form, MARK, PRIVATE, SIDECAR, Staging};
use crate::disk::{Access, Disk, DiskFile};
use crate::progress::Context;
use crate::source::{FileInfo, Files, read_range};
use crate::target::{Existing, Origin, no_holes};
use crate::{Error, Result, thread};

/// Files being written into [`Staging::folder`].
#[derive(Debug)]
pub struct Placing {
    staging: Staging,
    files: Vec<Building>,
    left_over: Option<Arc<LeftOver>>,
    /// Whether parts of files may be left out.
    holes: bool,
    /// A piece was refused or not written: nothing is published without it.
    failed: bool,
    context: Context,
}

/// A file of the plan, as far as it is written.
#[derive(Debug)]
struct Building {
    info: FileInfo,
    written: u64,
    /// Open from its first piece to its last.
    file: Option<Box<dyn DiskFile>>,
}

/// What an interrupted restore left, numbered as the plan is.
#[derive(Debug)]
struct LeftOver {
    folder: PathBuf,
    files: Vec<FileInfo>,
}

impl Placing {
    /// Checks the plan and the target, and begins with what an interrupted restore of the same `origin` left,
    /// if anything; what is no file of the plan, or cannot be, is removed. Blocking.
    ///
    /// # Errors
    /// [`Error::Invalid`] for files that cannot all lie in one folder; those of [`Staging::begin`].
    pub fn begin(
        disk: Arc<dyn Disk>,
        target: &Path,
        form: Form,
        files: Vec<FileInfo>,
        existing: Existing,
        origin: &Origin,
        context: &Context,
    ) -> Result<Self> {
        check_plan(&files)?;
        let staging = Staging::resume(disk, target, form, existing, origin)?;
        let left_over = staging.resumed.then(|| LeftOver::find(&staging, &files)).transpose()?;
        let left_over = left_over.filter(|left| left.bytes() > 0).map(Arc::new);
        Ok(Self { left_over, ..Self::of(staging, files, context) })
    }

    /// As [`begin`](Self::begin), for files of which parts may be left out. It begins with nothing: what an
    /// earlier restore left is swept, so that no byte of it shows where one is lost.
    ///
    /// # Errors
    /// As [`begin`](Self::begin).
    pub fn begin_with_holes(
        disk: Arc<dyn Disk>,
        target: &Path,
        form: Form,
        files: Vec<FileInfo>,
        existing: Existing,
        context: &Context,
    ) -> Result<Self> {
        check_plan(&files)?;
        let staging = Staging::begin(disk, target, form, existing)?;
        Ok(Self { holes: true, ..Self::of(staging, files, context) })
    }

    fn of(staging: Staging, files: Vec<FileInfo>, context: &Context) -> Self {
        let building = |info| Building { info, written: 0, file: None };
        Self {
            staging,
            files: files.into_iter().map(building).collect(),
            left_over: None,
            holes: false,
            failed: false,
            context: context.clone(),
        }
    }

    /// The files that an interrupted restore left, in the order of the plan, each as long as it is there.
    /// What they hold is not checked.
    pub fn left_over(&self) -> Option<Arc<dyn Files>> {
        self.left_over.clone().map(|left| left as Arc<dyn Files>)
    }

    /// As [`Restore::place`](crate::Restore::place).
    ///
    /// # Errors
    /// [`Error::Invalid`] for a piece that is not the next one of a file of the plan, [`Error::Io`]. After
    /// either nothing of this can be published or kept.
    pub async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        self.context.check()?;
        let placed = self.write(file, offset, bytes).await;
        self.failed |= placed.is_err();
        placed
    }

    /// As [`Restore::leave_out`](crate::Restore::leave_out).
    ///
    /// # Errors
    /// [`Error::Unsupported`] where parts may not be left out; those of [`place`](Self::place).
    pub async fn leave_out(&mut self, file: usize, range: Range<u64>) -> Result<()> {
        self.context.check()?;
        let left = self.leave(file, range).await;
        self.failed |= left.is_err();
        left
    }

    async fn leave(&mut self, file: usize, range: Range<u64>) -> Result<()> {
        if !self.holes {
            return Err(no_holes());
        }
        let building = self.building(file)?;
        let Range { start, end } = range;
        building.check(start, end.saturating_sub(start))?;
        if end < building.info.bytes {
            building.written = end;
            return Ok(());
        }
        if start < end {
            // Its last byte makes a file as long as it was; no room is taken by what is not written.
            building.written = end - 1;
            self.write(file, end - 1, Bytes::from_static(&[0])).await?;
        }
        Ok(())
    }

    fn building(&mut self, file: usize) -> Result<&mut Building> {
        let planned = self.files.len();
        self.files.get_mut(file).ok_or_else(|| {
            let detail = format!("is not in the plan, which has {planned}");
            Error::invalid(format!("file number {file}"), detail)
        })
    }

    async fn write(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()> {
        let building = self.building(file)?;
        let end = building.check(offset, bytes.len() as u64)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let (info, open) = (building.info.clone(), building.file.take());
        let (disk, folder) = (Arc::clone(&self.staging.disk), self.staging.folder.clone());
        let is_there = self.left_over.as_ref().is_some_and(|left| left.files[file].bytes > 0);
        let write = move || {
            let mut file = match open {
                Some(file) => file,
                None if is_there => disk.open_file(&info.path.below(&folder))?,
                None => create(disk.as_ref(), &folder, &info)?,
            };
            file.write_at(offset, &bytes)?;
            Ok(file)
        };
        let written = thread::call("place-files", write).await?;
        let building = self.building(file)?;
        building.written = end;
        // A whole file is closed; publishing makes it durable.
        building.file = (end < building.info.bytes).then_some(written);
        Ok(())
    }

    /// Makes the empty files, and checks that all of the others came. Blocking.
    ///
    /// # Errors
    /// [`Error::Invalid`] where a file is not whole, [`Error::Cancelled`], [`Error::Io`].
    pub fn complete(self) -> Result<Staging> {
        let (disk, folder) = (Arc::clone(&self.staging.disk), self.staging.folder.clone());
        self.context.check()?;
        if self.failed {
            return Err(Error::invalid(
                "a restore of files",
                "goes on after it failed; begin again",
            ));
        }
        for Building { info, written, .. } in &self.files {
            if *written < info.bytes {
                let detail =
                    format!("{written} of its {} bytes came; restore it again", info.bytes);
                return Err(Error::invalid(format!("the file {}", info.path), detail));
            }
            if info.bytes == 0 {
                create(disk.as_ref(), &folder, info)?;
            }
        }
        self.context.check()?;
        let Self { mut staging, files, .. } = self;
        staging.placed = files.into_iter().map(|file| file.info).collect();
        Ok(staging)
    }

    /// As [`complete`](Self::complete), for a plan of one file, which gets the name that the target has, and
    /// where it is now. Blocking.
    ///
    /// # Errors
    /// As [`complete`](Self::complete).
    pub fn complete_file(self) -> Result<(Staging, PathBuf)> {
        let placed: Vec<_> =
            self.files.iter().map(|file| file.info.path.below(&self.staging.folder)).collect();
        let staging = self.complete()?;
        let built = staging.file();
        for placed in placed.iter().filter(|placed| **placed != built) {
            staging.disk.rename(placed, &built)?;
        }
        Ok((staging, built))
    }

    /// As [`Restore::interrupt`](crate::Restore::interrupt).
    pub fn interrupt(mut self) {
        // The same again would fail again, and a full disk must not stay full.
        if self.failed {
            return;
        }
        self.staging.end = End::Kept;
        if self.files.iter().any(|file| file.written > 0) {
            let kept = self.staging.folder.display();
            self.context.note(format!(
                "what was restored so far is kept in {kept}; the same restore goes on from there"
            ));
        }
    }
}

impl Building {
    /// Checks that a piece is the next one, and says where it ends.
    fn check(&self, offset: u64, bytes: u64) -> Result<u64> {
        let Self { info, written, .. } = self;
        let end = offset.checked_add(bytes).filter(|end| *end <= info.bytes);
        match end {
            Some(end) if offset == *written => Ok(end),
            _ => {
                let detail = format!(
                    "a piece of {bytes} bytes came at {offset}, where {written} of {} are written",
                    info.bytes
                );
                Err(Error::invalid(format!("the file {}", info.path), detail))
            }
        }
    }
}

impl LeftOver {
    fn find(staging: &Staging, planned: &[FileInfo]) -> Result<Self> {
        let folder = &staging.folder;
        let places = planned.iter().enumerate();
        let places = places.map(|(number, info)| (info.path.below(folder), number)).collect();
        let files = planned.iter().map(|file| FileInfo { bytes: 0, ..file.clone() }).collect();
        let found = fs::metadata(folder).map_err(Error::io("look at", folder))?;
        let own = Some((found.uid(), found.gid()));
        let mut search = Search { disk: staging.disk.as_ref(), planned, places, files, own };
        search.folder(folder)?;
        Ok(Self { folder: folder.clone(), files: search.files })
    }

    fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }
}

/// Sorts out what is in a folder that a restore left.
struct Search<'a> {
    disk: &'a dyn Disk,
    planned: &'a [FileInfo],
    /// Where each file of the plan lies.
    places: HashMap<PathBuf, usize>,
    files: Vec<FileInfo>,
    /// The numbers of who restores.
    own: Option<(u32, u32)>,
}

impl Search<'_> {
    fn folder(&mut self, folder: &Path) -> Result<()> {
        for entry in entries(folder)? {
            let found = fs::symlink_metadata(&entry).map_err(Error::io("look at", &entry))?;
            if found.is_dir() && !self.places.contains_key(&entry) {
                self.folder(&entry)?;
                // The files of the plan make their folders.
                if entries(&entry)?.is_empty() {
                    self.disk.remove(&entry)?;
                }
            } else if let Some(number) = self.fits(&entry, &found) {
                self.files[number].bytes = found.len();
                // It was about to be published, perhaps.
                self.disk.set_access(&entry, Access { mode: PRIVATE, owner: self.own })?;
            } else if !entry.ends_with(MARK) {
                self.disk.remove(&entry)?;
            }
        }
        Ok(())
    }

    /// The file of the plan that this may be a beginning of.
    fn fits(&self, path: &Path, found: &Metadata) -> Option<usize> {
        let number = *self.places.get(path)?;
        let planned = &self.planned[number];
        let may_be = found.is_file() && (1..=planned.bytes).contains(&found.len());
        may_be.then_some(number)
    }
}

#[async_trait]
impl Files for LeftOver {
    fn list(&self) -> &[FileInfo] {
        &self.files
    }

    async fn read(&self, file: usize, range: Range<u64>) -> Result<Bytes> {
        let Some(info) = self.files.get(file) else {
            let what = format!("file number {file} of an interrupted restore");
            return Err(Error::NotFound { what, hint: String::new() });
        };
        if range.is_empty() {
            // There may be no such file.
            return Ok(Bytes::new());
        }
        let path = info.path.below(&self.folder);
        thread::call("read-left-over", move || {
            let read = File::open(&path).and_then(|mut file| read_range(&mut file, range));
            read.map(Bytes::from).map_err(Error::io("read", &path))
        })
        .await
    }
}

fn create(disk: &dyn Disk, folder: &Path, info: &FileInfo) -> Result<Box<dyn DiskFile>> {
    let path = info.path.below(folder);
    if let Some(above) = path.parent().filter(|above| *above != folder) {
        disk.create_folder(above)?;
    }
    // What it is to have it gets when it is put in place.
    disk.create_file(&path, PRIVATE)
}

/// Checks that the files of a plan can all lie in one folder.
fn check_plan(files: &[FileInfo]) -> Result<()> {
    let refuse = |path: &str, detail: &str| {
        Err(Error::invalid(format!("the file {path:?} of the snapshot"), detail))
    };
    if let Some(pair) = files.windows(2).find(|pair| pair[0].path >= pair[1].path) {
        return refuse(pair[1].path.as_str(), "comes twice, or not in the order of paths");
    }
    let paths: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
    for path in &paths {
        let mut above = path.match_indices('/').map(|(end, _)| &path[..end]);
        if above.any(|folder| paths.contains(folder)) {
            return refuse(path, "lies below another file, where only a folder can be");
        }
    }
    if paths.contains(SIDECAR) {
        return refuse(SIDECAR, "has the name of keepsum's own mark of a restored store");
    }
    Ok(())
}
