//! What is written: a target, and a restore into it that publishes at once or not at all.

use std::collections::BTreeSet;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;

use crate::check::{CheckLevel, CheckReport};
use crate::ownership::Ownership;
use crate::progress::Context;
use crate::record::RecordBatch;
use crate::source::{
    Capabilities, DatabaseInfo, FileInfo, Files, Layout, Snapshot, StoreDescription,
};
use crate::{Error, Result};

/// What a restore is going to bring.
#[derive(Debug, Clone)]
pub struct RestorePlan {
    /// Records or files.
    pub content: Content,
    /// What to do with a store that is already there.
    pub existing: Existing,
    /// How much of the built store the engine checks before it is published; none where nobody asked, and the
    /// engine does what it usually does. See [`crate::check`].
    pub check: Option<CheckLevel>,
    /// What the restored store says of where it came from.
    pub origin: Origin,
}

/// The two shapes of a restore.
#[derive(Debug, Clone)]
pub enum Content {
    /// Records of these databases, loaded database by database in the order of this list.
    Records {
        /// How they are laid out in the target.
        layout: Layout,
        /// The databases to make, the empty ones too.
        databases: Vec<DatabaseInfo>,
    },
    /// Files of an engine, placed as they were.
    Files {
        /// The engine they belong to.
        engine: String,
        /// The files to make, sorted by path.
        files: Vec<FileInfo>,
    },
}

/// Checks that no database of a plan comes twice.
///
/// # Errors
/// [`Error::Invalid`] with the first that does.
pub fn each_once<'a>(databases: impl IntoIterator<Item = &'a str>) -> Result<()> {
    let mut seen = BTreeSet::new();
    match databases.into_iter().find(|name| !seen.insert(*name)) {
        None => Ok(()),
        Some(twin) => {
            let detail = "comes twice in one restore; restore one of them under another name";
            Err(Error::invalid(format!("the database {twin:?}"), detail))
        }
    }
}

/// What to do with a store that is already there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// Refuse; an empty folder is a free target.
    Refuse,
    /// Publish in its place and keep it aside under another name.
    KeepAside,
}

/// What a restored store says of itself, in the sidecar `KEEPSUM_RESTORED` in a folder or
/// `<file>.keepsum` beside a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    /// The id of the snapshot it was restored from, or the location it was converted from.
    pub snapshot: String,
    /// The position of that snapshot.
    pub position: String,
    /// When the snapshot was taken, RFC 3339 in UTC.
    pub taken: String,
    /// Whether it is only what was whole of a damaged snapshot. Such a store is never proved.
    pub salvaged: bool,
    /// Whose the source was, and who could read it: the restored store gets the same. The sidecar does not
    /// say it.
    pub ownership: Option<Ownership>,
}

impl Origin {
    /// The sidecar's bytes: a line for the format, then a line a field, and one more for a
    /// store that was salvaged.
    pub fn sidecar(&self) -> String {
        let line = |text: &str| text.replace(['\n', '\r'], " ");
        let salvaged = if self.salvaged { "salvaged: not proved, parts may be lost\n" } else { "" };
        format!(
            "keepsum-restored 1\nsnapshot {}\nposition {}\ntaken {}\n{salvaged}",
            line(&self.snapshot),
            line(&self.position),
            line(&self.taken)
        )
    }
}

/// Something that can be restored into.
#[async_trait]
pub trait Target: Send + Sync {
    /// What and where this is.
    fn describe(&self) -> StoreDescription;

    /// What this target can do.
    fn capabilities(&self) -> Capabilities;

    /// A folder near the target, where scratch copies of what it gets find room; none where it is not in the file
    /// system.
    ///
    /// # Errors
    /// [`NotFound`](crate::Error::NotFound) where the folder that the target is to lie in does not exist,
    /// [`Unsupported`](crate::Error::Unsupported) where a link leads into one that does not.
    fn beside(&self) -> Result<Option<PathBuf>> {
        Ok(None)
    }

    /// Whether a store is there, or anything else that a restore must not replace unasked. An empty folder
    /// does not count. A file of 0 bytes does not count, unless a process has it open or its log holds something.
    /// A symbolic link that leads to nothing does not count.
    ///
    /// # Errors
    /// What [`begin`](Self::begin) would answer for a place where nothing can be restored:
    /// [`Invalid`](crate::Error::Invalid) where what is there is of another form,
    /// [`Unsupported`](crate::Error::Unsupported) where a link leads into a folder that does not exist, or an
    /// empty file is mounted.
    async fn is_occupied(&self) -> Result<bool>;

    /// Begins a restore beside whatever is there, which stays as it is until
    /// [`publish`](Built::publish).
    ///
    /// # Errors
    /// [`Occupied`](crate::Error::Occupied) where there is a store and it is not to be kept aside,
    /// [`Unsupported`](crate::Error::Unsupported) for content the target cannot take (it says what
    /// it can), [`InUse`](crate::Error::InUse) where a process holds the store or restores into it.
    async fn begin(&self, plan: RestorePlan, context: &Context) -> Result<Box<dyn Restore>>;
}

/// A restore under way. Dropped before it is published, it removes what it built and leaves whatever was
/// there untouched.
#[async_trait]
pub trait Restore: Send {
    /// Loads the next records of the database with index `database` of the plan.
    ///
    /// Databases come in the plan's order, their records sorted bytewise by (root key, key) and
    /// each once; a target checks that they are.
    async fn load(&mut self, database: usize, batch: RecordBatch) -> Result<()>;

    /// Writes `bytes` at `offset` of the file with index `file` of the plan. Pieces of one file
    /// come in rising order without gaps; a file of length 0 is made without any.
    async fn place(&mut self, file: usize, offset: u64, bytes: Bytes) -> Result<()>;

    /// Leaves out the stretch `range` of the file with index `file` of the plan, which is lost: it reads as
    /// zeros. It comes in its turn, as a piece does. Only a target whose files need not be whole takes it,
    /// and only in a restore that is marked as salvaged.
    ///
    /// # Errors
    /// [`Unsupported`](crate::Error::Unsupported) of every other target; those of [`place`](Self::place).
    async fn leave_out(&mut self, file: usize, range: Range<u64>) -> Result<()> {
        let _ = (file, range);
        Err(no_holes())
    }

    /// The files that an interrupted restore of the same snapshot left where this one builds, in the order
    /// of the plan, each as long as it is there. They may hold anything: what is as it should be need not
    /// be fetched, and is placed like all else.
    fn left_over(&self) -> Option<Arc<dyn Files>> {
        None
    }

    /// Ends a restore that was cut off by what may pass. A target that can go on from what it built keeps it
    /// for the same restore, and says where it is; whatever was there before is untouched.
    fn interrupt(self: Box<Self>) {}

    /// Makes the store of what came, and checks that it is complete. The store is still hidden: whatever was
    /// there before is untouched.
    ///
    /// # Errors
    /// [`Error::Invalid`] where something of the plan did not come, or was refused
    /// before; [`Error::Cancelled`]; those of the engine.
    async fn complete(self: Box<Self>) -> Result<Box<dyn Built>>;
}

/// The refusal of a file with a hole.
pub(crate) fn no_holes() -> Error {
    let why = "its files must be whole; salvage what is left into files:FOLDER";
    Error::unsupported("leaving a part of a file out", why)
}

/// A store that is complete and still hidden. Dropped, it is removed, and whatever was there before is
/// untouched.
#[async_trait]
pub trait Built: Send + Sync {
    /// The records that the store holds, read from what was built and not from what was loaded. None where
    /// files were placed. It holds nothing but the databases of the plan, and what is empty; records may come
    /// in any order where a database has no splits.
    ///
    /// What it gives is dropped before the store is published.
    ///
    /// # Errors
    /// Those of the engine that reads.
    async fn records(&self) -> Result<Option<Box<dyn Snapshot>>>;

    /// What of the plan the engine could not make, although its records came. It is not in
    /// [`records`](Self::records).
    fn not_carried(&self) -> &[NotCarried] {
        &[]
    }

    /// Makes the store durable and publishes it at once.
    ///
    /// # Errors
    /// After one, what was there before is in its place or aside, or the new store is in its place.
    async fn publish(self: Box<Self>) -> Result<Restored>;
}

/// Something that a store had around its records and that could not be made again.
#[derive(Debug, Clone)]
pub struct NotCarried {
    /// What it is, in the engine's words: `index`, `trigger`.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Why it could not be made, as a clause: "SQLite says: no such collation sequence: unicase".
    pub why: String,
    /// The records that stand for it, each with the index of its database in the plan.
    pub records: Vec<(usize, RecordBatch)>,
}

/// Convenience for every [`Restore`].
#[async_trait]
pub trait RestoreExt {
    /// Completes the restore and publishes it, without a look at what the new store holds.
    ///
    /// # Errors
    /// Those of [`Restore::complete`] and [`Built::publish`].
    async fn finish(self: Box<Self>) -> Result<Restored>;
}

#[async_trait]
impl<R: Restore + ?Sized> RestoreExt for R {
    async fn finish(self: Box<Self>) -> Result<Restored> {
        self.complete().await?.publish().await
    }
}

/// What a finished restore left behind.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Restored {
    /// Where the store that was there before is now, if there was one.
    pub kept_aside: Option<PathBuf>,
    /// Sentences that a person should read.
    pub notes: Vec<String>,
    /// What the engine said of the store before it was published.
    pub check: CheckReport,
}
