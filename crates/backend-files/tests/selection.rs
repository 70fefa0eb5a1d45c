//! Which files are taken, and which are refused by name.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

use backend_files::{Change, FilesSource, ListedFile};
use backup_core::path::FilePath;
use backup_core::progress::Context;
use backup_core::source::{FileNature, View};
use backup_core::staging::SIDECAR;
use backup_core::{Error, Result, Snapshot, Source};
use pollster::FutureExt as _;
use rustix::fs::{CWD, FileType, Mode};
use tempfile::TempDir;

/// A folder with these files, each with its own path as content.
fn store(files: &[&str]) -> TempDir {
    let above = tempfile::tempdir().unwrap();
    for file in files {
        let path = above.path().join("store").join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, file).unwrap();
    }
    above
}

fn folder(above: &TempDir) -> FilesSource {
    FilesSource::folder(above.path().join("store"))
}

fn snapshot(source: &FilesSource) -> Result<Box<dyn Snapshot>> {
    source.snapshot(View::Files, &Context::default()).block_on()
}

fn paths(source: &FilesSource) -> Vec<String> {
    let snapshot = snapshot(source).unwrap();
    snapshot.files().unwrap().list().iter().map(|file| file.path.to_string()).collect()
}

fn refusal(source: &FilesSource) -> String {
    snapshot(source).err().expect("the snapshot is refused").to_string()
}

#[test]
fn everything_below_the_folder_is_taken_in_order() {
    let above = store(&["b", "a/z", "a-b", "a/y/x", ".hidden"]);
    assert_eq!(paths(&folder(&above)), [".hidden", "a-b", "a/y/x", "a/z", "b"]);
}

#[test]
fn patterns_include_and_exclude() {
    let above = store(&["a.db", "b.db", "wal/1.log", "wal/old/0.log", "cache/x.db", "notes"]);
    let source = || folder(&above);
    assert_eq!(paths(&source().include("*.db").unwrap()), ["a.db", "b.db"]);
    assert_eq!(paths(&source().include("**/*.db").unwrap()), ["a.db", "b.db", "cache/x.db"]);
    let both = source().include("*.db").unwrap().include("wal").unwrap();
    assert_eq!(paths(&both), ["a.db", "b.db", "wal/1.log", "wal/old/0.log"]);
    let without = source().exclude("cache").unwrap().exclude("wal/*/**").unwrap();
    assert_eq!(paths(&without), ["a.db", "b.db", "notes", "wal/1.log"]);
    let strict = source().include("**/*.db").unwrap().exclude("b.*").unwrap();
    assert_eq!(paths(&strict), ["a.db", "cache/x.db"]);
}

#[test]
fn a_pattern_that_is_none_is_refused_with_its_reason() {
    let error = FilesSource::folder("/anything").include("a[").err().unwrap();
    assert!(error.to_string().starts_with(r#"the pattern "a[": "#), "{error}");
    let listed = FilesSource::list("/anything", Vec::new()).exclude("a");
    assert!(matches!(listed.err(), Some(Error::Invalid { .. })));
}

/// What looks like a file and is none must not be left out in silence, nor followed.
#[test]
fn links_sockets_and_pipes_are_refused_by_name() {
    let above = store(&["data"]);
    let special = above.path().join("store/special");
    let refused = |what: &str| {
        let text = refusal(&folder(&above));
        assert!(text.contains("store/special is not possible here"), "{text}");
        assert!(text.contains(what) && text.contains("exclude it"), "{text}");
        assert_eq!(paths(&folder(&above).exclude("special").unwrap()), ["data"]);
        fs::remove_file(&special).unwrap();
    };
    symlink("data", &special).unwrap();
    refused("a symbolic link");
    symlink("/", &special).unwrap();
    refused("a symbolic link");
    symlink("nowhere", &special).unwrap();
    refused("a symbolic link");
    let socket = UnixListener::bind(&special).unwrap();
    refused("a socket");
    drop(socket);
    rustix::fs::mknodat(CWD, &special, FileType::Fifo, Mode::RUSR, 0).unwrap();
    refused("a named pipe");
    assert_eq!(paths(&folder(&above)), ["data"]);
}

#[test]
fn a_name_that_no_backup_can_keep_is_refused() {
    let above = store(&["data"]);
    let odd = above.path().join("store").join(OsStr::from_bytes(b"odd\xff"));
    fs::write(&odd, "").unwrap();
    let text = refusal(&folder(&above));
    assert!(text.contains("UTF-8") && text.contains("odd"), "{text}");
    assert_eq!(paths(&folder(&above).exclude("odd*").unwrap()), ["data"]);
    fs::remove_file(odd).unwrap();
    fs::write(above.path().join("store/back\\slash"), "").unwrap();
    let text = refusal(&folder(&above));
    assert!(text.contains("backslash"), "{text}");
}

#[test]
fn nothing_to_back_up_is_an_error() {
    let above = store(&["data"]);
    for source in [
        FilesSource::folder(above.path().join("elsewhere")),
        folder(&above).include("*.db").unwrap(),
        FilesSource::list(above.path().join("store"), Vec::new()),
    ] {
        let answer = snapshot(&source).err();
        assert!(matches!(answer, Some(Error::NotFound { .. })), "{answer:?}");
    }
    let file = FilesSource::folder(above.path().join("store/data"));
    let text = refusal(&file);
    assert!(text.contains("is no folder"), "{text}");
}

#[test]
fn what_is_not_kept_is_told() {
    let above = store(&["data", SIDECAR, "store.keepsum-old/data"]);
    fs::create_dir_all(above.path().join("store/empty/er")).unwrap();
    let snapshot = snapshot(&folder(&above)).unwrap();
    assert_eq!(snapshot.files().unwrap().list().len(), 1);
    let notes = snapshot.info().notes.join("\n");
    assert!(notes.contains("1 empty folders are not kept, empty/er among them"), "{notes}");
    assert!(notes.contains(SIDECAR) && notes.contains("store.keepsum-old"), "{notes}");
}

fn listed(path: &str) -> ListedFile {
    ListedFile::new(FilePath::new(path).unwrap())
}

#[test]
fn a_list_is_taken_as_it_is() {
    let above = store(&["a", "b", "c/d"]);
    let mut segment = listed("c/d");
    segment.change = Change::Never;
    segment.identity = Some(b"segment 1".to_vec());
    let source = FilesSource::list(above.path().join("store"), vec![segment, listed("a")]);
    let snapshot = snapshot(&source).unwrap();
    let [a, d] = snapshot.files().unwrap().list() else { panic!("two files are listed") };
    assert_eq!((a.path.as_str(), a.nature, &a.identity), ("a", FileNature::Changing, &None));
    assert_eq!((d.path.as_str(), d.nature), ("c/d", FileNature::Immutable));
    assert_eq!(d.identity.as_deref(), Some(&b"segment 1"[..]));
}

#[test]
fn a_list_that_cannot_be_taken_is_refused() {
    let above = store(&["a", "b/c"]);
    let inside = above.path().join("store");
    symlink(above.path().join("store/b"), inside.join("link")).unwrap();
    let answer = |list: Vec<ListedFile>| snapshot(&FilesSource::list(&inside, list)).err().unwrap();
    assert!(matches!(answer(vec![listed("gone")]), Error::NotFound { .. }));
    assert!(matches!(answer(vec![listed("a"), listed("a")]), Error::Invalid { .. }));
    assert!(matches!(answer(vec![listed("b")]), Error::Unsupported { .. }));
    assert!(matches!(answer(vec![listed("link")]), Error::Unsupported { .. }));
    // The way to a file must not leave the folder either.
    let text = answer(vec![listed("link/c")]).to_string();
    assert!(text.contains("store/link") && text.contains("a symbolic link"), "{text}");
}

#[test]
fn a_source_named_through_a_link_is_taken() {
    let above = store(&["data"]);
    let link = above.path().join("link");
    symlink("store", &link).unwrap();
    assert_eq!(paths(&FilesSource::folder(&link)), ["data"]);
    let location = FilesSource::folder(&link).describe().location;
    assert_eq!(location, format!("files:{}", Path::new(&link).display()));
}
