//! Which files make the store, and what can be seen of them without reading them.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, FileType, Metadata};
use std::io::ErrorKind;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::{Path, PathBuf};

use backup_core::path::FilePath;
use backup_core::source::FileNature;
use backup_core::staging::SIDECAR;
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};
use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use crate::scratch::is_scratch;

/// How a file is written, as far as the caller knows: what is promised decides how a file can be
/// captured without reading it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Change {
    /// Anything may change.
    #[default]
    InPlace,
    /// Bytes are only added at its end. A hard link keeps what is there.
    Appended,
    /// Written once, complete before it is listed, and never opened for writing again. A hard link
    /// keeps it.
    Never,
}

impl Change {
    /// How a backup cuts it into pieces.
    pub(crate) fn nature(self) -> FileNature {
        match self {
            Self::Never => FileNature::Immutable,
            Self::Appended | Self::InPlace => FileNature::Changing,
        }
    }
}

/// A file that the caller names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedFile {
    /// Its path below the source's folder.
    pub path: FilePath,
    /// How it is written.
    pub change: Change,
    /// A name for its content, where the engine has one: two files of one source with the same
    /// identity and length must have the same content, for ever.
    pub identity: Option<Vec<u8>>,
}

impl ListedFile {
    /// A file that may change in any way.
    pub fn new(path: FilePath) -> Self {
        Self { path, change: Change::InPlace, identity: None }
    }
}

/// Which files of a folder are meant.
#[derive(Debug, Clone)]
pub(crate) enum Selection {
    /// Those that patterns choose.
    Patterns(Patterns),
    /// These.
    List(Vec<ListedFile>),
}

/// Patterns over paths below the folder.
#[derive(Debug, Clone, Default)]
pub(crate) struct Patterns {
    include: Vec<String>,
    exclude: Vec<String>,
}

/// A file as it was seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) change: Change,
    pub(crate) identity: Option<Vec<u8>>,
    pub(crate) stamp: Stamp,
    /// The permission bits that the folders leave it in which it lies below the store's: they are not kept
    /// themselves, and what they kept from others must not be open to them once it is restored.
    pub(crate) reach: u32,
}

impl Seen {
    /// Whether a file is as it was. Where the caller promises how the file is written, a hard link to it,
    /// this crate's or another's, says nothing.
    pub(crate) fn is_still(&self, now: &Stamp) -> bool {
        if self.change == Change::InPlace {
            return self.stamp == *now;
        }
        self.stamp.is_same_but_for_links(now)
    }
}

/// All files of a store, sorted by path, and what of the folder is no part of it.
#[derive(Debug, Default)]
pub(crate) struct Listing {
    pub(crate) files: BTreeMap<FilePath, Seen>,
    /// Folders without a file, which a backup of files does not keep.
    pub(crate) empty_folders: Vec<PathBuf>,
    /// What earlier restores left, which is no part of the store.
    pub(crate) left_out: Vec<PathBuf>,
}

impl Patterns {
    pub(crate) fn include(&mut self, pattern: &str) -> Result<()> {
        glob(pattern)?;
        self.include.push(pattern.to_owned());
        Ok(())
    }

    pub(crate) fn exclude(&mut self, pattern: &str) -> Result<()> {
        glob(pattern)?;
        self.exclude.push(pattern.to_owned());
        Ok(())
    }
}

/// A pattern whose `*` and `?` stay within one name; `**` goes over several.
fn glob(pattern: &str) -> Result<globset::Glob> {
    let built = GlobBuilder::new(pattern).literal_separator(true).backslash_escape(true).build();
    built.map_err(|error| {
        Error::invalid(format!("the pattern {pattern:?}"), error.kind().to_string())
    })
}

fn glob_set(patterns: &[String]) -> Result<GlobSet> {
    let mut set = GlobSetBuilder::new();
    for pattern in patterns {
        set.add(glob(pattern)?);
    }
    set.build().map_err(|error| Error::invalid("the patterns", error.kind().to_string()))
}

impl Selection {
    /// Looks at every selected file below `folder`.
    pub(crate) fn list(&self, folder: &Path) -> Result<Listing> {
        let listing = match self {
            Self::Patterns(patterns) => {
                let (include, exclude) =
                    (glob_set(&patterns.include)?, glob_set(&patterns.exclude)?);
                let mut walk = Walk { folder, include, exclude, listing: Listing::default() };
                walk.folder(Path::new(""), patterns.include.is_empty(), EVERYBODY)?;
                walk.listing
            }
            Self::List(files) => listed(folder, files)?,
        };
        if listing.files.is_empty() {
            return Err(Error::NotFound {
                what: format!("a file to back up in {}", folder.display()),
                hint: "check the folder, and the patterns that include and exclude".into(),
            });
        }
        Ok(listing)
    }
}

fn listed(folder: &Path, files: &[ListedFile]) -> Result<Listing> {
    let mut listing = Listing::default();
    for file in files {
        let path = file.path.below(folder);
        let reach = reach_of(folder, &file.path)?;
        let seen = look(&path)?;
        refuse_unless_file(&path, seen.file_type(), "take it off the list")?;
        let (change, identity) = (file.change, file.identity.clone());
        let seen = Seen { change, identity, stamp: Stamp::new(&seen), reach };
        if listing.files.insert(file.path.clone(), seen).is_some() {
            let what = format!("the list of files of {}", folder.display());
            return Err(Error::invalid(what, format!("names {} twice", file.path)));
        }
    }
    Ok(listing)
}

/// The permission bits that the folders on the way to a file leave it, none of which may be a link to
/// elsewhere.
fn reach_of(folder: &Path, path: &FilePath) -> Result<u32> {
    let (mut above, mut reach) = (PathBuf::from(folder), EVERYBODY);
    let parts: Vec<_> = path.as_str().split('/').collect();
    for part in &parts[..parts.len() - 1] {
        above.push(part);
        let found = look(&above)?;
        if found.is_symlink() {
            return Err(refusal(&above, "a symbolic link", "take what is below it off the list"));
        }
        reach &= left_by(&found);
    }
    Ok(reach)
}

/// All permission bits.
const EVERYBODY: u32 = 0o777;

/// The permission bits of those who may enter a folder.
fn left_by(folder: &Metadata) -> u32 {
    (folder.permissions().mode() & 0o111) * 7
}

/// A walk through a folder.
struct Walk<'a> {
    folder: &'a Path,
    include: GlobSet,
    exclude: GlobSet,
    listing: Listing,
}

impl Walk<'_> {
    /// Adds what is in a folder, given by its path from the source's folder. `included` says that
    /// everything in it is meant, whatever its name.
    fn folder(&mut self, inner: &Path, included: bool, reach: u32) -> Result<()> {
        let folder = self.folder.join(inner);
        let top = inner.as_os_str().is_empty();
        let entries = match fs::read_dir(&folder) {
            Err(error) if error.kind() == ErrorKind::NotFound && !top => return Ok(()),
            entries => entries.map_err(|error| unreadable(&folder, error))?,
        };
        let mut empty = true;
        for entry in entries {
            empty = false;
            let name = entry.map_err(Error::io("list", &folder))?.file_name();
            let path = inner.join(&name);
            if top && is_scratch(&name) {
                continue;
            }
            if top && is_left_by_restore(&name) {
                self.listing.left_out.push(path);
            } else if !self.exclude.is_match(&path) {
                self.entry(&path, included, reach)?;
            }
        }
        if empty && !top {
            self.listing.empty_folders.push(inner.to_owned());
        }
        Ok(())
    }

    fn entry(&mut self, path: &Path, included: bool, reach: u32) -> Result<()> {
        let on_disk = self.folder.join(path);
        let seen = match fs::symlink_metadata(&on_disk) {
            // It went since the folder was listed: the same as if it had gone before.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            seen => seen.map_err(|error| unreadable(&on_disk, error))?,
        };
        let included = included || self.include.is_match(path);
        if seen.is_dir() {
            return self.folder(path, included, reach & left_by(&seen));
        }
        if !included {
            return Ok(());
        }
        refuse_unless_file(&on_disk, seen.file_type(), "remove it, or exclude it")?;
        let Some(path) = path.to_str() else {
            let detail =
                "has a name that is no UTF-8, which no backup can keep; rename or exclude it";
            return Err(Error::invalid(on_disk.display().to_string(), detail));
        };
        let (change, stamp) = (Change::InPlace, Stamp::new(&seen));
        let seen = Seen { change, identity: None, stamp, reach };
        self.listing.files.insert(FilePath::new(path)?, seen);
        Ok(())
    }
}

/// What restores leave in a folder: their sidecar, and, where the folder is a mount point, the folders
/// they work in and keep old stores in.
fn is_left_by_restore(name: &OsStr) -> bool {
    let name = name.to_string_lossy();
    name == SIDECAR || name.contains(".keepsum-old") || name.ends_with(".keepsum-restoring")
}

fn look(path: &Path) -> Result<Metadata> {
    fs::symlink_metadata(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: std::io::Error) -> Error {
    if error.kind() == ErrorKind::NotFound {
        let hint = "check the path".into();
        return Error::NotFound { what: path.display().to_string(), hint };
    }
    Error::io("read", path)(error)
}

fn refuse_unless_file(path: &Path, kind: FileType, instead: &str) -> Result<()> {
    if kind.is_file() {
        return Ok(());
    }
    let what = match kind {
        kind if kind.is_symlink() => "a symbolic link",
        kind if kind.is_dir() => "a folder",
        kind if kind.is_socket() => "a socket",
        kind if kind.is_fifo() => "a named pipe",
        _ => "a device",
    };
    Err(refusal(path, what, instead))
}

fn refusal(path: &Path, what: &str, instead: &str) -> Error {
    let why = format!("it is {what}, and only plain files are kept; {instead}");
    Error::unsupported(format!("backing up {}", path.display()), why)
}
