//! Where a target is: the file or folder that its name leads to.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::names::{absolute, parent_of};
use crate::{Error, Result};

/// How many symbolic links are followed, one after the other.
const MAX_LINKS: usize = 40;

/// The folder that a target lies in. Where a link leads there may be room, and beside the link none.
///
/// # Errors
/// As [`resolve`].
pub fn beside(target: &Path) -> Result<PathBuf> {
    Ok(parent_of(&resolve(target)?).to_owned())
}

/// The path of a target without symbolic links: where a link leads, whether something is there or not.
///
/// # Errors
/// [`Error::NotFound`] where the folder above it does not exist; [`Error::Unsupported`] where a link
/// leads into a folder that does not exist, which may be one that is not mounted.
pub fn resolve(target: &Path) -> Result<PathBuf> {
    let given = absolute(target)?;
    let mut at = given.clone();
    for links in 0..MAX_LINKS {
        let Some(name) = at.file_name() else {
            return fs::canonicalize(&at).map_err(Error::io("find", &at));
        };
        let above = parent_of(&at);
        let found = match fs::canonicalize(above) {
            Ok(above) => above.join(name),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(no_folder(&given, above, links > 0));
            }
            Err(error) => return Err(Error::io("find", above)(error)),
        };
        match fs::read_link(&found) {
            Ok(to) => at = parent_of(&found).join(to),
            // It is no link, or nothing.
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return Ok(found),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(Error::io("look at", found)(error)),
        }
    }
    let error = io::Error::from(rustix::io::Errno::LOOP);
    Err(Error::io("follow the symbolic link", given)(error))
}

/// The error of a folder that is not there. What a link leads to is never made: it may not be mounted yet.
fn no_folder(given: &Path, above: &Path, through_link: bool) -> Error {
    // The folder, or one above it, may be a link itself.
    let mut folders = above.ancestors().skip_while(|folder| fs::symlink_metadata(folder).is_err());
    let is_link =
        |folder: &Path| fs::symlink_metadata(folder).is_ok_and(|found| found.is_symlink());
    let above = above.display();
    if through_link || folders.next().is_some_and(is_link) {
        let what = format!("restoring to {}", given.display());
        let why = format!(
            "a symbolic link in this path leads into {above}, which does not exist: mount the volume, or \
             create the folder"
        );
        return Error::unsupported(what, why);
    }
    let hint = "create it first, or name another target".into();
    Error::NotFound { what: format!("the folder {above}"), hint }
}
