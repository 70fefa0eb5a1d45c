//! A repository: made once, opened often.

use archive::catalog::{Entry, EntryHash, RepositoryId, SnapshotEntry, State};
use archive::manifest::{Manifest, SnapshotId};
use archive::object::{Kind, ObjectKey, ObjectRef};
use backup_core::progress::Context;
use futures_util::TryStreamExt;

use crate::catalog::{Catalog, Head, encode, number_of};
use crate::descriptor::{self, Descriptor, Probed};
use crate::env::Host;
use crate::location::RepositoryLocation;
use crate::memory::Memory;
use crate::objects::Objects;
use crate::probe;
use crate::store::{Created, Store};
use crate::{Error, Result};

/// The folders of a repository; whatever else is at its top is foreign.
const FOLDERS: &[&str] = &["catalog", "objects", "streams"];

/// How often a file is created that the store says is there, and does not have.
const TRIES: u32 = 32;

/// What a file system keeps at the top of each of its volumes.
const LOST_AND_FOUND: &str = "lost+found";

/// A repository. Clones share its connection.
#[derive(Debug, Clone)]
pub struct Repository {
    id: RepositoryId,
    store: Store,
    objects: Objects,
    catalog: Catalog,
}

impl Repository {
    /// Makes a repository. A local folder is made where there is none.
    ///
    /// The store is tried out first, and `keepsum.json` is written last, so an `init` that crashed is
    /// completed by running it again. Of several at the same time, one succeeds.
    ///
    /// # Errors
    /// [`Error::Occupied`] where something is there already, [`Error::Unfit`] for a store that cannot
    /// hold a repository.
    pub async fn init(
        location: &RepositoryLocation,
        host: &Host,
        context: &Context,
    ) -> Result<Self> {
        Self::init_in(Store::prepare(location, host, context).await?).await
    }

    /// As [`init`](Self::init), in a store of the caller's.
    pub async fn init_in(store: Store) -> Result<Self> {
        check_free(&store).await?;
        store.make_folders(folders()).await?;
        match make(&store).await {
            Ok(id) => Self::new(store, id),
            // A competing `init` gets in the way in many forms; this is the one to be told.
            Err(error) => match read_descriptor(&store).await {
                Ok(Some(_)) => Err(occupied(&store)),
                _ => Err(error),
            },
        }
    }

    /// Opens the repository at `location`.
    ///
    /// # Errors
    /// [`Error::NoRepository`], [`Error::Unfinished`], [`Error::Newer`], [`Error::Damaged`].
    pub async fn open(
        location: &RepositoryLocation,
        host: &Host,
        context: &Context,
    ) -> Result<Self> {
        Self::open_in(Store::connect(location, host, context).await?).await
    }

    /// As [`open`](Self::open), in a store of the caller's.
    pub async fn open_in(store: Store) -> Result<Self> {
        if let Some(descriptor) = read_descriptor(&store).await? {
            return Self::new(store, RepositoryId(descriptor.id));
        }
        let address = store.address().to_owned();
        if store.size(&Entry::path(0)).await?.is_some() {
            return Err(Error::Unfinished { address });
        }
        // A bucket that is missing is no empty one. Some services only say so of a listing.
        store.top().await?;
        Err(Error::NoRepository { address })
    }

    fn new(store: Store, id: RepositoryId) -> Result<Self> {
        let objects = Objects::new(store.clone(), ObjectKey::derive(&id.0))?;
        let catalog = Catalog::new(store.clone(), id);
        Ok(Self { id, store, objects, catalog })
    }

    /// Remembers in `memory` what is seen of the catalog, and fails where it is not a continuation of
    /// what was seen before.
    #[must_use]
    pub fn with_memory(self, memory: Memory) -> Self {
        Self { catalog: self.catalog.with_memory(memory), ..self }
    }

    /// The same repository, used by `host`: its name is what pins are found by.
    #[must_use]
    pub fn on_host(self, host: &Host) -> Self {
        let store = self.store.clone().on_host(host);
        self.through(store)
    }

    /// The same repository for work that `context` cancels and is told of: its requests end then. Each operation of
    /// a program may have its own; they share the connections.
    #[must_use]
    pub fn with_context(self, context: &Context) -> Self {
        let store = self.store.clone().with_context(context);
        self.through(store)
    }

    fn through(self, store: Store) -> Self {
        let (objects, catalog) = (self.objects, self.catalog);
        let (objects, catalog) = (objects.through(store.clone()), catalog.through(store.clone()));
        Self { store, objects, catalog, ..self }
    }

    /// Its id.
    pub fn id(&self) -> RepositoryId {
        self.id
    }

    /// Its address, as messages have it.
    pub fn location(&self) -> &str {
        self.store.address()
    }

    /// The host it is used from.
    pub fn host(&self) -> &Host {
        self.store.host()
    }

    /// The progress and cancellation it was opened with.
    pub fn context(&self) -> &Context {
        self.store.context()
    }

    /// Its store.
    pub fn store(&self) -> &Store {
        &self.store
    }

    /// Its objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// Its catalog.
    pub fn catalog(&self) -> &Catalog {
        &self.catalog
    }

    /// The newest state of its catalog.
    pub async fn head(&self) -> Result<Head> {
        self.catalog.head().await
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// As for [`Objects::read`].
    pub async fn manifest(&self, reference: &ObjectRef) -> Result<Manifest> {
        let content = self.objects.read(Kind::Manifest, reference).await?;
        let damaged = Error::damaged(reference.name.path());
        Manifest::parse(&content).map_err(damaged)
    }

    /// Reads the manifest of a live snapshot, and checks that it says what the catalog says of it.
    ///
    /// # Errors
    /// As for [`Objects::read`]; [`Error::Damaged`] for the manifest of another snapshot.
    pub async fn manifest_of(&self, entry: &SnapshotEntry) -> Result<Manifest> {
        let manifest = self.manifest(&entry.manifest).await?;
        let said = SnapshotEntry {
            id: manifest.id,
            created_ms: manifest.created_ms,
            source: manifest.source_id(),
            label: manifest.label.clone(),
            shape: manifest.shape.kind(),
            bytes: manifest.bytes(),
            ..entry.clone()
        };
        if said == *entry {
            return Ok(manifest);
        }
        let detail = if said.id == entry.id {
            "it has another time, source, label, shape or size than the catalog says".to_owned()
        } else {
            format!("it is of snapshot {}, not {}", said.id, entry.id)
        };
        let source = archive::Error::mismatch("a manifest", detail);
        Err(Error::damaged(entry.manifest.name.path())(source))
    }

    /// What to say of damage that was met while `snapshot` was read: that the snapshot was removed
    /// meanwhile, if it was, and `error` itself otherwise.
    pub async fn explain(&self, snapshot: SnapshotId, error: Error) -> Error {
        if !error.is_damage() {
            return error;
        }
        match self.head().await {
            Ok(head) if !head.state.snapshots.contains_key(&snapshot) => Error::NotFound {
                what: format!("snapshot {snapshot}"),
                hint: "it was removed while it was being read".to_owned(),
            },
            _ => error,
        }
    }
}

fn folders() -> Vec<String> {
    let objects = (0..=u8::MAX).map(|byte| format!("objects/{}", hex::encode([byte])));
    FOLDERS.iter().map(|&folder| folder.to_owned()).chain(objects).collect()
}

/// Refuses a place that holds anything but what an interrupted `init` leaves.
async fn check_free(store: &Store) -> Result<()> {
    if read_descriptor(store).await?.is_some() {
        return Err(occupied(store));
    }
    let address = || store.address().to_owned();
    for name in store.top().await? {
        if !FOLDERS.contains(&name.as_str()) && name != LOST_AND_FOUND {
            let found = format!("is not empty: it holds {name:?}");
            return Err(Error::Occupied { address: address(), found });
        }
    }
    for folder in FOLDERS {
        let mut listing = store.list(folder);
        while let Some(listed) = listing.try_next().await? {
            if number_of(&listed.path) != Some(0) && !probe::is_probe(&listed.path) {
                // A repository in use, without its descriptor. A new one here would be its end.
                let found = format!("has no keepsum.json but holds {}", listed.path);
                return Err(Error::Occupied { address: address(), found });
            }
        }
    }
    Ok(())
}

/// Everything after the check: probe, first entry, `keepsum.json`.
async fn make(store: &Store) -> Result<RepositoryId> {
    let probed = probe::probe(store).await?;
    let id = first_entry(store).await?;
    describe(store, id, probed).await?;
    // Only now: a competing `init` may still be at it, and must not take the store to be at fault.
    if let Err(error) = probe::sweep(store).await {
        tracing::warn!(%error, "what an interrupted `init` left stays; it does no harm");
    }
    Ok(id)
}

/// Writes entry 0 and thereby gives the repository its id, or takes the id of the one that is there.
async fn first_entry(store: &Store) -> Result<RepositoryId> {
    let host = store.host();
    let id = RepositoryId(host.random()?);
    let entry = Entry {
        repository: id,
        number: 0,
        previous: EntryHash::default(),
        floor: 0,
        commit: host.random()?,
        written_ms: host.clock.now_ms(),
        changes: Vec::new(),
        state: Some(State::default()),
    };
    let (path, bytes) = (Entry::path(0), encode(&entry)?);
    for absent in 1..=TRIES {
        if store.create(&path, bytes.clone().into()).await? == Created::Created {
            return Ok(id);
        }
        let limit = archive::limits::MAX_ENTRY_BYTES as u64;
        if let Some(bytes) = store.get(&path, limit).await? {
            let entry = Entry::parse(&bytes).map_err(Error::damaged(path.as_str()))?;
            return Ok(entry.repository);
        }
        // "Exists" is no proof: whoever was creating it may have failed.
        store.give_way(absent).await?;
    }
    Err(contended(store))
}

async fn describe(store: &Store, id: RepositoryId, probed: Probed) -> Result<()> {
    let host = store.host();
    let own = Descriptor::new(id, host.random()?, host.clock.now_ms(), probed);
    for absent in 1..=TRIES {
        if store.create(descriptor::PATH, own.encode().into()).await? == Created::Created {
            return Ok(());
        }
        match read_descriptor(store).await? {
            // The answer to the first attempt was lost.
            Some(found) if found == own => return Ok(()),
            Some(_) => return Err(occupied(store)),
            None => store.give_way(absent).await?,
        }
    }
    Err(contended(store))
}

fn contended(store: &Store) -> Error {
    Error::Contended { address: store.address().to_owned(), tries: TRIES }
}

async fn read_descriptor(store: &Store) -> Result<Option<Descriptor>> {
    let Some(bytes) = store.get(descriptor::PATH, descriptor::MAX_BYTES).await? else {
        return Ok(None);
    };
    Descriptor::parse(&bytes, store.address()).map(Some)
}

fn occupied(store: &Store) -> Error {
    let found = "already is a keepsum repository".to_owned();
    Error::Occupied { address: store.address().to_owned(), found }
}
