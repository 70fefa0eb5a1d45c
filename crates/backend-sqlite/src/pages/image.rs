//! The pages of one state of a database, wherever each lies.

use std::fs::File;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use backup_core::{Error, Result};

use crate::file::header::{HEADER_BYTES, Header, named};
use crate::file::page_map::PageMap;
use crate::file::wal::{FRAME_HEADER_BYTES, FrameHeader, WalHeader};
use crate::file::{journal, read_up_to};

/// A database of one state, as SQLite would show it page by page.
#[derive(Debug)]
pub(crate) struct Image {
    /// For messages.
    pub(crate) database: PathBuf,
    pub(crate) main: Arc<File>,
    /// What is newer, or older, than the main file.
    pub(crate) over: Over,
    pub(crate) page_size: u32,
    pub(crate) pages: u32,
    /// How many bytes the main file must have. What SQLite has not written yet is zeros beyond.
    pub(crate) main_bytes: u64,
}

/// Pages that are not read from the main file.
#[derive(Debug)]
pub(crate) enum Over {
    Nothing,
    /// Those in a write-ahead log.
    Wal {
        file: File,
        log: WalHeader,
        map: PageMap,
    },
    /// Those in a hot journal.
    Journal {
        file: File,
        map: PageMap,
    },
}

impl Over {
    fn map(&self) -> Option<&PageMap> {
        match self {
            Self::Nothing => None,
            Self::Wal { map, .. } | Self::Journal { map, .. } => Some(map),
        }
    }
}

impl Image {
    /// A database that is its main file alone, and a note of what that has beyond it.
    ///
    /// # Errors
    /// As [`count`].
    pub(crate) fn of_main(
        database: &Path,
        main: &Arc<File>,
        header: &Header,
        main_bytes: u64,
    ) -> Result<(Self, Option<String>)> {
        let size = u64::from(header.page_size);
        let counted = count(header, database, main_bytes.div_ceil(size))?;
        let image = Self {
            database: database.to_owned(),
            main: Arc::clone(main),
            over: Over::Nothing,
            page_size: header.page_size,
            pages: counted.pages,
            main_bytes: main_bytes.min(u64::from(counted.pages) * size),
        };
        Ok((image, counted.note))
    }

    /// Counts the pages as SQLite does where a log or a journal says how many there are: by the header,
    /// where the last writer kept count in it. Gives the header and a note of what lies beyond.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the two contradict each other: see [`count`].
    pub(crate) fn count_pages(&mut self) -> Result<(Header, Option<String>)> {
        let header = self.header()?;
        let counted = count(&header, &self.database, u64::from(self.pages))?;
        self.pages = counted.pages;
        self.main_bytes = self.main_bytes.min(self.bytes());
        Ok((header, counted.note))
    }

    /// The header that it shows, which must be of pages as long as the log's or the journal's.
    fn header(&self) -> Result<Header> {
        let bytes = self.read(0..self.bytes().min(HEADER_BYTES as u64))?;
        let mut first = [0; HEADER_BYTES];
        first.iter_mut().zip(&bytes).for_each(|(to, from)| *to = *from);
        let header = Header::parse(&self.database, &first)?;
        if header.page_size == self.page_size {
            return Ok(header);
        }
        Err(self.damaged(format!(
            "its pages are {} bytes long by its header, and {} by what lies beside it",
            header.page_size, self.page_size
        )))
    }

    /// How long the database is.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.page_size) * u64::from(self.pages)
    }

    /// Whether the main file alone is the database.
    pub(crate) fn is_main_alone(&self) -> bool {
        matches!(self.over, Over::Nothing)
    }

    /// Reads a range, which lies within the database.
    ///
    /// # Errors
    /// [`Error::Damaged`] where a page is not where it was found.
    pub(crate) fn read(&self, range: Range<u64>) -> Result<Vec<u8>> {
        let length = usize::try_from(range.end.saturating_sub(range.start)).unwrap_or(usize::MAX);
        let mut bytes = vec![0; length];
        let size = u64::from(self.page_size);
        let number = |at: u64| u32::try_from(at / size + 1).unwrap_or(u32::MAX);
        let over = match self.over.map() {
            Some(map) if length > 0 => map.between(number(range.start), number(range.end - 1)),
            _ => &[],
        };
        let (mut rest, mut at) = (bytes.as_mut_slice(), range.start);
        let mut frame = Vec::new();
        for (page, place) in over {
            let begin = u64::from(page - 1) * size;
            let gap = rest.split_off_mut(..part(begin.max(at) - at)).unwrap_or_default();
            self.read_main(gap, at)?;
            at += gap.len() as u64;
            let end = (begin + size).min(range.end);
            let piece = rest.split_off_mut(..part(end - at)).unwrap_or_default();
            let from = part(at - begin);
            self.read_over(*page, *place, &mut frame)?;
            piece.copy_from_slice(frame.get(from..from + piece.len()).unwrap_or_default());
            at = end;
        }
        self.read_main(rest, at)?;
        Ok(bytes)
    }

    fn read_main(&self, bytes: &mut [u8], at: u64) -> Result<()> {
        let wanted = bytes.len() as u64;
        if wanted == 0 {
            return Ok(());
        }
        let read = read_up_to(&self.main, bytes, at).map_err(Error::io("read", &self.database))?;
        if at + (read as u64) < (at + wanted).min(self.main_bytes) {
            return Err(self.damaged("its main file is shorter than it was"));
        }
        Ok(())
    }

    /// Reads a page that is not the main file's into `page_bytes`.
    fn read_over(&self, page: u32, place: u32, page_bytes: &mut Vec<u8>) -> Result<()> {
        let size = self.page_size as usize;
        let (file, at, head) = match &self.over {
            Over::Nothing => return Err(self.damaged("a page was looked for in no log")),
            Over::Wal { file, log, .. } => (file, log.offset(place), FRAME_HEADER_BYTES),
            Over::Journal { file, .. } => (file, journal::page_offset(place), 0),
        };
        page_bytes.resize(head + size, 0);
        let read = read_up_to(file, page_bytes, at).map_err(Error::io("read", &self.database))?;
        let is_there = match (&self.over, page_bytes.first_chunk().map(FrameHeader::parse)) {
            (Over::Wal { log, .. }, Some(frame)) => frame.page == page && frame.salts == log.salts,
            _ => true,
        };
        if read < page_bytes.len() || !is_there {
            let detail =
                format!("its page {page} is no longer where it was found, beside its main file");
            return Err(self.damaged(detail));
        }
        page_bytes.drain(..head);
        Ok(())
    }

    fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::damaged(named(&self.database), detail)
    }
}

/// A length within what is read at once.
fn part(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// The header in a main file.
pub(crate) fn read_header(main: &File, database: &Path) -> Result<Header> {
    let mut bytes = [0; HEADER_BYTES];
    let read = read_up_to(main, &mut bytes, 0).map_err(Error::io("read", database))?;
    if read < HEADER_BYTES && bytes.starts_with(b"SQLite format 3\0") {
        let detail = format!("it is {read} bytes long, which is less than its header");
        return Err(Error::damaged(named(database), detail));
    }
    Header::parse(database, &bytes)
}

/// How many pages a database has by its header and by how long its main file is, or was.
pub(crate) struct Counted {
    pub(crate) pages: u32,
    pub(crate) note: Option<String>,
}

/// Counts the pages of a database as SQLite does: by its header, where the last writer kept count, and it
/// must not say more than there are in its files. The last may be there in part.
pub(crate) fn count(header: &Header, database: &Path, there: u64) -> Result<Counted> {
    let there = u32::try_from(there).unwrap_or(u32::MAX);
    let pages = header.pages().unwrap_or(there);
    if pages > there {
        let detail = format!(
            "its header counts {pages} pages of {} bytes, and there are {there}",
            header.page_size
        );
        return Err(Error::damaged(named(database), detail));
    }
    let note = (pages < there).then(|| {
        format!("{} pages lie behind the database's last; they are no part of it", there - pages)
    });
    Ok(Counted { pages, note })
}
