//! The files of a captured copy, read where they lie.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use async_trait::async_trait;
use backup_core::progress::Context;
use backup_core::source::{FileInfo, read_range};
use backup_core::{Error, Files, Result, thread};
use bytes::Bytes;

use crate::capture::Capture;

/// The files of a snapshot.
pub(crate) struct CapturedFiles {
    capture: Arc<Capture>,
    context: Context,
}

impl CapturedFiles {
    pub(crate) fn new(capture: Arc<Capture>, context: Context) -> Self {
        Self { capture, context }
    }
}

#[async_trait]
impl Files for CapturedFiles {
    fn list(&self) -> &[FileInfo] {
        &self.capture.files
    }

    async fn read(&self, file: usize, range: Range<u64>) -> Result<Bytes> {
        self.context.check()?;
        let info = self.capture.files.get(file).ok_or_else(|| Error::NotFound {
            what: format!("file number {file}"),
            hint: format!("the snapshot has {}", self.capture.files.len()),
        })?;
        if range.start > range.end || range.end > info.bytes {
            let detail =
                format!("has no bytes {}..{}; it is {} long", range.start, range.end, info.bytes);
            return Err(Error::invalid(info.path.to_string(), detail));
        }
        let (path, name) = (info.path.below(self.capture.scratch.folder()), info.path.clone());
        // The file lies in the scratch folder, which must not go before it is read.
        let capture = self.capture.clone();
        thread::call("rocksdb file", move || {
            let _kept = capture;
            let mut file = File::open(&path).map_err(Error::io("open", &path))?;
            match read_range(&mut file, range) {
                Ok(bytes) => Ok(bytes.into()),
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                    Err(Error::damaged(name.to_string(), "it is shorter than it was"))
                }
                Err(error) => Err(Error::io("read", path)(error)),
            }
        })
        .await
    }
}
