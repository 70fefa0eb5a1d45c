//! Placing files, interrupted and gone on with.

use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use backup_core::disk::LocalDisk;
use backup_core::path::FilePath;
use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::source::{FileInfo, FileNature};
use backup_core::staging::{MARK, Placing, SIDECAR};
use backup_core::target::{Existing, Origin};
use bytes::Bytes;
use pollster::FutureExt as _;

use super::{FOLDER, names, origin};

const FILES: [(&str, &str); 3] =
    [("CURRENT", "current"), ("deep/er", "deeper"), ("table", "a table")];

/// What is said on the way.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl ProgressSink for Notes {
    fn event(&self, event: &Event) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push(note.clone());
        }
    }
}

/// A folder with a target that is not there yet.
struct Ground {
    home: tempfile::TempDir,
    notes: Arc<Notes>,
    context: Context,
}

impl Ground {
    fn new() -> Self {
        let notes = Arc::new(Notes::default());
        let context = Context::new(Arc::clone(&notes) as Arc<dyn ProgressSink>);
        Self { home: tempfile::tempdir().unwrap(), notes, context }
    }

    fn target(&self) -> PathBuf {
        self.home.path().join("store")
    }

    fn hidden(&self) -> PathBuf {
        self.home.path().join(".store.keepsum-restoring")
    }

    /// The files of the plan.
    fn plan() -> Vec<FileInfo> {
        let info = |(path, content): (&str, &str)| FileInfo {
            path: FilePath::new(path).unwrap(),
            bytes: content.len() as u64,
            identity: None,
            mode: 0o640,
            owner: None,
            nature: FileNature::Changing,
        };
        FILES.map(info).to_vec()
    }

    fn begin(&self) -> Placing {
        let (disk, form) = (Arc::new(LocalDisk), FOLDER);
        let files = Self::plan();
        let existing = Existing::Refuse;
        Placing::begin(disk, &self.target(), form, files, existing, &origin(), &self.context)
            .unwrap()
    }

    fn begin_with_holes(&self) -> Placing {
        let (disk, files) = (Arc::new(LocalDisk), Self::plan());
        let (target, existing) = (self.target(), Existing::Refuse);
        Placing::begin_with_holes(disk, &target, FOLDER, files, existing, &self.context).unwrap()
    }

    /// Places the files and half of the last, and is interrupted.
    fn interrupt(&self) {
        let mut placing = self.begin();
        for (number, (_, content)) in FILES.iter().enumerate() {
            let end = if number == 2 { 3 } else { content.len() };
            place(&mut placing, number, 0, &content[..end]).unwrap();
        }
        placing.interrupt();
    }

    /// What is offered of each file.
    fn offered(&self) -> Vec<String> {
        let placing = self.begin();
        let Some(left) = placing.left_over() else {
            placing.interrupt();
            return Vec::new();
        };
        let read = |(number, file): (usize, &FileInfo)| {
            let content = left.read(number, 0..file.bytes).block_on().unwrap();
            String::from_utf8(content.to_vec()).unwrap()
        };
        let offered = left.list().iter().enumerate().map(read).collect();
        placing.interrupt();
        offered
    }

    fn assert_finishes(&self) {
        let mut placing = self.begin();
        for (number, (_, content)) in FILES.iter().enumerate() {
            place(&mut placing, number, 0, content).unwrap();
        }
        placing.complete().unwrap().publish(&origin()).unwrap();
        for (path, content) in FILES {
            let path = self.target().join(path);
            assert_eq!(fs::read_to_string(&path).unwrap(), content);
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        }
        assert_eq!(names(&self.target()), ["CURRENT", SIDECAR, "deep", "table"]);
        assert_eq!(names(self.home.path()), ["store"]);
    }
}

fn place(placing: &mut Placing, file: usize, offset: u64, text: &str) -> backup_core::Result<()> {
    placing.place(file, offset, Bytes::copy_from_slice(text.as_bytes())).block_on()
}

#[test]
fn an_interrupted_restore_is_kept_said_and_gone_on_with() {
    let ground = Ground::new();
    ground.interrupt();
    let said = ground.notes.0.lock().unwrap().join("");
    assert!(said.contains(&ground.hidden().display().to_string()), "{said}");
    assert_eq!(ground.offered(), ["current", "deeper", "a t"]);
    assert_eq!(ground.offered(), ["current", "deeper", "a t"], "looking takes nothing away");
    ground.assert_finishes();
}

#[test]
fn nothing_is_kept_where_nothing_was_placed() {
    let ground = Ground::new();
    ground.begin().interrupt();
    assert_eq!(names(ground.home.path()), [""; 0]);
    assert_eq!(*ground.notes.0.lock().unwrap(), [""; 0]);
}

/// What cannot be the beginning of a file of the plan is removed, so that none of it is published.
#[test]
fn what_is_no_file_of_the_plan_is_removed() {
    let ground = Ground::new();
    ground.interrupt();
    let hidden = ground.hidden();
    fs::write(hidden.join("CURRENT"), "longer than planned").unwrap();
    // Its permission bits say nothing: what it holds is checked.
    fs::set_permissions(hidden.join("deep/er"), Permissions::from_mode(0o444)).unwrap();
    fs::write(hidden.join("other"), "x").unwrap();
    fs::create_dir(hidden.join("folder")).unwrap();
    fs::write(hidden.join("folder/other"), "x").unwrap();
    assert_eq!(ground.offered(), ["", "deeper", "a t"]);
    fs::remove_file(hidden.join("table")).unwrap();
    fs::create_dir(hidden.join("table")).unwrap();
    std::os::unix::fs::symlink("/etc/passwd", hidden.join("CURRENT")).unwrap();
    assert_eq!(ground.offered(), ["", "deeper", ""]);
    ground.assert_finishes();
}

/// A crash may leave the mark itself half-written, or that of another restore.
#[test]
fn without_its_mark_nothing_is_gone_on_with() {
    for mark in ["", "keepsum-restored 1\nsnapshot ab", "keepsum-restored 1\nsnapshot xyz\n"] {
        let ground = Ground::new();
        ground.interrupt();
        fs::write(ground.hidden().join(MARK), mark).unwrap();
        assert_eq!(ground.offered(), [""; 0], "{mark:?}");
        ground.assert_finishes();
    }
}

/// A disk that is full stays so until what was restored is gone.
#[test]
fn where_writing_failed_nothing_is_kept() {
    let ground = Ground::new();
    let mut placing = ground.begin();
    place(&mut placing, 0, 0, "current").unwrap();
    // The folder that the next file is to lie in cannot be made.
    fs::write(ground.hidden().join("deep"), "a file").unwrap();
    assert!(place(&mut placing, 1, 0, "deeper").is_err());
    assert!(place(&mut placing, 2, 0, "a table").is_ok());
    placing.interrupt();
    assert_eq!(names(ground.home.path()), [""; 0]);
    let mut placing = ground.begin();
    assert!(place(&mut placing, 1, 1, "a gap").is_err());
    for (number, (_, content)) in FILES.iter().enumerate() {
        place(&mut placing, number, 0, content).unwrap();
    }
    let finished = placing.complete();
    assert!(finished.is_err(), "{finished:?}");
    assert_eq!(names(ground.home.path()), [""; 0]);
}

#[test]
fn a_cancelled_restore_is_gone_on_with() {
    let ground = Ground::new();
    let context = Context::default();
    let cancelled = Ground { context: context.clone(), ..ground };
    let mut placing = cancelled.begin();
    place(&mut placing, 0, 0, "current").unwrap();
    context.cancel();
    assert!(place(&mut placing, 1, 0, "deeper").is_err());
    placing.interrupt();
    let again = Ground { context: Context::default(), ..cancelled };
    assert_eq!(again.offered(), ["current", "", ""]);
    again.assert_finishes();
}

/// A salvaged file is as long as it was, and zeros are where bytes are lost: at its beginning, within it and at
/// its end.
#[test]
fn what_is_left_out_reads_as_zeros() {
    let ground = Ground::new();
    // What an earlier restore placed there must not show where bytes are lost.
    ground.interrupt();
    let mut placing = ground.begin_with_holes();
    assert!(placing.left_over().is_none());
    place(&mut placing, 0, 0, "cur").unwrap();
    placing.leave_out(0, 3..7).block_on().unwrap();
    placing.leave_out(1, 0..2).block_on().unwrap();
    place(&mut placing, 1, 2, "eper").unwrap();
    place(&mut placing, 2, 0, "a").unwrap();
    placing.leave_out(2, 1..4).block_on().unwrap();
    place(&mut placing, 2, 4, "ble").unwrap();
    let origin = Origin { salvaged: true, ..origin() };
    placing.complete().unwrap().publish(&origin).unwrap();
    for (path, content) in
        [("CURRENT", "cur\0\0\0\0"), ("deep/er", "\0\0eper"), ("table", "a\0\0\0ble")]
    {
        assert_eq!(fs::read_to_string(ground.target().join(path)).unwrap(), content, "{path}");
    }
    assert_eq!(names(ground.home.path()), ["store"]);
}

/// A hole takes no room on the disk.
#[test]
fn a_hole_is_sparse() {
    let ground = Ground::new();
    let files = vec![FileInfo { bytes: 1 << 30, ..Ground::plan().remove(0) }];
    let (disk, context) = (Arc::new(LocalDisk), &ground.context);
    let existing = Existing::Refuse;
    let target = ground.target();
    let mut placing =
        Placing::begin_with_holes(disk, &target, FOLDER, files, existing, context).unwrap();
    place(&mut placing, 0, 0, "current").unwrap();
    placing.leave_out(0, 7..1 << 30).block_on().unwrap();
    placing.complete().unwrap().publish(&origin()).unwrap();
    let found = fs::metadata(target.join("CURRENT")).unwrap();
    assert_eq!(found.len(), 1 << 30);
    assert!(found.blocks() < 1000, "{}", found.blocks());
}

/// Nothing is left out of a store that must be whole, nor by chance.
#[test]
fn only_what_is_said_is_left_out() {
    let ground = Ground::new();
    let mut placing = ground.begin();
    let refused = placing.leave_out(0, 0..7).block_on().unwrap_err();
    assert!(refused.to_string().contains("files:FOLDER"), "{refused}");
    assert!(matches!(refused, backup_core::Error::Unsupported { .. }), "{refused}");
    assert!(placing.complete().is_err(), "it goes on after it failed");
    for hole in [1..3, 0..8, 0..u64::MAX] {
        let mut placing = ground.begin_with_holes();
        assert!(placing.leave_out(0, hole).block_on().is_err());
    }
    let mut placing = ground.begin_with_holes();
    placing.leave_out(0, 0..3).block_on().unwrap();
    assert!(place(&mut placing, 0, 4, "ent").is_err(), "a gap that nobody named");
    drop(placing);
    let mut placing = ground.begin_with_holes();
    place(&mut placing, 0, 0, "current").unwrap();
    assert!(placing.complete().is_err(), "the other files did not come");
    assert_eq!(names(ground.home.path()), [""; 0]);
}
