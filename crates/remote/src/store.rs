//! An object store under a prefix, with retries, bounded concurrency and cancellation.

mod listing;
mod outage;
mod requests;

use std::fmt;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use archive::object::MAX_TAIL_BYTES;
use backup_core::disk::{Disk, LocalDisk};
use backup_core::progress::Context;
use bytes::Bytes;
use futures_util::FutureExt;
use object_store::list::PaginatedListStore;
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::{
    GetOptions, GetRange, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload,
};
use tokio::sync::Semaphore;

use self::outage::Outage;
use crate::body::body;
use crate::env::Host;
use crate::held::Held;
use crate::local::{Folder, Found};
use crate::location::{Place, RepositoryLocation};
use crate::retry::{self, Patience};
use crate::{Blocking, Error, Result};

/// The most bytes that any stored object may have, of those that have a plain length at the limit.
pub(crate) const MAX_STORED_BYTES: u64 =
    (archive::limits::MAX_OBJECT_BYTES + MAX_TAIL_BYTES + 64) as u64;

/// How many requests are under way at a time, unless told otherwise.
const REQUESTS: usize = 16;

/// How many rounds of competing writers a store must stand, unless told otherwise. One that lets two
/// writers win in 1 of 10 rounds passes them once in 1.1 million: 0.9^132 = 9.1e-7, 0.9^131 = 1.01e-6.
const RACES: u32 = 132;

/// What came of creating a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was absent and now has the bytes, durably.
    Created,
    /// The store says that the name is taken: a hint, not a proof. An earlier attempt of the same
    /// call, whose answer was lost, may have taken it, or a competing one that then failed.
    Exists,
}

/// A file of a listing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its path below the store's prefix.
    pub path: String,
    /// Its size in bytes.
    pub size: u64,
}

/// A part of a file, and how long the whole is.
#[derive(Debug, Clone)]
pub struct Part {
    /// The bytes.
    pub bytes: Bytes,
    /// The size of the whole file in bytes.
    pub size: u64,
}

/// An object store under a prefix.
///
/// Clones share the connection, its limit and its cancellation. Needs a tokio runtime with time
/// enabled. No error is ever taken for absence: absent is what the store itself calls not found.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

/// Its address alone: what an object store holds may be secret.
impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.shared.address).finish()
    }
}

struct Shared {
    store: Arc<dyn ObjectStore>,
    /// The same files, written without waiting for the disk; where absent, `store` does it.
    unsynced: Option<Arc<dyn ObjectStore>>,
    /// The same files, listed page by page, where `store` would begin anew after each failure.
    pages: Option<Arc<dyn PaginatedListStore>>,
    /// What is known of how the store is doing.
    outage: Arc<Outage>,
    prefix: Path,
    address: String,
    folder: Option<Folder>,
    host: Host,
    context: Context,
    /// How many who end early still make requests, although the context may be cancelled.
    parting: Arc<AtomicUsize>,
    patience: Patience,
    requests: usize,
    permits: Semaphore,
    blocking: Blocking,
    races: u32,
}

impl Store {
    /// A store of one's own, at its root. `address` is what messages call it.
    pub fn new(
        store: Arc<dyn ObjectStore>,
        address: impl Into<String>,
        host: &Host,
        context: &Context,
    ) -> Self {
        Self::build(store, address.into(), None, host, context)
    }

    /// A store over a local folder that exists, whose requests go through `store`, which must keep
    /// its files in that folder as [`LocalFileSystem`] does: a wrapper of it.
    pub fn over_folder(
        store: Arc<dyn ObjectStore>,
        folder: PathBuf,
        disk: Arc<dyn Disk>,
        host: &Host,
        context: &Context,
    ) -> Self {
        let address = folder.display().to_string();
        Self::build(store, address, Some(Folder::new(folder, disk)), host, context)
    }

    /// The same store, whose objects are written through `store` into the same folder, which need not
    /// make them durable: that is done for many of them at a time, before anything refers to them.
    #[must_use]
    pub fn with_unsynced(self, store: Arc<dyn ObjectStore>) -> Self {
        self.rebuilt(|shared| Shared { unsynced: Some(store), ..shared })
    }

    /// The same store, whose listings are read through `pages`, each page tried again by itself.
    #[cfg(feature = "aws")]
    #[must_use]
    pub(crate) fn with_pages(self, pages: Arc<dyn PaginatedListStore>) -> Self {
        self.rebuilt(|shared| Shared { pages: Some(pages), ..shared })
    }

    /// The store at `location`, which must be there.
    ///
    /// # Errors
    /// [`Error::NoRepository`] where a local folder is not there.
    pub async fn connect(
        location: &RepositoryLocation,
        host: &Host,
        context: &Context,
    ) -> Result<Self> {
        let store = Self::connect_to(location, host, context).await?;
        Ok(store.with_patience(location.patience()))
    }

    async fn connect_to(
        location: &RepositoryLocation,
        host: &Host,
        context: &Context,
    ) -> Result<Self> {
        match location.place() {
            Place::Memory(store) => {
                let store = Arc::clone(store) as Arc<dyn ObjectStore>;
                Ok(Self::new(store, location.to_string(), host, context))
            }
            #[cfg(feature = "aws")]
            Place::S3(bucket) => {
                let store = bucket.connect().await?;
                let pages = Arc::clone(&store) as Arc<dyn PaginatedListStore>;
                let root = Self::new(store, bucket.root(), host, context).with_pages(pages);
                if bucket.prefix().is_empty() { Ok(root) } else { root.below(bucket.prefix()) }
            }
            Place::Folder(path) => {
                let folder = Folder::new(path.clone(), Arc::new(LocalDisk));
                match folder.look().await? {
                    Found::Nothing => Err(Error::NoRepository { address: location.to_string() }),
                    Found::Folder => open_folder(path.clone(), host, context).await,
                }
            }
        }
    }

    /// The store at `location`; a local folder is made where there is none.
    pub async fn prepare(
        location: &RepositoryLocation,
        host: &Host,
        context: &Context,
    ) -> Result<Self> {
        if let Place::Folder(path) = location.place() {
            let folder = Folder::new(path.clone(), Arc::new(LocalDisk));
            if folder.look().await? == Found::Nothing {
                folder.make().await?;
            }
        }
        Self::connect(location, host, context).await
    }

    fn build(
        store: Arc<dyn ObjectStore>,
        address: String,
        folder: Option<Folder>,
        host: &Host,
        context: &Context,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                store,
                unsynced: None,
                pages: None,
                outage: Arc::default(),
                prefix: Path::default(),
                address,
                folder,
                host: host.clone(),
                context: context.clone(),
                parting: Arc::default(),
                patience: Patience::default(),
                requests: REQUESTS,
                permits: Semaphore::new(REQUESTS),
                blocking: Blocking::default(),
                races: RACES,
            }),
        }
    }

    /// The same store below `prefix`, once: another prefix would take its place.
    ///
    /// # Errors
    /// [`backup_core::Error::Invalid`] for a prefix that no object can have.
    pub fn below(self, prefix: &str) -> Result<Self> {
        let prefix = Path::parse(prefix).map_err(|_| {
            backup_core::Error::invalid("the prefix", "must be parts divided by single slashes")
        })?;
        let address = self.name(prefix.as_ref());
        Ok(self.rebuilt(|shared| {
            let folder = shared.folder.map(|folder| folder.below(prefix.as_ref()));
            Shared { prefix, address, folder, ..shared }
        }))
    }

    /// The same store with other patience.
    #[must_use]
    pub fn with_patience(self, patience: Patience) -> Self {
        self.rebuilt(|shared| Shared { patience, ..shared })
    }

    /// The same store with at most `requests` requests under way at a time, at least one.
    #[must_use]
    pub fn with_requests(self, requests: usize) -> Self {
        let requests = requests.max(1);
        let permits = Semaphore::new(requests);
        self.rebuilt(|shared| Shared { requests, permits, ..shared })
    }

    /// The same store, used by another host or under another name of this one.
    #[must_use]
    pub(crate) fn on_host(self, host: &Host) -> Self {
        self.rebuilt(|shared| Shared { host: host.clone(), ..shared })
    }

    /// The same store, whose requests `context` cancels.
    #[must_use]
    pub(crate) fn with_context(self, context: &Context) -> Self {
        self.rebuilt(|shared| Shared { context: context.clone(), ..shared })
    }

    /// The same store, whose users hash and compress on the threads that `blocking` names.
    #[must_use]
    pub fn with_blocking(self, blocking: Blocking) -> Self {
        self.rebuilt(|shared| Shared { blocking, ..shared })
    }

    /// The same store, of which `init` tries `races` rounds of writers that create one name (132 unless
    /// told otherwise). Fewer let a store pass that mostly keeps to the condition: for tests.
    #[must_use]
    pub fn with_races(self, races: u32) -> Self {
        self.rebuilt(|shared| Shared { races, ..shared })
    }

    /// How many rounds of competing writers `init` tries.
    pub(crate) fn races(&self) -> u32 {
        self.shared.races
    }

    /// What tells this store to create a name only where it is free.
    pub(crate) fn condition(&self) -> &'static str {
        match self.shared.folder {
            Some(_) => "a file is created only where there is none",
            None => "each sends `If-None-Match: *`",
        }
    }

    /// Where its users hash, compress and remember.
    pub(crate) fn blocking(&self) -> Blocking {
        self.shared.blocking
    }

    fn rebuilt(self, change: impl FnOnce(Shared) -> Shared) -> Self {
        let shared = self.shared.as_ref();
        let copy = Shared {
            store: Arc::clone(&shared.store),
            unsynced: shared.unsynced.clone(),
            pages: shared.pages.clone(),
            outage: Arc::clone(&shared.outage),
            prefix: shared.prefix.clone(),
            address: shared.address.clone(),
            folder: shared.folder.clone(),
            host: shared.host.clone(),
            context: shared.context.clone(),
            parting: Arc::clone(&shared.parting),
            patience: shared.patience,
            requests: shared.requests,
            permits: Semaphore::new(shared.requests),
            blocking: shared.blocking,
            races: shared.races,
        };
        Self { shared: Arc::new(change(copy)) }
    }

    /// How long and how often its requests are tried.
    pub(crate) fn patience(&self) -> Patience {
        self.shared.patience
    }

    /// What messages call the store. Holds no secret.
    pub fn address(&self) -> &str {
        &self.shared.address
    }

    /// The host that uses it.
    pub fn host(&self) -> &Host {
        &self.shared.host
    }

    /// The progress and cancellation that it was opened with.
    pub fn context(&self) -> &Context {
        &self.shared.context
    }

    /// Stores `bytes` under `path` if that name is free, at once or not at all, and durably.
    pub async fn create(&self, path: &str, bytes: PutPayload) -> Result<Created> {
        let store = &self.shared.store;
        let answer = self.request(|| self.put_once(store, path, bytes.clone())).await?;
        self.created(path, answer).await
    }

    /// As [`create`](Self::create), but a local file is durable only after [`sync`](Self::sync), and
    /// so is one that is there already. For names that nobody refers to before that.
    pub(crate) async fn create_unsynced(&self, path: &str, bytes: PutPayload) -> Result<Created> {
        let store = self.shared.unsynced.as_ref().unwrap_or(&self.shared.store);
        match self.request(|| self.put_once(store, path, bytes.clone())).await? {
            Ok(()) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(source) => Err(self.failed("create", path, source)),
        }
    }

    /// Whether what [`create_unsynced`](Self::create_unsynced) stores must be synced.
    pub(crate) fn needs_sync(&self) -> bool {
        self.shared.unsynced.is_some()
    }

    /// Makes files and their names durable.
    pub(crate) async fn sync(&self, paths: Vec<String>) -> Result<()> {
        match &self.shared.folder {
            Some(folder) => folder.sync(paths).await,
            None => Ok(()),
        }
    }

    /// As [`create`](Self::create), in one attempt, of a file that need not be durable. Where the store
    /// sends bodies piece by piece, this one waits at its gate.
    pub(crate) async fn try_create(&self, path: &str, body: &Held) -> Result<Created> {
        let _permit = self.permit().await;
        let store = self.shared.unsynced.as_ref().unwrap_or(&self.shared.store);
        let mut options = PutOptions::from(PutMode::Create);
        options.extensions.insert(body.clone());
        let answer = self.put_with(store, path, body.content().into(), options).await;
        body.arrive();
        match answer? {
            Ok(()) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => Ok(Created::Exists),
            Err(source) => Err(self.failed("create", path, source)),
        }
    }

    async fn put_once(
        &self,
        store: &Arc<dyn ObjectStore>,
        path: &str,
        bytes: PutPayload,
    ) -> Result<object_store::Result<()>> {
        self.put_with(store, path, bytes, PutMode::Create.into()).await
    }

    async fn put_with(
        &self,
        store: &Arc<dyn ObjectStore>,
        path: &str,
        bytes: PutPayload,
        options: PutOptions,
    ) -> Result<object_store::Result<()>> {
        let length = bytes.content_length() as u64;
        let put = async {
            if let Some(folder) = &self.shared.folder {
                folder.check_parent(path).await?;
            }
            let put = store.put_opts(&self.full(path), bytes, options).await;
            Ok(put.map(drop))
        };
        self.bounded(length, put).await
    }

    async fn created(&self, path: &str, answer: object_store::Result<()>) -> Result<Created> {
        match answer {
            Ok(()) => Ok(Created::Created),
            Err(object_store::Error::AlreadyExists { .. }) => {
                // Whoever acts on what is there must not find it gone after a power cut.
                self.settle(path).await?;
                Ok(Created::Exists)
            }
            Err(source) => Err(self.failed("create", path, source)),
        }
    }

    /// The whole file, or nothing where there is none. One above `limit` bytes is refused by the size
    /// that the store reports, before it is read.
    ///
    /// # Errors
    /// [`Error::Damaged`] above the limit.
    pub async fn get(&self, path: &str, limit: u64) -> Result<Option<Bytes>> {
        let part = self.fetch(path, None, limit).await?;
        Ok(part.map(|part| part.bytes))
    }

    /// The bytes `range` of a file, fewer where it ends earlier, or nothing where there is no file.
    pub async fn get_range(&self, path: &str, range: Range<u64>) -> Result<Option<Part>> {
        let limit = range.end.saturating_sub(range.start);
        self.fetch(path, Some(range), limit).await
    }

    async fn fetch(
        &self,
        path: &str,
        range: Option<Range<u64>>,
        limit: u64,
    ) -> Result<Option<Part>> {
        let answer = self.request(|| self.fetch_once(path, range.clone(), limit)).await?;
        match answer {
            Ok(part) => Ok(Some(part)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("read", path, source)),
        }
    }

    async fn fetch_once(
        &self,
        path: &str,
        range: Option<Range<u64>>,
        limit: u64,
    ) -> Result<object_store::Result<Part>> {
        let options = GetOptions { range: range.map(GetRange::Bounded), ..GetOptions::default() };
        let full = self.full(path);
        let get = self.shared.store.get_opts(&full, options).map(Ok);
        let found = match self.bounded(0, get).await? {
            Ok(found) => found,
            Err(error) => return Ok(Err(error)),
        };
        let length = found.range.end.saturating_sub(found.range.start);
        if length > limit {
            let what = "a file's length in bytes";
            let source = archive::Error::Limit { what, found: length, limit };
            return Err(Error::damaged(path)(source));
        }
        let size = found.meta.size;
        let body = self.bounded(length, body(found, length).map(Ok)).await?;
        Ok(body.map(|bytes| Part { bytes, size }))
    }

    /// The size of a file in bytes, or nothing where there is none.
    pub async fn size(&self, path: &str) -> Result<Option<u64>> {
        let full = self.full(path);
        let store = self.shared.store.as_ref();
        // Not `head`, whose answer cannot tell a file that is missing from a bucket that is.
        let attempt = || self.bounded(0, store.get_opts(&full, GetOptions::default()).map(Ok));
        match self.request(attempt).await? {
            Ok(found) => Ok(Some(found.meta.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(source) => Err(self.failed("look at", path, source)),
        }
    }

    /// The names right below the prefix: files, and folders as object stores understand them.
    pub(crate) async fn top(&self) -> Result<Vec<String>> {
        let prefix = Some(&self.shared.prefix);
        let store = self.shared.store.as_ref();
        let attempt = || self.bounded(0, store.list_with_delimiter(prefix).map(Ok));
        let listed = self.request(attempt).await?;
        let found = listed.map_err(|source| self.failed("list", "", source))?;
        let files = found.objects.iter().map(|meta| &meta.location);
        let names = found.common_prefixes.iter().chain(files).map(|path| self.relative(path));
        Ok(names.collect())
    }

    /// Deletes a file, durably; one that is not there is deleted already.
    pub(crate) async fn delete(&self, path: &str) -> Result<()> {
        self.delete_unsettled(path).await?;
        self.settle(path).await
    }

    /// As [`delete`](Self::delete), but a local file may be there again after a power cut.
    pub(crate) async fn delete_unsettled(&self, path: &str) -> Result<()> {
        let full = self.full(path);
        let store = self.shared.store.as_ref();
        match self.request(|| self.bounded(0, store.delete(&full).map(Ok))).await? {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(source) => Err(self.failed("delete", path, source)),
        }
    }

    /// Makes the names in the folder of `path` durable, where the store does not by itself.
    pub(crate) async fn settle(&self, path: &str) -> Result<()> {
        match &self.shared.folder {
            Some(folder) => folder.settle(path).await,
            None => Ok(()),
        }
    }

    /// Makes folders durably, where the store has such things.
    pub(crate) async fn make_folders(&self, folders: Vec<String>) -> Result<()> {
        match &self.shared.folder {
            Some(folder) => {
                folder.make().await?;
                folder.make_below(folders).await
            }
            None => Ok(()),
        }
    }

    /// A file's full address.
    pub(crate) fn name(&self, path: &str) -> String {
        let address = self.shared.address.trim_end_matches('/');
        let joint = if address.ends_with(':') { "" } else { "/" };
        format!("{address}{joint}{path}")
    }

    fn failed(&self, action: &'static str, path: &str, source: object_store::Error) -> Error {
        Error::Store { action, path: self.name(path), source: retry::cause(source) }
    }

    fn full(&self, path: &str) -> Path {
        path.split('/').filter(|part| !part.is_empty()).fold(self.shared.prefix.clone(), Path::join)
    }

    fn relative(&self, full: &Path) -> String {
        let full = full.as_ref();
        let prefix = self.shared.prefix.as_ref();
        full.strip_prefix(prefix).unwrap_or(full).trim_start_matches('/').to_owned()
    }
}

async fn open_folder(path: PathBuf, host: &Host, context: &Context) -> Result<Store> {
    let opening = path.clone();
    let (store, real) = crate::blocking::run("open a folder", move || {
        let real = std::fs::canonicalize(&opening)
            .map_err(backup_core::Error::io("open", opening.clone()))?;
        let store = LocalFileSystem::new_with_prefix(&real).map_err(|source| Error::Store {
            action: "open",
            path: opening.display().to_string(),
            source: Box::new(source),
        })?;
        Ok((store, real))
    })
    .await?;
    let synced = Arc::new(store.clone().with_fsync(true));
    let folder = Store::over_folder(synced, real, Arc::new(LocalDisk), host, context);
    Ok(folder.with_unsynced(Arc::new(store)))
}
