//! What a schedule must come to: noted by its processes as they go, and compared with what is stored.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard};

use archive::catalog::{PinId, State};
use archive::manifest::SnapshotId;
use archive::object::{ObjectHash, ObjectName, ObjectRef};
use bytes::Bytes;

/// What a snapshot holds: the content of its slots.
pub(crate) type Slots = BTreeMap<u8, Bytes>;

/// What its writer knows of a snapshot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Its commit was begun, and has no answer, or an error that proves nothing.
    Begun,
    /// The writer was told that it is committed.
    Committed,
    /// The writer was told that it is not committed, and never will be.
    Refused,
}

#[derive(Debug, Clone)]
pub(crate) struct Snapshot {
    pub(crate) standing: Standing,
    pub(crate) slots: Slots,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Inside {
    pub(crate) snapshots: BTreeMap<SnapshotId, Snapshot>,
    /// Those that somebody began to forget, and those of which somebody was told that they are gone.
    pub(crate) forgets: BTreeSet<SnapshotId>,
    pub(crate) forgotten: BTreeSet<SnapshotId>,
    /// Sessions, by their source, that were told that their pins ended.
    pub(crate) ended: BTreeSet<String>,
    /// Sessions, by their source, of which somebody began to drop a pin.
    pub(crate) dropped: BTreeSet<String>,
    /// How often a session resumed from each pin.
    pub(crate) resumed: BTreeMap<PinId, u32>,
    /// The greatest number of an entry that somebody was told is committed.
    pub(crate) acknowledged: u64,
    /// How many collections were committed.
    pub(crate) collections: u64,
    contents: HashMap<ObjectHash, Bytes>,
    damaged: HashMap<ObjectName, Vec<ObjectName>>,
    broken: Option<String>,
}

/// Shared by the processes of a schedule.
#[derive(Debug, Clone, Default)]
pub(crate) struct Ledger(Arc<Mutex<Inside>>);

impl Ledger {
    /// A ledger that begins with what another says, and shares nothing with it.
    pub(crate) fn beginning_with(other: &Self) -> Self {
        Self(Arc::new(Mutex::new(other.inside().clone())))
    }

    pub(crate) fn inside(&self) -> MutexGuard<'_, Inside> {
        self.0.lock().unwrap()
    }

    /// Notes that a promise was broken; the first is the one to tell.
    pub(crate) fn break_promise(&self, what: impl Into<String>) {
        self.inside().broken.get_or_insert(what.into());
    }

    pub(crate) fn broken(&self) -> Option<String> {
        self.inside().broken.clone()
    }

    pub(crate) fn store(&self, hash: ObjectHash, content: &Bytes) {
        self.inside().contents.insert(hash, content.clone());
    }

    pub(crate) fn content(&self, hash: &ObjectHash) -> Option<Bytes> {
        self.inside().contents.get(hash).cloned()
    }

    pub(crate) fn acknowledge(&self, number: u64) {
        let mut inside = self.inside();
        inside.acknowledged = inside.acknowledged.max(number);
    }

    pub(crate) fn list_damage(&self, list: &ObjectRef, names: Vec<ObjectName>) {
        self.inside().damaged.insert(list.name, names);
    }

    /// Whether a state lists an object as damaged.
    pub(crate) fn is_damaged(&self, state: &State, name: &ObjectName) -> bool {
        let inside = self.inside();
        let lists = state.damaged.iter().filter_map(|list| inside.damaged.get(&list.name));
        lists.into_iter().any(|names| names.contains(name))
    }

    pub(crate) fn begin_snapshot(&self, id: SnapshotId, slots: Slots) {
        let mut inside = self.inside();
        let begun = Snapshot { standing: Standing::Begun, slots };
        inside.snapshots.entry(id).or_insert(begun);
    }

    pub(crate) fn stand(&self, id: SnapshotId, standing: Standing) {
        if let Some(snapshot) = self.inside().snapshots.get_mut(&id) {
            snapshot.standing = standing;
        }
    }
}
