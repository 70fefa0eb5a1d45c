//! The operations that change a folder, and those that make it durable.

use std::path::PathBuf;

use backup_core::disk::Access;

/// An operation that succeeded, or a sync that failed. Paths are below the volume's root; files that
/// are open are named by their inode's number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Op {
    /// A folder was made.
    CreateFolder {
        /// Its path.
        path: PathBuf,
        /// Its inode.
        inode: u64,
    },
    /// A file was opened to be written; it was made if nothing had the name.
    Open {
        /// Its path.
        path: PathBuf,
        /// Its inode.
        inode: u64,
    },
    /// A file or folder got an owner and permission bits; what was just made has its first ones at once.
    Access {
        /// The file or folder.
        inode: u64,
        /// What it has now, the owner included.
        access: Access,
    },
    /// A file got a length in bytes.
    Truncate {
        /// The file.
        inode: u64,
        /// Its length.
        length: u64,
    },
    /// Bytes were written.
    Write {
        /// The file.
        inode: u64,
        /// Where.
        offset: u64,
        /// What.
        bytes: Vec<u8>,
    },
    /// A file's content, or a folder's names, were made durable.
    Sync {
        /// The file or folder.
        inode: u64,
    },
    /// A sync failed: what was written since the last one is lost, and later syncs do not say so.
    FailedSync {
        /// The file or folder.
        inode: u64,
    },
    /// A second name was given.
    Link {
        /// The name there was.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// A name was changed, in place of another if there was one.
    Rename {
        /// The old name.
        from: PathBuf,
        /// The new one.
        to: PathBuf,
    },
    /// Two names were swapped.
    Exchange {
        /// One.
        one: PathBuf,
        /// The other.
        other: PathBuf,
    },
    /// A name was removed, of a file or of an empty folder.
    Remove {
        /// The name.
        path: PathBuf,
    },
}
