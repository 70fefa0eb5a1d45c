//! Manifests: what a snapshot is, and where its content begins.
//!
//! A manifest is an object of its own: a version, u16, and then the BCS of [`Manifest`].

use std::fmt;
use std::ops::RangeInclusive;
use std::str::FromStr;

use backup_core::integrity::DatabaseSum;
use backup_core::ownership::{Account, Owner, Ownership};
use backup_core::position::{Consistency, Position};
use backup_core::source::{FileNature, Layout, StoreDescription};
use lthash::LtHash;
use serde::{Deserialize, Serialize};

use crate::catalog::SourceId;
use crate::directory::{Directory, Holding};
use crate::limits::{MAX_DATABASES, MAX_NAME_BYTES, MAX_NOTES, check_limit};
use crate::node::Tree;
use crate::versioned::{self, at_most};
use crate::{Error, Result};

const WHAT: &str = "a manifest";
const VERSION: u16 = 1;
const FILE: &str = "a file's description";

/// All permission bits, with set-user-id, set-group-id and the sticky bit.
const MAX_MODE: u32 = 0o7777;

/// The longest name of a user or a group, in bytes.
const MAX_ACCOUNT_BYTES: usize = 255;

/// A snapshot's id: 128 random bits, 32 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct SnapshotId(pub [u8; 16]);

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for SnapshotId {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let mut id = [0; 16];
        hex::decode_to_slice(text, &mut id)
            .map_err(|_| Error::malformed("a snapshot's id", 0, "must be 32 hexadecimal digits"))?;
        Ok(Self(id))
    }
}

/// What a snapshot is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Its id.
    pub id: SnapshotId,
    /// When it was taken, in milliseconds of Unix time, by the clock of the host that took it.
    pub created_ms: u64,
    /// The name that the user gave its source.
    pub name: Option<String>,
    /// The host that took it.
    pub host: String,
    /// What it was taken from.
    pub source: StoreDescription,
    /// A word the user gave it.
    pub label: Option<String>,
    /// A sentence the user gave it.
    pub description: Option<String>,
    /// Where in the source's history it stands.
    pub position: Position,
    /// How exact that is.
    pub consistency: Consistency,
    /// How records were laid out in the engine.
    pub layout: Layout,
    /// Whose the store was, and who could read it.
    pub ownership: Option<Ownership>,
    /// The databases: a tree of which each record is one, as [`directory`](crate::directory) has it.
    /// None where there are none.
    pub databases: Option<Tree>,
    /// The sum of the records of all databases; none where the proof is physical only.
    pub sum: Option<DatabaseSum>,
    /// What is stored.
    pub shape: Shape,
    /// Where the LtHashes come from; none where the proof is physical only.
    pub proved_from: Option<ProvedFrom>,
    /// What a person should know about it.
    #[serde(deserialize_with = "at_most::<_, _, MAX_NOTES>")]
    pub notes: Vec<String>,
    /// What is unusual in the store itself, and may matter where it is restored.
    #[serde(deserialize_with = "at_most::<_, _, MAX_NOTES>")]
    pub unusual: Vec<String>,
    /// The proof of its pages, where it is the one file of a database that is made of pages.
    pub pages: Option<PageProof>,
}

/// The sum of the pages of a file, so that the next state can be proved from the pages that changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PageProof {
    /// The length of a page in bytes.
    pub page_bytes: u32,
    /// The pages as records: the key is the page's number, counted from 1, as a big-endian u32, the value
    /// the page, the tag [`PAGES_TAG`].
    pub sum: DatabaseSum,
    /// What later states bind to: drawn at random whenever the pages were read, and taken over where they
    /// were not because nothing had changed.
    pub generation: [u8; 16],
}

/// How long a page is, in bytes: a power of two.
const PAGE_BYTES: RangeInclusive<u32> = 512..=65_536;

/// What binds the hash of a page to being one.
pub const PAGES_TAG: &[u8] = b"keepsum pages";

/// The two shapes of a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[expect(clippy::large_enum_variant, reason = "a manifest has one; a box would only hide its tree")]
pub enum Shape {
    /// Portable records, which the directory leads to.
    Records,
    /// The engine's own files.
    Files {
        /// The tree of the files; none where there are none.
        tree: Option<Tree>,
        /// How many there are.
        count: u64,
        /// Their length in all, in bytes.
        bytes: u64,
    },
}

/// The shape of a snapshot, without what it holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ShapeKind {
    /// Portable records.
    Records,
    /// The engine's own files.
    Files,
}

impl ShapeKind {
    /// The word that JSON and messages use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Records => "records",
            Self::Files => "files",
        }
    }
}

/// Where a logical proof was computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ProvedFrom {
    /// At the source, in the same engine snapshot as the copy.
    Source,
    /// By the store's own upkeep.
    Store,
    /// From the repository: shows what is kept, not what the source held.
    Repository,
}

impl ProvedFrom {
    /// The word that JSON and messages use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Store => "store",
            Self::Repository => "repository",
        }
    }
}

impl Shape {
    /// Which of the two it is.
    pub fn kind(&self) -> ShapeKind {
        match self {
            Self::Records => ShapeKind::Records,
            Self::Files { .. } => ShapeKind::Files,
        }
    }

    /// The word that JSON and messages use.
    pub fn word(&self) -> &'static str {
        self.kind().word()
    }
}

impl Manifest {
    /// The content of the object.
    ///
    /// # Errors
    /// Those of [`parse`](Self::parse): what could not be read is not written.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        versioned::encode(WHAT, VERSION, self)
    }

    /// Reads a manifest, and checks its limits and that its parts agree with each other.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Mismatch`], [`Error::Newer`], [`Error::Limit`].
    pub fn parse(content: &[u8]) -> Result<Self> {
        let manifest: Self = versioned::parse(WHAT, VERSION, content)?;
        manifest.check()?;
        Ok(manifest)
    }

    /// The sum of all databases' LtHashes, where there is a logical proof.
    pub fn global(&self) -> Option<&LtHash> {
        self.sum.as_ref().map(|sum| &sum.lthash)
    }

    /// Where its databases are described.
    pub fn directory(&self) -> Directory<'_> {
        let holding = match (&self.shape, self.proved_from) {
            (Shape::Records, _) => Holding::Records,
            (Shape::Files { .. }, Some(_)) => Holding::Sums,
            (Shape::Files { .. }, None) => Holding::Names,
        };
        Directory { tree: self.databases.as_ref(), holding }
    }

    /// The roots of the trees that it names itself: of its databases, and of its files.
    pub fn trees(&self) -> impl Iterator<Item = &Tree> {
        let files = match &self.shape {
            Shape::Files { tree, .. } => tree.as_ref(),
            Shape::Records => None,
        };
        self.databases.iter().chain(files)
    }

    /// The source that it belongs to.
    pub fn source_id(&self) -> SourceId {
        SourceId {
            name: self.name.clone(),
            host: self.host.clone(),
            location: self.source.location.clone(),
            engine: self.source.engine.clone(),
        }
    }

    /// The size of the store as the snapshot holds it: the bytes of its files, or of its records.
    pub fn bytes(&self) -> u64 {
        match &self.shape {
            Shape::Files { bytes, .. } => *bytes,
            Shape::Records => self.sum.as_ref().map_or(0, |sum| sum.bytes),
        }
    }

    fn check(&self) -> Result<()> {
        let name = |what, text: &str| check_limit(what, text.len() as u64, MAX_NAME_BYTES as u64);
        if self.name.as_deref() == Some("") {
            return Err(Error::malformed(WHAT, 0, "the name of its source is empty"));
        }
        name("a source's name in bytes", self.name.as_deref().unwrap_or_default())?;
        name("a host's name in bytes", &self.host)?;
        name("a label in bytes", self.label.as_deref().unwrap_or_default())?;
        check_limit("a manifest in notes", self.notes.len() as u64, MAX_NOTES as u64)?;
        check_limit("a manifest in notes", self.unusual.len() as u64, MAX_NOTES as u64)?;
        self.ownership.as_ref().map_or(Ok(()), check_ownership)?;
        self.trees().try_for_each(Tree::check)?;
        self.check_databases()?;
        self.shape.check(self.proved_from)?;
        self.pages.as_ref().map_or(Ok(()), |pages| pages.check(&self.shape))
    }

    /// Whether the directory has the sum that is said, or that of nothing where there is none.
    fn check_databases(&self) -> Result<()> {
        let count = self.databases.as_ref().map_or(0, |tree| tree.root.records);
        check_limit("the number of databases of a snapshot", count, MAX_DATABASES)?;
        let claimed = self.databases.as_ref().map(|tree| tree.root.checksum);
        let agrees = match &self.sum {
            None => claimed.unwrap_or_default().is_none(),
            Some(sum) => match claimed {
                Some(claimed) => claimed == Some(sum.lthash.checksum()),
                None => sum.lthash.is_identity() && (sum.records, sum.bytes) == (0, 0),
            },
        };
        if agrees && self.sum.is_some() == self.proved_from.is_some() {
            return Ok(());
        }
        Err(Error::mismatch(WHAT, "its sum, its proof and its databases do not agree"))
    }
}

/// Names that no host has are refused, so that no description is longer than it may be.
fn check_owner(owner: &Owner) -> Result<()> {
    for Account { name, .. } in [&owner.user, &owner.group] {
        let bytes = name.as_ref().map_or(0, String::len);
        check_limit(
            "the name of a user or group in bytes",
            bytes as u64,
            MAX_ACCOUNT_BYTES as u64,
        )?;
    }
    Ok(())
}

fn check_ownership(ownership: &Ownership) -> Result<()> {
    for mode in [Some(ownership.mode), ownership.files_mode].into_iter().flatten() {
        check_limit("a store's mode", mode.into(), MAX_MODE.into())?;
    }
    check_owner(&ownership.owner)
}

impl PageProof {
    /// One file of whole pages, each with its number.
    fn check(&self, shape: &Shape) -> Result<()> {
        let Self { page_bytes, sum, .. } = self;
        let of_file = match shape {
            Shape::Files { count: 1, bytes, .. } => Some(*bytes),
            _ => None,
        };
        // A file of a gigabyte with pages of one byte would take an hour to sum.
        let is_page = page_bytes.is_power_of_two() && PAGE_BYTES.contains(page_bytes);
        let page = u64::from(*page_bytes);
        let content = page.checked_mul(sum.records);
        let with_numbers = (page + 4).checked_mul(sum.records);
        if is_page && content.is_some() && content == of_file && with_numbers == Some(sum.bytes) {
            return Ok(());
        }
        Err(Error::mismatch(WHAT, "its pages are not those of one file"))
    }
}

impl Shape {
    fn check(&self, proved_from: Option<ProvedFrom>) -> Result<()> {
        let agrees = match self {
            Self::Records => proved_from.is_some(),
            Self::Files { tree: None, count, bytes } => (*count, *bytes) == (0, 0),
            // Each file has a record, and its content is in records as well.
            Self::Files { tree: Some(Tree { root, .. }), count, bytes } => {
                (1..=root.records).contains(count)
                    && *bytes <= root.bytes
                    && root.checksum.is_none()
            }
        };
        if agrees {
            return Ok(());
        }
        let detail = format!("its {} are not those that it counts", self.word());
        Err(Error::mismatch(WHAT, detail))
    }
}

/// The description of a file in a tree of files: the value of the record (path, empty key). The
/// file's content follows in records (path, offset as u64 big-endian).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileMeta {
    /// Its length in bytes.
    pub bytes: u64,
    /// Its permission bits.
    pub mode: u32,
    /// How it changes.
    pub nature: FileNature,
    /// The engine's name for its content.
    pub identity: Option<Vec<u8>>,
    /// Whose it was, where that is not whose the store was.
    pub owner: Option<Owner>,
}

impl FileMeta {
    /// The record's value.
    ///
    /// # Errors
    /// [`Error::Limit`] for more than permission bits, or an identity that is too long.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        bcs::to_bytes(self)
            .map_err(|error| Error::unreadable(FILE, 0, "possible to write as BCS", error))
    }

    /// Reads a record's value.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Limit`].
    pub fn parse(value: &[u8]) -> Result<Self> {
        let file: Self = bcs::from_bytes(value)
            .map_err(|error| Error::unreadable(FILE, 0, "valid BCS", error))?;
        file.check()?;
        Ok(file)
    }

    fn check(&self) -> Result<()> {
        check_limit("a file's permission bits", self.mode.into(), MAX_MODE.into())?;
        let identity = self.identity.as_ref().map_or(0, Vec::len);
        check_limit("a file's identity in bytes", identity as u64, MAX_NAME_BYTES as u64)?;
        self.owner.as_ref().map_or(Ok(()), check_owner)
    }
}
