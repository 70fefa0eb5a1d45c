//! What the tests share: a host whose randomness is seeded, and a store that misbehaves on request.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use archive::catalog::SourceId;
use archive::manifest::{Manifest, Shape, SnapshotId};
use async_trait::async_trait;
use backup_core::progress::Context;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use object_store::memory::InMemory;
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions,
};
use remote::env::{Clock, Entropy, Host};
use remote::retry::Patience;
use remote::store::Store;
use remote::{Repository, Result};

use crate::ground::{fresh, is_memory};
use crate::shared;

/// Randomness from a seed (splitmix64).
#[derive(Debug)]
pub(crate) struct Seeded(Mutex<u64>);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(Mutex::new(seed))
    }

    pub(crate) fn next(&self) -> u64 {
        let mut state = self.0.lock().unwrap();
        *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = *state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn below(&self, limit: u64) -> u64 {
        self.next() % limit
    }
}

impl Entropy for Seeded {
    fn fill(&self, bytes: &mut [u8]) -> Result<()> {
        for chunk in bytes.chunks_mut(8) {
            chunk.copy_from_slice(&self.next().to_le_bytes()[..chunk.len()]);
        }
        Ok(())
    }
}

/// A clock that goes on by a millisecond each time it is looked at.
#[derive(Debug, Default)]
pub(crate) struct Ticking(AtomicU64);

impl Clock for Ticking {
    fn now_ms(&self) -> u64 {
        1_700_000_000_000 + self.0.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) fn host(seed: u64) -> Host {
    Host {
        name: "test-host".to_owned(),
        clock: Arc::new(Ticking::default()),
        entropy: Arc::new(Seeded::new(seed)),
    }
}

/// Few attempts and short pauses.
pub(crate) fn hasty() -> Patience {
    Patience {
        attempts: 3,
        first_pause: Duration::from_millis(if is_memory() { 1 } else { 10 }),
        // A service may answer 500 while it lists what others write.
        longest_pause: Duration::from_millis(if is_memory() { 4 } else { 40 }),
        // A service on a busy machine takes its time.
        timeout: Duration::from_millis(if is_memory() { 300 } else { 10_000 }),
        outage: Duration::ZERO,
    }
}

pub(crate) fn store(inner: &Arc<dyn ObjectStore>, seed: u64) -> Store {
    Store::new(Arc::clone(inner), "memory:", &host(seed), &Context::default())
        .with_patience(hasty())
        // What a store must stand has tests of its own.
        .with_races(if is_memory() { 2 } else { 1 })
}

/// A repository of its own, and the store it is in.
pub(crate) async fn fresh_repository(seed: u64) -> (Repository, Arc<dyn ObjectStore>) {
    let inner: Arc<dyn ObjectStore> = fresh().await;
    let repository = Repository::init_in(store(&inner, seed)).await.unwrap();
    (repository, inner)
}

/// A repository in memory whatever the ground is, for tests that reach it from several runtimes.
pub(crate) async fn in_memory() -> Arc<dyn ObjectStore> {
    let inner: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    Repository::init_in(store(&inner, 1)).await.unwrap();
    inner
}

/// The same repository as another process sees it.
pub(crate) async fn reopen(inner: &Arc<dyn ObjectStore>, seed: u64) -> Result<Repository> {
    Repository::open_in(store(inner, seed)).await
}

/// What sessions of these tests back up.
pub(crate) fn source() -> SourceId {
    manifest(0).source_id()
}

pub(crate) fn manifest(id: u8) -> Manifest {
    let shape = Shape::Files { tree: None, count: 0, bytes: 0 };
    shared::manifest(SnapshotId([id; 16]), shared::source_of("test-host", "memory:store"), shape)
}

/// All files of a store and their bytes, by path.
pub(crate) async fn contents(inner: &Arc<dyn ObjectStore>) -> Vec<(String, Bytes)> {
    let mut found = Vec::new();
    let mut listing = inner.list(None);
    while let Some(meta) = listing.next().await {
        let path = meta.unwrap().location;
        let bytes = inner.get_opts(&path, GetOptions::default()).await.unwrap();
        found.push((path.to_string(), bytes.bytes().await.unwrap()));
    }
    found.sort();
    found
}

pub(crate) async fn overwrite(inner: &Arc<dyn ObjectStore>, path: &str, bytes: impl Into<Bytes>) {
    let payload = PutPayload::from_bytes(bytes.into());
    inner.put_opts(&Path::from(path), payload, PutOptions::default()).await.unwrap();
}

/// A request to a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Request {
    Put(String),
    Get(String),
    List,
}

/// What a misbehaving store does with a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// As it should be.
    None,
    /// Fails without doing anything.
    Fail,
    /// Does what was asked and then says that it failed.
    LoseAnswer,
    /// Does what was asked and then never answers.
    Hang,
    /// Says that access is denied.
    Deny,
    /// Says that the name is taken, without having looked.
    SayExists,
    /// Says that it created the name, and stores the bytes elsewhere.
    Misplace,
}

type Rule = dyn Fn(&Request) -> Fault + Send + Sync;

/// A store that misbehaves as a rule says.
pub(crate) struct Faulty {
    inner: Arc<dyn ObjectStore>,
    rule: Box<Rule>,
    /// How many of the newest files, by path, listings leave out.
    pub(crate) stale: AtomicU64,
}

impl Faulty {
    pub(crate) fn new(
        inner: &Arc<dyn ObjectStore>,
        rule: impl Fn(&Request) -> Fault + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner: Arc::clone(inner), rule: Box::new(rule), stale: AtomicU64::new(0) })
    }

    async fn meddle<T>(
        &self,
        request: Request,
        work: impl Future<Output = object_store::Result<T>>,
    ) -> object_store::Result<T> {
        meddle((self.rule)(&request), &request, work).await
    }
}

async fn meddle<T>(
    fault: Fault,
    request: &Request,
    work: impl Future<Output = object_store::Result<T>>,
) -> object_store::Result<T> {
    let path = format!("{request:?}");
    match fault {
        Fault::None => work.await,
        Fault::Fail => Err(generic()),
        Fault::LoseAnswer => {
            work.await?;
            Err(generic())
        }
        Fault::Hang => {
            work.await?;
            std::future::pending().await
        }
        Fault::Deny => {
            Err(object_store::Error::PermissionDenied { path, source: "not yours".into() })
        }
        Fault::SayExists => {
            Err(object_store::Error::AlreadyExists { path, source: "conflict".into() })
        }
        Fault::Misplace => panic!("only a put can be misplaced"),
    }
}

fn generic() -> object_store::Error {
    object_store::Error::Generic { store: "test", source: "500".into() }
}

impl fmt::Debug for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

impl fmt::Display for Faulty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Faulty")
    }
}

#[async_trait]
impl ObjectStore for Faulty {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> object_store::Result<PutResult> {
        let request = Request::Put(location.to_string());
        let fault = (self.rule)(&request);
        if fault == Fault::Misplace {
            let elsewhere = Path::from(format!("elsewhere/{location}"));
            return self.inner.put_opts(&elsewhere, payload, PutOptions::default()).await;
        }
        let work = self.inner.put_opts(location, payload, options);
        meddle(fault, &request, work).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        let work = self.inner.get_opts(location, options);
        self.meddle(Request::Get(location.to_string()), work).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        match (self.rule)(&Request::List) {
            Fault::None => self.without_newest(self.inner.list(prefix)),
            _ => futures_util::stream::once(async { Err(generic()) }).boxed(),
        }
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        let work = self.inner.list_with_delimiter(prefix);
        self.meddle(Request::List, work).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }

    async fn rename_opts(
        &self,
        from: &Path,
        to: &Path,
        options: RenameOptions,
    ) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await
    }
}

impl Faulty {
    fn without_newest(
        &self,
        listing: BoxStream<'static, object_store::Result<ObjectMeta>>,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let stale = usize::try_from(self.stale.load(Ordering::Relaxed)).unwrap();
        let known = listing.collect::<Vec<_>>();
        let kept = async move {
            let mut found = known.await;
            found.sort_by_key(|meta| meta.as_ref().map(|meta| meta.location.clone()).ok());
            found.truncate(found.len().saturating_sub(stale));
            futures_util::stream::iter(found)
        };
        futures_util::stream::once(kept).flatten().boxed()
    }
}
