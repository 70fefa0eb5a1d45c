//! The pages of a state as the one file of a snapshot.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use backup_core::path::FilePath;
use backup_core::position::{Consistency, Position};
use backup_core::progress::Context;
use backup_core::source::{FileInfo, FileNature};
use backup_core::{Error, Files, Result, thread};
use bytes::Bytes;

use super::image::Image;
use super::state::{Kept, State};
use crate::patience::Patience;

/// The path of the one file.
pub(crate) const FILE: &str = "database.sqlite";

/// The pages of a database at one point in time, as one file.
///
/// What keeps the state (a read transaction, a scratch folder) is let go when this is dropped and the
/// last reading of it has ended.
#[derive(Debug)]
pub struct PageSnapshot {
    pages: Arc<Pages>,
    files: [FileInfo; 1],
    position: Position,
    pause: Option<Duration>,
    notes: Vec<String>,
    patience: Patience,
    spoiled: AtomicBool,
    unusual: Vec<String>,
    context: Context,
}

/// What is read, and what keeps it as it is.
#[derive(Debug)]
struct Pages {
    image: Arc<Image>,
    kept: Kept,
}

impl PageSnapshot {
    pub(super) fn new(state: State, patience: &Patience, context: &Context) -> Result<Self> {
        let unusual = state.unusual(context)?;
        let file = FileInfo {
            path: FilePath::new(FILE)?,
            bytes: state.image.bytes(),
            identity: state.identity,
            mode: state.mode,
            owner: None,
            nature: FileNature::Changing,
        };
        Ok(Self {
            pages: Arc::new(Pages { image: state.image, kept: state.kept }),
            files: [file],
            position: state.position,
            pause: state.pause,
            notes: state.notes,
            patience: patience.clone(),
            spoiled: AtomicBool::new(false),
            unusual,
            context: context.clone(),
        })
    }

    /// Where in the database's history it stands.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// It is one point in time, or fails when it is read.
    pub fn consistency(&self) -> Consistency {
        Consistency::PointInTime
    }

    /// How long writers were held up, where that has ended already.
    pub fn pause(&self) -> Option<Duration> {
        self.pause
    }

    /// What a person should know of how it was taken.
    pub fn notes(&self) -> &[String] {
        &self.notes
    }

    /// What is unusual in the database.
    pub fn unusual(&self) -> &[String] {
        &self.unusual
    }

    /// How long a page is, in bytes.
    pub fn page_size(&self) -> u32 {
        self.pages.image.page_size
    }

    /// How many pages there are.
    pub fn page_count(&self) -> u32 {
        self.pages.image.pages
    }
}

impl Drop for PageSnapshot {
    fn drop(&mut self) {
        if !self.spoiled.load(Ordering::Acquire) {
            self.patience.renew();
        }
    }
}

#[async_trait]
impl Files for PageSnapshot {
    fn list(&self) -> &[FileInfo] {
        &self.files
    }

    fn page_bytes(&self) -> Option<u32> {
        Some(self.page_size())
    }

    /// # Errors
    /// [`Error::Changed`], at each reading from the first on, where the database changed and
    /// nothing kept it from that.
    async fn read(&self, file: usize, range: Range<u64>) -> Result<Bytes> {
        self.context.check()?;
        let info = self.files.get(file).ok_or_else(|| Error::NotFound {
            what: format!("file number {file}"),
            hint: "the snapshot has 1".into(),
        })?;
        if range.start > range.end || range.end > info.bytes {
            let detail =
                format!("has no bytes {}..{}; it is {} long", range.start, range.end, info.bytes);
            return Err(Error::invalid(info.path.to_string(), detail));
        }
        let pages = Arc::clone(&self.pages);
        let read = move || Ok(pages.kept.read(&pages.image, range)?.into());
        let read = thread::call("sqlite pages", read).await;
        if matches!(read, Err(Error::Changed { .. })) {
            self.spoiled.store(true, Ordering::Release);
            self.patience.spoil();
        }
        read
    }
}
