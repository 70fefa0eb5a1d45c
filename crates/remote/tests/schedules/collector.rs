//! A collector for these tests, which follows the protocol to the letter: read the head, list, mark by
//! root reference, commit the entry that condemns what was listed and not reached; after a lost race,
//! mark the newest state too and drop what it reaches. Only after its entry is committed does it delete,
//! and only condemned names. A live node that is missing or unreadable ends it.

use std::collections::{BTreeSet, HashSet};

use archive::catalog::{Change, Entry, STATE_EVERY, State};
use archive::object::{Kind, ObjectName, ObjectRef};
use async_trait::async_trait;
use backup_core::progress::Context;
use object_store::path::Path;
use object_store::{ObjectStoreExt, PutPayload};
use remote::store::Created;
use remote::{Decide, Decision, Error, Head, Repository, Result, names};

use crate::bucket::STUB;
use crate::coverage::Event;
use crate::process::{Process, is_live, read_tree};
use crate::random::Random;

/// How many entries become stubs one by one; those before them, all in one step.
const LAST_STUBS: u64 = 4;

/// Collects once or twice.
pub(crate) async fn run(process: Process, mut random: Random) {
    let ended = collections(&process, &mut random).await;
    process.end(ended);
}

async fn collections(process: &Process, random: &mut Random) -> Result<()> {
    let repository = process.open(random).await?;
    for _ in 0..random.between(1, 2) {
        collect(process, &repository, random).await?;
        if random.chance(500) {
            raise_floor(process, &repository).await?;
        }
    }
    Ok(())
}

async fn collect(process: &Process, repository: &Repository, random: &mut Random) -> Result<()> {
    let head = process.head(repository).await?;
    let listed = repository.objects().list(&Context::default()).await?;
    let mut doomed: BTreeSet<ObjectName> = listed.into_keys().collect();
    let mut marks = Marks { process, repository, reached: HashSet::new() };
    if !marks.mark(&head.state).await? {
        process.bucket.note(Event::CollectorAborted);
        return Ok(());
    }
    doomed.retain(|name| !marks.reached.contains(name));
    let mut condemned = Vec::new();
    let decide = Condemning {
        list: ListToCommit::new(repository),
        marks,
        doomed,
        seen: 0,
        asked: 0,
        condemned: &mut condemned,
    };
    let after = match repository.catalog().commit(&head, decide).await {
        // It was said already.
        Err(Error::NotFound { .. }) => return Ok(()),
        after => after?,
    };
    process.ledger.acknowledge(after.number);
    if condemned.is_empty() {
        return Ok(());
    }
    process.ledger.inside().collections += 1;
    process.bucket.note(Event::Collection);
    delete(process, condemned, random).await
}

/// Deletes what is condemned, or a part of it.
async fn delete(process: &Process, mut names: Vec<ObjectName>, random: &mut Random) -> Result<()> {
    if random.chance(200) {
        names.truncate(random.below(names.len()));
    }
    let client = process.bucket.client(process.number);
    for name in names {
        // One that stays is condemned again some day.
        if client.delete(&Path::from(name.path())).await.is_ok() {
            process.bucket.note(Event::ObjectDeleted);
        }
    }
    Ok(())
}

/// All that is reached from some state.
struct Marks<'a> {
    process: &'a Process,
    repository: &'a Repository,
    reached: HashSet<ObjectName>,
}

impl Marks<'_> {
    /// Marks what a state reaches. False where a root was collected by another before it was read.
    async fn mark(&mut self, state: &State) -> Result<bool> {
        let lists = state.damaged.iter().chain(&state.condemned);
        self.reached.extend(lists.map(|list| list.name));
        let snapshots = state.snapshots.values().map(|snapshot| snapshot.manifest);
        for root in snapshots.chain(state.pins.values().map(|pin| pin.manifest)) {
            if self.reached.contains(&root.name) {
                continue;
            }
            match read_tree(self.repository, &root).await {
                Ok(below) => {
                    let leaves = below.leaves.values().map(|child| child.object);
                    let objects = below.nodes.into_iter().chain(leaves);
                    self.reached.extend(objects.map(|object| object.name));
                    self.reached.insert(root.name);
                }
                Err(error) => {
                    let live = |state: &State| is_live(state, &root);
                    self.process.judge(self.repository, "a live root", live, error).await?;
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }
}

/// A list of names that an entry is to name: stored before, and so itself in danger until then.
pub(crate) struct ListToCommit<'a> {
    repository: &'a Repository,
    stored: Option<ObjectRef>,
}

impl<'a> ListToCommit<'a> {
    pub(crate) fn new(repository: &'a Repository) -> Self {
        Self { repository, stored: None }
    }

    /// Gives up a stored list that one of these entries condemns, or may.
    pub(crate) async fn check(&mut self, entries: &[Entry]) -> Result<()> {
        let Some(own) = self.stored else { return Ok(()) };
        for change in entries.iter().flat_map(|entry| &entry.changes) {
            let Change::Condemn(list) = change else { continue };
            let harmless = match self.repository.objects().read(Kind::Names, list).await {
                Ok(content) => names::parse(&content).is_ok_and(|names| !names.contains(&own.name)),
                Err(error) if error.is_damage() => false,
                Err(error) => return Err(error),
            };
            if !harmless {
                self.stored = None;
            }
        }
        Ok(())
    }

    /// The stored list of these names.
    pub(crate) async fn reference(&mut self, names: &BTreeSet<ObjectName>) -> Result<ObjectRef> {
        if let Some(stored) = self.stored {
            return Ok(stored);
        }
        let names: Vec<_> = names.iter().copied().collect();
        let content = names::encode(&names).expect("a set is sorted, and this one is small");
        let stored = self.repository.objects().put(Kind::Names, content.into(), None).await?;
        self.stored = Some(stored.reference);
        Ok(stored.reference)
    }

    /// Gives up the stored list: the names are others by now.
    fn renew(&mut self) {
        self.stored = None;
    }
}

/// Decides what to condemn.
struct Condemning<'a> {
    list: ListToCommit<'a>,
    marks: Marks<'a>,
    doomed: BTreeSet<ObjectName>,
    /// How many of the entries since the base were looked at.
    seen: usize,
    asked: usize,
    condemned: &'a mut Vec<ObjectName>,
}

#[async_trait]
impl Decide for Condemning<'_> {
    async fn decide(&mut self, newest: &State, since: &[Entry]) -> Result<Decision> {
        let bucket = &self.marks.process.bucket;
        self.asked += 1;
        if self.asked > 1 {
            bucket.note(Event::RaceLostByCollector);
        }
        if self.seen < since.len() {
            self.list.check(&since[self.seen..]).await?;
            if !self.marks.mark(newest).await? {
                bucket.note(Event::CollectorAborted);
                let (what, hint) = ("a root".to_owned(), String::new());
                return Err(Error::NotFound { what, hint });
            }
            let before = self.doomed.len();
            self.doomed.retain(|name| !self.marks.reached.contains(name));
            if self.doomed.len() < before {
                bucket.note(Event::CollectorSavedByMarkingAgain);
                self.list.renew();
            }
            self.seen = since.len();
        }
        *self.condemned = self.doomed.iter().copied().collect();
        if self.doomed.is_empty() {
            return Ok(Decision::Nothing);
        }
        let list = self.list.reference(&self.doomed).await?;
        Ok(Decision::Commit(vec![Change::Condemn(list)]))
    }
}

/// Commits an entry that raises the floor to the last whole state, and makes stubs of what is below.
pub(crate) async fn raise_floor(process: &Process, repository: &Repository) -> Result<()> {
    let head = process.head(repository).await?;
    let floor = head.number - head.number % STATE_EVERY;
    if floor <= head.floor {
        return Ok(());
    }
    let Some(number) = append_floor(repository, &head, floor).await? else { return Ok(()) };
    process.ledger.acknowledge(number);
    process.bucket.note(Event::FloorRaised);
    // Those at the end are the ones that somebody may still be about to read.
    let last = floor.saturating_sub(LAST_STUBS).max(head.floor);
    process.bucket.stub((head.floor..last).map(Entry::path));
    let client = process.bucket.client(process.number);
    for number in last..floor {
        // One that stays as it was does no harm.
        client.put(&Path::from(Entry::path(number)), PutPayload::from_static(STUB)).await.ok();
    }
    Ok(())
}

/// The number of the entry that raised the floor; none where another one came first.
async fn append_floor(repository: &Repository, head: &Head, floor: u64) -> Result<Option<u64>> {
    let number = head.number + 1;
    let entry = Entry {
        repository: repository.id(),
        number,
        previous: head.hash,
        floor,
        commit: repository.host().random()?,
        written_ms: 0,
        changes: Vec::new(),
        state: number.is_multiple_of(STATE_EVERY).then(|| State::clone(&head.state)),
    };
    let bytes = entry.encode().expect("it has nothing but a floor");
    match repository.store().create(&Entry::path(number), bytes.into()).await? {
        Created::Created => Ok(Some(number)),
        Created::Exists => {
            let there = repository.catalog().entry(number).await?;
            Ok(there.filter(|(there, _)| there.commit == entry.commit).map(|_| number))
        }
    }
}
