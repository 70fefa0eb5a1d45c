//! File systems that keep no owners and permissions: FAT, many network shares, NFS for a root that is nobody.

use std::fs::{self, DirBuilder, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

use backup_core::disk::{Access, Disk, DiskFile, LocalDisk};
use backup_core::ownership::{Owner, Ownership};
use backup_core::staging::{Form, Staging};
use backup_core::target::{Existing, Origin};
use backup_core::{Error, Result};

use super::{FOLDER, origin};

/// A disk on which every file and folder may be read by everybody, whatever was asked for.
#[derive(Debug)]
struct Open {
    /// Whether it says so, or does as if it had set them.
    refuses: bool,
}

impl Disk for Open {
    fn create_folder(&self, path: &Path) -> Result<()> {
        LocalDisk.create_folder(path)
    }

    fn create_private_folder(&self, path: &Path) -> Result<()> {
        let made = DirBuilder::new().mode(0o755).create(path);
        made.map_err(Error::io("create the folder", path))?;
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
        Ok(())
    }

    fn set_access(&self, path: &Path, _: Access) -> Result<()> {
        if self.refuses {
            let refused = io::Error::from_raw_os_error(rustix::io::Errno::PERM.raw_os_error());
            return Err(Error::io("set the permissions of", path)(refused));
        }
        Ok(())
    }

    fn create_file(&self, path: &Path, _: u32) -> Result<Box<dyn DiskFile>> {
        LocalDisk.create_file(path, 0o755)
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
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> Result<()> {
        LocalDisk.exchange(one, other)
    }

    fn remove(&self, path: &Path) -> Result<()> {
        LocalDisk.remove(path)
    }
}

/// No folder is private there, so a restore that waits for one never begins.
#[test]
fn a_restore_goes_on_where_nothing_is_private_and_says_so() {
    for form in [FOLDER, Form::File { companions: &["-wal"], logs: &["-wal"] }] {
        for refuses in [true, false] {
            let home = tempfile::tempdir().unwrap();
            let target = home.path().join("store");
            for content in ["one", "two"] {
                let disk = Arc::new(Open { refuses });
                let staging = Staging::begin(disk.clone(), &target, form, Existing::KeepAside);
                let staging = staging.unwrap();
                let file = match form {
                    Form::File { .. } => staging.file(),
                    Form::Folder { .. } => staging.file().with_file_name("CURRENT"),
                };
                disk.create_file(&file, 0o600).unwrap().write_at(0, content.as_bytes()).unwrap();
                let restored = staging.publish(&origin_for_its_owner()).unwrap();
                let said = restored.notes.join(", ");
                // The second one gets what the first one has, and there is nothing to say.
                assert!(content == "two" || said.contains("the file system"), "{refuses}: {said}");
            }
            let file = if target.is_dir() { target.join("CURRENT") } else { target };
            assert_eq!(fs::read_to_string(file).unwrap(), "two");
            let hidden = |name: &str| name.starts_with('.');
            let left = fs::read_dir(home.path()).unwrap().map(|entry| entry.unwrap().file_name());
            assert_eq!(left.filter(|name| hidden(name.to_str().unwrap())).count(), 0);
        }
    }
}

/// The source was its owner's alone.
fn origin_for_its_owner() -> Origin {
    let owner =
        Owner::of_numbers(rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let ownership = Some(Ownership { owner, mode: 0o700, files_mode: Some(0o600) });
    Origin { ownership, ..origin() }
}
