//! Publishing a store beside its target: at once, or not at all.

use std::fs;
use std::path::Path;
use std::process::Command;

use backup_core::staging::{Form, MARK, SIDECAR};
use backup_core::target::Existing;
use backup_core::{Error, Result};

use super::{FOLDER, begin, names, origin};

/// Restores a folder with two files that say `content`.
fn restore_folder(target: &Path, existing: Existing, content: &str) -> Result<Option<String>> {
    let staging = begin(target, FOLDER, existing)?;
    fs::write(staging.folder().join("CURRENT"), content).unwrap();
    fs::write(staging.folder().join("data"), content).unwrap();
    let aside = staging.publish(&origin())?.kept_aside;
    Ok(aside.map(|path| path.file_name().unwrap().to_str().unwrap().to_owned()))
}

#[test]
fn a_folder_appears_whole_with_its_sidecar() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    let staging = begin(&target, FOLDER, Existing::Refuse).unwrap();
    fs::write(staging.folder().join("CURRENT"), "x").unwrap();
    assert!(!target.exists(), "nothing is in place before it is published");
    assert_eq!(staging.publish(&origin()).unwrap().kept_aside, None);
    assert_eq!(names(&target), ["CURRENT", SIDECAR]);
    assert_eq!(names(home.path()), ["store"], "nothing is left beside it");
    let sidecar = fs::read_to_string(target.join(SIDECAR)).unwrap();
    assert_eq!(sidecar, "keepsum-restored 1\nsnapshot abc\nposition sequence 1\ntaken then\n");
}

#[test]
fn what_is_there_is_refused_or_kept_aside() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    fs::create_dir(&target).unwrap();
    let free = restore_folder(&target, Existing::Refuse, "one").unwrap();
    assert_eq!(free, None, "an empty folder is a free target");
    let refused = restore_folder(&target, Existing::Refuse, "two");
    assert!(matches!(refused, Err(Error::Occupied { .. })), "{refused:?}");
    let aside = restore_folder(&target, Existing::KeepAside, "two").unwrap();
    assert_eq!(aside.as_deref(), Some("store.keepsum-old"));
    let aside = restore_folder(&target, Existing::KeepAside, "three").unwrap();
    assert_eq!(aside.as_deref(), Some("store.keepsum-old-2"));
    for (name, content) in
        [("store", "three"), ("store.keepsum-old", "one"), ("store.keepsum-old-2", "two")]
    {
        let data = home.path().join(name).join("data");
        assert_eq!(fs::read_to_string(data).unwrap(), content);
    }
}

/// A restore that ends early, by an error or a crash, leaves what was there; the next one sweeps.
#[test]
fn an_unfinished_restore_changes_nothing_and_is_swept() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    restore_folder(&target, Existing::Refuse, "old").unwrap();
    let staging = begin(&target, FOLDER, Existing::KeepAside).unwrap();
    fs::write(staging.folder().join("half"), "half").unwrap();
    let second = begin(&target, FOLDER, Existing::KeepAside);
    assert!(matches!(second, Err(Error::InUse { .. })), "two restores at once");
    drop(staging);
    assert_eq!(names(home.path()), ["store"]);
    // What a crash leaves: the hidden folder with half a store in it.
    let hidden = home.path().join(".store.keepsum-restoring");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join(MARK), "").unwrap();
    fs::write(hidden.join("half"), "half").unwrap();
    restore_folder(&target, Existing::KeepAside, "new").unwrap();
    assert_eq!(names(&target), ["CURRENT", SIDECAR, "data"]);
    assert_eq!(names(home.path()), ["store", "store.keepsum-old"]);
}

/// A hidden folder without the mark is the store that was exchanged for the new one, by a restore that
/// was cut off before it put it aside. It was swept by the next restore, and lost.
#[test]
fn a_store_that_was_exchanged_and_not_yet_aside_is_kept() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    restore_folder(&target, Existing::Refuse, "one").unwrap();
    let hidden = home.path().join(".store.keepsum-restoring");
    fs::create_dir(&hidden).unwrap();
    fs::write(hidden.join("data"), "older").unwrap();
    restore_folder(&target, Existing::KeepAside, "two").unwrap();
    let aside = ["store.keepsum-old", "store.keepsum-old-2"];
    assert_eq!(names(home.path()), [&["store"][..], &aside].concat());
    let data = |name| fs::read_to_string(home.path().join(name).join("data")).unwrap();
    assert_eq!((data(aside[0]), data(aside[1])), ("older".into(), "one".into()));
}

#[test]
fn a_file_is_published_with_its_sidecar_beside_it() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("copy.bcs");
    for (content, aside) in [("one", None), ("two", Some("copy.bcs.keepsum-old"))] {
        let staging =
            begin(&target, Form::File { companions: &[], logs: &[] }, Existing::KeepAside).unwrap();
        fs::write(staging.file(), content).unwrap();
        let kept = staging.publish(&origin()).unwrap().kept_aside;
        assert_eq!(kept, aside.map(|name| home.path().join(name)));
        assert_eq!(fs::read_to_string(&target).unwrap(), content);
    }
    let aside = ["copy.bcs.keepsum-old", "copy.bcs.keepsum-old.keepsum"];
    assert_eq!(names(home.path()), [&["copy.bcs", "copy.bcs.keepsum"][..], &aside].concat());
    let folder = begin(home.path(), Form::File { companions: &[], logs: &[] }, Existing::KeepAside);
    assert!(matches!(folder, Err(Error::Invalid { .. })), "a folder where a file is to be");
}

#[test]
fn a_folder_above_that_is_not_there_is_named() {
    let home = tempfile::tempdir().unwrap();
    let missing = begin(&home.path().join("no/store"), FOLDER, Existing::Refuse);
    assert!(matches!(missing, Err(Error::NotFound { .. })), "{missing:?}");
}

/// A file system that is mounted where the store is to be cannot be renamed over.
#[test]
fn a_mount_point_is_filled_from_within() {
    let home = tempfile::tempdir().unwrap();
    let target = home.path().join("store");
    fs::create_dir(&target).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&target).status();
    if !mounted.is_ok_and(|status| status.success()) {
        assert!(std::env::var_os("KEEPSUM_TEST_ALL").is_none(), "cannot mount a file system");
        println!("skipped: this user or system cannot mount a file system");
        return;
    }
    let outcome = std::panic::catch_unwind(|| {
        assert_eq!(restore_folder(&target, Existing::Refuse, "one").unwrap(), None);
        assert_eq!(names(&target), ["CURRENT", SIDECAR, "data"]);
        assert!(restore_folder(&target, Existing::Refuse, "two").is_err());
        let aside = restore_folder(&target, Existing::KeepAside, "two").unwrap();
        assert_eq!(aside.as_deref(), Some("store.keepsum-old"));
        assert_eq!(names(&target), ["CURRENT", SIDECAR, "data", "store.keepsum-old"]);
        assert_eq!(fs::read_to_string(target.join("data")).unwrap(), "two");
        assert_eq!(fs::read_to_string(target.join("store.keepsum-old/data")).unwrap(), "one");
    });
    let unmounted = Command::new("umount").arg(&target).status().unwrap();
    assert!(unmounted.success());
    assert!(outcome.is_ok(), "see the panic above");
}
