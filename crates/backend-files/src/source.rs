//! The files as something that is backed up.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use backup_core::ownership::Ownership;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::source::{
    Capabilities, Layout, SnapshotInfo, StoreDescription, View, no_such_view,
};
use backup_core::stamp::Stamp;
use backup_core::{Error, Result, Snapshot, Source, thread};

use crate::capture::{Capture, Outcome, Way, capture};
use crate::quiesce::{Clock, Quiesce, Quieting};
use crate::scratch::Scratch;
use crate::selection::{ListedFile, Patterns, Selection};
use crate::snapshot::FilesSnapshot;
use crate::{ABILITIES, ENGINE, describe};

/// How often a source that is not made quiet is captured before it is given up.
const TRIES: u32 = 5;

/// How long the first try waits for the next; each waits longer.
const WAIT: Duration = Duration::from_millis(20);

/// A folder, or a list of files in it, that an engine of your own keeps durable.
///
/// ```no_run
/// use std::sync::Arc;
/// use std::time::Instant;
/// use backend_files::{FilesSource, QuiesceCommand};
/// let start = Instant::now();
/// let source = FilesSource::folder("/var/lib/engine")
///     .exclude("*.tmp")?
///     .exclude("cache")?
///     .quiesce(
///         Arc::new(QuiesceCommand::new("enginectl $KEEPSUM_PHASE", "/var/lib/engine")),
///         Arc::new(move || start.elapsed()),
///     );
/// # Ok::<(), backup_core::Error>(())
/// ```
#[derive(Clone)]
pub struct FilesSource {
    folder: PathBuf,
    selection: Selection,
    quieting: Option<Quieting>,
    scratch_in: Option<PathBuf>,
    /// Two snapshots at once do not pause the store in each other's pause.
    turn: Arc<Mutex<()>>,
}

impl FilesSource {
    /// All files in `folder` and below.
    pub fn folder(folder: impl Into<PathBuf>) -> Self {
        Self::new(folder.into(), Selection::Patterns(Patterns::default()))
    }

    /// These files below `folder`, and no others.
    pub fn list(folder: impl Into<PathBuf>, files: Vec<ListedFile>) -> Self {
        Self::new(folder.into(), Selection::List(files))
    }

    fn new(folder: PathBuf, selection: Selection) -> Self {
        Self { folder, selection, quieting: None, scratch_in: None, turn: Arc::default() }
    }

    /// Takes only files whose path below the folder matches this pattern, or another one included.
    /// `*` and `?` stay within a name, `**` goes over several. A folder that matches is taken with all
    /// it holds.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a pattern that is none, and where the source is a list.
    pub fn include(mut self, pattern: &str) -> Result<Self> {
        self.patterns()?.include(pattern)?;
        Ok(self)
    }

    /// Leaves out what matches this pattern, also what is included: files, and folders with all they
    /// hold.
    ///
    /// # Errors
    /// As [`include`](Self::include).
    pub fn exclude(mut self, pattern: &str) -> Result<Self> {
        self.patterns()?.exclude(pattern)?;
        Ok(self)
    }

    /// Makes the store quiet while it is captured. Without it a snapshot is taken only when nothing
    /// changes meanwhile, and is what a crash would have left.
    #[must_use]
    pub fn quiesce(mut self, owner: Arc<dyn Quiesce>, clock: Arc<dyn Clock>) -> Self {
        self.quieting = Some(Quieting { owner, clock });
        self
    }

    /// Makes the scratch folder in `folder`, and not beside the source. On another file system every
    /// file is copied.
    #[must_use]
    pub fn scratch_in(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch_in = Some(folder.into());
        self
    }

    fn patterns(&mut self) -> Result<&mut Patterns> {
        match &mut self.selection {
            Selection::Patterns(patterns) => Ok(patterns),
            Selection::List(_) => {
                let detail = "take files off the list itself, which patterns do not change";
                Err(Error::invalid("a pattern for a list of files", detail))
            }
        }
    }

    /// Captures the files, on a thread that may block.
    fn take(&self, context: &Context) -> Result<FilesSnapshot> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = self.existing()?;
        let scratch = self.scratch(&folder)?;
        match &self.quieting {
            None => {
                let capture = self.undisturbed(&folder, &scratch, context)?;
                let ownership = Ownership::of_folder(&folder, None)?;
                let info = info(&capture, Position::Unknown, Consistency::Crash, ownership);
                Ok(FilesSnapshot::new(info, capture, scratch))
            }
            Some(quieting) => {
                let settled = |_: &Stamp| true;
                let quiet = quieting.quietly(|| {
                    capture(&folder, &self.selection, scratch.path(), settled, context)
                })?;
                let capture = match quiet.work {
                    Outcome::Whole(capture) => capture,
                    Outcome::Changed(path) => return Err(changed_while_quiet(&path)),
                };
                let ownership = Ownership::of_folder(&folder, None)?;
                let moment = Consistency::PointInTime;
                let mut info = info(&capture, quiet.position, moment, ownership);
                info.pause = Some(quiet.pause);
                Ok(FilesSnapshot::new(info, capture, scratch))
            }
        }
    }

    /// Captures the files of a store that nobody makes quiet: again, until nothing changed meanwhile.
    fn undisturbed(&self, folder: &Path, scratch: &Scratch, context: &Context) -> Result<Capture> {
        let mut last = None;
        for wait in 1..=TRIES {
            // A file that was written in the tick of the clock in which it is first looked at may be
            // written again in that tick, and look the same: it counts as changing.
            let now = scratch.file_time()?;
            let a_minute_on = (now.0 + 60, 0);
            let settled = |seen: &Stamp| seen.changed < now || seen.changed > a_minute_on;
            match capture(folder, &self.selection, scratch.path(), settled, context)? {
                Outcome::Whole(capture) => return Ok(capture),
                Outcome::Changed(path) => last = Some(path),
            }
            scratch.empty()?;
            std::thread::sleep(WAIT * wait);
        }
        Err(Error::InUse {
            what: last.unwrap_or_else(|| folder.to_owned()).display().to_string(),
            hint: format!(
                "it changed while it was copied, {TRIES} times; make the store quiet for the \
                 snapshot, exclude the file, or stop its writer"
            ),
        })
    }

    /// The folder as it is on disk.
    fn existing(&self) -> Result<PathBuf> {
        let found = self.folder.canonicalize().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Error::NotFound {
                what: format!("the folder {}", self.folder.display()),
                hint: "check the path".into(),
            },
            _ => Error::io("find", &self.folder)(error),
        })?;
        if found.is_dir() {
            return Ok(found);
        }
        let detail = "is no folder; name the folder, and include the file with a pattern";
        Err(Error::invalid(self.folder.display().to_string(), detail))
    }

    /// A scratch folder on the source's file system: beside it, or inside where it is a mount point.
    fn scratch(&self, folder: &Path) -> Result<Scratch> {
        let name = folder.file_name().unwrap_or(OsStr::new("root"));
        if let Some(elsewhere) = &self.scratch_in {
            return Scratch::new(elsewhere, name);
        }
        let device = |path: &Path| {
            fs::metadata(path).map(|seen| seen.dev()).map_err(Error::io("look at", path))
        };
        match folder.parent() {
            Some(parent) if device(parent)? == device(folder)? => Scratch::new(parent, name),
            _ => Scratch::new(folder, name),
        }
    }
}

#[async_trait]
impl Source for FilesSource {
    fn describe(&self) -> StoreDescription {
        describe(&self.folder)
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities { point_in_time: self.quieting.is_some(), ..ABILITIES }
    }

    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>> {
        context.check()?;
        if view.records() {
            let instead = "keepsum does not know the records in them; back up the files";
            return Err(no_such_view(ENGINE, view, instead));
        }
        let (source, context) = (self.clone(), context.clone());
        let taken = thread::call("files-snapshot", move || source.take(&context)).await?;
        Ok(Box::new(taken))
    }
}

fn info(
    capture: &Capture,
    position: Position,
    consistency: Consistency,
    ownership: Ownership,
) -> SnapshotInfo {
    SnapshotInfo {
        position,
        consistency,
        layout: Layout::Plain,
        databases: Vec::new(),
        pause: None,
        ownership: Some(ownership),
        notes: notes(capture),
        unusual: Vec::new(),
    }
}

/// What a person should know of how the files were captured, and of what was not.
fn notes(capture: &Capture) -> Vec<String> {
    let mut notes = Vec::new();
    let copied = capture.files.iter().filter(|file| file.way == Way::Copy);
    let (files, bytes) = copied
        .fold((0_u64, 0_u64), |(files, bytes), file| (files + 1, bytes + file.seen.stamp.bytes));
    if files > 0 {
        notes.push(format!("{files} files were copied ({bytes} bytes): no reflinks here"));
    }
    let listing = &capture.listing;
    if let Some(first) = listing.empty_folders.first() {
        let count = listing.empty_folders.len();
        notes.push(format!("{count} empty folders are not kept, {} among them", first.display()));
    }
    if !listing.left_out.is_empty() {
        notes.push(format!("left by earlier restores and not kept: {:?}", listing.left_out));
    }
    notes
}

fn changed_while_quiet(path: &Path) -> Error {
    Error::InUse {
        what: path.display().to_string(),
        hint: "it changed while the store was said to be quiet; check the quiesce command".into(),
    }
}
