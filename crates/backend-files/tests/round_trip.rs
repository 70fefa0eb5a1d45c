//! Random folders come back byte for byte.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use backend_files::{FilesSource, FilesTarget};
use backup_core::staging::SIDECAR;
use backup_core::target::Existing;
use backup_core::{Error, Result};
use pollster::FutureExt as _;
use proptest::prelude::*;
use testkit::seed::{check, failed};
use testkit::transfer::{transfer, transfer_files};
use testkit::tree::tree;
use testkit::{contents::Contents, noise};

/// Permission bits and content by path.
type Folder = BTreeMap<String, (u32, Vec<u8>)>;

fn folders() -> impl Strategy<Value = Folder> {
    let name = "[a-c]{1,2}|[ .%é#~-]{3,9}|[x-z]{200}";
    let path = proptest::collection::vec(name, 1..4).prop_map(|parts| parts.join("/"));
    let mode = prop::sample::select(vec![0o600, 0o644, 0o755, 0o640, 0o444, 0o777]);
    let content = (any::<u64>(), prop_oneof![Just(0_usize), 1..100_usize, 0..3_000_000_usize])
        .prop_map(|(seed, length)| noise(seed, length));
    proptest::collection::btree_map(path, (mode, content), 1..12)
}

/// Makes those files that can all lie in one folder.
fn make(folder: &Path, files: &Folder) {
    for (path, (mode, content)) in files {
        let path = folder.join(path);
        if fs::create_dir_all(path.parent().unwrap()).is_ok() && fs::write(&path, content).is_ok() {
            fs::set_permissions(&path, Permissions::from_mode(*mode)).unwrap();
        }
    }
}

/// What must come back: the files with their bits and bytes.
fn files(folder: &Path) -> Result<BTreeMap<String, (u32, Vec<u8>)>> {
    let found = tree(folder)?.into_iter().filter_map(|(path, entry)| {
        let path = path.to_str()?.to_owned();
        entry.content.map(|content| (path, (entry.mode, content)))
    });
    Ok(found.filter(|(path, _)| path != SIDECAR).collect())
}

fn same(folder: &Folder) -> Result<bool> {
    let above = tempfile::tempdir().map_err(Error::io("create", "a scratch folder"))?;
    let (from, to) = (above.path().join("from"), above.path().join("to"));
    make(&from, folder);
    let target = FilesTarget::new(&to);
    transfer_files(&FilesSource::folder(&from), &target, Existing::Refuse).block_on()?;
    Ok(files(&from)? == files(&to)?)
}

#[test]
fn any_folder_comes_back() {
    check(24, &folders(), |folder| {
        let same = same(&folder).map_err(|error| failed(&error))?;
        prop_assert!(same, "the restored folder differs");
        Ok(())
    });
}

#[test]
fn records_are_refused_and_told_where_they_can_go() {
    let above = tempfile::tempdir().unwrap();
    let target = FilesTarget::new(above.path().join("store"));
    let mut contents = Contents::new();
    contents.put("default", b"", b"key", "value");
    let error = transfer(&contents, &target, Existing::Refuse).block_on().unwrap_err();
    assert!(matches!(error, Error::Unsupported { .. }));
    assert!(error.to_string().contains("rocksdb:PATH"), "{error}");
    assert_eq!(fs::read_dir(above.path()).unwrap().count(), 0, "a refused restore leaves nothing");
}
