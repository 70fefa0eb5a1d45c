//! Which column families are databases, and how a partitioned store is marked.

use backup_core::source::Layout;
use backup_core::{Error, Result};

/// The column family that every RocksDB has, used or not.
pub(crate) const DEFAULT: &str = "default";

/// The column family of the mark. It is no database: no hash and no list looks there.
pub(crate) const MARK_FAMILY: &str = "keepsum.layout";

/// The key of the mark.
pub(crate) const MARK_KEY: &[u8] = b"layout";

/// The mark of a partitioned store.
pub(crate) const PARTITIONED: &[u8] = b"partitioned 1";

/// Where RocksDB keeps statistics of its own, if it is told to.
const STATISTICS_FAMILY: &str = "___rocksdb_stats_history___";

/// Whether a column family is a database, or belongs to keepsum or to RocksDB itself.
pub(crate) fn is_database(family: &str) -> bool {
    !matches!(family, MARK_FAMILY | STATISTICS_FAMILY)
}

/// Whether RocksDB opens this column family by itself.
pub(crate) fn is_implicit(family: &str) -> bool {
    family == STATISTICS_FAMILY
}

/// The layout that a mark says.
pub(crate) fn of_mark(store: &str, mark: Option<&[u8]>) -> Result<Layout> {
    match mark {
        Some(PARTITIONED) => Ok(Layout::Partitioned),
        Some(other) => {
            let found = String::from_utf8_lossy(other).into_owned();
            Err(Error::unsupported(
                format!("reading records of {store}"),
                format!("its layout {found:?} is of a later version of keepsum"),
            ))
        }
        None => Err(Error::damaged(
            format!("the column family {MARK_FAMILY:?} of {store}"),
            "it does not hold the mark of a layout",
        )),
    }
}

/// Checks a name for a new database.
pub(crate) fn check_name(name: &str) -> Result<()> {
    let refuse = |detail: &str| Err(Error::invalid(format!("the database name {name:?}"), detail));
    if name.is_empty() || name.contains('\0') {
        return refuse("must have at least one character, and no NUL");
    }
    if !is_database(name) {
        return refuse("is a column family that keepsum or RocksDB uses itself; choose another");
    }
    Ok(())
}
