//! Which SQLite runs.

use backup_core::{Error, Result};

use crate::ENGINE;

/// The SQLite that this crate was made and tried with, as `sqlite3_libversion_number` gives it.
///
/// Up to 3.51.2 a checkpoint by one process beside a write of another could corrupt a database in WAL
/// mode, and what is known of the files here was read in this version's source.
pub(crate) const SQLITE_VERSION: i32 = 3_053_002;

/// Checks that the SQLite that runs is the one that was compiled in.
///
/// # Errors
/// [`Error::Engine`] where another one was linked in its place.
pub(crate) fn check() -> Result<()> {
    expect(rusqlite::version_number())
}

fn expect(running: i32) -> Result<()> {
    if running == SQLITE_VERSION {
        return Ok(());
    }
    let cause = format!(
        "SQLite {} runs, and {} is expected; build with the one that is bundled",
        shown(running),
        shown(SQLITE_VERSION)
    );
    Err(Error::engine(ENGINE, "use the SQLite that was linked")(cause))
}

fn shown(version: i32) -> String {
    format!("{}.{}.{}", version / 1_000_000, version / 1000 % 1000, version % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bundled_sqlite_runs_and_another_is_refused() {
        check().unwrap();
        let refused = expect(3_051_002).unwrap_err();
        let cause = std::error::Error::source(&refused).unwrap().to_string();
        assert!(cause.contains("3.51.2 runs") && cause.contains("3.53.2"), "{cause}");
    }
}
