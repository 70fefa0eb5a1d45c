//! A session: what one writer does between the state it starts from and its commit.
//!
//! A collector may run meanwhile, and delete what no snapshot and no pin leads to: objects that the writer stored and
//! has not committed yet, or objects of an older snapshot that it builds on. Three rules guard against that. It reuses only what it reaches from
//! roots that are live. It pins those at the start. And each of its commits reads every entry since the
//! last and, if one of them condemns, makes sure that its roots were live all along and that nothing it
//! stored itself is condemned.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use archive::catalog::{Change, Entry, Pin, PinId, SnapshotEntry, SourceId, State};
use archive::manifest::{Manifest, SnapshotId};
use archive::object::{Kind, ObjectName, ObjectRef};
use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::Mutex as AsyncMutex;

use crate::catalog::{Decide, Decision, Head};
use crate::names;
use crate::objects::{Objects, Stored};
use crate::repository::Repository;
use crate::{Error, Result};

/// How long what ends early tries to keep what it stored, or to end its pins: whoever asked it to stop waits for it,
/// and the store may be what failed.
pub(crate) const PARTING: Duration = Duration::from_secs(30);

/// With more damaged objects than this, a session reuses nothing rather than remember them all.
const MAX_DAMAGED: usize = 1_000_000;

/// Something live whose content a session reuses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Root {
    /// A snapshot.
    Snapshot(SnapshotId),
    /// What an unfinished session of the same source stored. The pin ends when this session commits, if
    /// it is of the same host: another host's session may still be at work.
    Pin(PinId),
}

impl Root {
    /// Its manifest, if it is live.
    pub fn manifest(&self, state: &State) -> Option<ObjectRef> {
        match self {
            Self::Snapshot(id) => state.snapshots.get(id).map(|snapshot| snapshot.manifest),
            Self::Pin(id) => state.pins.get(id).map(|pin| pin.manifest),
        }
    }
}

/// What a session did.
#[derive(Debug, Clone)]
pub struct Committed {
    /// The snapshot that is now live.
    pub snapshot: SnapshotId,
    /// The state with it.
    pub head: Head,
    /// Stored bytes of the objects that were sent.
    pub uploaded_bytes: u64,
    /// Stored bytes of the objects that were there already.
    pub reused_bytes: u64,
}

/// One writer at work.
///
/// Ends by [`commit`](Self::commit), [`replace`](Self::replace) or [`abandon`](Self::abandon). A session
/// that is dropped, or whose commit failed, leaves its pins, so that a later one goes on from there
/// ([`Root::Pin`]).
#[derive(Debug)]
pub struct Session {
    repository: Repository,
    /// What the snapshot will reach is stored through these.
    objects: Objects,
    /// What only the next checkpoint will reach is stored through these, which that one replaces: what
    /// its predecessors reached may be condemned without harm, what it reaches itself may not.
    interim: Mutex<Objects>,
    source: SourceId,
    roots: Vec<ObjectRef>,
    resumed: Vec<PinId>,
    damaged: Damaged,
    progress: AsyncMutex<Progress>,
    uploaded: AtomicU64,
    reused: AtomicU64,
}

/// What changes with each of a session's commits.
#[derive(Debug)]
struct Progress {
    /// All that came up to here was found to be harmless.
    base: Head,
    parents: Vec<PinId>,
    checkpoint: Option<Checkpoint>,
}

/// The pin of a session's checkpoints.
#[derive(Debug, Clone, Copy)]
struct Checkpoint {
    pin: PinId,
    /// Whether its commit was answered. One that was not may have landed: it is to be ended, but nothing
    /// goes on from it.
    certain: bool,
}

/// The objects that must not be reused.
#[derive(Debug)]
enum Damaged {
    Names(HashSet<ObjectName>),
    /// Too many to remember, or not to be known.
    Everything,
}

impl Session {
    /// Begins a session on `base`, the state in which the caller found `roots`, for
    /// `source`. The roots are pinned.
    ///
    /// # Errors
    /// [`Error::StartOver`] if a root is not live any more.
    pub async fn begin(
        repository: &Repository,
        base: &Head,
        source: &SourceId,
        roots: &[Root],
    ) -> Result<Self> {
        let manifests: Option<Vec<ObjectRef>> =
            roots.iter().map(|root| root.manifest(&base.state)).collect();
        let Some(manifests) = manifests else {
            return Err(start_over(
                "the interrupted backup or snapshot whose data this backup reuses is not in the repository any more",
            ));
        };
        let resumed = roots.iter().filter_map(|root| match root {
            Root::Pin(id) => base.state.pins.get(id).filter(|pin| pin.source.host == source.host),
            Root::Snapshot(_) => None,
        });
        let objects = repository.objects().for_session()?;
        let mut session = Self {
            repository: repository.clone(),
            interim: Mutex::new(objects.with_new_nonces()?),
            objects,
            source: source.clone(),
            roots: manifests,
            resumed: resumed.map(|pin| pin.id).collect(),
            damaged: Damaged::Everything,
            progress: AsyncMutex::new(Progress {
                base: base.clone(),
                parents: Vec::new(),
                checkpoint: None,
            }),
            uploaded: AtomicU64::new(0),
            reused: AtomicU64::new(0),
        };
        session.pin_roots().await?;
        let newest = &session.progress.get_mut().base.state;
        session.damaged = damaged(repository.objects(), newest).await?;
        Ok(session)
    }

    /// The same session, which ends these pins as well when it commits: what interrupted sessions of the same
    /// source left and this one does not build on.
    #[must_use]
    pub fn ending(mut self, pins: impl IntoIterator<Item = PinId>) -> Self {
        let known: HashSet<PinId> = self.resumed.iter().copied().collect();
        self.resumed.extend(pins.into_iter().filter(|pin| !known.contains(pin)));
        self
    }

    /// The repository.
    pub fn repository(&self) -> &Repository {
        &self.repository
    }

    /// Stored bytes of the objects that were sent so far.
    pub fn uploaded_bytes(&self) -> u64 {
        self.uploaded.load(Ordering::Relaxed)
    }

    /// Stored bytes of the objects that were reused so far.
    pub fn reused_bytes(&self) -> u64 {
        self.reused.load(Ordering::Relaxed)
    }

    /// Stores content that the snapshot will reach, or reuses `known` if that has the same content.
    ///
    /// `known` must come from what a root of this session reaches, or from this session itself.
    pub async fn put(
        &self,
        kind: Kind,
        content: Bytes,
        known: Option<ObjectRef>,
    ) -> Result<Stored> {
        let known = known.filter(|known| self.may_reuse(known));
        let stored = self.objects.put(kind, content, known).await?;
        self.count(&stored);
        Ok(stored)
    }

    /// Stores content that only a checkpoint will reach: the upper nodes of trees that go on growing.
    ///
    /// The snapshot must not refer to it, nor a checkpoint after the next one.
    pub async fn put_interim(&self, kind: Kind, content: Bytes) -> Result<Stored> {
        let stored = self.interim().put(kind, content, None).await?;
        self.count(&stored);
        Ok(stored)
    }

    /// Whether an object that a root reaches may be referred to as it is, unread; counts it as reused
    /// if so. Not if it is known to be damaged.
    pub fn reuse(&self, reference: &ObjectRef) -> bool {
        let may = self.may_reuse(reference);
        if may {
            self.count(&Stored { reference: *reference, reused: true });
        }
        may
    }

    /// Whether an object that a root reaches is not known to be damaged.
    pub fn may_reuse(&self, reference: &ObjectRef) -> bool {
        match &self.damaged {
            Damaged::Names(names) => !names.contains(&reference.name),
            Damaged::Everything => false,
        }
    }

    /// Stores a manifest of what is stored so far, and keeps it alive in place of the last checkpoint:
    /// if the session ends here, another one goes on from it. One checkpoint is made at a time.
    ///
    /// # Errors
    /// [`Error::StartOver`] where what the session built on is gone.
    pub async fn checkpoint(&self, manifest: &Manifest) -> Result<()> {
        let content = encode(manifest)?;
        let stored = self.put_interim(Kind::Manifest, content.into()).await?;
        self.objects.settle().await?;
        let (interim, next) = (self.interim(), self.objects.with_new_nonces()?);
        let mut progress = self.progress.lock().await;
        let pin = match progress.checkpoint {
            Some(checkpoint) => checkpoint.pin,
            None => PinId(self.repository.host().random()?),
        };
        // Even if no answer comes, it may be there, and is to be ended with the session.
        progress.checkpoint.get_or_insert(Checkpoint { pin, certain: false });
        let change = Change::Pin(self.pin(pin, stored.reference));
        let recheck = self.recheck(&progress.base, |_| Ok(vec![change.clone()]));
        let recheck = Recheck { interim: Some(&interim), ..recheck };
        progress.base = self.repository.catalog().commit(&progress.base, recheck).await?;
        progress.checkpoint = Some(Checkpoint { pin, certain: true });
        *self.interim.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(())
    }

    /// Makes the snapshot of `manifest` live and ends the session's pins, in one step.
    ///
    /// After an [`Error::Store`] it may have done so all the same. Called again, it finds out.
    ///
    /// # Errors
    /// [`Error::StartOver`] where what the session built on is gone: nothing was committed, and the
    /// work must be done again in a new session.
    pub async fn commit(&self, manifest: &Manifest) -> Result<Committed> {
        self.publish(manifest, |state, entry| {
            if state.snapshots.contains_key(&entry.id) {
                let what = format!("snapshot {}", entry.id);
                return Err(
                    backup_core::Error::invalid(what, "is in the repository already").into()
                );
            }
            Ok(entry.clone())
        })
        .await
    }

    /// Gives a live snapshot another manifest, which `prove` made of the one it has. That one must be a
    /// root of this session.
    ///
    /// # Errors
    /// [`Error::NotFound`] if the snapshot was removed, [`Error::StartOver`] if it has another manifest
    /// by now.
    pub async fn replace(&self, manifest: &Manifest) -> Result<Committed> {
        self.publish(manifest, |state, entry| match state.snapshots.get(&entry.id) {
            None => Err(Error::NotFound {
                what: format!("snapshot {}", entry.id),
                hint: "it was removed meanwhile".to_owned(),
            }),
            Some(live) if !self.roots.contains(&live.manifest) => {
                Err(start_over("the snapshot was given another manifest meanwhile"))
            }
            Some(live) => Ok(SnapshotEntry { added: live.added, ..entry.clone() }),
        })
        .await
    }

    /// Whether this session made a checkpoint, from which another one can go on.
    pub async fn has_checkpoint(&self) -> bool {
        self.progress.lock().await.checkpoint.is_some_and(|checkpoint| checkpoint.certain)
    }

    /// Ends the session's pins, if it has any, also where its caller cancelled. What it stored is left for a
    /// collection.
    pub async fn abandon(&self) -> Result<()> {
        let _allowed = self.repository.store().allow_after_cancel();
        let mut progress = self.progress.lock().await;
        let unpin: Vec<Change> = progress.pins().map(Change::Unpin).collect();
        if unpin.is_empty() {
            return Ok(());
        }
        let catalog = self.repository.catalog();
        // Also where the pin is not there: whether it was committed may be unknown, and this takes the number
        // that it could still get.
        let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit(unpin.clone()));
        let mut unsure = false;
        let head = loop {
            // Nothing is built on the base any more; what came since need not be kept.
            let newest = catalog.head().await?;
            match catalog.commit(&newest, decide).await {
                // The entries since the newest head are gone: this process slept for longer than they are kept.
                // Nothing was committed.
                Err(Error::StartOver { .. }) => {}
                // Whether it was committed is not known; to do it twice does no harm.
                Err(Error::Store { .. }) if !unsure => unsure = true,
                ended => break ended?,
            }
        };
        *progress = Progress { base: head, parents: Vec::new(), checkpoint: None };
        Ok(())
    }

    /// Ends a session whose work ended early. A checkpoint stays, from which the next one goes on; without one the
    /// pins of what it built on go, in bounded time. That they stay is no error, and shown by `status`.
    pub async fn end_early(&self) {
        if self.has_checkpoint().await {
            return;
        }
        match tokio::time::timeout(PARTING, self.abandon()).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::warn!(%error, "the pins of a failed backup were not removed");
            }
            Err(_) => tracing::warn!("the pins of a failed backup were not removed in time"),
        }
    }

    /// Commits changes that are neither a snapshot nor a pin, as `plan` makes them of the newest state.
    /// They may refer to what this session stored.
    ///
    /// # Errors
    /// Those of `plan`, and [`Error::StartOver`] where what the session stored is gone.
    pub(crate) async fn commit_changes(
        &self,
        plan: impl Fn(&State) -> Result<Vec<Change>> + Send + Sync,
    ) -> Result<Head> {
        self.objects.settle().await?;
        let mut progress = self.progress.lock().await;
        let recheck = self.recheck(&progress.base, plan);
        progress.base = self.repository.catalog().commit(&progress.base, recheck).await?;
        Ok(progress.base.clone())
    }

    async fn publish(
        &self,
        manifest: &Manifest,
        checked: impl Fn(&State, &SnapshotEntry) -> Result<SnapshotEntry> + Send + Sync,
    ) -> Result<Committed> {
        let stored = self.put(Kind::Manifest, encode(manifest)?.into(), None).await?;
        self.objects.settle().await?;
        let entry = SnapshotEntry {
            id: manifest.id,
            manifest: stored.reference,
            created_ms: manifest.created_ms,
            source: manifest.source_id(),
            label: manifest.label.clone(),
            shape: manifest.shape.kind(),
            bytes: manifest.bytes(),
            added: self.uploaded_bytes(),
            // The catalog gives it its number.
            entry: 0,
        };
        let mut progress = self.progress.lock().await;
        let ended = progress.pins().chain(self.resumed.iter().copied()).map(Change::Unpin);
        let ended: Vec<_> = ended.collect();
        let plan = |state: &State| {
            let made = Change::Snapshot(checked(state, &entry)?);
            Ok([made].into_iter().chain(ended.iter().cloned()).collect())
        };
        let recheck = self.recheck(&progress.base, plan);
        let recheck = Recheck { snapshot: Some(manifest.id), ..recheck };
        let head = self.repository.catalog().commit(&progress.base, recheck).await?;
        *progress = Progress { base: head.clone(), parents: Vec::new(), checkpoint: None };
        Ok(Committed {
            snapshot: manifest.id,
            head,
            uploaded_bytes: self.uploaded_bytes(),
            reused_bytes: self.reused_bytes(),
        })
    }

    async fn pin_roots(&self) -> Result<()> {
        if self.roots.is_empty() {
            return Ok(());
        }
        let mut progress = self.progress.lock().await;
        let pins: Vec<Pin> = self
            .roots
            .iter()
            .map(|root| Ok(self.pin(PinId(self.repository.host().random()?), *root)))
            .collect::<Result<_>>()?;
        let plan = |state: &State| {
            if self.roots.iter().all(|root| is_live(state, root)) {
                return Ok(pins.iter().cloned().map(Change::Pin).collect());
            }
            Err(start_over(
                "the interrupted backup or snapshot whose data this backup reuses was removed as it began",
            ))
        };
        let recheck = self.recheck(&progress.base, plan);
        progress.base = self.repository.catalog().commit(&progress.base, recheck).await?;
        progress.parents = pins.iter().map(|pin| pin.id).collect();
        Ok(())
    }

    fn pin(&self, id: PinId, manifest: ObjectRef) -> Pin {
        Pin {
            id,
            manifest,
            source: self.source.clone(),
            created_ms: self.repository.host().clock.now_ms(),
            // The catalog gives it its number.
            entry: 0,
        }
    }

    fn interim(&self) -> Objects {
        self.interim.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn recheck<P>(&self, base: &Head, plan: P) -> Recheck<'_, P>
    where
        P: Fn(&State) -> Result<Vec<Change>> + Send + Sync,
    {
        Recheck {
            objects: &self.objects,
            interim: None,
            roots: &self.roots,
            snapshot: None,
            walked: 0,
            state: State::clone(&base.state),
            root_died: false,
            plan,
        }
    }

    fn count(&self, stored: &Stored) {
        let counter = if stored.reused { &self.reused } else { &self.uploaded };
        counter.fetch_add(u64::from(stored.reference.stored), Ordering::Relaxed);
    }
}

impl Progress {
    fn pins(&self) -> impl Iterator<Item = PinId> {
        self.parents.iter().copied().chain(self.checkpoint.map(|checkpoint| checkpoint.pin))
    }
}

/// The check before each commit of a session.
struct Recheck<'a, P> {
    objects: &'a Objects,
    /// Those of the checkpoint that is to be committed.
    interim: Option<&'a Objects>,
    roots: &'a [ObjectRef],
    /// The snapshot that is to be committed.
    snapshot: Option<SnapshotId>,
    /// How many of the entries since the base were checked, and the state after them.
    walked: usize,
    state: State,
    root_died: bool,
    plan: P,
}

#[async_trait]
impl<P: Fn(&State) -> Result<Vec<Change>> + Send + Sync> Decide for Recheck<'_, P> {
    async fn decide(&mut self, newest: &State, since: &[Entry]) -> Result<Decision> {
        if since.iter().any(|entry| self.made_live(entry)) {
            return Ok(Decision::Nothing);
        }
        for entry in &since[self.walked..] {
            entry.changes.iter().for_each(|change| self.state.apply(change));
            // Even if it came back to life: what it reached may be condemned in between.
            self.root_died |= !self.roots.iter().all(|root| is_live(&self.state, root));
            self.check_condemned(entry).await?;
            self.walked += 1;
        }
        let condemns = |entry: &Entry| entry.changes.iter().any(is_condemning);
        if self.root_died && since.iter().any(condemns) {
            return Err(start_over(
                "what it built on was removed from the repository, pin and all, and collected",
            ));
        }
        (self.plan)(newest).map(Decision::Commit)
    }
}

impl<P> Recheck<'_, P> {
    /// Whether an entry makes the session's snapshot live: an earlier call, whose answer was lost, did.
    fn made_live(&self, entry: &Entry) -> bool {
        entry.changes.iter().any(|change| match change {
            Change::Snapshot(made) => {
                Some(made.id) == self.snapshot && self.is_own(&made.manifest.name)
            }
            _ => false,
        })
    }

    /// Whether this session stored an object that what it commits may refer to.
    fn is_own(&self, name: &ObjectName) -> bool {
        let interim = self.interim.is_some_and(|interim| interim.nonces().is_own(name));
        interim || self.objects.nonces().is_own(name)
    }

    async fn check_condemned(&self, entry: &Entry) -> Result<()> {
        for change in &entry.changes {
            let Change::Condemn(list) = change else { continue };
            let names = match names::read(self.objects, list).await {
                Ok(names) => names,
                Err(error) if error.is_damage() => {
                    return Err(start_over("a list of objects being deleted cannot be read"));
                }
                Err(error) => return Err(error),
            };
            if names.iter().any(|name| self.is_own(name)) {
                return Err(start_over(
                    "a collection took what it had stored for garbage; checkpoints prevent that",
                ));
            }
        }
        Ok(())
    }
}

fn is_condemning(change: &Change) -> bool {
    matches!(change, Change::Condemn(_))
}

fn is_live(state: &State, manifest: &ObjectRef) -> bool {
    state.pins.values().any(|pin| pin.manifest == *manifest)
        || state.snapshots.values().any(|snapshot| snapshot.manifest == *manifest)
}

async fn damaged(objects: &Objects, state: &State) -> Result<Damaged> {
    let mut all = HashSet::new();
    for list in &state.damaged {
        match names::read(objects, list).await {
            Ok(names) if all.len() + names.len() <= MAX_DAMAGED => all.extend(names),
            Ok(_) => return Ok(Damaged::Everything),
            Err(error) if error.is_damage() => return Ok(Damaged::Everything),
            Err(error) => return Err(error),
        }
    }
    Ok(Damaged::Names(all))
}

fn encode(manifest: &Manifest) -> Result<Vec<u8>> {
    manifest.encode().map_err(|source| Error::Format { what: "the manifest", source })
}

fn start_over(why: &str) -> Error {
    Error::StartOver { why: why.to_owned() }
}
