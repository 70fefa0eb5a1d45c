//! Copies of a database in a scratch folder.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::ops::Range;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::progress::Context;
use backup_core::scratch::Scratch;
use backup_core::{Error, Result};

use super::Options;
use super::image::{Image, Over};
use super::state::Kept;

/// How the names of scratch folders begin.
const PREFIX: &str = ".keepsum-sqlite-";

/// How much is copied at a time.
const STEP: u64 = 1 << 20;

/// A copy that nobody else has.
pub(crate) struct Copied {
    pub(crate) path: PathBuf,
    pub(crate) main: Arc<File>,
    pub(crate) scratch: Arc<Scratch>,
}

/// The copy in a scratch folder.
pub(crate) fn file_in(scratch: &Scratch) -> PathBuf {
    scratch.folder().join("database.sqlite")
}

/// Copies all pages.
pub(crate) fn copy(
    image: &Image,
    kept: &Kept,
    options: &Options,
    context: &Context,
) -> Result<Copied> {
    let read = |range: Range<u64>| {
        context.check()?;
        kept.read(image, range).map(Some)
    };
    let copied = copy_by(image.bytes(), options, &read)?;
    copied.ok_or_else(|| Error::invalid("a scratch copy", "ended before the database did"))
}

/// Copies as many bytes as `read` gives range by range. None where it gives no more, before the end.
pub(crate) fn copy_by(
    bytes: u64,
    options: &Options,
    read: &dyn Fn(Range<u64>) -> Result<Option<Vec<u8>>>,
) -> Result<Option<Copied>> {
    let scratch = Scratch::create(&folder(options), PREFIX.as_ref())?;
    let (path, mut file) = create(&scratch)?;
    let mut at = 0;
    while at < bytes {
        let end = (at + STEP).min(bytes);
        let Some(piece) = read(at..end)? else { return Ok(None) };
        file.write_all(&piece).map_err(Error::io("write to", &path))?;
        at = end;
    }
    Ok(Some(Copied { path, main: Arc::new(file), scratch: Arc::new(scratch) }))
}

fn folder(options: &Options) -> PathBuf {
    options.scratch.clone().unwrap_or_else(std::env::temp_dir)
}

/// Removes what backups that were killed left. The next one may need no copy, so it does not wait for that.
pub(crate) fn sweep(options: &Options) {
    backup_core::scratch::sweep(&folder(options), PREFIX.as_ref());
}

/// Makes a file that shares its blocks with a database, where the file system can. None where not.
pub(crate) fn reflink(main: &File, folder: &Path) -> Result<Option<Copied>> {
    let scratch = Scratch::create(folder, PREFIX.as_ref())?;
    let (path, file) = create(&scratch)?;
    if !share_blocks(&file, main) {
        return Ok(None);
    }
    Ok(Some(Copied { path, main: Arc::new(file), scratch: Arc::new(scratch) }))
}

fn create(scratch: &Scratch) -> Result<(PathBuf, File)> {
    let path = file_in(scratch);
    let made = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path);
    let file = made.map_err(Error::io("create", &path))?;
    Ok((path, file))
}

#[cfg(target_os = "linux")]
fn share_blocks(copy: &File, main: &File) -> bool {
    // Whatever the reason that it cannot be: there are other ways, and no part of it was made.
    rustix::fs::ioctl_ficlone(copy, main).is_ok()
}

#[cfg(not(target_os = "linux"))]
fn share_blocks(_copy: &File, _main: &File) -> bool {
    false
}

impl Image {
    /// The image of a copy of another one.
    pub(crate) fn of_copy(main: Arc<File>, of: &Image) -> Self {
        Self {
            database: of.database.clone(),
            main,
            over: Over::Nothing,
            page_size: of.page_size,
            pages: of.pages,
            main_bytes: if of.is_main_alone() { of.main_bytes } else { of.bytes() },
        }
    }
}
