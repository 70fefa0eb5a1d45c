//! Faults that are put where they hurt: at operation `n`, for every `n`.
//!
//! A [`Trigger`] counts operations and says when the one has come. [`FaultyDisk`] is a
//! [`Disk`](backup_core::disk::Disk) that fails there and keeps a journal for [`crate::crash`].

mod disk;
mod trigger;

pub use disk::FaultyDisk;
pub use trigger::{Reach, Trigger};
