//! The stored bytes: what is written is read back, and what was not written so is refused.
#![expect(clippy::unwrap_used, reason = "in a test, a panic is the finding")]

mod boundaries;
mod damage;
mod hostile;
mod names;
mod ranges;
mod round_trips;
mod samples;
mod wire;
