//! What SQLite keeps beside a file: its log or its journal, which belong to that file alone.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use backup_core::{Error, Result};

/// What the names of a file's log and journal end with.
const ENDINGS: [&str; 2] = ["-wal", "-journal"];

/// Checks that a new file may be put at `path`. Whatever log or journal is there, SQLite would take it for
/// the new file's own and write it into that, or remove it; and it may be all that is left of an old one.
///
/// # Errors
/// [`Error::InUse`] where it belongs to a file that is there, [`Error::Occupied`] where that is gone.
pub(crate) fn no_log_beside(path: &Path) -> Result<()> {
    for ending in ENDINGS {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        let log = PathBuf::from(name);
        if length_of(&log)?.unwrap_or(0) == 0 {
            continue;
        }
        if length_of(path)?.unwrap_or(0) == 0 {
            return Err(Error::Occupied { path: log });
        }
        return Err(Error::InUse {
            what: format!("the database {}", path.display()),
            hint: format!(
                "{} is not empty: stop the program that has it open, or open and close it once if \
                 none does",
                log.display()
            ),
        });
    }
    Ok(())
}

/// The length of a file, if it is there.
pub(super) fn length_of(path: &Path) -> Result<Option<u64>> {
    match fs::metadata(path) {
        Ok(found) if found.is_dir() => {
            let detail = "is a folder, and a database is one file; name a file";
            Err(Error::invalid(path.display().to_string(), detail))
        }
        Ok(found) => Ok(Some(found.len())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::io("look at", path)(error)),
    }
}
