//! What all processes of a schedule have in common: a host, its connection, and how its errors are
//! judged.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use archive::catalog::{SourceId, State};
use archive::manifest::{Manifest, Shape, SnapshotId};
use archive::node::{Child, Node, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::progress::Context;
use backup_core::record::RecordKey;
use bytes::Bytes;
use remote::env::{Clock, Host};
use remote::retry::Patience;
use remote::store::Store;
use remote::{Blocking, Error, Head, Memory, Repository, Result};

use crate::bucket::Bucket;
use crate::coverage::Event;
use crate::ledger::Ledger;
use crate::random::{Random, Seeded};
use crate::shared;

/// A clock that goes on by a millisecond each time it is looked at.
#[derive(Debug, Default)]
struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed)
    }
}

/// What a process has.
#[derive(Debug, Clone)]
pub(crate) struct Process {
    pub(crate) number: usize,
    pub(crate) bucket: Bucket,
    pub(crate) ledger: Ledger,
    pub(crate) memory: Option<Memory>,
}

impl Process {
    /// Opens the repository.
    pub(crate) async fn open(&self, random: &mut Random) -> Result<Repository> {
        let host = Host {
            name: format!("host-{}", self.number),
            clock: Arc::new(Ticking::default()),
            entropy: Arc::new(Seeded::new(random.fork())),
        };
        let repository = Repository::open_in(self.store(&host)).await?;
        Ok(match &self.memory {
            Some(memory) => {
                self.bucket.note(Event::HeadRemembered);
                repository.with_memory(memory.clone())
            }
            None => repository,
        })
    }

    /// What a session of this process backs up. Every second process is of one host, so that some go on
    /// from what another host left, which they do not end.
    pub(crate) fn source_id(&self, location: &str) -> SourceId {
        source_id(&format!("host-{}", self.number % 2), location)
    }

    pub(crate) fn store(&self, host: &Host) -> Store {
        let client = self.bucket.client(self.number);
        let patience = Patience {
            attempts: 2,
            first_pause: Duration::from_millis(1),
            longest_pause: Duration::from_millis(2),
            outage: Duration::ZERO,
            ..Patience::default()
        };
        Store::new(client, "memory:", host, &Context::default())
            .with_patience(patience)
            .with_blocking(Blocking::Caller)
    }

    /// The newest state. What somebody was told is committed must be in it.
    pub(crate) async fn head(&self, repository: &Repository) -> Result<Head> {
        let least = self.ledger.inside().acknowledged;
        let head = repository.head().await?;
        if head.number < least {
            let (found, process) = (head.number, self.number);
            self.ledger.break_promise(format!(
                "process {process} sees entry {found} as the newest after {least} was committed"
            ));
        }
        Ok(head)
    }

    /// Judges an error that was met while something was read that is to be live: damage is one only
    /// if it still is.
    pub(crate) async fn judge(
        &self,
        repository: &Repository,
        what: &str,
        is_live: impl Fn(&State) -> bool,
        error: Error,
    ) -> Result<()> {
        if !error.is_damage() {
            return Err(error);
        }
        if is_live(&self.head(repository).await?.state) {
            let process = self.number;
            self.ledger.break_promise(format!("process {process} finds {what} broken: {error}"));
        }
        Ok(())
    }

    /// Judges an error that was met while a session read what its roots reach: damage is one unless
    /// somebody dropped the session's pins.
    pub(crate) fn judge_pinned(&self, source: &str, error: Error) -> Result<()> {
        if !error.is_damage() {
            return Err(error);
        }
        if !self.ledger.inside().dropped.contains(source) {
            let process = self.number;
            self.ledger.break_promise(format!("process {process} finds its root broken: {error}"));
        }
        Ok(())
    }

    /// Judges how a process ended.
    pub(crate) fn end(&self, ended: Result<()>) {
        match ended {
            Ok(())
            | Err(Error::Store { .. } | Error::Contended { .. } | Error::NotFound { .. }) => {}
            Err(Error::StartOver { why }) => {
                let event = if why.starts_with("so much") {
                    Event::StartedOverBelowFloor
                } else {
                    Event::StartedOver
                };
                self.bucket.note(event);
            }
            Err(error) => {
                let (process, cause) = (self.number, std::error::Error::source(&error));
                let cause = cause.map(|cause| format!(": {cause}")).unwrap_or_default();
                self.ledger.break_promise(format!("process {process} failed: {error}{cause}"));
            }
        }
    }
}

/// Whether a snapshot or pin has this manifest.
pub(crate) fn is_live(state: &State, manifest: &ObjectRef) -> bool {
    state.pins.values().any(|pin| pin.manifest == *manifest)
        || state.snapshots.values().any(|snapshot| snapshot.manifest == *manifest)
}

pub(crate) fn source_id(host: &str, location: &str) -> SourceId {
    let (host, location) = (host.to_owned(), location.to_owned());
    SourceId { name: None, host, location, engine: "memory".to_owned() }
}

pub(crate) fn manifest(id: SnapshotId, tree: Option<Tree>) -> Manifest {
    let count = tree.as_ref().map_or(0, |tree| tree.root.records);
    let bytes = tree.as_ref().map_or(0, |tree| tree.root.bytes);
    let shape = Shape::Files { tree, count, bytes };
    shared::manifest(id, shared::source_of("host", "memory:store"), shape)
}

/// The reference to the leaf of one slot.
pub(crate) fn leaf_child(object: ObjectRef, slot: u8, content: &Bytes) -> Child {
    let place = RecordKey::new(&[], &[slot]);
    let bytes = content.len() as u64;
    Child {
        object,
        first: place.clone(),
        last: place,
        records: 1,
        bytes,
        pieces: 0,
        checksum: None,
    }
}

/// What a manifest reaches: its tree's nodes, the root first, and its leaves by their slots.
#[derive(Debug, Clone, Default)]
pub(crate) struct Reached {
    pub(crate) tree: Option<Tree>,
    pub(crate) nodes: Vec<ObjectRef>,
    pub(crate) leaves: BTreeMap<u8, Child>,
}

/// Reads a manifest and all nodes below it.
pub(crate) async fn read_tree(repository: &Repository, manifest: &ObjectRef) -> Result<Reached> {
    let manifest = repository.manifest(manifest).await?;
    let mut reached = Reached::default();
    let Some(tree) = manifest.trees().next().cloned() else { return Ok(reached) };
    let mut pending = vec![(tree.levels, tree.root.clone())];
    reached.tree = Some(tree);
    while let Some((level, child)) = pending.pop() {
        if level == 0 {
            let slot = child.first.key.first().copied().unwrap_or_default();
            reached.leaves.insert(slot, child);
            continue;
        }
        reached.nodes.push(child.object);
        let content = repository.objects().read(Kind::Node, &child.object).await?;
        let node = Node::parse(&content, level).expect("the bytes are those that were stored");
        pending.extend(node.children.into_iter().map(|below| (level - 1, below)));
    }
    Ok(reached)
}
