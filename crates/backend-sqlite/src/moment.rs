//! One moment of a database, seen through a connection.

use std::ffi::OsString;
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use backup_core::position::Position;
use backup_core::progress::Context;
use backup_core::scratch::Scratch;
use backup_core::{Error, Result};
use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use crate::ENGINE;
use crate::file::header::{HEADER_BYTES, Header};
use crate::file::{descriptors, locks, read_up_to};
use crate::pages::image::Image;
use crate::pages::still::Still;
use crate::pages::{Options, state};

/// How often a reader asks for its lock: between writers that follow one another closely, the gap for it is
/// short.
const ASK_AGAIN: Duration = Duration::from_millis(1);

/// Where a database's header says how many bytes of each page are reserved.
const RESERVED_AT: usize = 20;

/// A read-only connection must not roll a hot journal back, and says so with this code.
const SQLITE_READONLY_ROLLBACK: i32 = 776;

/// A connection in a read transaction: what it reads is of one moment for as long as it lives.
///
/// It is shared by all that read from it; each takes it for about a batch at a time, and no statement
/// stays open while it is given back.
#[derive(Debug)]
pub(crate) struct Moment {
    /// Declared first, so that it is closed before the scratch file under it goes.
    connection: Mutex<Connection>,
    position: Position,
    /// What a person should know of how the moment was taken.
    notes: Vec<String>,
    /// What is unusual in the database.
    unusual: Vec<String>,
    /// The files that must not change, where no lock keeps them.
    still: Option<Arc<Still>>,
    /// Whether the database has a write-ahead log. A connection to files that do not change does not tell.
    is_wal: bool,
    /// How many bytes at the end of each page are reserved. No pragma tells.
    reserved: u8,
    /// The pages that the connection sees, where they are known.
    image: OnceLock<Arc<Image>>,
    /// What holds the file that the connection reads, where it is not the database's own.
    _scratch: Option<Arc<Scratch>>,
}

/// Why a read transaction did not begin.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// A writer has the database for itself.
    Busy,
    /// A crash left a journal that a writer would have to roll back first.
    HotJournal,
    /// Anything else.
    Other(rusqlite::Error),
}

impl Moment {
    /// The moment of the call, with the options that decide nothing: see [`Options::default`].
    ///
    /// # Errors
    /// As [`open_with`](Self::open_with).
    #[cfg(test)]
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Self::open_with(path, &Options::default(), &Context::default())
    }

    /// The moment of the call. SQLite is opened on the database itself where it only reads there; else on
    /// a scratch copy of its pages.
    ///
    /// # Errors
    /// [`Error::NotFound`] where there is no file, [`Error::Unsupported`] for what is no database,
    /// [`Error::InUse`] where a program has it for itself, [`Error::Damaged`].
    pub(crate) fn open_with(path: &Path, options: &Options, context: &Context) -> Result<Self> {
        state::records(path, options, context)
    }

    /// A connection in a read transaction on the database itself.
    pub(crate) fn of_live(connection: Connection, position: Position, notes: Vec<String>) -> Self {
        let is_wal = matches!(position, Position::Sqlite { .. });
        // A header that cannot be read makes the pages unreadable too, which is said by who reads them.
        let header = connection.path().and_then(|path| header(Path::new(path)).ok());
        let reserved = header.map_or(0, |header| header[RESERVED_AT]);
        Self { is_wal, reserved, ..Self::begun(connection, position, notes) }
    }

    /// A connection that is in a read transaction.
    fn begun(connection: Connection, position: Position, notes: Vec<String>) -> Self {
        Self {
            connection: Mutex::new(connection),
            position,
            notes,
            unusual: Vec::new(),
            still: None,
            is_wal: false,
            reserved: 0,
            image: OnceLock::new(),
            _scratch: None,
        }
    }

    /// The state of a database that was built and lies where nobody else looks. No descriptor of it is kept
    /// when it moves to its place.
    pub(crate) fn of_built(main: &Path) -> Result<Self> {
        let file = File::open(main).map_err(Error::io("open", main))?;
        let header = header_of(&file, main)?;
        let moment = Self::of_files(main, &header, None, None, Position::Unknown, Vec::new())?;
        let bytes = file.metadata().map_err(Error::io("look at", main))?.len();
        if bytes > 0 {
            let parsed = Header::parse(main, &header)?;
            moment.shows(Arc::new(Image::of_main(main, &Arc::new(file), &parsed, bytes)?.0));
        }
        Ok(moment)
    }

    /// A moment of files that do not change: SQLite is told so, takes no locks, looks for no log and
    /// writes nothing.
    pub(crate) fn of_still(
        main: &Path,
        still: Option<Arc<Still>>,
        scratch: Option<Arc<Scratch>>,
        position: Position,
        notes: Vec<String>,
    ) -> Result<Self> {
        Self::of_files(main, &header(main)?, still, scratch, position, notes)
    }

    fn of_files(
        main: &Path,
        header: &[u8; HEADER_BYTES],
        still: Option<Arc<Still>>,
        scratch: Option<Arc<Scratch>>,
        position: Position,
        notes: Vec<String>,
    ) -> Result<Self> {
        let failed = |error| Error::engine(ENGINE, format!("read {}", main.display()))(error);
        let connection = self::still(main).map_err(failed)?;
        // An empty database has no header, and says nothing.
        let is_empty = header.iter().all(|byte| *byte == 0);
        let is_wal = !is_empty && Header::parse(main, header)?.is_wal();
        let reserved = header[RESERVED_AT];
        match begin(&connection) {
            Ok(()) => {}
            Err(refusal) => return Err(refusal.into_error(main)),
        }
        let begun = Self::begun(connection, position, notes);
        Ok(Self { still, is_wal, reserved, _scratch: scratch, ..begun })
    }

    /// Reads with the connection, which nobody else has meanwhile.
    ///
    /// # Errors
    /// Those of `read`; [`Error::Changed`] where the database was changed, which no lock
    /// kept from it.
    pub(crate) fn with<T>(&self, read: impl FnOnce(&Connection) -> Result<T>) -> Result<T> {
        // A reader that panicked has changed nothing: the transaction only reads.
        let found = read(&self.connection.lock().unwrap_or_else(PoisonError::into_inner));
        // What was read of changed files may be an error of SQLite's too; the change is the reason.
        if let Some(still) = &self.still {
            still.check()?;
        }
        found
    }

    /// Whether the database has a write-ahead log.
    pub(crate) fn is_wal(&self) -> bool {
        self.is_wal
    }

    /// How many bytes at the end of each page are reserved for a checksum or a cipher.
    pub(crate) fn reserved(&self) -> u8 {
        self.reserved
    }

    /// Tells which pages the connection sees.
    pub(crate) fn shows(&self, image: Arc<Image>) {
        // They are of one moment, whoever tells of them first.
        let _ = self.image.set(image);
    }

    /// The pages that the connection sees, where they are known.
    pub(crate) fn image(&self) -> Option<Arc<Image>> {
        self.image.get().cloned()
    }

    /// Where in the database's history it stands.
    pub(crate) fn position(&self) -> &Position {
        &self.position
    }

    /// The same moment, with what is unusual in the database.
    pub(crate) fn of_unusual(self, unusual: Vec<String>) -> Self {
        Self { unusual, ..self }
    }

    /// What is unusual in the database.
    pub(crate) fn unusual(&self) -> &[String] {
        &self.unusual
    }

    /// What a person should know of how the moment was taken.
    pub(crate) fn notes(&self) -> &[String] {
        &self.notes
    }
}

impl Refusal {
    /// As an error for the database at a path.
    pub(crate) fn into_error(self, database: &Path) -> Error {
        match self {
            Self::Busy => Error::InUse {
                what: format!("the database {}", database.display()),
                hint: "a program writes it, or has it for itself (PRAGMA \
                       locking_mode=EXCLUSIVE); try again when that has ended"
                    .into(),
            },
            Self::HotJournal => Error::damaged(
                format!("the database {}", database.display()),
                "a journal that a crash left is still to be rolled back",
            ),
            Self::Other(error) => {
                Error::engine(ENGINE, format!("read {}", database.display()))(error)
            }
        }
    }
}

/// Opens a database to be read in place, such that closing changes nothing either.
pub(crate) fn connect(main: &Path) -> Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let failed = |error| Error::engine(ENGINE, format!("open {}", main.display()))(error);
    let connection = Connection::open_with_flags(main, flags).map_err(failed)?;
    // Else the last one to close carries the log back and removes it.
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true).map_err(failed)?;
    // Who waits does so by `begin_within`, which knows for how long.
    connection.busy_handler(None).map_err(failed)?;
    Ok(connection)
}

/// Opens a database whose files nobody changes. SQLite takes no lock, looks for no log and writes nothing.
pub(crate) fn still(main: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    Connection::open_with_flags(immutable(main), flags)
}

/// As [`begin`], again while a writer keeps readers out, for `grace` at most and for as long as there is
/// patience. Its locks are only asked for until they are gone: to try for one of its own keeps a writer out.
pub(crate) fn begin_within(
    connection: &Connection,
    main: &File,
    database: &Path,
    grace: Duration,
    (options, context): (&Options, &Context),
) -> Result<Result<(), Refusal>> {
    let asks = grace.as_micros() / ASK_AGAIN.as_micros().max(1);
    for asked in 0.. {
        let out = locks::keeps_readers_out(main);
        if !out.map_err(Error::io("ask for the locks of", database))? {
            match begin(connection) {
                Err(Refusal::Busy) => {}
                begun => return Ok(begun),
            }
        }
        if asked >= asks || !options.patience.pause(database, ASK_AGAIN, context)? {
            break;
        }
    }
    Ok(Err(Refusal::Busy))
}

/// Begins a read transaction and takes its lock. The schema is not looked at.
pub(crate) fn begin(connection: &Connection) -> Result<(), Refusal> {
    let begun = connection
        .execute_batch("BEGIN")
        .and_then(|()| connection.query_row("PRAGMA schema_version", [], |_| Ok(())));
    let Err(error) = begun else { return Ok(()) };
    // Nothing is left of a transaction whose lock was refused; where there is, it only reads.
    let _ = end(connection);
    Err(match &error {
        rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
            ErrorCode::DatabaseBusy | ErrorCode::FileLockingProtocolFailed => Refusal::Busy,
            _ if failure.extended_code == SQLITE_READONLY_ROLLBACK => Refusal::HotJournal,
            _ => Refusal::Other(error),
        },
        _ => Refusal::Other(error),
    })
}

/// Ends a read transaction and lets its lock go.
pub(crate) fn end(connection: &Connection) -> rusqlite::Result<()> {
    connection.execute_batch("COMMIT")
}

/// The header of a database that others may use; zeros where it is shorter.
fn header(main: &Path) -> Result<[u8; HEADER_BYTES]> {
    header_of(descriptors::open(main)?.as_ref(), main)
}

fn header_of(file: &File, main: &Path) -> Result<[u8; HEADER_BYTES]> {
    let mut header = [0; HEADER_BYTES];
    let read = read_up_to(file, &mut header, 0).map_err(Error::io("read", main))?;
    Ok(if read == HEADER_BYTES { header } else { [0; HEADER_BYTES] })
}

/// The name under which SQLite takes a file for one that nobody changes.
fn immutable(main: &Path) -> OsString {
    let mut name = b"file:".to_vec();
    for byte in main.as_os_str().as_bytes() {
        match byte {
            b'%' | b'?' | b'#' => name.extend_from_slice(format!("%{byte:02X}").as_bytes()),
            _ => name.push(*byte),
        }
    }
    name.extend_from_slice(b"?immutable=1");
    OsString::from_vec(name)
}
