//! A database that nobody has open, and on which SQLite would write before it could read.

use std::fs::File;
use std::sync::Arc;

use backup_core::position::Position;
use backup_core::{Error, Result};

use super::Options;
use super::identity::identity;
use super::image::{Image, Over, read_header};
use super::state::{Asked, Kept, State};
use super::still::Still;
use crate::file::header::{Header, named};
use crate::file::journal::{self, Journal};
use crate::file::place::Seen;
use crate::file::read_up_to;
use crate::file::wal::{self, WalHeader};

/// The page size of a database that has no page yet, as SQLite chooses it.
const FIRST_PAGE_SIZE: u32 = 4096;

/// A log that was left.
struct LeftLog {
    file: File,
    log: WalHeader,
    frames: wal::Frames,
}

/// A state as SQLite would recover it.
pub(crate) struct Recovered {
    pub(crate) image: Image,
    /// None where it has no page.
    header: Option<Header>,
    position: Position,
    /// The running checksum of the log after its last frame.
    log: [u32; 2],
    note: Option<String>,
}

impl Recovered {
    /// With what tells of each change of the files, which were seen so.
    pub(crate) fn into_state(self, seen: &Seen, still: Arc<Still>, options: &Options) -> State {
        let Self { image, header, position, log, note } = self;
        let sure = !matches!(image.over, Over::Journal { .. });
        let identity = header
            .and_then(|header| identity(seen, &header, &position, log, &options.clock))
            .filter(|_| sure);
        State {
            image: Arc::new(image),
            kept: Kept::Still(still),
            position,
            pause: None,
            notes: note.into_iter().collect(),
            identity,
            mode: seen.main.mode,
            moment: None,
        }
    }
}

/// The state that SQLite would recover, or the one that is there where nothing is to be recovered.
/// None where the files change meanwhile, so that somebody must have them open.
pub(crate) fn find(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    let (place, options) = (asked.place, asked.options);
    let Some(seen) = place.look_settled((options.clock)())? else { return Ok(None) };
    let still = Still::new(place, &seen);
    let found = recover(asked, main, &seen);
    // What was read so far must be of the files that were seen; else its faults are none of theirs.
    if still.check().is_err() {
        return Ok(None);
    }
    Ok(Some(found?.into_state(&seen, Arc::new(still), options)))
}

/// A file without a byte: SQLite takes it for a database without tables.
///
/// # Errors
/// [`Error::Damaged`] where a log or a journal beside it shows that it had pages.
pub(crate) fn empty(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    let (place, options) = (asked.place, asked.options);
    let Some(seen) = place.look_settled((options.clock)())? else { return Ok(None) };
    let lost = |what: &str| {
        let detail = format!(
            "its main file is empty, and {what} beside it shows that it was not; SQLite would remove \
             that when it opens the database, so save a copy of both first"
        );
        Err(Error::damaged(named(&place.main), detail))
    };
    if seen.main.bytes > 0 {
        return Ok(None);
    }
    if seen.has_wal() {
        return lost("a write-ahead log");
    }
    if hot_journal(asked, main, &seen)?.is_some_and(|(_, journal)| journal.pages > 0) {
        return lost("a rollback journal");
    }
    let image = Image {
        database: place.main.clone(),
        main: Arc::clone(main),
        over: Over::Nothing,
        page_size: FIRST_PAGE_SIZE,
        pages: 0,
        main_bytes: 0,
    };
    let still = Still::new(place, &seen);
    Ok(still.check().is_ok().then(|| State {
        image: Arc::new(image),
        kept: Kept::Still(Arc::new(still)),
        position: Position::Log(0),
        pause: None,
        notes: Vec::new(),
        identity: None,
        mode: seen.main.mode,
        moment: None,
    }))
}

/// A database that its program encrypts, with too little of its header in the clear to tell how long a page is.
/// Its file is taken as it stands, in pieces that pages are made of or that are made of pages.
///
/// # Errors
/// [`Error::Unsupported`] for its records, and where a log or a journal lies beside it, which nobody but its
/// program can read.
pub(crate) fn hidden(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    let (place, options) = (asked.place, asked.options);
    let Some(seen) = place.look_settled((options.clock)())? else { return Ok(None) };
    let refuse = |why: &str| {
        let what = format!("reading {}", place.main.display());
        Err(Error::unsupported(what, format!("its program encrypts it, and {why}")))
    };
    if asked.want.records() {
        return refuse("only that can read its records; its pages can be backed up as they are");
    }
    if seen.has_wal() || seen.has_journal() {
        return refuse(
            "only that can read the log beside it; back it up when the program has ended",
        );
    }
    let Some(page_size) = [4096, 1024, 512].into_iter().find(|size| seen.main.bytes % size == 0)
    else {
        return refuse("its length is not one that pages make; copy it as a plain file");
    };
    let pages = u32::try_from(seen.main.bytes / page_size).unwrap_or(u32::MAX);
    let image = Image {
        database: place.main.clone(),
        main: Arc::clone(main),
        over: Over::Nothing,
        page_size: u32::try_from(page_size).unwrap_or(FIRST_PAGE_SIZE),
        pages,
        main_bytes: seen.main.bytes,
    };
    let still = Still::new(place, &seen);
    Ok(still.check().is_ok().then(|| State {
        image: Arc::new(image),
        kept: Kept::Still(Arc::new(still)),
        position: Position::Unknown,
        pause: None,
        notes: Vec::new(),
        identity: None,
        mode: seen.main.mode,
        moment: None,
    }))
}

/// The state that SQLite would recover from files as they were seen.
pub(crate) fn recover(asked: &Asked<'_>, main: &Arc<File>, seen: &Seen) -> Result<Recovered> {
    let place = asked.place;
    let hot = hot_journal(asked, main, seen)?;
    let left = if seen.has_wal() { left_log(asked, seen)? } else { None };
    match (hot, left) {
        (Some(_), Some(_)) => Err(Error::unsupported(
            format!("reading {}", place.main.display()),
            "a crash left both a rollback journal and a write-ahead log; open it once with its program, \
             which recovers it",
        )),
        (Some((file, journal)), None) => rolled_back(asked, main, (file, journal), seen.main.bytes),
        (None, Some(left)) if left.frames.last > 0 => with_log(asked, main, left, seen.main.bytes),
        (None, left) => {
            let header = read_header(main, &place.main)?;
            let (image, note) = Image::of_main(&place.main, main, &header, seen.main.bytes)?;
            let position = match left {
                Some(LeftLog { log, .. }) => Position::Sqlite { salts: log.salts, frame: 0 },
                None => Position::Log(u64::from(header.change_counter)),
            };
            Ok(Recovered { image, header: Some(header), position, log: [0; 2], note })
        }
    }
}

/// The journal, where it is to be put back before the main file counts.
fn hot_journal(asked: &Asked<'_>, main: &File, seen: &Seen) -> Result<Option<(File, Journal)>> {
    let Some(stamp) = seen.journal.filter(|journal| journal.bytes > 0) else { return Ok(None) };
    let path = &asked.place.journal;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let page_size = read_header(main, &asked.place.main).ok().map(|header| header.page_size);
    let left = journal::Left { file: &file, path, bytes: stamp.bytes, main, page_size };
    let journal = journal::read(&left, &|| asked.context.check())?;
    Ok(journal.map(|journal| (file, journal)))
}

/// The log, where it holds anything.
fn left_log(asked: &Asked<'_>, seen: &Seen) -> Result<Option<LeftLog>> {
    let path = &asked.place.wal;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = [0; wal::HEADER_BYTES];
    let read = read_up_to(&file, &mut bytes, 0).map_err(Error::io("read", path))?;
    // A crash of the machine can leave the length of what was not written yet.
    if read < bytes.len() || bytes == [0; wal::HEADER_BYTES] {
        return Ok(None);
    }
    let Some(log) = WalHeader::parse(&bytes) else {
        let detail = "its header is not one; SQLite would ignore the log and whatever it holds when it \
                      opens the database, so save a copy of the files first";
        return Err(Error::damaged(format!("the write-ahead log {}", path.display()), detail));
    };
    let length = seen.wal.map_or(0, |wal| wal.bytes);
    let frames = wal::read_left(&file, path, &log, length, &|| asked.context.check())?;
    Ok(Some(LeftLog { file, log, frames }))
}

/// The main file with the pages of a journal put back.
fn rolled_back(
    asked: &Asked<'_>,
    main: &Arc<File>,
    (file, journal): (File, Journal),
    main_bytes: u64,
) -> Result<Recovered> {
    let database = &asked.place.main;
    let put_back = journal.map.between(1, journal.pages).len();
    let length = u64::from(journal.pages) * u64::from(journal.page_size);
    let mut image = Image {
        database: database.clone(),
        main: Arc::clone(main),
        over: Over::Journal { file, map: journal.map },
        page_size: journal.page_size,
        pages: journal.pages,
        main_bytes: length.min(main_bytes),
    };
    // Before its first transaction a database had no page, and no header.
    let header = if image.pages == 0 { None } else { Some(image.count_pages()?.0) };
    let note = format!(
        "a crash left a rollback journal; {put_back} pages were read as they were before, and nothing was \
         changed in place"
    );
    let counter = header.as_ref().map_or(0, |header| header.change_counter);
    let position = Position::Log(counter.into());
    Ok(Recovered { image, header, position, log: [0; 2], note: Some(note) })
}

/// The main file with the pages of a log that was left.
fn with_log(
    asked: &Asked<'_>,
    main: &Arc<File>,
    left: LeftLog,
    main_bytes: u64,
) -> Result<Recovered> {
    let LeftLog { file, log, frames } = left;
    let length = u64::from(frames.pages) * u64::from(log.page_size);
    let position = Position::Sqlite { salts: log.salts, frame: frames.last };
    let sum = frames.sum;
    let mut image = Image {
        database: asked.place.main.clone(),
        main: Arc::clone(main),
        over: Over::Wal { file, log, map: frames.map },
        page_size: log.page_size,
        pages: frames.pages,
        main_bytes: length.min(main_bytes),
    };
    let (header, note) = image.count_pages()?;
    Ok(Recovered { image, header: Some(header), position, log: sum, note })
}
