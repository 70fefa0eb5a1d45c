//! Something else that happens to an object store between two requests.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use super::Trigger;

/// What another one does.
type Deed = Arc<dyn Fn() -> BoxFuture<'static, ()> + Send + Sync>;

/// An object store to which another one does something right before a request.
pub struct MeanwhileStore {
    inner: Arc<dyn ObjectStore>,
    trigger: Arc<Trigger>,
    deed: Deed,
}

impl MeanwhileStore {
    /// The store `inner`, where `deed` is done before each request at which `trigger` strikes.
    pub fn new(
        inner: Arc<dyn ObjectStore>,
        trigger: Trigger,
        deed: impl Fn() -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new(Self { inner, trigger: Arc::new(trigger), deed: Arc::new(deed) })
    }

    /// Its trigger, which counts the requests.
    pub fn trigger(&self) -> &Trigger {
        &self.trigger
    }

    async fn before(&self) {
        if self.trigger.strikes() {
            (self.deed)().await;
        }
    }

    fn listed(
        &self,
        found: BoxStream<'static, Result<ObjectMeta>>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (trigger, deed) = (Arc::clone(&self.trigger), Arc::clone(&self.deed));
        let begun = async move {
            if trigger.strikes() {
                deed().await;
            }
            found
        };
        stream::once(begun).flatten().boxed()
    }
}

impl fmt::Debug for MeanwhileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeanwhileStore({:?})", self.trigger)
    }
}

impl fmt::Display for MeanwhileStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a store that others use")
    }
}

#[async_trait]
impl ObjectStore for MeanwhileStore {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.before().await;
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.before().await;
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        self.before().await;
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
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
        self.before().await;
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.before().await;
        self.inner.copy_opts(from, to, options).await
    }
}
