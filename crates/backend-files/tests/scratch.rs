//! What a snapshot holds on disk, and for how long.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs;
use std::path::{Path, PathBuf};

use backend_files::FilesSource;
use backup_core::progress::Context;
use backup_core::source::View;
use backup_core::{Result, Snapshot, Source};
use pollster::FutureExt as _;
use tempfile::TempDir;

fn store() -> (TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("store");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("data"), "content").unwrap();
    (above, folder)
}

fn snapshot(source: &FilesSource) -> Result<Box<dyn Snapshot>> {
    source.snapshot(View::Files, &Context::default()).block_on()
}

fn scratches(above: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(above).unwrap().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.to_string_lossy().contains("keepsum-snapshot")).collect()
}

#[test]
fn it_lies_beside_the_source_and_goes_with_the_snapshot() {
    let (above, folder) = store();
    let taken = snapshot(&FilesSource::folder(&folder)).unwrap();
    let found = scratches(above.path());
    assert_eq!(found.len(), 1);
    let name = found[0].file_name().unwrap().to_string_lossy().into_owned();
    assert!(name.starts_with(".store.keepsum-snapshot-"), "{name}");
    drop(taken);
    assert_eq!(scratches(above.path()), [] as [PathBuf; 0]);
    assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "the source has what it had");
}

/// The content of a store is nobody else's business while it lies in a scratch folder.
#[test]
fn it_is_the_owners_alone() {
    use std::os::unix::fs::PermissionsExt;
    let (above, folder) = store();
    let _taken = snapshot(&FilesSource::folder(&folder)).unwrap();
    let mode = fs::metadata(&scratches(above.path())[0]).unwrap().permissions().mode();
    assert_eq!(mode & 0o077, 0, "{mode:o}");
}

#[test]
fn what_a_crash_left_is_swept_and_what_is_held_is_not() {
    let (above, folder) = store();
    let left = above.path().join(".store.keepsum-snapshot-crash");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("00000000"), "half").unwrap();
    let another = above.path().join(".other.keepsum-snapshot-crash");
    fs::create_dir(&another).unwrap();
    let file = above.path().join(".store.keepsum-snapshot-file");
    fs::write(&file, "no folder, not ours").unwrap();
    let source = FilesSource::folder(&folder);
    let first = snapshot(&source).unwrap();
    assert!(!left.exists(), "a leftover stayed");
    assert!(another.exists() && file.exists(), "something else was swept");
    let second = snapshot(&source).unwrap();
    let bytes = first.files().unwrap().read(0, 0..7).block_on().unwrap();
    assert_eq!(bytes, "content", "the first snapshot, after a second one swept");
    drop((first, second));
}

/// A name that is a link to elsewhere is no leftover, whatever it is called.
#[test]
fn sweeping_does_not_follow_links() {
    let (above, folder) = store();
    let precious = above.path().join("precious");
    fs::create_dir(&precious).unwrap();
    fs::write(precious.join("file"), "precious").unwrap();
    let link = above.path().join(".store.keepsum-snapshot-link");
    std::os::unix::fs::symlink(&precious, &link).unwrap();
    snapshot(&FilesSource::folder(&folder)).unwrap();
    assert_eq!(fs::read_to_string(precious.join("file")).unwrap(), "precious");
}

#[test]
fn it_can_lie_elsewhere() {
    let (above, folder) = store();
    let elsewhere = tempfile::tempdir().unwrap();
    let source = FilesSource::folder(&folder).scratch_in(elsewhere.path());
    let taken = snapshot(&source).unwrap();
    assert_eq!(scratches(above.path()), [] as [PathBuf; 0]);
    assert_eq!(scratches(elsewhere.path()).len(), 1);
    let bytes = taken.files().unwrap().read(0, 0..7).block_on().unwrap();
    assert_eq!(bytes, "content");
}

#[test]
fn a_failed_snapshot_leaves_nothing() {
    let (above, folder) = store();
    std::os::unix::fs::symlink("data", folder.join("link")).unwrap();
    assert!(snapshot(&FilesSource::folder(&folder)).is_err());
    assert_eq!(scratches(above.path()), [] as [PathBuf; 0]);
}
