//! What a failure of SQLite means to a caller.

use backup_core::Error;
use rusqlite::ErrorCode;

use crate::ENGINE;

/// The error of `action` on `what`, as in "cannot *read from* *database "a"*"; its sentence is made only
/// once there is one.
pub(super) fn failed<'a>(
    action: &'a str,
    what: &'a str,
) -> impl FnOnce(rusqlite::Error) -> Error + use<'a> {
    move |error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Error::InUse {
            what: what.to_owned(),
            hint: "another connection has kept it locked: wait for it, or end its transaction"
                .into(),
        },
        Some(ErrorCode::DatabaseCorrupt) => Error::damaged(
            what,
            "SQLite has met a page that cannot be right, or that the disk did not give it; look at the \
             disk, then restore the file from a backup",
        ),
        _ => Error::engine(ENGINE, format!("{action} {what}"))(error),
    }
}

/// A row that no store writes.
pub(super) fn impossible(what: &str, detail: &str) -> Error {
    Error::damaged(what, format!("{detail}; restore the file from a backup"))
}
