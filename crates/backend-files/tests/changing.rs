//! Files that change while they are captured, or after, against what was promised.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs::{self, FileTimes, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, MetadataExt, symlink};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use backend_files::{Change, FilesSource, ListedFile};
use backup_core::path::FilePath;
use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::source::View;
use backup_core::{Error, Result, Snapshot, Source};
use bytes::Bytes;
use pollster::FutureExt as _;
use tempfile::TempDir;
use testkit::beside::beside;

fn store() -> (TempDir, PathBuf) {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("store");
    fs::create_dir(&folder).unwrap();
    (above, folder)
}

fn snapshot(source: &FilesSource) -> Result<Box<dyn Snapshot>> {
    source.snapshot(View::Files, &Context::default()).block_on()
}

fn read(snapshot: &dyn Snapshot, file: usize) -> Result<Bytes> {
    let files = snapshot.files().unwrap();
    files.read(file, 0..files.list()[file].bytes).block_on()
}

/// Changes a store in the middle of each capture.
struct Meddler<F>(F);

impl<F: Fn() -> io::Result<()> + Send + Sync> ProgressSink for Meddler<F> {
    fn event(&self, event: &Event) {
        if matches!(event, Event::Advanced { .. }) {
            (self.0)().unwrap();
        }
    }
}

/// The error of a snapshot in whose every try `meddle` changes something.
fn refusal(
    source: &FilesSource,
    meddle: impl Fn() -> io::Result<()> + Send + Sync + 'static,
) -> Error {
    let context = Context::new(Arc::new(Meddler(meddle)));
    source.snapshot(View::Files, &context).block_on().err().expect("it is refused")
}

/// A main file copied while in use is torn or stale; it must not become a snapshot.
#[test]
fn a_file_in_use_is_refused_by_name() {
    let (_above, folder) = store();
    fs::write(folder.join("quiet"), "quiet").unwrap();
    fs::write(folder.join("busy"), [0; 4096]).unwrap();
    let file = OpenOptions::new().write(true).open(folder.join("busy")).unwrap();
    let error = refusal(&FilesSource::folder(&folder), move || file.write_all_at(b"changed", 0));
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("store/busy") && text.contains("make the store quiet"), "{text}");
}

#[test]
fn a_file_in_use_that_is_excluded_is_in_nobodys_way() {
    let (_above, folder) = store();
    fs::write(folder.join("quiet"), "quiet").unwrap();
    let busy = folder.join("busy");
    let context = Context::new(Arc::new(Meddler(move || fs::write(&busy, "changed"))));
    let source = FilesSource::folder(&folder).exclude("busy").unwrap();
    let taken = source.snapshot(View::Files, &context).block_on().unwrap();
    assert_eq!(read(taken.as_ref(), 0).unwrap(), "quiet");
    assert!(folder.join("busy").exists());
}

/// The size does not move and the time of change is put back: the inode's own time tells.
#[test]
fn a_change_that_hides_is_seen() {
    let (_above, folder) = store();
    let path = folder.join("busy");
    fs::write(&path, [0; 4096]).unwrap();
    let modified = fs::metadata(&path).unwrap().modified().unwrap();
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    let error = refusal(&FilesSource::folder(&folder), move || {
        file.write_all_at(b"changed", 0)?;
        file.set_times(FileTimes::new().set_modified(modified))
    });
    assert!(error.to_string().contains("store/busy"), "{error}");
}

#[test]
fn files_that_come_and_go_are_seen() {
    let (_above, folder) = store();
    fs::write(folder.join("data"), "data").unwrap();
    let comes = folder.join("comes");
    let made = comes.clone();
    // Each try meets it in the state that the one before left it in.
    let error = refusal(&FilesSource::folder(&folder), move || {
        if made.exists() { fs::remove_file(&made) } else { fs::write(&made, "new") }
    });
    assert!(error.to_string().contains("store/comes"), "{error}");
}

/// What is swapped for a link while it is captured is not followed.
#[test]
fn a_file_that_becomes_a_link_is_not_followed() {
    let (above, folder) = store();
    let secret = above.path().join("secret");
    fs::write(&secret, "secret").unwrap();
    for name in ["a", "b"] {
        fs::write(folder.join(name), "plain").unwrap();
    }
    let b = folder.join("b");
    let error = refusal(&FilesSource::folder(&folder), move || {
        fs::remove_file(&b).or_else(|_| fs::write(&b, "plain"))?;
        symlink(&secret, &b).or(Ok(()))
    });
    let named = error.to_string().contains("store/b");
    assert!(named && !matches!(error, Error::Io { .. }), "{error}");
}

/// Whatever gets through beside a writer is of one moment: the writer changes two files in turn, and the
/// second is never more than a step behind.
#[test]
fn what_is_taken_beside_a_writer_is_of_one_moment() {
    let (_above, folder) = store();
    let names = ["first", "second"].map(|name| folder.join(name));
    let write = |round: u64| -> io::Result<()> {
        names.iter().try_for_each(|path| {
            let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
            // At both ends of a long file, so that a torn copy shows.
            file.write_all_at(&round.to_le_bytes(), 0)?;
            file.write_all_at(&round.to_le_bytes(), 1 << 20)
        })
    };
    write(0).unwrap();
    let work = |round| {
        thread::sleep(Duration::from_millis(round % 60));
        write(round).map_err(Error::io("write to", &folder))
    };
    let mut taken = 0;
    beside(work, || {
        for _ in 0..60 {
            match snapshot(&FilesSource::folder(&folder)) {
                Err(Error::InUse { .. }) => {}
                Err(other) => return Err(other),
                Ok(found) => {
                    taken += 1;
                    assert_one_moment(&[read(found.as_ref(), 0)?, read(found.as_ref(), 1)?]);
                }
            }
        }
        Ok(())
    })
    .unwrap();
    assert!(taken > 0, "the writer left time for none of 60 snapshots");
}

/// The numbers in the order in which they are written fall at most once, and by one.
fn assert_one_moment(files: &[Bytes; 2]) {
    let number =
        |bytes: &Bytes, at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap());
    let numbers: Vec<_> =
        files.iter().flat_map(|file| [number(file, 0), number(file, 1 << 20)]).collect();
    let falling = numbers.is_sorted_by(|one, next| one >= next);
    assert!(falling && numbers[0] - numbers[3] <= 1, "no moment had these: {numbers:?}");
}

/// Two writes in one tick of the clock look the same: a file is taken only when it has been left alone
/// for longer than that. In each round the one just before the snapshot must be in it.
#[test]
fn a_write_just_before_is_in_the_snapshot() {
    let (_above, folder) = store();
    let path = folder.join("data");
    for round in 0..20_u64 {
        fs::write(&path, round.to_le_bytes()).unwrap();
        let taken = snapshot(&FilesSource::folder(&folder)).unwrap();
        fs::write(&path, u64::MAX.to_le_bytes()).unwrap();
        assert_eq!(read(taken.as_ref(), 0).unwrap(), &round.to_le_bytes()[..]);
    }
}

/// One listed file of a store, and the source that lists it.
fn listed(change: Change) -> (TempDir, PathBuf, FilesSource) {
    let (above, folder) = store();
    let path = folder.join("segment");
    fs::write(&path, "complete").unwrap();
    let mut file = ListedFile::new(FilePath::new("segment").unwrap());
    file.change = change;
    (above, path, FilesSource::list(folder, vec![file]))
}

/// How many names the file has: two while a snapshot holds it by a hard link.
fn links(path: &PathBuf) -> u64 {
    fs::metadata(path).unwrap().nlink()
}

/// Where there are no reflinks, what is promised not to change is linked and never copied.
#[test]
fn promised_files_are_not_copied() {
    for change in [Change::Never, Change::Appended] {
        let (_above, path, source) = listed(change);
        let taken = snapshot(&source).unwrap();
        assert_eq!(taken.info().notes, [] as [&str; 0], "nothing was copied");
        fs::remove_file(&path).unwrap();
        assert_eq!(read(taken.as_ref(), 0).unwrap(), "complete", "kept by the snapshot");
    }
    let (_above, path, source) = listed(Change::InPlace);
    let taken = snapshot(&source).unwrap();
    assert_eq!(links(&path), 1, "a file that may change in place is never linked");
    assert!(taken.info().notes.len() <= 1);
}

#[test]
fn what_is_appended_later_is_not_in_the_snapshot() {
    let (_above, path, source) = listed(Change::Appended);
    let taken = snapshot(&source).unwrap();
    OpenOptions::new().append(true).open(&path).unwrap().write_all(b" and more").unwrap();
    assert_eq!(taken.files().unwrap().list()[0].bytes, 8);
    assert_eq!(read(taken.as_ref(), 0).unwrap(), "complete");
}

/// A caller who promised wrongly is told, and gets no mixture.
#[test]
fn a_broken_promise_is_damage() {
    let (_above, path, source) = listed(Change::Never);
    let taken = snapshot(&source).unwrap();
    let linked = links(&path) == 2;
    thread::sleep(Duration::from_millis(20));
    OpenOptions::new().write(true).open(&path).unwrap().write_all(b"CHANGED!").unwrap();
    match read(taken.as_ref(), 0) {
        Ok(bytes) => assert!(!linked && bytes == "complete", "a reflink keeps what was"),
        Err(Error::Damaged { what, detail }) => {
            assert!(linked && what.contains("segment") && detail.contains("InPlace"), "{detail}");
        }
        Err(other) => panic!("expected Damaged, found {other:?}"),
    }
    let (_above, path, source) = listed(Change::Appended);
    let taken = snapshot(&source).unwrap();
    let linked = links(&path) == 2;
    OpenOptions::new().write(true).open(&path).unwrap().set_len(3).unwrap();
    let answer = read(taken.as_ref(), 0);
    assert!(!linked || matches!(answer, Err(Error::Damaged { .. })), "{answer:?}");
}
