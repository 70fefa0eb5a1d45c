//! What is read: a source, its snapshots, their records and files.

use std::fs::File;
use std::io::{self, ErrorKind, Read, Seek, SeekFrom};
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_core::stream::BoxStream;
use serde::{Deserialize, Serialize};

use crate::ownership::{Owner, Ownership};
use crate::path::FilePath;
use crate::position::{Consistency, Position};
use crate::progress::Context;
use crate::record::{RecordBatch, RecordKey};
use crate::{Error, Result};

/// Batches of records, in order, ending after the first error.
pub type BatchStream = BoxStream<'static, Result<RecordBatch>>;

/// What a store is and where it was found.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct StoreDescription {
    /// The engine's name as in a location: `rocksdb`, `memory`, `files`.
    pub engine: String,
    /// The location as a person would give it, made absolute: `rocksdb:/var/lib/app/db`.
    pub location: String,
    /// The engine's own lasting name of this store, where it has one (RocksDB's IDENTITY).
    pub identity: Option<String>,
}

impl StoreDescription {
    /// The location without its engine: for a store in the file system, its path.
    pub fn place(&self) -> &str {
        self.location.split_once(':').map_or(self.location.as_str(), |(_, place)| place)
    }
}

/// What a backend can do. The conformance suite runs what is declared and asserts that the rest
/// answers [`Error::Unsupported`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "independent abilities, not a state machine")]
pub struct Capabilities {
    /// Snapshots with records.
    pub records: bool,
    /// Snapshots with files.
    pub files: bool,
    /// Restores from records.
    pub load_records: bool,
    /// Restores from files of the same engine.
    pub place_files: bool,
    /// Root keys are kept ([`Layout::Partitioned`]).
    pub partitions: bool,
    /// Several databases in one store.
    pub databases: bool,
    /// Snapshots are [`Consistency::PointInTime`] while writers go on.
    pub point_in_time: bool,
}

/// Which form of a snapshot is wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum View {
    /// Records only.
    Records,
    /// Files only.
    Files,
    /// Both, of exactly the same state.
    Both,
}

impl View {
    /// Whether records are wanted.
    pub fn records(self) -> bool {
        self != Self::Files
    }

    /// Whether files are wanted.
    pub fn files(self) -> bool {
        self != Self::Records
    }
}

/// Something that can be backed up.
#[async_trait]
pub trait Source: Send + Sync {
    /// What and where this is.
    fn describe(&self) -> StoreDescription;

    /// What this source can do.
    fn capabilities(&self) -> Capabilities;

    /// Takes a snapshot. The source goes on being written; the snapshot does not change.
    ///
    /// Nothing of the source is modified. What a snapshot holds (a scratch folder, an engine's
    /// snapshot) is released when it and the streams it gave are dropped.
    ///
    /// # Errors
    /// [`Error::Unsupported`] for a view the source cannot give (it says which it can),
    /// [`Error::NotFound`] where there is no store.
    async fn snapshot(&self, view: View, context: &Context) -> Result<Box<dyn Snapshot>>;

    /// For how long a caller goes on taking snapshots where each is spoiled because the source changed while
    /// it was read ([`Error::Changed`]). A source that waits for other programs counts that into it.
    fn patience(&self) -> Duration {
        Duration::ZERO
    }
}

/// How key-value records are laid out in an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Layout {
    /// Keys as they are; every root key is empty.
    #[default]
    Plain,
    /// Root keys are kept, by a marked arrangement of the backend's.
    Partitioned,
}

/// The order in which a snapshot gives a database's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[non_exhaustive]
pub enum Order {
    /// By (root key, key), bytewise.
    #[default]
    Key,
    /// By the token of the engine's ring, then by key.
    Token,
}

/// A database of a store, as a snapshot found it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DatabaseInfo {
    /// Its name, unique in the store.
    pub name: String,
    /// The order its records come in.
    pub order: Order,
    /// What an engine of the same kind needs to make it again, in that engine's own words.
    pub settings: Option<String>,
    /// About how many records it has, where the engine knows.
    pub estimated_records: Option<u64>,
    /// About how many bytes they have, where the engine knows.
    pub estimated_bytes: Option<u64>,
}

impl DatabaseInfo {
    /// A database of this name with nothing else known.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            order: Order::Key,
            settings: None,
            estimated_records: None,
            estimated_bytes: None,
        }
    }
}

/// What a snapshot says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnapshotInfo {
    /// Where in the source's history it stands.
    pub position: Position,
    /// How exact that is.
    pub consistency: Consistency,
    /// How records are laid out in the engine.
    pub layout: Layout,
    /// The databases; empty where a snapshot has files only and their engine was not asked.
    pub databases: Vec<DatabaseInfo>,
    /// How long writers were held up for it, where they were.
    pub pause: Option<Duration>,
    /// Whose the store is, and who may read it; none where it is no file and no folder.
    pub ownership: Option<Ownership>,
    /// Sentences that a person should read ("the file system has no links; files were copied").
    pub notes: Vec<String>,
    /// Sentences on what is unusual in the store itself, and may matter where it is restored: what its
    /// application's program has and the engine has not, what the engine would not make so.
    pub unusual: Vec<String>,
}

/// The unchanging state of a source at one position.
pub trait Snapshot: Send + Sync {
    /// What this snapshot says of itself.
    fn info(&self) -> &SnapshotInfo;

    /// Its records, if the view asked for them.
    fn records(&self) -> Option<&dyn Records>;

    /// Its files, if the view asked for them.
    fn files(&self) -> Option<&dyn Files>;
}

/// The records of a snapshot.
#[async_trait]
pub trait Records: Send + Sync {
    /// Keys that cut a database into at most `parts` ranges of similar size, in its order, for
    /// parallel readers. Fewer, or none, where the engine knows no better.
    async fn splits(&self, database: usize, parts: usize) -> Result<Vec<RecordKey>>;

    /// The records of the database with index `database` in [`SnapshotInfo::databases`], in its
    /// order, each exactly once, from `from` on (inclusive; from the first where `None`).
    ///
    /// A reader that has enough drops the stream, which ends the scan. Values above
    /// [`MAX_WHOLE_VALUE`](crate::record::MAX_WHOLE_VALUE) come in parts.
    fn scan(&self, database: usize, from: Option<&RecordKey>) -> BatchStream;
}

/// The ranges that lie between `cuts`, each from one key on (inclusive) and before another: the first from
/// the first record on, the last to the last.
pub fn ranges_between(
    cuts: Vec<RecordKey>,
) -> impl Iterator<Item = (Option<RecordKey>, Option<RecordKey>)> + Send {
    let ends = cuts.clone().into_iter().map(Some).chain([None]);
    std::iter::once(None).chain(cuts.into_iter().map(Some)).zip(ends)
}

/// Bytes of a file, into memory that was not written before.
///
/// # Errors
/// [`ErrorKind::UnexpectedEof`] where the file is shorter, and those of the system.
pub fn read_range(file: &mut File, range: Range<u64>) -> io::Result<Vec<u8>> {
    let length = range.end.saturating_sub(range.start);
    let mut bytes =
        Vec::with_capacity(usize::try_from(length).map_err(|_| ErrorKind::OutOfMemory)?);
    file.seek(SeekFrom::Start(range.start))?;
    let read = file.take(length).read_to_end(&mut bytes)?;
    if read as u64 == length { Ok(bytes) } else { Err(ErrorKind::UnexpectedEof.into()) }
}

/// A file of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileInfo {
    /// Its path in the store's folder.
    pub path: FilePath,
    /// Its length in bytes.
    pub bytes: u64,
    /// A name for its content, given by the engine: two files of one source with the same identity
    /// and length have the same content. Absent where the content must be read to know.
    pub identity: Option<Vec<u8>>,
    /// Whether others than the owner may read and run it: the permission bits, as in `0o640`.
    pub mode: u32,
    /// Whose it is, where that is not whose the store is.
    pub owner: Option<Owner>,
    /// How the file changes, which decides how it is cut into pieces.
    pub nature: FileNature,
}

/// How a file changes over its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum FileNature {
    /// Written once: cut into large pieces.
    Immutable,
    /// Changed in place, or appended to: cut into small pieces, so that a change stores little.
    Changing,
}

/// The files of a snapshot.
#[async_trait]
pub trait Files: Send + Sync {
    /// All files, sorted by path.
    fn list(&self) -> &[FileInfo];

    /// The length in bytes of the pages that the one file is made of, where it is. They are summed as well,
    /// so that a later state can be proved from the pages that changed.
    fn page_bytes(&self) -> Option<u32> {
        None
    }

    /// The bytes `range` of the file with index `file`, all of them.
    ///
    /// # Errors
    /// [`Error::Damaged`] where the file is shorter than it was listed.
    async fn read(&self, file: usize, range: Range<u64>) -> Result<Bytes>;
}

/// The answer of a source that cannot give a view.
pub fn no_such_view(engine: &str, view: View, instead: &str) -> Error {
    let what = match view {
        View::Records => "reading records",
        View::Files => "copying files",
        View::Both => "reading records and copying files together",
    };
    Error::unsupported(format!("{what} from {engine}"), instead)
}
