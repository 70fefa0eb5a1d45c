//! Requests to an object store that fail where the test says.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta,
    ObjectStore, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result,
};

use super::Trigger;

/// What happens to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestFault {
    /// It fails and does nothing.
    Error,
    /// It is refused: access is denied.
    Denied,
    /// It is done, and the answer is an error.
    LostAnswer,
    /// It is done, and there is never an answer.
    NoAnswer,
    /// A write leaves half of an object under its name, and fails; catalog entries are written at once
    /// or not at all, which is what keepsum asks of a store. Anything else fails.
    Torn,
    /// A read ends half-way. Anything else fails.
    ShortRead,
    /// A listing shows only what was there long ago. Anything else is as it should be.
    StaleListing,
    /// Another one does something right before it: see [`FaultyStore::meanwhile`].
    Meanwhile,
}

/// What another one does.
type Deed = Box<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// An object store with a fault in it.
pub struct FaultyStore {
    inner: Arc<dyn ObjectStore>,
    fault: RequestFault,
    trigger: Trigger,
    /// What a stale listing shows.
    old: BTreeSet<Path>,
    /// What is done meanwhile.
    deed: Option<Deed>,
}

impl FaultyStore {
    /// The store `inner` with `fault` where `trigger` says. `old` is what a stale listing shows.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        fault: RequestFault,
        trigger: Trigger,
        old: BTreeSet<Path>,
    ) -> Arc<Self> {
        Arc::new(Self { inner, fault, trigger, old, deed: None })
    }

    /// The store `inner`, where `deed` is done right before a request, and the request after it.
    pub fn meanwhile(
        inner: Arc<dyn ObjectStore>,
        trigger: Trigger,
        deed: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        let (fault, deed) = (RequestFault::Meanwhile, Some(Box::new(deed) as Deed));
        Arc::new(Self { inner, fault, trigger, old: BTreeSet::new(), deed })
    }

    /// Its trigger, which counts the requests.
    pub fn trigger(&self) -> &Trigger {
        &self.trigger
    }

    async fn meddle<T>(&self, work: impl Future<Output = Result<T>> + Send) -> Result<T> {
        if !self.trigger.strikes() || self.fault == RequestFault::StaleListing {
            return work.await;
        }
        match self.fault {
            RequestFault::LostAnswer => {
                work.await?;
                Err(injected())
            }
            RequestFault::NoAnswer => {
                work.await?;
                std::future::pending().await
            }
            RequestFault::Meanwhile => {
                self.done_meanwhile().await;
                work.await
            }
            fault => Err(failure(fault)),
        }
    }

    fn done_meanwhile(&self) -> BoxFuture<'static, ()> {
        self.deed.as_ref().map_or_else(|| std::future::ready(()).boxed(), |deed| deed())
    }

    fn listed(
        &self,
        found: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        if !self.trigger.strikes() {
            return found;
        }
        match self.fault {
            RequestFault::StaleListing => {
                let old = self.old.clone();
                let shown = move |meta: &ObjectMeta| old.contains(&meta.location);
                found.try_filter(move |meta| std::future::ready(shown(meta))).boxed()
            }
            RequestFault::NoAnswer => stream::pending().boxed(),
            RequestFault::Meanwhile => {
                let deed = self.done_meanwhile();
                stream::once(async move {
                    deed.await;
                    found
                })
                .flatten()
                .boxed()
            }
            // Some of it comes before it fails.
            fault => found.take(1).chain(stream::iter([Err(failure(fault))])).boxed(),
        }
    }
}

fn injected() -> object_store::Error {
    object_store::Error::Generic { store: "test", source: "injected".into() }
}

fn failure(fault: RequestFault) -> object_store::Error {
    if fault == RequestFault::Denied {
        let path = "the request".to_owned();
        return object_store::Error::PermissionDenied { path, source: "injected".into() };
    }
    injected()
}

impl fmt::Debug for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FaultyStore({:?}, {:?})", self.fault, self.trigger)
    }
}

impl fmt::Display for FaultyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store with faults")
    }
}

#[async_trait]
impl ObjectStore for FaultyStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        if self.fault == RequestFault::Torn && location.as_ref().starts_with("objects/") {
            if !self.trigger.strikes() {
                return self.inner.put_opts(location, payload, options).await;
            }
            let half = bytes::Bytes::from(payload);
            let half = half.slice(..half.len() / 2);
            self.inner.put_opts(location, half.into(), options).await?;
            return Err(injected());
        }
        self.meddle(self.inner.put_opts(location, payload, options)).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.meddle(self.inner.put_multipart_opts(location, options)).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        if self.fault != RequestFault::ShortRead {
            return self.meddle(self.inner.get_opts(location, options)).await;
        }
        let strikes = self.trigger.strikes();
        let found = self.inner.get_opts(location, options).await?;
        if !strikes {
            return Ok(found);
        }
        let (meta, range) = (found.meta.clone(), found.range.clone());
        let (attributes, extensions) = (found.attributes.clone(), found.extensions.clone());
        let whole = found.bytes().await?;
        let half = whole.slice(..whole.len() / 2);
        let payload = GetResultPayload::Stream(stream::iter([Ok(half)]).boxed());
        Ok(GetResult { payload, meta, range, attributes, extensions })
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        let harmless = [RequestFault::StaleListing, RequestFault::Meanwhile].contains(&self.fault);
        if !self.trigger.strikes() || harmless {
            return self.inner.delete_stream(locations);
        }
        match self.fault {
            RequestFault::NoAnswer => stream::pending().boxed(),
            fault => stream::iter([Err(failure(fault))]).boxed(),
        }
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list(prefix))
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.listed(self.inner.list_with_offset(prefix, offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.meddle(self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.meddle(self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        self.meddle(self.inner.rename_opts(from, to, options)).await
    }
}
