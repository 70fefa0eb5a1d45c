//! The catalog: reading it, and the one way to commit to it.

mod check;

use std::sync::{Arc, Mutex, PoisonError};

use archive::catalog::{Change, Entry, EntryHash, RepositoryId, STATE_EVERY, State};
use archive::limits::MAX_ENTRY_BYTES;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};

use crate::memory::{Memory, Seen};
use crate::store::{Created, Store};
use crate::{Blocking, Error, Result};

/// The most bytes of an entry that does not hold the whole state. It keeps what a reader holds of a
/// run of them small.
const MAX_CHANGES_BYTES: u64 = 1 << 20;

/// How many entries are read at a time.
pub(crate) const READS: usize = 8;

/// How often a commit tries, one number after the other or the same one again, before it gives up.
const TRIES: u32 = 256;

/// How often an entry that was created is looked for before it is called gone.
const CONFIRMATIONS: u32 = 8;

/// The state of a repository after an entry of its catalog.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The entry's number.
    pub number: u64,
    /// The hash of its bytes.
    pub hash: EntryHash,
    /// Entries below this number may have become stubs.
    pub floor: u64,
    /// What is live after it.
    pub state: Arc<State>,
}

/// What a commit is to do, given what is live now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Commit these changes.
    Commit(Vec<Change>),
    /// There is nothing to do any more.
    Nothing,
}

/// Decides what to commit. Asked again each time somebody else committed first.
#[async_trait]
pub trait Decide: Send {
    /// The decision for the state `newest`, which came of `since`: all entries after the base of the
    /// commit, in order, without the whole states that some of them hold.
    ///
    /// # Errors
    /// Whatever forbids the commit, such as [`Error::StartOver`]. Nothing is then committed.
    async fn decide(&mut self, newest: &State, since: &[Entry]) -> Result<Decision>;
}

#[async_trait]
impl<F: FnMut(&State, &[Entry]) -> Result<Decision> + Send> Decide for F {
    async fn decide(&mut self, newest: &State, since: &[Entry]) -> Result<Decision> {
        self(newest, since)
    }
}

/// The catalog of a repository.
#[derive(Debug, Clone)]
pub struct Catalog {
    store: Store,
    id: RepositoryId,
    memory: Option<Memory>,
    /// The newest head that this process has read or written.
    known: Arc<Mutex<Option<Head>>>,
}

impl Catalog {
    pub(crate) fn new(store: Store, id: RepositoryId) -> Self {
        Self { store, id, memory: None, known: Arc::default() }
    }

    /// The same catalog through another connection.
    pub(crate) fn through(self, store: Store) -> Self {
        Self { store, ..self }
    }

    pub(crate) fn with_memory(self, memory: Memory) -> Self {
        Self { memory: Some(memory), ..self }
    }

    /// The newest state.
    ///
    /// # Errors
    /// [`Error::Damaged`] or [`Error::Missing`] where the chain does not hold, [`Error::History`]
    /// where it is not the one that this host saw before.
    pub async fn head(&self) -> Result<Head> {
        let mut seen = self.recall().await?;
        let head = match self.known() {
            None => self.read_head().await?,
            Some(mut head) => match self.advance(&mut head).await {
                Ok(_) => head,
                // What this process knew may meanwhile lie below the floor.
                Err(error) if error.is_damage() => {
                    self.forget_known();
                    seen = self.recall().await?;
                    self.read_head().await?
                }
                Err(error) => return Err(error),
            },
        };
        self.check_history(&head, seen).await?;
        self.note(&head).await?;
        Ok(head)
    }

    /// All entries after `base`, in order, without the whole states that some of them hold, and the
    /// newest state.
    ///
    /// # Errors
    /// [`Error::StartOver`] where some of them are no longer kept.
    pub async fn entries_since(&self, base: &Head) -> Result<(Vec<Entry>, Head)> {
        let mut head = base.clone();
        let entries = self.advance_or_start_over(&mut head).await?;
        Ok((entries, head))
    }

    /// An entry and its hash, or nothing where there is none of that number. Its place in the chain
    /// is not checked.
    ///
    /// # Errors
    /// [`Error::Damaged`].
    pub async fn entry(&self, number: u64) -> Result<Option<(Entry, EntryHash)>> {
        let path = Entry::path(number);
        let limit = if holds_state(number) { MAX_ENTRY_BYTES as u64 } else { MAX_CHANGES_BYTES };
        let Some(bytes) = self.store.get(&path, limit).await? else { return Ok(None) };
        let damaged = || Error::damaged(path.as_str());
        let entry = Entry::parse(&bytes).map_err(|error| damaged()(error))?;
        let wrong =
            |detail: &str| Err(damaged()(archive::Error::mismatch("a catalog entry", detail)));
        if entry.repository != self.id {
            return wrong("it belongs to another repository");
        }
        if entry.number != number {
            return wrong("it has another number");
        }
        if entry.state.is_some() != holds_state(number) {
            return wrong("it has a whole state and should have none, or the other way round");
        }
        Ok(Some((entry, EntryHash::of(&bytes))))
    }

    /// Commits what `decide` says, on top of all that was committed since `base`.
    ///
    /// All entries after `base` are read first. If another writer takes the next number, `decide` is
    /// asked again with that entry too. The result is the state with the commit in it, or the newest
    /// one where there was nothing to do.
    ///
    /// # Errors
    /// Those of `decide`; [`Error::StartOver`] where entries after `base` are no longer kept;
    /// [`Error::Contended`]; [`Error::Overwritten`] where the store created the entry and does not have
    /// it. After an [`Error::Store`], the commit may still turn out to have landed.
    pub async fn commit(&self, base: &Head, mut decide: impl Decide) -> Result<Head> {
        let own = self.store.host().random()?;
        let mut seen = self.recall().await?;
        let mut head = base.clone();
        let mut since = Vec::new();
        for lost in 1..=TRIES {
            since.extend(self.advance_or_start_over(&mut head).await?);
            // What continues a head that was checked need not be checked again.
            self.check_history(&head, seen.take()).await?;
            if let Decision::Commit(changes) = decide.decide(&head.state, &since).await? {
                let Some(committed) = self.append(&head, changes, own).await? else {
                    self.store.give_way(lost).await?;
                    continue;
                };
                head = committed;
            }
            self.note(&head).await?;
            return Ok(head);
        }
        Err(Error::Contended { address: self.store.address().to_owned(), tries: TRIES })
    }

    /// Creates the entry after `head`, or finds that another one has its number.
    async fn append(
        &self,
        head: &Head,
        changes: Vec<Change>,
        commit: [u8; 16],
    ) -> Result<Option<Head>> {
        let number = next_number(head)?;
        let mut state = State::clone(&head.state);
        let mut numbered = Vec::with_capacity(changes.len());
        for change in changes {
            let change = state.numbered(change, number);
            state.apply(&change);
            numbered.push(change);
        }
        let state = Arc::new(state);
        let entry = Entry {
            repository: self.id,
            number,
            previous: head.hash,
            floor: head.floor,
            commit,
            written_ms: self.store.host().clock.now_ms(),
            changes: numbered,
            state: holds_state(number).then(|| State::clone(&state)),
        };
        let bytes = encode(&entry)?;
        let committed = Head { number, hash: EntryHash::of(&bytes), floor: head.floor, state };
        if self.create(number, bytes, commit).await? { Ok(Some(committed)) } else { Ok(None) }
    }

    /// Whether the entry of this number is the one of `commit`. Absent after all attempts is an error,
    /// and no proof that it will not turn up.
    async fn create(&self, number: u64, bytes: Bytes, commit: [u8; 16]) -> Result<bool> {
        let path = Entry::path(number);
        for absent in 1..=TRIES {
            let failure = match self.store.create(&path, bytes.clone().into()).await {
                Ok(Created::Created) => return self.confirm(number, &bytes).await,
                Ok(Created::Exists) => None,
                Err(error @ Error::Store { .. }) => Some(error),
                Err(error) => return Err(error),
            };
            // Neither answer proves anything: what is there does.
            match (self.entry(number).await, failure) {
                (Ok(Some((entry, _))), Some(_)) => {
                    // What failed may have been the sync of its name.
                    self.store.settle(&path).await?;
                    return Ok(entry.commit == commit);
                }
                (Ok(Some((entry, _))), None) => return Ok(entry.commit == commit),
                (_, Some(failure)) => return Err(failure),
                (Ok(None), None) => self.store.give_way(absent).await?,
                (Err(error), None) => return Err(self.unknown_if_stub(number, error).await),
            }
        }
        Err(Error::Contended { address: self.store.address().to_owned(), tries: TRIES })
    }

    /// Reads back the entry that the store said it created. A store that lets two writers create one name
    /// says so to both, and one of the two entries is gone.
    async fn confirm(&self, number: u64, bytes: &Bytes) -> Result<bool> {
        let path = Entry::path(number);
        let overwritten = |found: &str| {
            let (path, found) = (self.store.name(&path), found.to_owned());
            Err(Error::Overwritten { path, found, condition: self.store.condition() })
        };
        for absent in 1..=CONFIRMATIONS {
            match self.entry(number).await {
                Ok(Some((_, hash))) if hash == EntryHash::of(bytes) => return Ok(true),
                Ok(Some(_)) => return overwritten("another writer's entry is there"),
                // It was first, and so much followed that it has become a stub.
                Err(error) if error.is_damage() => {
                    return match self.read_head().await {
                        Ok(newest) if number < newest.floor => Ok(true),
                        Err(failure) if !failure.is_damage() => Err(failure),
                        _ => Err(error),
                    };
                }
                Err(error) => return Err(error),
                Ok(None) => self.store.give_way(absent).await?,
            }
        }
        overwritten("no entry is there")
    }

    /// What to say of an entry that cannot be read and may be one's own: a stub does not tell whose it
    /// was.
    async fn unknown_if_stub(&self, number: u64, error: Error) -> Error {
        match self.read_head().await {
            Ok(newest) if error.is_damage() && number < newest.floor => Error::Store {
                action: "tell whose entry it was that became a stub at",
                path: self.store.name(&Entry::path(number)),
                source: "so much was committed meanwhile that it is no longer kept".into(),
            },
            // Damage is what is found, and not what could not be looked at.
            Err(failure) if !failure.is_damage() => failure,
            _ => error,
        }
    }

    async fn advance_or_start_over(&self, head: &mut Head) -> Result<Vec<Entry>> {
        let next = next_number(head)?;
        match self.advance(head).await {
            Err(error) if error.is_damage() => {
                // Is it damage, or a stub of what came long after this writer began?
                if self.read_head().await?.floor <= next {
                    return Err(error);
                }
                let why = "so much was committed meanwhile that the first of it is no longer kept";
                Err(Error::StartOver { why: why.to_owned() })
            }
            done => done,
        }
    }

    /// Follows the chain from `head` to its end.
    async fn advance(&self, head: &mut Head) -> Result<Vec<Entry>> {
        let mut passed = Vec::new();
        loop {
            while let Some((mut entry, hash)) = self.entry(next_number(head)?).await? {
                follow(head, &entry, hash)?;
                entry.state = None;
                passed.push(entry);
            }
            // The end of the chain, or a gap in it? Committing into a gap would cut off what follows.
            let Some(later) = self.newest_listed(Some(head.number)).await? else {
                return Ok(passed);
            };
            let next = next_number(head)?;
            if later > next && self.entry(next).await?.is_none() {
                return Err(Error::Missing { what: Entry::path(next) });
            }
        }
    }

    /// The newest state, from the listing alone.
    pub(crate) async fn read_head(&self) -> Result<Head> {
        // A repository has entry 0, or something newer, whatever a listing says.
        let newest = self.newest_listed(None).await?.unwrap_or(0);
        let mut whole = newest - newest % STATE_EVERY;
        loop {
            let error = match self.read_from(whole, newest).await {
                Err(error) if error.is_damage() => error,
                done => return done,
            };
            // Is it damage, or have they become stubs since they were listed? That takes a later entry
            // with the whole state, and then nothing before it is needed.
            let Some(next) = whole.checked_add(STATE_EVERY) else { return Err(error) };
            match self.entry(next).await {
                Ok(None) => return Err(error),
                // It may have become a stub itself.
                Err(error) if !error.is_damage() => return Err(error),
                _ => whole = next,
            }
        }
    }

    /// The newest state, from an entry on that holds the whole of it, by way of `newest`.
    async fn read_from(&self, whole: u64, newest: u64) -> Result<Head> {
        let mut entries = futures_util::stream::iter(whole..=newest.max(whole))
            .map(|number| async move {
                let missing = || Error::Missing { what: Entry::path(number) };
                self.entry(number).await?.ok_or_else(missing)
            })
            .buffered(READS);
        let mut head: Option<Head> = None;
        while let Some((entry, hash)) = entries.try_next().await? {
            match &mut head {
                Some(head) => follow(head, &entry, hash)?,
                None => head = Some(start(entry, hash)?),
            }
        }
        let mut head = head.expect("the range holds at least one number, and each has an entry");
        self.advance(&mut head).await?;
        Ok(head)
    }

    /// The greatest number that a listing shows, of those above `after`.
    async fn newest_listed(&self, after: Option<u64>) -> Result<Option<u64>> {
        let after = after.map(Entry::path);
        self.store.greatest("catalog", after.as_deref(), number_of).await
    }

    /// What this host saw before, unless this process checked it already. To be asked before the catalog
    /// is read: another process of the host may see more while this one reads.
    async fn recall(&self) -> Result<Option<Seen>> {
        match &self.memory {
            Some(memory) if self.known().is_none() => memory.recall(self).await,
            _ => Ok(None),
        }
    }

    /// Checks a head against what this host saw before it was read.
    async fn check_history(&self, head: &Head, seen: Option<Seen>) -> Result<()> {
        match seen {
            Some(seen) => seen.check(self, head).await,
            None => Ok(()),
        }
    }

    /// Remembers a head that was checked.
    async fn note(&self, head: &Head) -> Result<()> {
        if let Some(memory) = &self.memory
            && self.known().is_none_or(|known| known.number < head.number)
        {
            // What is remembered must not be gone after a power cut.
            self.store.settle(&Entry::path(head.number)).await?;
            memory.remember(self, head).await?;
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.as_ref().is_none_or(|known| known.number < head.number) {
            *known = Some(head.clone());
        }
        Ok(())
    }

    fn known(&self) -> Option<Head> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn forget_known(&self) {
        *self.known.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    pub(crate) fn id(&self) -> RepositoryId {
        self.id
    }

    pub(crate) fn blocking(&self) -> Blocking {
        self.store.blocking()
    }

    /// What the store is told so that no entry is overwritten.
    pub(crate) fn condition(&self) -> &'static str {
        self.store.condition()
    }

    pub(crate) fn address(&self) -> &str {
        self.store.address()
    }
}

/// The state after an entry that holds the whole of it.
fn start(entry: Entry, hash: EntryHash) -> Result<Head> {
    let (number, floor) = (entry.number, entry.floor);
    let first = number == 0;
    if floor > number || (first && entry.previous != EntryHash::default()) {
        return Err(broken(number, "its floor or its predecessor is impossible"));
    }
    let state = entry.state.ok_or_else(|| broken(number, "it should hold the state"))?;
    Ok(Head { number, hash, floor, state: Arc::new(state) })
}

/// Checks that an entry continues the chain, and goes on to it.
fn follow(head: &mut Head, entry: &Entry, hash: EntryHash) -> Result<()> {
    let number = entry.number;
    if number != next_number(head)? || entry.previous != head.hash {
        return Err(broken(number, UNCHAINED));
    }
    if entry.floor < head.floor || entry.floor > number {
        return Err(broken(number, "its floor is impossible"));
    }
    let state = Arc::make_mut(&mut head.state);
    for change in &entry.changes {
        if state.numbered(change.clone(), number) != *change {
            return Err(broken(number, "what it brings has the number of another entry"));
        }
        state.apply(change);
    }
    if entry.state.as_ref().is_some_and(|claimed| claimed != state) {
        return Err(broken(number, "its state is not what the entries before it make"));
    }
    (head.number, head.hash, head.floor) = (number, hash, entry.floor);
    Ok(())
}

/// What is wrong with an entry that follows another one than the one before it.
const UNCHAINED: &str = "it does not continue the entry before it; if two writers were at work, the store \
    may have let both of them create one entry";

fn next_number(head: &Head) -> Result<u64> {
    head.number.checked_add(1).ok_or_else(|| broken(head.number, "no number follows it"))
}

fn broken(number: u64, detail: &str) -> Error {
    let source = archive::Error::mismatch("a catalog entry", detail);
    Error::Damaged { what: Entry::path(number), source }
}

/// Whether the entry of this number holds the whole state.
pub(crate) fn holds_state(number: u64) -> bool {
    number.is_multiple_of(STATE_EVERY)
}

/// An entry's bytes, within the limits that readers have.
pub(crate) fn encode(entry: &Entry) -> Result<Bytes> {
    const WHAT: &str = "a catalog entry";
    let cannot = |source| Error::Format { what: WHAT, source };
    let bytes = entry.encode().map_err(cannot)?;
    if !holds_state(entry.number) && bytes.len() as u64 > MAX_CHANGES_BYTES {
        let what = "the changes of a catalog entry in bytes";
        let (found, limit) = (bytes.len() as u64, MAX_CHANGES_BYTES);
        return Err(cannot(archive::Error::Limit { what, found, limit }));
    }
    Ok(bytes.into())
}

/// The number of the entry at `path`; none for a file that is no entry.
pub(crate) fn number_of(path: &str) -> Option<u64> {
    let number: u64 = path.strip_prefix("catalog/")?.parse().ok()?;
    (Entry::path(number) == path).then_some(number)
}
