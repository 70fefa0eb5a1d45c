//! The other processes: those that forget, prove, read, and find damage.

use std::collections::BTreeSet;

use archive::catalog::{Change, Entry, PinId, State};
use archive::manifest::SnapshotId;
use archive::object::{Kind, ObjectName};
use async_trait::async_trait;
use remote::{Decide, Decision, Error, Repository, Result, Root, Session};

use crate::collector::ListToCommit;
use crate::coverage::Event;
use crate::process::{Process, is_live, read_tree};
use crate::random::Random;

/// Forgets a snapshot, or the pins of who seems to be gone, a few times.
pub(crate) async fn forget(process: Process, mut random: Random) {
    let ended = forgets(&process, &mut random).await;
    process.end(ended);
}

async fn forgets(process: &Process, random: &mut Random) -> Result<()> {
    let repository = process.open(random).await?;
    for _ in 0..random.between(1, 3) {
        let head = process.head(&repository).await?;
        let snapshots: Vec<SnapshotId> = head.state.snapshots.keys().copied().collect();
        let pins: Vec<PinId> = head.state.pins.keys().copied().collect();
        let forgotten: Vec<_> = snapshots.into_iter().filter(|_| random.chance(500)).collect();
        let dropped: Vec<_> = pins.into_iter().filter(|_| random.chance(400)).collect();
        process.ledger.inside().forgets.extend(&forgotten);
        let sources = dropped.iter().map(|id| head.state.pins[id].source.location.clone());
        process.ledger.inside().dropped.extend(sources);
        let decide = |newest: &State, _: &[Entry]| {
            let live = forgotten.iter().filter(|id| newest.snapshots.contains_key(id));
            let pinned = dropped.iter().filter(|id| newest.pins.contains_key(id));
            let changes: Vec<_> = live
                .map(|id| Change::Forget(*id))
                .chain(pinned.map(|id| Change::Unpin(*id)))
                .collect();
            Ok(if changes.is_empty() { Decision::Nothing } else { Decision::Commit(changes) })
        };
        let head = repository.catalog().commit(&head, decide).await?;
        process.ledger.acknowledge(head.number);
        process.ledger.inside().forgotten.extend(&forgotten);
        if !forgotten.is_empty() {
            process.bucket.note(Event::SnapshotForgotten);
        }
        if !dropped.is_empty() {
            process.bucket.note(Event::PinDropped);
        }
    }
    Ok(())
}

/// Gives a snapshot another manifest of the same content.
pub(crate) async fn prove(process: Process, mut random: Random) {
    let ended = proof(&process, &mut random).await;
    process.end(ended);
}

async fn proof(process: &Process, random: &mut Random) -> Result<()> {
    let repository = process.open(random).await?;
    let head = process.head(&repository).await?;
    let live: Vec<SnapshotId> = head.state.snapshots.keys().copied().collect();
    let Some(&id) = random.pick(&live) else { return Ok(()) };
    let source = format!("memory:store-{}-{:x}", process.number, random.next());
    let of = process.source_id(&source);
    let session = Session::begin(&repository, &head, &of, &[Root::Snapshot(id)]).await?;
    let old = head.state.snapshots[&id].manifest;
    let mut manifest = match repository.manifest(&old).await {
        Ok(manifest) => manifest,
        Err(error) => return process.judge_pinned(&source, error),
    };
    manifest.description = Some(format!("proved by {source}"));
    let replaced = session.replace(&manifest).await?;
    process.ledger.acknowledge(replaced.head.number);
    process.ledger.inside().ended.insert(source);
    process.bucket.note(Event::SnapshotProved);
    Ok(())
}

/// Reads a snapshot, every byte of it.
pub(crate) async fn read(process: Process, mut random: Random) {
    let ended = reading(&process, &mut random).await;
    process.end(ended);
}

async fn reading(process: &Process, random: &mut Random) -> Result<()> {
    let repository = process.open(random).await?;
    let head = process.head(&repository).await?;
    let live: Vec<SnapshotId> = head.state.snapshots.keys().copied().collect();
    let Some(&id) = random.pick(&live) else { return Ok(()) };
    match read_whole(&repository, &head.state, id).await {
        Ok(()) => {
            process.bucket.note(Event::SnapshotRead);
            Ok(())
        }
        // `prove` gave it another manifest, and the one that was being read may be gone.
        Err(error) if error.is_damage() => match repository.explain(id, error).await {
            Error::NotFound { .. } => Ok(()),
            error => {
                let manifest = head.state.snapshots[&id].manifest;
                let live = |state: &State| is_live(state, &manifest);
                process.judge(&repository, "the snapshot it reads", live, error).await
            }
        },
        Err(error) => Err(error),
    }
}

async fn read_whole(repository: &Repository, state: &State, id: SnapshotId) -> Result<()> {
    let reached = read_tree(repository, &state.snapshots[&id].manifest).await?;
    for leaf in reached.leaves.values() {
        repository.objects().read(Kind::Leaf, &leaf.object).await?;
    }
    Ok(())
}

/// Lists objects of a snapshot as damaged, as `verify` does with what it finds.
pub(crate) async fn find_damage(process: Process, mut random: Random) {
    let ended = damage(&process, &mut random).await;
    process.end(ended);
}

async fn damage(process: &Process, random: &mut Random) -> Result<()> {
    let repository = process.open(random).await?;
    let head = process.head(&repository).await?;
    let live: Vec<_> = head.state.snapshots.values().map(|entry| entry.manifest).collect();
    let Some(&manifest) = random.pick(&live) else { return Ok(()) };
    let reached = match read_tree(&repository, &manifest).await {
        Ok(reached) => reached,
        Err(error) => {
            let live = |state: &State| is_live(state, &manifest);
            return process.judge(&repository, "what it verifies", live, error).await;
        }
    };
    let leaves = reached.leaves.values().map(|child| child.object.name);
    let objects: Vec<ObjectName> =
        reached.nodes.iter().map(|node| node.name).chain(leaves).collect();
    let names: BTreeSet<ObjectName> = random.pick(&objects).copied().into_iter().collect();
    let list = ListToCommit::new(&repository);
    let listing = Listing { process, list, names, seen: 0 };
    let head = repository.catalog().commit(&head, listing).await?;
    process.ledger.acknowledge(head.number);
    process.bucket.note(Event::DamageListed);
    Ok(())
}

/// Commits a list of damaged objects.
struct Listing<'a> {
    process: &'a Process,
    list: ListToCommit<'a>,
    names: BTreeSet<ObjectName>,
    seen: usize,
}

#[async_trait]
impl Decide for Listing<'_> {
    async fn decide(&mut self, _: &State, since: &[Entry]) -> Result<Decision> {
        self.list.check(&since[self.seen..]).await?;
        self.seen = since.len();
        let list = self.list.reference(&self.names).await?;
        self.process.ledger.list_damage(&list, self.names.iter().copied().collect());
        Ok(Decision::Commit(vec![Change::Damaged(list)]))
    }
}
