//! Catalog entries: the numbered, hash-chained record of what is live.
//!
//! ```text
//! magic      "KSCE"
//! version    u16      1
//! body       BCS of Entry
//! checksum   BLAKE3 of all bytes before it, 32 bytes
//! ```
//!
//! An entry's hash, which the next one repeats, is the BLAKE3 of all its bytes.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::limits::{MAX_CHANGES, MAX_ENTRY_BYTES, check_limit};
use crate::manifest::{ShapeKind, SnapshotId};
use crate::object::ObjectRef;
use crate::versioned::{self, at_most};
use crate::{Error, Result};

const WHAT: &str = "a catalog entry";
const MAGIC: &[u8; 4] = b"KSCE";
const VERSION: u16 = 1;
const CHECKSUM_BYTES: usize = 32;

/// Every entry whose number is a multiple of this holds the whole state, and no other does.
pub const STATE_EVERY: u64 = 64;

/// A repository's id: 128 random bits, drawn by `init`.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RepositoryId(pub [u8; 16]);

impl fmt::Display for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

impl fmt::Debug for RepositoryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The hash of an entry's bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Default)]
pub struct EntryHash(pub [u8; 32]);

impl EntryHash {
    /// The hash of an entry's bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }
}

impl fmt::Debug for EntryHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// An entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Entry {
    /// The repository it belongs to.
    pub repository: RepositoryId,
    /// Its number; 0 is written by `init`.
    pub number: u64,
    /// The hash of entry `number - 1`; zeros for entry 0.
    pub previous: EntryHash,
    /// Entries below this number may have become stubs.
    pub floor: u64,
    /// 128 random bits of the commit that wrote it, so that a writer knows its own.
    pub commit: [u8; 16],
    /// When it was written, by the writer's clock. Nothing trusts it.
    pub written_ms: u64,
    /// What it adds and removes, in order.
    #[serde(deserialize_with = "at_most::<_, _, MAX_CHANGES>")]
    pub changes: Vec<Change>,
    /// The state after it; in every [`STATE_EVERY`]th entry, and in no other.
    pub state: Option<State>,
}

/// One change that an entry makes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Change {
    /// A snapshot is live from here on, or has another manifest (`prove`).
    Snapshot(SnapshotEntry),
    /// A snapshot is no longer live.
    Forget(SnapshotId),
    /// What a manifest reaches is kept while a backup is under way.
    Pin(Pin),
    /// A pin ends.
    Unpin(PinId),
    /// The objects of this list ([`Kind::Names`](crate::object::Kind::Names)) are going to be deleted.
    Condemn(ObjectRef),
    /// The objects of this list are damaged: writers do not reuse them.
    Damaged(ObjectRef),
    /// A list of damaged objects ends: nothing live reaches them any more, or they are whole.
    Healed(ObjectRef),
}

/// A live snapshot, with what a listing shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotEntry {
    /// Its id.
    pub id: SnapshotId,
    /// Its manifest.
    pub manifest: ObjectRef,
    /// When it was taken, in milliseconds of Unix time, as the clock of its host gave it. Nothing
    /// trusts it.
    pub created_ms: u64,
    /// What it was taken of.
    pub source: SourceId,
    /// Its label.
    pub label: Option<String>,
    /// Its shape.
    pub shape: ShapeKind,
    /// The size of the store as the snapshot holds it, in bytes.
    pub bytes: u64,
    /// Stored bytes of the objects that its backup sent.
    pub added: u64,
    /// The number of the entry that brought it. It is the order of snapshots: the greater is the later,
    /// whatever clocks say.
    pub entry: u64,
}

/// What a snapshot was taken of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
pub struct SourceId {
    /// The name that the user gave it.
    pub name: Option<String>,
    /// The host that backs it up.
    pub host: String,
    /// Where it is on that host: `sqlite:/srv/app.db`.
    pub location: String,
    /// Its engine.
    pub engine: String,
}

impl SourceId {
    /// Whether the two are one source: they have one name, or neither has a name and they have one host
    /// and one location.
    pub fn is_same(&self, other: &Self) -> bool {
        match (&self.name, &other.name) {
            (Some(name), Some(others)) => name == others,
            (None, None) => (&self.host, &self.location) == (&other.host, &other.location),
            (Some(_), None) | (None, Some(_)) => false,
        }
    }
}

impl fmt::Display for SourceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, host, location, .. } = self;
        match name {
            Some(name) => write!(f, "{name:?}"),
            None => write!(f, "{location} of host {host}"),
        }
    }
}

/// A pin's id: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PinId(pub [u8; 16]);

impl fmt::Debug for PinId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex::encode(self.0))
    }
}

/// What a backup under way keeps alive: its parent, and what it stored so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// Its id.
    pub id: PinId,
    /// The manifest of the parent, or of what is stored so far.
    pub manifest: ObjectRef,
    /// What is backed up.
    pub source: SourceId,
    /// When it was made, in milliseconds of Unix time.
    pub created_ms: u64,
    /// The number of the entry that brought it.
    pub entry: u64,
}

/// All that is live after an entry.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct State {
    /// The snapshots.
    pub snapshots: BTreeMap<SnapshotId, SnapshotEntry>,
    /// The pins.
    pub pins: BTreeMap<PinId, Pin>,
    /// Lists of damaged objects.
    pub damaged: Vec<ObjectRef>,
    /// Lists of condemned objects.
    pub condemned: Vec<ObjectRef>,
}

impl State {
    /// The state after `change`. Ending what is not there changes nothing: two may end one pin.
    pub fn apply(&mut self, change: &Change) {
        match change {
            Change::Snapshot(entry) => drop(self.snapshots.insert(entry.id, entry.clone())),
            Change::Forget(id) => drop(self.snapshots.remove(id)),
            Change::Pin(pin) => drop(self.pins.insert(pin.id, pin.clone())),
            Change::Unpin(id) => drop(self.pins.remove(id)),
            Change::Condemn(list) => self.condemned.push(*list),
            Change::Damaged(list) => self.damaged.push(*list),
            Change::Healed(list) => self.damaged.retain(|damaged| damaged != list),
        }
    }
}

impl State {
    /// `change` as entry `number` holds it, which follows on this state: a snapshot or pin gets that
    /// number, and a snapshot that is here already keeps the one it has.
    #[must_use]
    pub fn numbered(&self, change: Change, number: u64) -> Change {
        match change {
            Change::Snapshot(made) => {
                let entry = self.snapshots.get(&made.id).map_or(number, |live| live.entry);
                Change::Snapshot(SnapshotEntry { entry, ..made })
            }
            Change::Pin(pin) => Change::Pin(Pin { entry: number, ..pin }),
            other => other,
        }
    }

    fn check(&self, number: u64) -> Result<()> {
        let snapshots = self.snapshots.iter().all(|(id, snapshot)| *id == snapshot.id);
        if !snapshots || !self.pins.iter().all(|(id, pin)| *id == pin.id) {
            return Err(Error::mismatch(WHAT, "its state has something under the id of another"));
        }
        let brought = self.snapshots.values().map(|snapshot| snapshot.entry);
        if brought.chain(self.pins.values().map(|pin| pin.entry)).any(|entry| entry > number) {
            return Err(Error::mismatch(WHAT, "its state has something that a later one brings"));
        }
        let manifests = self.snapshots.values().map(|snapshot| &snapshot.manifest);
        let pinned = self.pins.values().map(|pin| &pin.manifest);
        let lists = self.damaged.iter().chain(&self.condemned);
        manifests.chain(pinned).chain(lists).try_for_each(ObjectRef::check)
    }
}

impl Change {
    /// The object that it names, if it names one.
    fn object(&self) -> Option<&ObjectRef> {
        match self {
            Self::Snapshot(SnapshotEntry { manifest, .. }) | Self::Pin(Pin { manifest, .. }) => {
                Some(manifest)
            }
            Self::Condemn(list) | Self::Damaged(list) | Self::Healed(list) => Some(list),
            Self::Forget(_) | Self::Unpin(_) => None,
        }
    }
}

impl Entry {
    /// The entry's bytes.
    ///
    /// # Errors
    /// [`Error::Limit`] above [`MAX_ENTRY_BYTES`], since an entry must fit one PUT, or above
    /// 65,536 changes; [`Error::Malformed`] or [`Error::Mismatch`] for what
    /// [`parse`](Self::parse) would refuse.
    pub fn encode(&self) -> Result<Vec<u8>> {
        self.check()?;
        let mut bytes = MAGIC.to_vec();
        bytes.append(&mut versioned::encode(WHAT, VERSION, self)?);
        let checksum = blake3::hash(&bytes);
        bytes.extend_from_slice(checksum.as_bytes());
        check_length(bytes.len())?;
        Ok(bytes)
    }

    /// Reads an entry: checksum, version, structure, and that its parts agree with each other.
    /// Whether it is the right one, by number, repository and chain, is for who asked for it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Mismatch`], [`Error::Newer`], [`Error::Limit`].
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        check_length(bytes.len())?;
        let Some((covered, checksum)) = bytes.split_last_chunk::<CHECKSUM_BYTES>() else {
            return Err(Error::malformed(WHAT, bytes.len(), "it is too short"));
        };
        let Some(body) = covered.strip_prefix(MAGIC) else {
            return Err(Error::malformed(WHAT, 0, "it does not begin with KSCE"));
        };
        if blake3::hash(covered) != *checksum {
            return Err(Error::mismatch(WHAT, "its bytes have another checksum"));
        }
        let entry: Self = versioned::parse(WHAT, VERSION, body)?;
        entry.check()?;
        Ok(entry)
    }

    fn check(&self) -> Result<()> {
        check_limit("a catalog entry in changes", self.changes.len() as u64, MAX_CHANGES as u64)?;
        let impossible = |detail| Err(Error::mismatch(WHAT, detail));
        if self.floor > self.number {
            return impossible("its floor is above its number");
        }
        if self.number == 0 && self.previous != EntryHash::default() {
            return impossible("it is the first and names one before it");
        }
        if self.number.is_multiple_of(STATE_EVERY) != self.state.is_some() {
            return impossible("it has a state and should have none, or the other way round");
        }
        self.changes.iter().filter_map(Change::object).try_for_each(ObjectRef::check)?;
        self.state.as_ref().map_or(Ok(()), |state| state.check(self.number))
    }

    /// The name of entry `number` in its repository.
    pub fn path(number: u64) -> String {
        format!("catalog/{number:020}")
    }
}

fn check_length(found: usize) -> Result<()> {
    check_limit("a catalog entry in bytes", found as u64, MAX_ENTRY_BYTES as u64)
}
