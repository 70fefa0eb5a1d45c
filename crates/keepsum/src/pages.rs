//! The proof of a file that is made of pages: summed while it is backed up, and while it is restored.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use archive::manifest::{Manifest, PAGES_TAG, PageProof, Shape};
use async_trait::async_trait;
use backup_core::Files;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::record::Record;
use backup_core::source::FileInfo;
use bytes::Bytes;
use remote::Host;

use crate::{Error, Result};

/// How much is read at a time of what the backup did not need to read.
const STEP_BYTES: u64 = 1 << 20;

/// The file of a snapshot that is made of pages. What is read of it is summed on the way.
pub(crate) struct PagesRead<'a> {
    files: &'a dyn Files,
    page_bytes: u32,
    summed: Arc<Mutex<Summed>>,
}

/// The sum of what was read so far.
#[derive(Debug, Default)]
struct Summed {
    sum: DatabaseSum,
    /// Where each range that is in the sum begins and ends; neighbours are joined.
    ranges: BTreeMap<u64, u64>,
}

impl<'a> PagesRead<'a> {
    /// The same files, where they are one that is made of pages.
    pub(crate) fn of(files: &'a dyn Files) -> Option<Self> {
        let page_bytes = files.page_bytes().filter(|bytes| *bytes > 0)?;
        (files.list().len() == 1).then(|| Self { files, page_bytes, summed: Arc::default() })
    }

    /// The proof of all pages. Of a file that was not read, since nothing in it had changed, it is the
    /// proof of the snapshot that has the same content.
    pub(crate) async fn proof(
        self,
        shape: &Shape,
        parents: &[Manifest],
        host: &Host,
    ) -> Result<PageProof> {
        let same = parents.iter().find(|parent| parent.shape == *shape);
        if let Some(proof) = same.and_then(|parent| parent.pages.as_ref())
            && proof.page_bytes == self.page_bytes
        {
            return Ok(proof.clone());
        }
        let length = self.list().first().map_or(0, |file| file.bytes);
        let missing = self.lock().missing(length);
        for mut range in missing {
            while !range.is_empty() {
                let end = range.end.min(range.start + STEP_BYTES);
                self.read(0, range.start..end).await?;
                range.start = end;
            }
        }
        let sum = self.lock().sum.clone();
        Ok(PageProof { page_bytes: self.page_bytes, sum, generation: host.random()? })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Summed> {
        // A range is entered after its sum, so a panic elsewhere leaves it usable.
        self.summed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Files for PagesRead<'_> {
    fn list(&self) -> &[FileInfo] {
        self.files.list()
    }

    async fn read(&self, file: usize, range: Range<u64>) -> backup_core::Result<Bytes> {
        let bytes = self.files.read(file, range.clone()).await?;
        if !self.lock().is_new(&range) {
            return Ok(bytes);
        }
        let (content, page_bytes, start) = (bytes.clone(), self.page_bytes, range.start);
        let sum = move || sum_pages(&content, page_bytes, start);
        let sum = tokio::task::spawn_blocking(sum).await;
        let sum = sum.map_err(backup_core::Error::engine("keepsum", "sum pages"))??;
        self.lock().add(&range, &sum);
        Ok(bytes)
    }
}

impl Summed {
    /// Whether nothing of a range is in the sum.
    fn is_new(&self, range: &Range<u64>) -> bool {
        let before = self.ranges.range(..range.end).next_back();
        before.is_none_or(|(_, end)| *end <= range.start)
    }

    fn add(&mut self, range: &Range<u64>, sum: &DatabaseSum) {
        if range.is_empty() || !self.is_new(range) {
            return;
        }
        self.sum.add(sum);
        let (mut start, mut end) = (range.start, range.end);
        if let Some((&before, &ended)) = self.ranges.range(..start).next_back()
            && ended == start
        {
            self.ranges.remove(&before);
            start = before;
        }
        if let Some(ended) = self.ranges.remove(&end) {
            end = ended;
        }
        self.ranges.insert(start, end);
    }

    /// What is not in the sum of a file of this length.
    fn missing(&self, length: u64) -> Vec<Range<u64>> {
        let ends = [0].into_iter().chain(self.ranges.values().copied());
        let starts = self.ranges.keys().copied().chain([length]);
        ends.zip(starts).map(|(end, start)| end..start).filter(|gap| !gap.is_empty()).collect()
    }
}

/// The pages of a file that is restored, summed as they are placed.
pub(crate) struct PagesPlaced {
    page_bytes: u32,
    expected: DatabaseSum,
    sum: DatabaseSum,
}

impl PagesPlaced {
    /// Where the snapshot has a proof of pages.
    pub(crate) fn of(manifest: &Manifest) -> Option<Self> {
        let proof = manifest.pages.as_ref()?;
        let (page_bytes, expected) = (proof.page_bytes, proof.sum.clone());
        Some(Self { page_bytes, expected, sum: DatabaseSum::default() })
    }

    /// Adds a stretch of the file.
    pub(crate) async fn add(&mut self, offset: u64, bytes: &Bytes) -> Result<()> {
        let (bytes, page_bytes) = (bytes.clone(), self.page_bytes);
        let sum = tokio::task::spawn_blocking(move || sum_pages(&bytes, page_bytes, offset)).await;
        self.sum.add(&sum.map_err(backup_core::Error::engine("keepsum", "sum pages"))??);
        Ok(())
    }

    /// Compares what was placed with the proof.
    ///
    /// # Errors
    /// [`Error::NotProved`].
    pub(crate) fn prove(self) -> Result<()> {
        if self.sum == self.expected {
            return Ok(());
        }
        let say =
            |sum: &DatabaseSum| format!("{} with LtHash {}", sum.records, sum.lthash.checksum());
        let detail = format!(
            "the snapshot has {}, read were {}; nothing was replaced",
            say(&self.expected),
            say(&self.sum)
        );
        Err(Error::NotProved { database: "pages".into(), detail })
    }
}

/// The sum of the pages in a stretch of a file that begins at `offset`.
fn sum_pages(bytes: &[u8], page_bytes: u32, offset: u64) -> backup_core::Result<DatabaseSum> {
    let page = u64::from(page_bytes);
    let misplaced = || {
        let detail = format!("a stretch at {offset} is not made of pages of {page_bytes} bytes");
        backup_core::Error::damaged("the pages of a file", detail)
    };
    if !offset.is_multiple_of(page) || !(bytes.len() as u64).is_multiple_of(page) {
        return Err(misplaced());
    }
    let first = offset / page + 1;
    let mut summer = Summer::new(PAGES_TAG);
    for (number, content) in (first..).zip(bytes.chunks(page_bytes as usize)) {
        let number = u32::try_from(number).map_err(|_| misplaced())?;
        summer.add_record(&Record::whole(b"", &number.to_be_bytes(), content))?;
    }
    summer.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one() -> DatabaseSum {
        DatabaseSum { records: 1, ..DatabaseSum::default() }
    }

    #[test]
    fn every_range_counts_once_in_any_order() {
        let mut summed = Summed::default();
        for range in [4..8, 0..4, 12..16, 4..8, 2..6, 8..12, 0..16] {
            summed.add(&range, &one());
        }
        assert_eq!(summed.sum.records, 4);
        assert_eq!(summed.ranges, BTreeMap::from([(0, 16)]));
        assert_eq!(summed.missing(16), []);
        assert!(summed.missing(20).iter().eq([&(16..20)]));
    }

    #[test]
    fn what_was_not_read_is_known() {
        let mut summed = Summed::default();
        assert!(summed.missing(8).iter().eq([&(0..8)]));
        summed.add(&(4..8), &one());
        assert_eq!(summed.missing(12), [0..4, 8..12]);
    }

    #[test]
    fn the_sum_of_pages_is_that_of_their_parts() {
        let bytes = testkit::noise(1, 16 << 10);
        let whole = sum_pages(&bytes, 1024, 0).unwrap();
        let mut parts = sum_pages(&bytes[4096..], 1024, 4096).unwrap();
        parts.add(&sum_pages(&bytes[..4096], 1024, 0).unwrap());
        assert_eq!(whole, parts);
        assert_eq!((whole.records, whole.bytes), (16, 16 * 1028));
        assert_ne!(whole, sum_pages(&bytes, 1024, 1024).unwrap(), "a page has its number");
        assert!(sum_pages(&bytes, 1000, 0).is_err());
        assert!(sum_pages(&bytes, 1024, 512).is_err());
    }
}
