//! A process that backs up, through the real session.

use std::collections::BTreeMap;

use archive::catalog::State;
use archive::manifest::{Manifest, SnapshotId};
use archive::node::{Child, Node, Tree};
use archive::object::{Kind, ObjectRef};
use bytes::Bytes;
use remote::tree::TreeWriter;
use remote::{Error, Head, Repository, Result, Root, Session};

use crate::coverage::Event;
use crate::ledger::{Slots, Standing};
use crate::process::{Process, Reached, is_live, leaf_child, manifest, read_tree};
use crate::random::Random;

/// How many slots a store has.
const SLOTS: u8 = 5;

/// How often a backup starts over at most.
const ATTEMPTS: u32 = 3;

/// Backs up once or twice.
pub(crate) async fn run(process: Process, mut random: Random) {
    let ended = backups(&process, &mut random).await;
    process.end(ended);
}

async fn backups(process: &Process, random: &mut Random) -> Result<()> {
    let repository = process.open(random).await?;
    for _ in 0..random.between(1, 2) {
        for _ in 0..ATTEMPTS {
            match backup(process, &repository, random).await {
                Err(error @ Error::StartOver { .. }) => process.end(Err(error)),
                done => {
                    done?;
                    break;
                }
            }
        }
    }
    Ok(())
}

/// One attempt.
async fn backup(process: &Process, repository: &Repository, random: &mut Random) -> Result<()> {
    let head = process.head(repository).await?;
    let roots = choose(&head.state, random);
    let mut parents = Vec::new();
    for (_, reference) in &roots {
        match read_tree(repository, reference).await {
            Ok(reached) => parents.push(reached),
            Err(error) => {
                let live = |state: &State| is_live(state, reference);
                return process.judge(repository, "what it is to build on", live, error).await;
            }
        }
    }
    let source = format!("memory:store-{}-{:x}", process.number, random.next());
    for (root, _) in &roots {
        note_resumed(process, &head.state, root);
    }
    let collections = process.ledger.inside().collections;
    let named: Vec<Root> = roots.iter().map(|(root, _)| *root).collect();
    let session = Session::begin(repository, &head, &process.source_id(&source), &named).await?;
    let id = SnapshotId(
        [random.next().to_le_bytes(), random.next().to_le_bytes()]
            .concat()
            .try_into()
            .expect("two times eight bytes"),
    );
    let mut backup = Backup {
        process,
        random,
        session,
        source,
        id,
        base: head,
        parents,
        children: BTreeMap::new(),
        slots: Slots::new(),
        collections,
    };
    let filled = backup.fill().await;
    backup.finish(filled).await
}

/// What a backup builds on: as the real one does, what was interrupted first of all.
fn choose(state: &State, random: &mut Random) -> Vec<(Root, ObjectRef)> {
    let pins: Vec<_> = state.pins.iter().map(|(id, pin)| (Root::Pin(*id), pin.manifest)).collect();
    let live = state.snapshots.iter();
    let live: Vec<_> = live.map(|(id, entry)| (Root::Snapshot(*id), entry.manifest)).collect();
    let mut chosen = Vec::new();
    for _ in 0..random.between(0, 2) {
        let from = if random.chance(400) { &pins } else { &live };
        let root = random.pick(from).or_else(|| live.first()).copied();
        chosen.extend(root.filter(|root| !chosen.contains(root)));
    }
    chosen
}

/// Notes that a session goes on from a pin, which it is going to end, whoever else lives by it.
fn note_resumed(process: &Process, state: &State, root: &Root) {
    let Root::Pin(id) = root else { return };
    process.bucket.note(Event::SessionResumed);
    let mut inside = process.ledger.inside();
    inside.dropped.insert(state.pins[id].source.location.clone());
    let times = inside.resumed.entry(*id).or_default();
    *times += 1;
    if *times > 1 {
        process.bucket.note(Event::TwoResumedFromOnePin);
    }
}

/// A session at work.
struct Backup<'a> {
    process: &'a Process,
    random: &'a mut Random,
    session: Session,
    source: String,
    id: SnapshotId,
    /// The state that the session began on.
    base: Head,
    parents: Vec<Reached>,
    children: BTreeMap<u8, Child>,
    slots: Slots,
    /// How many collections there had been as it began.
    collections: u64,
}

impl Backup<'_> {
    /// Stores the content, with a checkpoint now and then. None where a root was lost while it was
    /// read.
    async fn fill(&mut self) -> Result<Option<Manifest>> {
        let checkpoints = [0, 150, 400][self.random.below(3)];
        for slot in 0..self.random.between(1, SLOTS.into()) {
            let slot = u8::try_from(slot).expect("there are few slots");
            let child = self.leaf(slot).await?;
            self.children.insert(slot, child);
            if self.random.chance(checkpoints) {
                self.checkpoint().await?;
            }
        }
        let trees: Vec<Tree> =
            self.parents.iter().filter_map(|parent| parent.tree.clone()).collect();
        let parents = if self.random.chance(500) { &trees[..] } else { &[] };
        let mut writer = TreeWriter::new(&self.session, parents, false);
        let written = async {
            for child in self.children.values() {
                writer.push(child.clone(), None).await?;
            }
            writer.finish().await
        };
        match written.await {
            Ok(tree) => {
                if let Some(tree) = &tree {
                    self.check_reuse(&tree.root.object);
                }
                Ok(Some(manifest(self.id, tree)))
            }
            Err(error) => self.process.judge_pinned(&self.source, error).map(|()| None),
        }
    }

    /// Stores the content of a slot, or reuses it.
    async fn leaf(&mut self, slot: u8) -> Result<Child> {
        let parent = self.random.pick(&self.parents);
        let known = parent.and_then(|parent| parent.leaves.get(&slot)).cloned();
        let own = self.children.values().next().map(|child| child.object);
        let way = self.random.below(10);
        let (content, known) = match (known, own, way) {
            (Some(child), _, 0..=3) => {
                if self.session.reuse(&child.object) {
                    self.check_reuse(&child.object);
                    self.process.bucket.note(Event::ObjectReused);
                    let content = self.content(&child.object);
                    self.slots.insert(slot, content);
                    return Ok(child);
                }
                (self.content(&child.object), None)
            }
            (Some(child), _, 4..=5) => {
                let known = self.can_read(&child.object).await?.then_some(child.object);
                (self.content(&child.object), known)
            }
            (_, Some(own), 6) => (self.content(&own), Some(own)),
            // What several writers come to store, each by itself.
            (_, _, 7) => (format!("common {slot}").into(), None),
            _ => (format!("{:016x}", self.random.next()).into(), None),
        };
        let stored = self.session.put(Kind::Leaf, content.clone(), known).await?;
        if stored.reused {
            self.check_reuse(&stored.reference);
            self.process.bucket.note(Event::ObjectReused);
        }
        self.process.ledger.store(stored.reference.name.hash, &content);
        self.slots.insert(slot, content.clone());
        Ok(leaf_child(stored.reference, slot, &content))
    }

    /// Reads a leaf of what the session builds on, as the real backup does. False where somebody dropped the
    /// session's pin, and it is gone.
    async fn can_read(&self, leaf: &ObjectRef) -> Result<bool> {
        match self.session.repository().objects().read(Kind::Leaf, leaf).await {
            Ok(_) => Ok(true),
            Err(error) => self.process.judge_pinned(&self.source, error).map(|()| false),
        }
    }

    fn content(&self, leaf: &ObjectRef) -> Bytes {
        self.process.ledger.content(&leaf.name.hash).expect("whoever stored it noted its content")
    }

    /// What was known to be damaged as the session began must not be reused.
    fn check_reuse(&self, object: &ObjectRef) {
        if self.process.ledger.is_damaged(&self.base.state, &object.name) {
            self.process.ledger.break_promise(format!("{} is damaged and reused", object.name));
        }
    }

    async fn checkpoint(&mut self) -> Result<()> {
        let children = self.children.values().cloned().collect();
        let node = Node { level: 1, sum: None, children };
        let stored = self.session.put_interim(Kind::Node, node.encode().into()).await?;
        let tree = Tree { levels: 1, root: Child::of_node(stored.reference, &node) };
        self.session.checkpoint(&manifest(self.id, Some(tree))).await?;
        self.process.bucket.note(Event::CheckpointMade);
        Ok(())
    }

    /// Ends the session, in one of the ways in which sessions end.
    async fn finish(mut self, filled: Result<Option<Manifest>>) -> Result<()> {
        match filled {
            Ok(Some(manifest)) => match self.random.below(10) {
                0 => self.abandon().await,
                1 => {
                    self.process.bucket.note(Event::SessionDropped);
                    Ok(())
                }
                _ => self.commit(&manifest).await,
            },
            Ok(None) => self.abandon().await,
            Err(error) => {
                // As the real backup does: a checkpoint stays for the next one.
                if !self.session.has_checkpoint().await {
                    self.abandon().await?;
                }
                Err(error)
            }
        }
    }

    async fn commit(&mut self, manifest: &Manifest) -> Result<()> {
        self.process.ledger.begin_snapshot(self.id, self.slots.clone());
        let mut sure = true;
        loop {
            match self.session.commit(manifest).await {
                Ok(committed) => {
                    self.process.ledger.stand(self.id, Standing::Committed);
                    self.process.ledger.acknowledge(committed.head.number);
                    self.ended();
                    self.process.bucket.note(Event::SnapshotCommitted);
                    if self.process.ledger.inside().collections > self.collections {
                        self.process.bucket.note(Event::Recheck);
                    }
                    return Ok(());
                }
                Err(error @ (Error::Store { .. } | Error::Contended { .. })) => {
                    // Whether it landed, or will, is not known. Some ask again.
                    if !sure || self.random.chance(500) {
                        return Err(error);
                    }
                    sure = false;
                }
                Err(error) => {
                    if sure {
                        self.process.ledger.stand(self.id, Standing::Refused);
                    }
                    return Err(error);
                }
            }
        }
    }

    async fn abandon(&self) -> Result<()> {
        match self.session.abandon().await {
            Ok(()) => {
                self.ended();
                self.process.bucket.note(Event::SessionAbandoned);
                Ok(())
            }
            Err(Error::StartOver { why }) => {
                self.process.ledger.break_promise(format!("a session cannot be abandoned: {why}"));
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    fn ended(&self) {
        self.process.ledger.inside().ended.insert(self.source.clone());
    }
}
