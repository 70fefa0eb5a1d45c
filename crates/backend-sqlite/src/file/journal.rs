//! The rollback journal: the pages that a transaction is about to change, as they were before.
//!
//! One that a crash left is *hot*: the main file is then what it says only with these pages put back.
//! SQLite puts them back in place when it next opens the database; here they are read over the main file.
//!
//! It is a chain of segments, each a header that fills a sector, and records of a page's number, its
//! bytes and a checksum. That checksum covers every 200th byte and nothing else, so not all damage can be
//! seen. What can, is refused, where SQLite ends the rollback without a word.

use std::ffi::OsStr;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use backup_core::{Error, Result};

use super::page_map::PageMap;
use super::{be32, is_page_size, read_up_to};

/// What each segment begins with, and what ends the name of a super-journal.
const MAGIC: [u8; 8] = [0xd9, 0xd5, 0x05, 0xf9, 0x20, 0xa1, 0x63, 0xd7];

/// How much of a segment's header says something.
const HEADER_BYTES: usize = 28;

/// A count that says: as many records as the file has room for.
const TO_THE_END: u32 = u32::MAX;

/// The sector that SQLite takes a disk to have: a journal that is shorter is none for it, whatever it says.
const OWN_SECTOR: u64 = 512;

/// The largest sector, and the smallest.
const SECTORS: std::ops::RangeInclusive<u32> = 32..=65_536;

/// The step of bytes that the checksum of a record takes.
const SUM_STEP: usize = 200;

/// The byte of a main file that only locks lie on; no page is kept where it is.
const LOCK_BYTE: u32 = 0x4000_0000;

/// All places in a journal divide by this, so that one fits in 32 bits up to 32 GiB.
const UNIT: u64 = 8;

/// The longest name of a super-journal, as SQLite has it on Unix.
const MAX_NAME: u64 = 512;

/// A hot journal.
#[derive(Debug)]
pub(crate) struct Journal {
    pub(crate) page_size: u32,
    /// How many pages the main file had.
    pub(crate) pages: u32,
    /// The pages that are put back, to places for [`page_offset`].
    pub(crate) map: PageMap,
}

/// Where the bytes of a page begin in the file.
pub(crate) fn page_offset(place: u32) -> u64 {
    u64::from(place) * UNIT + 4
}

/// The page in whose place the byte for locks lies.
pub(crate) fn lock_page(page_size: u32) -> u32 {
    LOCK_BYTE / page_size + 1
}

/// A journal beside its main file.
pub(crate) struct Left<'a> {
    pub(crate) file: &'a File,
    pub(crate) path: &'a Path,
    pub(crate) bytes: u64,
    pub(crate) main: &'a File,
    /// What the main file's header says, for journals of old programs, which do not.
    pub(crate) page_size: Option<u32>,
}

/// The header of a segment.
struct Segment {
    count: u32,
    nonce: u32,
    pages: u32,
    sector: u32,
    page_size: u32,
}

/// A record that was read whole.
enum Record {
    /// The original content of this page.
    Page(u32),
    /// One of this transaction, for a page that the main file did not have.
    Beyond(u32),
    /// Something else.
    Other,
    /// The file ends before.
    End,
}

/// Reads the journal of a database that nobody has open. None where it is not hot: its transaction was
/// committed, or had changed nothing yet.
///
/// # Errors
/// [`Error::Damaged`] where it is not what was written, [`Error::Unsupported`] where it is one of several
/// journals of a transaction over several databases.
pub(crate) fn read(left: &Left<'_>, check: &dyn Fn() -> Result<()>) -> Result<Option<Journal>> {
    let mut first = [0; HEADER_BYTES];
    let read = left.read(&mut first, 0)?;
    if read < HEADER_BYTES || first[0] == 0 || left.is_of_a_finished_group()? {
        return Ok(None);
    }
    let Some(begin) = left.first_segment(&first)? else { return Ok(None) };
    let (page_size, sector) = (begin.page_size, u64::from(begin.sector));
    let mut journal = Journal { page_size, pages: begin.pages, map: PageMap::default() };
    let mut reader = Reader { left, buffer: vec![0; page_size as usize + 8], kept: 0 };
    let (mut segment, mut at) = (begin, 0);
    loop {
        at = reader.segment(&mut journal, &segment, at + sector, check)?;
        at = at.div_ceil(sector) * sector;
        let mut header = [0; HEADER_BYTES];
        if at + sector > left.bytes || left.read(&mut header, at)? < HEADER_BYTES {
            break;
        }
        if header.first_chunk() != Some(&MAGIC) {
            left.refuse_if_nearly_a_header(&header, at)?;
            break;
        }
        segment = Segment { sector: segment.sector, page_size, ..Segment::parse(&header) };
    }
    journal.map.settle();
    if journal.map.between(1, u32::MAX).len() != reader.kept {
        return Err(left.damaged("it has a page twice"));
    }
    Ok(Some(journal))
}

impl Segment {
    fn parse(bytes: &[u8; HEADER_BYTES]) -> Self {
        Self {
            count: be32(bytes, 8),
            nonce: be32(bytes, 12),
            pages: be32(bytes, 16),
            sector: be32(bytes, 20),
            page_size: be32(bytes, 24),
        }
    }
}

impl Left<'_> {
    fn read(&self, bytes: &mut [u8], offset: u64) -> Result<usize> {
        read_up_to(self.file, bytes, offset).map_err(Error::io("read", self.path))
    }

    fn damaged(&self, detail: impl Into<String>) -> Error {
        Error::damaged(format!("the rollback journal {}", self.path.display()), detail)
    }

    /// None where the file ends within the first header: nothing was changed yet. Where the header fills a
    /// larger sector than SQLite takes for one, and ends early, it counts.
    fn first_segment(&self, bytes: &[u8; HEADER_BYTES]) -> Result<Option<Segment>> {
        let mut segment = Segment::parse(bytes);
        if bytes.first_chunk() != Some(&MAGIC) {
            return Err(self.damaged("it does not begin as a journal does"));
        }
        if segment.page_size == 0 {
            segment.page_size = self.page_size.unwrap_or(0);
        }
        let sector = segment.sector;
        if !is_page_size(segment.page_size)
            || !sector.is_power_of_two()
            || !SECTORS.contains(&sector)
        {
            let detail = format!("pages of {} bytes, sectors of {sector}", segment.page_size);
            return Err(self.damaged(format!("its header says what cannot be: {detail}")));
        }
        if self.bytes > u64::from(u32::MAX) * UNIT {
            let what = format!("the rollback journal {}", self.path.display());
            return Err(Error::Limit {
                what,
                found: self.bytes,
                limit: u64::from(u32::MAX) * UNIT,
            });
        }
        Ok((self.bytes >= OWN_SECTOR).then_some(segment))
    }

    /// Whether it is one of a group of journals that went together, whose transaction is committed: the
    /// journal over them all is gone.
    ///
    /// # Errors
    /// [`Error::Unsupported`] where that is still there: which of the group are rolled back together is
    /// for SQLite to say, with all of the databases.
    fn is_of_a_finished_group(&self) -> Result<bool> {
        let Some(over_all) = self.super_journal()? else { return Ok(false) };
        if !over_all.exists() {
            return Ok(true);
        }
        let why = format!(
            "a crash left its rollback journal within a transaction over several databases ({}); open it \
             once with its program, which rolls all of them back",
            over_all.display()
        );
        Err(Error::unsupported(format!("reading the database of {}", self.path.display()), why))
    }

    /// The name at the end of the file, if there is one.
    fn super_journal(&self) -> Result<Option<PathBuf>> {
        let mut end = [0; 16];
        let Some(at) = self.bytes.checked_sub(end.len() as u64) else { return Ok(None) };
        self.read(&mut end, at)?;
        let length = u64::from(be32(&end, 0));
        if end.last_chunk() != Some(&MAGIC) || length == 0 || length > MAX_NAME.min(at) {
            return Ok(None);
        }
        let mut name = vec![0; usize::try_from(length).unwrap_or(0)];
        self.read(&mut name, at - length)?;
        let signed = name.iter().map(|byte| i32::from(byte.cast_signed()).cast_unsigned());
        let sum = signed.fold(0_u32, u32::wrapping_add);
        Ok((sum == be32(&end, 4)).then(|| PathBuf::from(OsStr::from_bytes(&name))))
    }

    /// What stands in the place of a further header is the remains of an older transaction, unless it
    /// is all but a header.
    fn refuse_if_nearly_a_header(&self, header: &[u8; HEADER_BYTES], at: u64) -> Result<()> {
        let equal = header.iter().zip(MAGIC).filter(|(found, wanted)| **found == *wanted).count();
        if header[0] != 0 && equal + 2 >= MAGIC.len() {
            return Err(self.damaged(format!("the header at byte {at} was changed")));
        }
        Ok(())
    }
}

/// Reads the records of a journal.
struct Reader<'a> {
    left: &'a Left<'a>,
    /// A page's number, its bytes and their checksum.
    buffer: Vec<u8>,
    kept: usize,
}

impl Reader<'_> {
    /// Reads the records of a segment from `at` on, and gives where they end.
    fn segment(
        &mut self,
        journal: &mut Journal,
        segment: &Segment,
        mut at: u64,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<u64> {
        let open = segment.count == TO_THE_END;
        for number in 0..segment.count {
            if number % 256 == 0 {
                check()?;
            }
            match self.record(segment, journal.pages, at)? {
                Record::Page(page) => {
                    journal.map.insert(page, u32::try_from(at / UNIT).unwrap_or(u32::MAX));
                    self.kept += 1;
                    at += self.buffer.len() as u64;
                }
                // Its checksum covers all but the number of the page.
                Record::Beyond(page) => {
                    let detail = format!(
                        "the record at byte {at} is of page {page}; there were {}",
                        journal.pages
                    );
                    return Err(self.left.damaged(detail));
                }
                // Nobody counted: older records, or half of one, end it.
                _ if open => {
                    self.refuse_if_whole_after(journal, segment, at, check)?;
                    return Ok(self.left.bytes);
                }
                _ => {
                    let detail = format!(
                        "the record at byte {at} is not what was written; {} are counted",
                        segment.count
                    );
                    return Err(self.left.damaged(detail));
                }
            }
        }
        self.refuse_if_uncounted(journal, segment, at)?;
        Ok(at)
    }

    /// A record that a whole one follows, near or far, was whole when it was written. At the end, one that is
    /// not is what a killed writer wrote in part, over an older one; older ones follow, of other checksums.
    fn refuse_if_whole_after(
        &mut self,
        journal: &Journal,
        segment: &Segment,
        broken: u64,
        check: &dyn Fn() -> Result<()>,
    ) -> Result<()> {
        let mut at = broken;
        loop {
            check()?;
            at += self.buffer.len() as u64;
            match self.record(segment, journal.pages, at)? {
                Record::Other => {}
                Record::End => return Ok(()),
                Record::Page(_) | Record::Beyond(_) => {
                    let detail = format!("the record at byte {broken} is not what was written");
                    return Err(self.left.damaged(detail));
                }
            }
        }
    }

    /// A record beyond the count was not yet on the disk when the count was written, so its page is
    /// still as it was. Where it is not, the count is wrong.
    fn refuse_if_uncounted(&mut self, journal: &Journal, segment: &Segment, at: u64) -> Result<()> {
        let Record::Page(page) = self.record(segment, journal.pages, at)? else { return Ok(()) };
        let mut now = vec![0; segment.page_size as usize];
        let offset = u64::from(page - 1) * u64::from(segment.page_size);
        read_up_to(self.left.main, &mut now, offset)
            .map_err(Error::io("read the main file of", self.left.path))?;
        if self.buffer.get(4..4 + now.len()) == Some(&now) {
            return Ok(());
        }
        Err(self.left.damaged(format!("it counts {} records and has more", segment.count)))
    }

    fn record(&mut self, segment: &Segment, pages: u32, at: u64) -> Result<Record> {
        if self.left.read(&mut self.buffer, at)? < self.buffer.len() {
            return Ok(Record::End);
        }
        let size = segment.page_size as usize;
        let (page, data) =
            (be32(&self.buffer, 0), self.buffer.get(4..4 + size).unwrap_or_default());
        let sampled = data.iter().rev().skip(SUM_STEP - 1).step_by(SUM_STEP);
        // The last byte taken is the first whose place is above 0.
        let sampled = sampled.take((size - 1) / SUM_STEP);
        let sum = sampled.fold(segment.nonce, |sum, byte| sum.wrapping_add(u32::from(*byte)));
        Ok(match page {
            _ if sum != be32(&self.buffer, 4 + size) => Record::Other,
            0 => Record::Other,
            page if page == lock_page(segment.page_size) => Record::Other,
            page if page > pages => Record::Beyond(page),
            page => Record::Page(page),
        })
    }
}
