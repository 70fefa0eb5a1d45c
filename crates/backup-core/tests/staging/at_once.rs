//! Restores into one target that begin at the same time.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;

use backup_core::disk::{Access, Disk, DiskFile, LocalDisk};
use backup_core::staging::{Form, Staging};
use backup_core::target::Existing;
use backup_core::{Error, Result};

use super::{FOLDER, begin, origin};

/// The lock of a folder that its holder removes, or puts in place, is no lock of the next folder of that name:
/// two restores had one each, and one of them its folder swept under it.
#[test]
fn of_many_that_begin_at_once_one_builds_at_a_time() {
    const FILE: Form = Form::File { companions: &["-wal"], logs: &["-wal", "-journal"] };
    for form in [FOLDER, FILE] {
        let home = tempfile::tempdir().unwrap();
        let (target, building) = (home.path().join("store"), AtomicUsize::new(0));
        let restore = |number: usize| -> Result<()> {
            let staging = begin(&target, form, Existing::KeepAside)?;
            assert_eq!(building.fetch_add(1, Ordering::SeqCst), 0, "two have the lock");
            fs::write(staging.file(), "data").unwrap();
            let end = if number.is_multiple_of(3) { None } else { Some(staging) };
            building.fetch_sub(1, Ordering::SeqCst);
            end.map_or(Ok(()), |staging| staging.publish(&origin()).map(drop))
        };
        let published = AtomicUsize::new(0);
        thread::scope(|scope| {
            for first in 0..4 {
                let (restore, published) = (&restore, &published);
                scope.spawn(move || {
                    for number in (first..200).step_by(4) {
                        match restore(number) {
                            Ok(()) => published.fetch_add(1, Ordering::SeqCst),
                            Err(Error::InUse { .. }) => continue,
                            Err(error) => panic!("{form:?}: {error}"),
                        };
                    }
                });
            }
        });
        assert!(published.into_inner() > 0);
        let hidden = home.path().join(".store.keepsum-restoring");
        assert!(!hidden.exists(), "{form:?}: the last one to end leaves nothing");
    }
}

/// A disk on which, as soon as a restore is in its place, another one into the same target begins.
#[derive(Debug, Default)]
struct AnotherBegins {
    staging: Mutex<Option<Staging>>,
}

impl Disk for AnotherBegins {
    fn create_folder(&self, path: &Path) -> Result<()> {
        LocalDisk.create_folder(path)
    }

    fn create_private_folder(&self, path: &Path) -> Result<()> {
        LocalDisk.create_private_folder(path)
    }

    fn set_access(&self, path: &Path, access: Access) -> Result<()> {
        LocalDisk.set_access(path, access)
    }

    fn create_file(&self, path: &Path, mode: u32) -> Result<Box<dyn DiskFile>> {
        LocalDisk.create_file(path, mode)
    }

    fn open_file(&self, path: &Path) -> Result<Box<dyn DiskFile>> {
        LocalDisk.open_file(path)
    }

    fn sync_folder(&self, path: &Path) -> Result<()> {
        LocalDisk.sync_folder(path)
    }

    fn sync_file(&self, path: &Path) -> Result<()> {
        LocalDisk.sync_file(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> Result<()> {
        LocalDisk.rename(from, to)?;
        if to.ends_with("store") {
            let another = begin(to, FOLDER, Existing::KeepAside)?;
            fs::write(another.file(), "another's").unwrap();
            *self.staging.lock().unwrap() = Some(another);
        }
        Ok(())
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        LocalDisk.exchange(one, other)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        LocalDisk.remove(path)
    }
}

/// What has the hidden name after a restore is in its place is another's: it was swept.
#[test]
fn who_is_done_leaves_what_the_next_one_builds() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    let disk = Arc::new(AnotherBegins::default());
    let first = Staging::begin(disk.clone(), &target, FOLDER, Existing::KeepAside).unwrap();
    fs::write(first.file(), "the first").unwrap();
    first.publish(&origin()).unwrap();
    let another = disk.staging.lock().unwrap().take().unwrap();
    assert_eq!(fs::read_to_string(target.join("store")).unwrap(), "the first");
    let aside = another.publish(&origin()).unwrap().kept_aside.unwrap();
    assert_eq!(fs::read_to_string(target.join("store")).unwrap(), "another's");
    assert_eq!(fs::read_to_string(aside.join("store")).unwrap(), "the first");
}
