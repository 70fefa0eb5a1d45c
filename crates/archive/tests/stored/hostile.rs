//! Bytes that somebody made with intent: well framed, and wrong inside.
//!
//! What they cost in memory and time is measured in `tests/hostile_memory.rs`.

mod directories;
mod entries;
mod leaves;
mod manifests;
mod nodes;
mod objects;

use archive::Error;

/// What an error must be.
type Is = fn(&Error) -> bool;

#[track_caller]
fn refused<T>(found: archive::Result<T>, with: Is) {
    let error = found.err().expect("this must be refused");
    assert!(with(&error), "{error:?}");
    let text = error.to_string();
    assert!(!text.is_empty() && !text.contains('\n'), "{text:?} must be one line");
}

fn malformed(error: &Error) -> bool {
    matches!(error, Error::Malformed { .. })
}

fn mismatch(error: &Error) -> bool {
    matches!(error, Error::Mismatch { .. })
}

fn limit(error: &Error) -> bool {
    matches!(error, Error::Limit { .. })
}

fn newer(error: &Error) -> bool {
    matches!(error, Error::Newer { .. })
}
