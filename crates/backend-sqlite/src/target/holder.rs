//! Which process has a database open, as far as this one can see.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use backup_core::fork::outlasts_a_fork;
use backup_core::{Error, Result};

use crate::file::descriptors;

/// Refuses to put something in the place of a file that a process has open.
///
/// # Errors
/// [`Error::InUse`]; [`Error::Io`] where the file cannot be looked at.
pub(super) fn refuse_open(path: &Path) -> Result<()> {
    match holder(path)? {
        None => Ok(()),
        Some(process) => Err(Error::InUse {
            what: format!("the database {}", path.display()),
            hint: format!("process {process} has it open: stop it first"),
        }),
    }
}

/// A process that has the file open; none where there is no file, or the system shows no such thing.
pub(super) fn holder(path: &Path) -> Result<Option<u32>> {
    let file = match fs::metadata(path) {
        Ok(found) => (found.dev(), found.ino()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(Error::io("look at", path)(error)),
    };
    let own = std::process::id();
    if descriptors::is_open_elsewhere(file)? {
        return Ok(Some(own));
    }
    let Ok(processes) = fs::read_dir("/proc") else { return Ok(None) };
    let numbers = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(numbers
        .filter(|number| *number != own)
        .find(|number| outlasts_a_fork(|| has_open(*number, file))))
}

/// Whether a process has a file open. One that has ended, or that belongs to another user, shows nothing.
fn has_open(process: u32, file: (u64, u64)) -> bool {
    let Ok(descriptors) = fs::read_dir(format!("/proc/{process}/fd")) else { return false };
    descriptors
        .filter_map(|entry| fs::metadata(entry.ok()?.path()).ok())
        .any(|found| (found.dev(), found.ino()) == file)
}

#[cfg(test)]
mod tests {
    use std::fs::File;
    use std::process::{Command, Stdio};

    use super::*;

    #[test]
    fn who_has_a_file_open_is_seen() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let found = fs::metadata(file.path()).unwrap();
        let found = (found.dev(), found.ino());
        let opened = File::open(file.path()).unwrap();
        let mut process =
            Command::new("sleep").arg("60").stdin(Stdio::from(opened)).spawn().unwrap();
        assert!(has_open(process.id(), found));
        process.kill().unwrap();
        process.wait().unwrap();
        assert!(!has_open(process.id(), found));
    }
}
