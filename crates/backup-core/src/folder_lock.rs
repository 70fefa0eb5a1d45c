//! Locks of folders that their holders remove, or put in another place.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::FlockOperation;
use rustix::io::Errno;

use crate::{Error, Result};

/// What came of taking a folder's lock.
#[derive(Debug)]
pub(crate) enum Taken {
    /// Held until the file is closed. No other open of the folder can take it.
    Held(File),
    /// Somebody else holds it.
    InUse,
    /// There is no such folder, or another one by now.
    Gone,
}

/// Takes the lock of a folder, without waiting for it.
///
/// # Errors
/// [`Error::Io`].
pub(crate) fn take(folder: &Path) -> Result<Taken> {
    let opened = match File::open(folder) {
        Ok(opened) => opened,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Taken::Gone),
        Err(error) => return Err(Error::io("open", folder)(error)),
    };
    match rustix::fs::flock(&opened, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(Errno::WOULDBLOCK) => return Ok(Taken::InUse),
        Err(errno) => return Err(Error::io("lock", folder)(errno.into())),
    }
    // Who held it may have removed the folder since it was opened, or put it in its place, and another have
    // made one of the same name: both would believe that they held it.
    Ok(if is_at(&opened, folder)? { Taken::Held(opened) } else { Taken::Gone })
}

/// Whether a folder that is open has this name, still.
pub(crate) fn is_at(opened: &File, name: &Path) -> Result<bool> {
    let opened = opened.metadata().map_err(Error::io("look at", name))?;
    match fs::metadata(name) {
        Ok(named) => Ok((named.dev(), named.ino()) == (opened.dev(), opened.ino())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("look at", name)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lock_is_of_the_folder_that_has_the_name() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("folder");
        assert!(matches!(take(&folder), Ok(Taken::Gone)));
        fs::create_dir(&folder).unwrap();
        let Ok(Taken::Held(held)) = take(&folder) else { panic!("nobody holds it") };
        assert!(matches!(take(&folder), Ok(Taken::InUse)));
        fs::rename(&folder, home.path().join("elsewhere")).unwrap();
        assert!(!is_at(&held, &folder).unwrap());
        fs::create_dir(&folder).unwrap();
        assert!(!is_at(&held, &folder).unwrap());
        let Ok(Taken::Held(other)) = take(&folder) else { panic!("it is another folder") };
        assert!(is_at(&other, &folder).unwrap());
    }
    /// Each makes the folder, takes its lock, and removes it: nobody else can, as long as the lock is held.
    #[test]
    fn a_lock_that_was_waited_for_is_of_the_folder_that_is_there() {
        let home = tempfile::tempdir().unwrap();
        let folder = home.path().join("folder");
        let work = || {
            let mut taken = 0;
            while taken < 5_000 {
                let _made = fs::create_dir(&folder);
                if let Taken::Held(held) = take(&folder).unwrap() {
                    assert!(is_at(&held, &folder).unwrap(), "the lock of a folder that is gone");
                    fs::remove_dir(&folder).unwrap();
                    taken += 1;
                }
            }
        };
        std::thread::scope(|scope| {
            scope.spawn(work);
            scope.spawn(work);
        });
    }
}
