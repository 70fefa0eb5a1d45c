//! Stores that an encrypting file system of RocksDB's wrote: the names of the files are plain, and
//! nothing in them can be read.
//!
//! Their files are copied as they are. Tables cannot be told from such that were given up, so all
//! are taken; between two equal readings of CURRENT and of the lengths of all MANIFEST files, none
//! that is needed goes away.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::source::{FileInfo, FileNature};
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};

use super::Whereabouts;
use super::attempt::{MAX_CURRENT, listed};
use super::place::Placer;
use crate::format::file_name::{self, CURRENT, FileKind};
use crate::format::log::LogReader;
use crate::format::table;

/// How many tables are looked at.
const TABLES: usize = 8;

/// Whether nothing in a folder can be read: neither CURRENT, nor any MANIFEST, OPTIONS file or
/// table. Where only some of it cannot, it is damaged.
pub(crate) fn is_encrypted(folder: &Path) -> Result<bool> {
    let Some(current) = read_current(folder)? else { return Ok(false) };
    if current.is_empty() || file_name::manifest_of(&current).is_some() {
        return Ok(false);
    }
    let (mut manifests, mut tables) = (0, 0);
    for (kind, path) in listed(folder)? {
        let readable = match kind {
            FileKind::Manifest(_) => {
                manifests += 1;
                starts_as_log(&path)
            }
            FileKind::Options(_) => starts_as_text(&path),
            FileKind::Table(_) if tables < TABLES => {
                tables += 1;
                ends_as_table(&path)
            }
            _ => Ok(false),
        };
        match readable {
            Ok(false) => {}
            Ok(true) => return Ok(false),
            // It went away while a process has the store open.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(Error::io("read", path)(error)),
        }
    }
    Ok(manifests > 0)
}

/// Copies the files once. None where the store changed meanwhile.
pub(super) fn attempt(
    store: &Whereabouts,
    placer: &mut Placer,
    context: &Context,
) -> Result<Option<Vec<FileInfo>>> {
    let before = reading(&store.folder)?;
    let mut present = listed(&store.folder)?;
    // As in any store: tables first, then the logs from the newest on, and what names them all last.
    present.sort_by_key(|(kind, _)| match kind {
        FileKind::Table(number) | FileKind::Blob(number) => (0, *number),
        FileKind::Wal(number) => (1, u64::MAX - number),
        FileKind::Current => (3, 0),
        _ => (2, 0),
    });
    let (mut files, mut owners) = (Vec::new(), store.owners()?);
    for (kind, path) in present {
        context.check()?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let (found, nature) = match kind {
            FileKind::Passing => continue,
            FileKind::Table(_) | FileKind::Blob(_) => {
                (placer.immutable(&path, &name)?, FileNature::Immutable)
            }
            _ => (placer.growing(&path, &name)?, FileNature::Changing),
        };
        // What is not there any more was given up before.
        let Some(stamp) = found else { continue };
        let path = FilePath::new(name)?;
        let Stamp { bytes, mode, owner, .. } = stamp;
        let owner = owners.of_file(owner);
        files.push(FileInfo { path, bytes, identity: None, mode, owner, nature });
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok((reading(&store.folder)? == before).then_some(files))
}

/// What is compared before and after: CURRENT, and the length of every MANIFEST.
type Reading = (Option<Vec<u8>>, Vec<(PathBuf, u64)>);

fn reading(folder: &Path) -> Result<Reading> {
    let mut manifests = Vec::new();
    for (kind, path) in listed(folder)? {
        if matches!(kind, FileKind::Manifest(_))
            && let Ok(found) = fs::metadata(&path)
        {
            manifests.push((path, found.len()));
        }
    }
    manifests.sort();
    Ok((read_current(folder)?, manifests))
}

fn read_current(folder: &Path) -> Result<Option<Vec<u8>>> {
    let path = folder.join(CURRENT);
    let mut current = Vec::new();
    match File::open(&path).and_then(|file| file.take(MAX_CURRENT).read_to_end(&mut current)) {
        Ok(_) => Ok(Some(current)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("read", path)(error)),
    }
}

fn starts_as_log(path: &Path) -> io::Result<bool> {
    Ok(LogReader::keeping(File::open(path)?, 0, 0).next()?.is_ok())
}

fn starts_as_text(path: &Path) -> io::Result<bool> {
    let mut start = Vec::new();
    File::open(path)?.take(16).read_to_end(&mut start)?;
    Ok(!start.is_empty() && start.is_ascii())
}

fn ends_as_table(path: &Path) -> io::Result<bool> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    Ok(!matches!(table::TableProperties::read(&file, bytes), Err(table::Unreadable::NoTable)))
}
