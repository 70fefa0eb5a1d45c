//! The store goes on after every pause, whatever happens in it.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use backend_files::FilesSource;
use backend_files::Quiesce;
use backup_core::position::{Consistency, Position};
use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::source::View;
use backup_core::{Error, Result, Snapshot, Source};
use pollster::FutureExt as _;
use tempfile::TempDir;

/// Writes down what is asked of it, and does what a test says.
#[derive(Default)]
struct Owner {
    calls: Mutex<Vec<&'static str>>,
    on_pause: Option<fn() -> Result<Position>>,
    on_resume: Option<fn() -> Result<()>>,
    /// Milliseconds; a pause takes 40.
    time: AtomicU64,
}

impl Quiesce for Owner {
    fn pause(&self) -> Result<Position> {
        self.calls.lock().unwrap().push("pause");
        self.time.fetch_add(40, Ordering::SeqCst);
        self.on_pause.map_or(Ok(Position::Named("checkpoint 7".into())), |answer| answer())
    }

    fn resume(&self) -> Result<()> {
        self.calls.lock().unwrap().push("resume");
        self.time.fetch_add(2, Ordering::SeqCst);
        self.on_resume.map_or(Ok(()), |answer| answer())
    }
}

fn refusal() -> Error {
    Error::invalid("the owner", "says no")
}

fn store() -> TempDir {
    let above = tempfile::tempdir().unwrap();
    let folder = above.path().join("store");
    fs::create_dir(&folder).unwrap();
    fs::write(folder.join("data"), "content").unwrap();
    above
}

fn source(above: &TempDir, owner: &Arc<Owner>) -> FilesSource {
    let (owner, timer) = (Arc::clone(owner), Arc::clone(owner));
    let clock = move || Duration::from_millis(timer.time.load(Ordering::SeqCst));
    FilesSource::folder(above.path().join("store")).quiesce(owner, Arc::new(clock))
}

fn snapshot(source: &FilesSource) -> Result<Box<dyn Snapshot>> {
    source.snapshot(View::Files, &Context::default()).block_on()
}

/// Only the store is left: no scratch folder.
fn assert_nothing_left(above: &TempDir) {
    let names: Vec<_> =
        fs::read_dir(above.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["store"]);
}

#[test]
fn a_pause_gives_position_and_length() {
    let (above, owner) = (store(), Arc::new(Owner::default()));
    let source = source(&above, &owner);
    let snapshot = snapshot(&source).unwrap();
    let info = snapshot.info();
    assert_eq!(info.position, Position::Named("checkpoint 7".into()));
    assert_eq!(info.consistency, Consistency::PointInTime);
    assert_eq!(info.pause, Some(Duration::from_millis(42)));
    assert!(source.capabilities().point_in_time);
    assert_eq!(*owner.calls.lock().unwrap(), ["pause", "resume"]);
}

#[test]
fn left_alone_it_is_what_a_crash_leaves() {
    let above = store();
    let source = FilesSource::folder(above.path().join("store"));
    let snapshot = snapshot(&source).unwrap();
    assert_eq!(snapshot.info().position, Position::Unknown);
    assert_eq!(snapshot.info().consistency, Consistency::Crash);
    assert_eq!(snapshot.info().pause, None);
    assert!(!source.capabilities().point_in_time);
}

#[test]
fn the_store_is_resumed_before_the_snapshot_is_read() {
    let (above, owner) = (store(), Arc::new(Owner::default()));
    let snapshot = snapshot(&source(&above, &owner)).unwrap();
    assert_eq!(owner.calls.lock().unwrap().last(), Some(&"resume"));
    fs::write(above.path().join("store/data"), "written after the pause").unwrap();
    let bytes = snapshot.files().unwrap().read(0, 0..7).block_on().unwrap();
    assert_eq!(bytes, "content");
}

#[test]
fn it_is_resumed_when_the_pause_fails() {
    let (above, mut owner) = (store(), Owner::default());
    owner.on_pause = Some(|| Err(refusal()));
    let owner = Arc::new(owner);
    let error = snapshot(&source(&above, &owner)).err().unwrap();
    assert_eq!(error.to_string(), "the owner: says no");
    assert_eq!(*owner.calls.lock().unwrap(), ["pause", "resume"]);
    assert_nothing_left(&above);
}

#[test]
fn it_is_resumed_when_the_pause_panics() {
    let (above, mut owner) = (store(), Owner::default());
    owner.on_pause = Some(|| panic!("the owner panics, as this test wants"));
    let owner = Arc::new(owner);
    assert!(snapshot(&source(&above, &owner)).is_err());
    assert_eq!(*owner.calls.lock().unwrap(), ["pause", "resume"]);
    assert_nothing_left(&above);
}

#[test]
fn it_is_resumed_when_the_capture_fails() {
    let (above, owner) = (store(), Arc::new(Owner::default()));
    std::os::unix::fs::symlink("data", above.path().join("store/link")).unwrap();
    assert!(matches!(snapshot(&source(&above, &owner)), Err(Error::Unsupported { .. })));
    assert_eq!(*owner.calls.lock().unwrap(), ["pause", "resume"]);
    assert_nothing_left(&above);
}

/// Cancels when the capture begins, with the store paused.
struct CancelInThePause(Mutex<Option<Context>>);

impl ProgressSink for CancelInThePause {
    fn event(&self, event: &Event) {
        if let (Event::Phase { .. }, Some(context)) = (event, &*self.0.lock().unwrap()) {
            context.cancel();
        }
    }
}

#[test]
fn it_is_resumed_when_the_backup_is_cancelled() {
    let (above, owner) = (store(), Arc::new(Owner::default()));
    let sink = Arc::new(CancelInThePause(Mutex::new(None)));
    let context = Context::new(sink.clone());
    *sink.0.lock().unwrap() = Some(context.clone());
    let answer = source(&above, &owner).snapshot(View::Files, &context).block_on();
    assert!(matches!(answer, Err(Error::Cancelled)));
    assert_eq!(*owner.calls.lock().unwrap(), ["pause", "resume"]);
    assert_nothing_left(&above);
}

#[test]
fn it_is_resumed_when_nobody_waits_any_more() {
    let (above, owner) = (store(), Arc::new(Owner::default()));
    let source = source(&above, &owner);
    let context = Context::default();
    let mut snapshot = source.snapshot(View::Files, &context);
    let mut polled = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(snapshot.as_mut().poll(&mut polled).is_pending());
    drop(snapshot);
    let resumed = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        *owner.calls.lock().unwrap() == ["pause", "resume"]
    });
    assert!(resumed, "the calls: {:?}", owner.calls.lock().unwrap());
    let swept = (0..500).any(|_| {
        thread::sleep(Duration::from_millis(10));
        fs::read_dir(above.path()).unwrap().count() == 1
    });
    assert!(swept, "the scratch folder stayed");
}

/// A store that stays paused is worse than a backup that fails.
#[test]
fn a_store_that_cannot_be_resumed_is_an_error() {
    let (above, mut owner) = (store(), Owner::default());
    owner.on_resume = Some(|| Err(refusal()));
    let error = snapshot(&source(&above, &Arc::new(owner))).err().unwrap();
    assert_eq!(error.to_string(), "the owner: says no");
    assert_nothing_left(&above);
}

#[test]
fn what_changes_in_a_pause_is_named() {
    /// Says it is quiet, and goes on writing.
    struct Liar(std::path::PathBuf);

    impl ProgressSink for Liar {
        fn event(&self, event: &Event) {
            if matches!(event, Event::Advanced { .. }) {
                fs::write(&self.0, "changed in the pause").unwrap();
            }
        }
    }

    let (above, owner) = (store(), Arc::new(Owner::default()));
    let path = above.path().join("store/data");
    let context = Context::new(Arc::new(Liar(path.clone())));
    let error = source(&above, &owner).snapshot(View::Files, &context).block_on().err().unwrap();
    let expected =
        format!("{} is in use; it changed while the store was said to be quiet", real(&path));
    assert!(error.to_string().starts_with(&expected), "{error}");
    assert_eq!(*owner.calls.lock().unwrap(), ["pause", "resume"]);
}

fn real(path: &Path) -> String {
    path.canonicalize().unwrap().display().to_string()
}

#[test]
fn two_snapshots_do_not_pause_in_each_others_pause() {
    let (above, owner) = (store(), Arc::new(Owner::default()));
    let source = source(&above, &owner);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| snapshot(&source).unwrap());
        }
    });
    let calls = owner.calls.lock().unwrap();
    assert_eq!(calls.len(), 16);
    assert!(calls.chunks(2).all(|turn| turn == ["pause", "resume"]), "{calls:?}");
}
