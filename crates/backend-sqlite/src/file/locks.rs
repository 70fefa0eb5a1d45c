//! The locks that others have on a database, asked for without taking any.
//!
//! The system tells of other processes' locks alone; whether this one has the files open is asked of
//! [`descriptors`](super::descriptors).

use std::fs::File;
use std::io;

use rustix::process::{Flock, FlockOffsetType, FlockType, fcntl_getlk};

use super::descriptors;
use super::holder::{Holder, Scope};
use super::place::{Place, Seen};
use backup_core::{Error, Result};

/// The bytes of a main file on which locks for reading and writing lie.
const SHARED: (u64, u64) = (0x4000_0002, 510);

/// The bytes on which a writer has its locks while readers are still there.
const RESERVED: (u64, u64) = (0x4000_0000, 2);

/// The first of them: who waits for readers to end, or has the file for itself, keeps new ones out by it.
const PENDING: (u64, u64) = (0x4000_0000, 1);

/// The byte of a `-shm` that each process locks that has the log open.
const SWITCH: (u64, u64) = (128, 1);

/// The lock of another process that would keep this one from writing a range.
fn held(file: &File, (start, length): (u64, u64)) -> io::Result<Option<Flock>> {
    let asked = Flock {
        start,
        length,
        pid: None,
        typ: FlockType::WriteLock,
        offset_type: FlockOffsetType::Set,
    };
    Ok(fcntl_getlk(file, &asked)?)
}

fn is_for_writing(lock: Option<&Flock>) -> bool {
    lock.is_some_and(|lock| lock.typ == FlockType::WriteLock)
}

/// Whether another process writes the main file, or is about to.
pub(crate) fn is_written(main: &File) -> io::Result<bool> {
    Ok(held(main, RESERVED)?.is_some() || is_exclusive(main)?)
}

/// Whether another process has the main file for itself: it writes it, or has it in exclusive mode.
pub(crate) fn is_exclusive(main: &File) -> io::Result<bool> {
    Ok(is_for_writing(held(main, SHARED)?.as_ref()))
}

/// Whether another process keeps new readers out of the main file.
pub(crate) fn keeps_readers_out(main: &File) -> io::Result<bool> {
    Ok(is_exclusive(main)? || is_for_writing(held(main, PENDING)?.as_ref()))
}

/// The other process that has the main file for itself.
pub(crate) fn holder(main: &File) -> io::Result<Option<Holder>> {
    let Some(lock) = held(main, SHARED)?.filter(|lock| is_for_writing(Some(lock))) else {
        return Ok(None);
    };
    let scope = match held(main, PENDING)? {
        Some(_) => Scope::Transaction,
        None => Scope::Process,
    };
    // Zero where it is one that cannot be seen from here.
    let process = lock.pid.map(|pid| pid.as_raw_nonzero().get().cast_unsigned());
    Ok(Some(Holder { process, scope }))
}

/// Whether somebody has the log of a database open, this process included.
pub(crate) fn is_log_open(place: &Place, seen: &Seen) -> Result<bool> {
    let Some(stamp) = seen.shm else { return Ok(false) };
    let shm = match descriptors::open(&place.shm) {
        Ok(shm) => shm,
        // It went with its last user.
        Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            return Ok(false);
        }
        Err(error) => return Err(error),
    };
    let others = held(&shm, SWITCH).map_err(Error::io("ask for the locks of", &place.shm))?;
    Ok(others.is_some() || descriptors::is_open_elsewhere(stamp.file())?)
}
