//! Faults that are put where they hurt: at operation `n`, for every `n`.
//!
//! A [`Trigger`] counts operations and says when the one has come. [`FaultyDisk`] is a
//! [`Disk`](backup_core::disk::Disk) that fails there and keeps a journal for [`crate::crash`]; [`Shim`]
//! does the same to a whole program; `FaultyStore` (feature `object-store`) fails requests.

mod disk;
#[cfg(feature = "object-store")]
mod requests;
mod shim;
mod trigger;

pub use disk::FaultyDisk;
#[cfg(feature = "object-store")]
pub use requests::{FaultyStore, RequestFault};
pub use shim::{Ran, Shim, ShimFault};
pub use trigger::{Reach, Trigger};

/// A scratch folder, in memory where the system has such a place: thousands of small stores are
/// written and synced there.
///
/// # Panics
/// Where none can be made.
pub fn in_memory() -> tempfile::TempDir {
    let mut builder = tempfile::Builder::new();
    builder.prefix("keepsum-faults-");
    let memory = builder.tempdir_in("/dev/shm");
    memory.or_else(|_| builder.tempdir()).expect("a scratch folder can be made")
}
