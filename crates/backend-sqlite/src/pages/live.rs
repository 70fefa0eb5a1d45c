//! A database in WAL mode that somebody has open.

use std::fs::{self, File};
use std::sync::Arc;
use std::time::Duration;

use backup_core::position::Position;
use backup_core::stamp::Stamp;
use backup_core::{Error, Result};
use rusqlite::Connection;

use super::changed::changed;
use super::held;
use super::identity::identity;
use super::image::{Image, Over, count, read_header};
use super::state::{Asked, GRACE, Kept, Obstacle, State};
use crate::file::header::named;
use crate::file::place;
use crate::file::shm::WalIndex;
use crate::file::wal::{self, WalHeader};
use crate::file::{descriptors, read_up_to};
use crate::moment::{self, Moment, Refusal};

/// How long to wait for another moment, where somebody wrote at this one, for pages and records together.
const NEXT_MOMENT: Duration = Duration::from_millis(1);

/// A read transaction, and what the log's index said after it had begun.
struct Begun {
    connection: Connection,
    index: WalIndex,
    /// Whether the index said the same just before.
    quiet: bool,
}

/// The state at the moment of the call. None where the log is in use no more.
pub(crate) fn find(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    let place = asked.place;
    let Some(shm_stamp) = place::stamp(&place.shm)? else { return Ok(None) };
    let shm = descriptors::open(&place.shm)?;
    let begun = match begin(asked, main, &shm)? {
        Ok(begun) => begun,
        Err(Closed::Changing) => return Ok(None),
        Err(Closed::Locked) => return locked(asked, main),
    };
    // The lock keeps the database in this mode, so it is the log of this index from now on.
    let seen = place.look()?;
    let same = |stamp: Option<Stamp>| stamp.map(|stamp| stamp.file()) == Some(shm_stamp.file());
    let opened = main.metadata().map_err(Error::io("look at", &place.main))?;
    if !same(seen.shm)
        || !same(Some(stamp_of(&shm, asked)?))
        || Stamp::new(&opened).file() != seen.main.file()
    {
        return Ok(None);
    }
    let index = begun.index;
    let (image, note) = if index.is_carried_back() {
        main_alone(asked, main, &index, seen.main.bytes)?
    } else {
        with_frames(asked, main, &index)?
    };
    let header = read_header(main, &place.main)?;
    let position = match index.salts() {
        // Nothing was written since the log was made.
        [0, 0] => Position::Log(u64::from(header.change_counter)),
        salts => Position::Sqlite { salts, frame: index.last() },
    };
    // Without a frame, the index tells the checksum of the log's header or none.
    let sum = if index.last() == 0 { [0; 2] } else { index.sum() };
    let identity = identity(&seen, &header, &position, sum, &asked.options.clock);
    let notes: Vec<_> = note.into_iter().collect();
    let moment = Arc::new(Moment::of_live(begun.connection, position.clone(), notes.clone()));
    Ok(Some(State {
        image: Arc::new(image),
        moment: asked.want.records().then(|| Arc::clone(&moment)),
        kept: Kept::Transaction(moment),
        position,
        pause: None,
        notes,
        identity: identity.filter(|_| begun.quiet),
        mode: seen.main.mode,
    }))
}

fn stamp_of(file: &File, asked: &Asked<'_>) -> Result<Stamp> {
    let found: fs::Metadata = file.metadata().map_err(Error::io("look at", &asked.place.shm))?;
    Ok(Stamp::new(&found))
}

/// Why no read transaction was begun.
enum Closed {
    /// The log's index is not finished: somebody makes it, or left it so.
    Changing,
    /// Somebody keeps readers out.
    Locked,
}

/// Somebody keeps readers out: a recovery, for a moment, or this process, which has the database for itself
/// and whose locks are not seen.
fn locked(asked: &Asked<'_>, main: &Arc<File>) -> Result<Option<State>> {
    asked.meet(Obstacle::Locked);
    match held::holder(asked, main)? {
        Some(holder) => held::find(asked, main, &holder),
        None => Ok(None),
    }
}

/// Begins a read transaction. Its connection sees the state that the index had when it began; pages are
/// read at the state that it has a little later. Who wants both asks for a moment between two writes, at
/// which they are the same.
fn begin(asked: &Asked<'_>, main: &File, shm: &File) -> Result<std::result::Result<Begun, Closed>> {
    let (place, options, context) = (asked.place, asked.options, asked.context);
    let read = || WalIndex::read(shm).map_err(Error::io("read", &place.shm));
    let connection = moment::connect(&place.main)?;
    loop {
        let before = read()?;
        let within = (options, context);
        match moment::begin_within(&connection, main, &place.main, GRACE, within)? {
            Ok(()) => {}
            Err(Refusal::Busy) => return Ok(Err(Closed::Locked)),
            Err(refusal) => return Err(refusal.into_error(&place.main)),
        }
        let Some(index) = read()? else { return Ok(Err(Closed::Changing)) };
        let quiet = before == Some(index);
        if quiet || !asked.want.records() {
            return Ok(Ok(Begun { connection, index, quiet }));
        }
        let failed = Error::engine(crate::ENGINE, format!("read {}", place.main.display()));
        moment::end(&connection).map_err(failed)?;
        if !options.patience.pause(&place.main, NEXT_MOMENT, context)? {
            return Err(changed(&place.main));
        }
    }
}

/// All frames are in the main file.
fn main_alone(
    asked: &Asked<'_>,
    main: &Arc<File>,
    index: &WalIndex,
    main_bytes: u64,
) -> Result<(Image, Option<String>)> {
    let database = &asked.place.main;
    let header = read_header(main, database)?;
    let (mut image, note) = Image::of_main(database, main, &header, main_bytes)?;
    // The log's own count, where it has one, is of the last transaction.
    if index.pages() > 0 && index.pages() != image.pages {
        let there = main_bytes.div_ceil(u64::from(header.page_size));
        if u64::from(index.pages()) > there {
            let detail =
                format!("its log counts {} pages, its main file has {there}", index.pages());
            return Err(Error::damaged(named(database), detail));
        }
        image.pages = count(&header, database, u64::from(index.pages()))?.pages;
        image.main_bytes = image.bytes().min(main_bytes);
    }
    Ok((image, note))
}

/// The newest pages are in the log.
fn with_frames(
    asked: &Asked<'_>,
    main: &Arc<File>,
    index: &WalIndex,
) -> Result<(Image, Option<String>)> {
    let path = &asked.place.wal;
    let file = File::open(path).map_err(Error::io("open", path))?;
    let mut bytes = [0; wal::HEADER_BYTES];
    read_up_to(&file, &mut bytes, 0).map_err(Error::io("read", path))?;
    let damaged = |detail: &str| {
        Err(Error::damaged(format!("the write-ahead log {}", path.display()), detail.to_owned()))
    };
    let log = match WalHeader::parse(&bytes) {
        Some(log) if log.salts == index.salts() => log,
        Some(_) => return damaged("its index belongs to another log"),
        None => return damaged("its header is not one"),
    };
    let check = || asked.context.check();
    let frames = wal::read_until(&file, path, &log, index.last(), &check)?;
    if frames.sum != index.sum() || frames.pages != index.pages() {
        return damaged("its frames are not those that its index tells of");
    }
    let mut image = Image {
        database: asked.place.main.clone(),
        main: Arc::clone(main),
        page_size: log.page_size,
        pages: frames.pages,
        over: Over::Wal { file, log, map: frames.map },
        // How much a checkpoint has already written of it is not known.
        main_bytes: 0,
    };
    let (_, note) = image.count_pages()?;
    Ok((image, note))
}
