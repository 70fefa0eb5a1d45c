//! Putting files into the scratch folder: linked where the file system can, else copied.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use backup_core::source::FileInfo;
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};

/// Puts files into a scratch folder, and remembers across tries what is there already.
#[derive(Debug)]
pub(crate) struct Placer {
    folder: PathBuf,
    immutable: BTreeMap<String, Stamp>,
    /// Why links do not work, once that was found.
    no_links: Option<String>,
    copied: u64,
}

impl Placer {
    pub(crate) fn new(folder: PathBuf) -> Self {
        Self { folder, immutable: BTreeMap::new(), no_links: None, copied: 0 }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Places a file that never changes again. None where it is not there.
    pub(crate) fn immutable(&mut self, from: &Path, name: &str) -> Result<Option<Stamp>> {
        let Some(stamp) = there(Stamp::of(from), from)? else { return Ok(None) };
        if self.immutable.get(name).is_some_and(|known| known.is_same_but_for_links(&stamp)) {
            return Ok(Some(stamp));
        }
        let to = self.folder.join(name);
        remove(&to)?;
        if self.no_links.is_none() {
            // A symbolic link would be linked itself; what it leads to is meant.
            let source = fs::canonicalize(from).unwrap_or_else(|_| from.to_owned());
            match fs::hard_link(&source, &to) {
                Ok(()) => {
                    self.immutable.insert(name.into(), stamp);
                    return Ok(Some(stamp));
                }
                Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
                Err(error) if cannot_link(&error) => self.no_links = Some(error.to_string()),
                Err(error) => return Err(Error::io("link", from)(error)),
            }
        }
        let Some(copied) = there(copy(from, &to, stamp.bytes), from)? else { return Ok(None) };
        let after = there(Stamp::of(from), from)?;
        let is_still = after.is_some_and(|after| after.is_same_but_for_links(&stamp));
        if copied != stamp.bytes || !is_still {
            return Ok(None);
        }
        self.copied += copied;
        self.immutable.insert(name.into(), stamp);
        Ok(Some(stamp))
    }

    /// Copies what a file that may still grow holds now. None where it is not there.
    pub(crate) fn growing(&mut self, from: &Path, name: &str) -> Result<Option<Stamp>> {
        let Some(stamp) = there(Stamp::of(from), from)? else { return Ok(None) };
        let to = self.folder.join(name);
        if let Some(above) = to.parent() {
            fs::create_dir_all(above).map_err(Error::io("make", above))?;
        }
        remove(&to)?;
        let copied = there(copy(from, &to, stamp.bytes), from)?;
        Ok((copied == Some(stamp.bytes)).then_some(stamp))
    }

    /// Removes what earlier tries placed and the last one did not ask for.
    pub(crate) fn keep_only(&self, files: &[FileInfo]) -> Result<()> {
        let wanted: BTreeSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        let listed = fs::read_dir(&self.folder).map_err(Error::io("list", &self.folder))?;
        for entry in listed {
            let path = entry.map_err(Error::io("list", &self.folder))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if path.is_dir() {
                // A folder has an application's files, which are copied anew by each try.
                continue;
            }
            if !wanted.contains(name.as_ref()) {
                remove(&path)?;
            }
        }
        Ok(())
    }

    /// A sentence for a person, where files were copied instead of linked.
    pub(crate) fn into_note(self) -> Option<String> {
        self.no_links.map(|why| {
            format!(
                "files could not be linked ({why}); {} bytes were copied before they were read",
                self.copied
            )
        })
    }
}

/// None for what is not there (any more).
fn there<T>(found: io::Result<T>, path: &Path) -> Result<Option<T>> {
    match found {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

/// Copies the first `bytes` of a file and gives how many there were.
fn copy(from: &Path, to: &Path, bytes: u64) -> io::Result<u64> {
    let mut source = File::open(from)?.take(bytes);
    io::copy(&mut source, &mut File::create_new(to)?)
}

fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(Error::io("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Whether the file system, or a rule of the system's, allows no link of this file there.
fn cannot_link(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::CrossesDevices | Kind::PermissionDenied | Kind::Unsupported | Kind::TooManyLinks
    )
}
