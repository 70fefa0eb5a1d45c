//! Requests: what is tried again, what is not, and what is never taken for absence.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use archive::object::Kind;
use backup_core::disk::LocalDisk;
use backup_core::progress::Context;
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use remote::store::{Created, Listed, Store};
use remote::{Error, Repository, RepositoryLocation};

use crate::ground::fresh;
use crate::support::{Fault, Faulty, hasty, host, overwrite, store};

async fn counting(
    fault: Fault,
    failures: u64,
) -> (Arc<dyn ObjectStore>, Arc<dyn ObjectStore>, Arc<AtomicU64>) {
    let inner: Arc<dyn ObjectStore> = fresh().await;
    let seen = Arc::new(AtomicU64::new(0));
    let counter = Arc::clone(&seen);
    let faulty: Arc<dyn ObjectStore> = Faulty::new(&inner, move |_| {
        if counter.fetch_add(1, Ordering::Relaxed) < failures { fault } else { Fault::None }
    });
    (faulty, inner, seen)
}

#[tokio::test]
async fn a_passing_failure_is_tried_again() {
    let (faulty, _, seen) = counting(Fault::Fail, 2).await;
    assert_eq!(store(&faulty, 1).create("a", "1".into()).await.unwrap(), Created::Created);
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_request_that_hangs_is_given_up_and_tried_again() {
    let (faulty, _, seen) = counting(Fault::Hang, 1).await;
    // The first attempt stored it before it hung, so the second finds the name taken.
    assert_eq!(store(&faulty, 1).create("a", "1".into()).await.unwrap(), Created::Exists);
    assert_eq!(seen.load(Ordering::Relaxed), 2);
}

#[tokio::test]
async fn patience_ends() {
    let (faulty, _, seen) = counting(Fault::Fail, u64::MAX).await;
    let error = store(&faulty, 1).get("a", 10).await.unwrap_err();
    assert!(matches!(error, Error::Store { action: "read", .. }), "{error}");
    assert_eq!(seen.load(Ordering::Relaxed), 3);
}

#[tokio::test]
async fn a_refusal_is_not_tried_again_and_is_not_absence() {
    let (faulty, _, seen) = counting(Fault::Deny, u64::MAX).await;
    let store = store(&faulty, 1);
    assert!(matches!(store.get("a", 10).await, Err(Error::Store { action: "read", .. })));
    assert!(matches!(store.get_range("a", 0..1).await, Err(Error::Store { .. })));
    assert!(matches!(store.size("a").await, Err(Error::Store { .. })));
    assert!(matches!(store.create("a", "1".into()).await, Err(Error::Store { .. })));
    assert_eq!(seen.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn absent_is_what_the_store_calls_not_found() {
    let (faulty, _, _) = counting(Fault::None, 0).await;
    let store = store(&faulty, 1);
    assert_eq!(store.get("a", 10).await.unwrap(), None);
    assert!(store.get_range("a", 0..1).await.unwrap().is_none());
    assert_eq!(store.size("a").await.unwrap(), None);
}

#[tokio::test]
async fn a_file_above_the_limit_is_refused() {
    let (_, inner, _) = counting(Fault::None, 0).await;
    overwrite(&inner, "a", vec![0; 11]).await;
    let error = store(&inner, 1).get("a", 10).await.unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(store(&inner, 1).get("a", 11).await.unwrap().unwrap().len(), 11);
}

#[tokio::test]
async fn cancelling_ends_a_request_under_way() {
    let (faulty, _, _) = counting(Fault::Hang, u64::MAX).await;
    let context = Context::default();
    let store = Store::new(faulty, "memory:", &host(1), &context);
    let request = tokio::spawn(async move { store.create("a", "1".into()).await });
    tokio::time::sleep(Duration::from_millis(20)).await;
    context.cancel();
    let ended = tokio::time::timeout(Duration::from_secs(5), request).await.unwrap().unwrap();
    assert!(matches!(ended, Err(Error::Core(backup_core::Error::Cancelled))));
}

#[tokio::test]
async fn requests_under_way_are_bounded() {
    let inner: Arc<dyn ObjectStore> = fresh().await;
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let slow = Slow { inner, now: Arc::clone(&now), most: Arc::clone(&most) };
    let store = Store::new(Arc::new(slow), "memory:", &host(1), &Context::default())
        .with_requests(3)
        .with_patience(hasty());
    let puts = (0..20).map(|number| {
        let store = store.clone();
        async move { store.create(&number.to_string(), "1".into()).await.unwrap() }
    });
    join_all(puts).await;
    assert_eq!(most.load(Ordering::SeqCst), 3);
}

/// Counts the puts that are under way.
#[derive(Debug)]
struct Slow {
    inner: Arc<dyn ObjectStore>,
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
}

impl std::fmt::Display for Slow {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Slow")
    }
}

#[async_trait::async_trait]
impl ObjectStore for Slow {
    async fn put_opts(
        &self,
        location: &object_store::path::Path,
        payload: object_store::PutPayload,
        options: object_store::PutOptions,
    ) -> object_store::Result<object_store::PutResult> {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        tokio::time::sleep(Duration::from_millis(5)).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &object_store::path::Path,
        options: object_store::PutMultipartOptions,
    ) -> object_store::Result<Box<dyn object_store::MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(
        &self,
        location: &object_store::path::Path,
        options: object_store::GetOptions,
    ) -> object_store::Result<object_store::GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: futures_util::stream::BoxStream<
            'static,
            object_store::Result<object_store::path::Path>,
        >,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::path::Path>>
    {
        self.inner.delete_stream(locations)
    }

    fn list(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> futures_util::stream::BoxStream<'static, object_store::Result<object_store::ObjectMeta>>
    {
        self.inner.list(prefix)
    }

    async fn list_with_delimiter(
        &self,
        prefix: Option<&object_store::path::Path>,
    ) -> object_store::Result<object_store::ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &object_store::path::Path,
        to: &object_store::path::Path,
        options: object_store::CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}

#[tokio::test]
async fn a_store_below_a_prefix_touches_nothing_else() {
    let inner: Arc<dyn ObjectStore> = fresh().await;
    overwrite(&inner, "other/file", "x").await;
    let below = store(&inner, 1).below("team/backups").unwrap();
    let made = Repository::init_in(below.clone()).await.unwrap();
    made.objects().put(Kind::Piece, "content".into(), None).await.unwrap();
    let opened = Repository::open_in(below.clone()).await.unwrap();
    assert_eq!(opened.id(), made.id());
    let listed: Vec<Listed> = below.list("catalog").try_collect().await.unwrap();
    assert_eq!(listed.len(), 1);
    assert_eq!(listed[0].path, "catalog/00000000000000000000");
    for (path, _) in crate::support::contents(&inner).await {
        assert!(path == "other/file" || path.starts_with("team/backups/"), "{path}");
    }
}

#[tokio::test]
async fn a_folder_below_a_prefix_is_made_and_synced_too() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = watched(folder.path());
    let below = store.below("team/backups").unwrap();
    let path = folder.path().join("team/backups");
    assert_eq!(below.address(), path.to_str().unwrap());
    Repository::init_in(below.clone()).await.unwrap();
    assert!(path.join("keepsum.json").is_file() && path.join("objects/ff").is_dir());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    let synced = disk.synced.lock().unwrap().clone();
    for made in [folder.path(), &folder.path().join("team"), &path] {
        assert!(synced.iter().any(|synced| synced == made), "{}", made.display());
    }
}

async fn local(folder: &std::path::Path) -> Repository {
    let location = RepositoryLocation::folder(folder).unwrap();
    Repository::init(&location, &host(1), &Context::default()).await.unwrap()
}

#[tokio::test]
async fn leftovers_of_a_crash_are_no_files() {
    let folder = tempfile::tempdir().unwrap();
    let repository = local(folder.path()).await;
    let stored = repository.objects().put(Kind::Piece, "content".into(), None).await.unwrap();
    let object = stored.reference.name.path();
    fs::write(folder.path().join(format!("{object}#1")), "half").unwrap();
    fs::write(folder.path().join("catalog/00000000000000000001#1"), "half").unwrap();
    fs::write(folder.path().join("keepsum.json#2"), "half").unwrap();
    let listed: Vec<Listed> = repository.store().list("").try_collect().await.unwrap();
    let mut paths: Vec<_> = listed.into_iter().map(|listed| listed.path).collect();
    paths.sort();
    assert_eq!(paths, ["catalog/00000000000000000000", "keepsum.json", object.as_str()]);
    assert_eq!(repository.head().await.unwrap().number, 0);
    let objects = repository.objects().list(&Context::default()).await.unwrap();
    assert_eq!(objects.len(), 1);
    // Nor does one stand in the way of what it was to become.
    let head = repository.head().await.unwrap();
    let decide = |_: &_, _: &[_]| Ok(remote::Decision::Commit(Vec::new()));
    assert_eq!(repository.catalog().commit(&head, decide).await.unwrap().number, 1);
}

/// A disk that was unmounted leaves an empty folder: nothing may be written there.
#[tokio::test]
async fn folders_that_vanished_are_not_made_again() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("repository");
    fs::create_dir(&path).unwrap();
    let repository = local(&path).await;
    let head = repository.head().await.unwrap();
    fs::rename(&path, folder.path().join("elsewhere")).unwrap();
    fs::create_dir(&path).unwrap();

    let error = repository.objects().put(Kind::Piece, "x".into(), None).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    let decide = |_: &_, _: &[_]| Ok(remote::Decision::Commit(Vec::new()));
    let error = repository.catalog().commit(&head, decide).await.unwrap_err();
    assert!(matches!(error, Error::Missing { .. }), "{error}");
    assert_eq!(fs::read_dir(&path).unwrap().count(), 0);
}

/// Which folders are synced, in order.
#[derive(Debug, Default)]
struct Watched {
    synced: std::sync::Mutex<Vec<PathBuf>>,
}

impl backup_core::disk::Disk for Watched {
    fn create_folder(&self, path: &std::path::Path) -> backup_core::Result<()> {
        LocalDisk.create_folder(path)
    }

    fn create_private_folder(&self, path: &std::path::Path) -> backup_core::Result<()> {
        LocalDisk.create_private_folder(path)
    }

    fn set_access(
        &self,
        path: &std::path::Path,
        access: backup_core::disk::Access,
    ) -> backup_core::Result<()> {
        LocalDisk.set_access(path, access)
    }

    fn create_file(
        &self,
        path: &std::path::Path,
        mode: u32,
    ) -> backup_core::Result<Box<dyn backup_core::disk::DiskFile>> {
        LocalDisk.create_file(path, mode)
    }

    fn open_file(
        &self,
        path: &std::path::Path,
    ) -> backup_core::Result<Box<dyn backup_core::disk::DiskFile>> {
        LocalDisk.open_file(path)
    }

    fn sync_folder(&self, path: &std::path::Path) -> backup_core::Result<()> {
        self.synced.lock().unwrap().push(path.to_owned());
        LocalDisk.sync_folder(path)
    }

    fn sync_file(&self, path: &std::path::Path) -> backup_core::Result<()> {
        LocalDisk.sync_file(path)
    }

    fn rename(&self, from: &std::path::Path, to: &std::path::Path) -> backup_core::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, one: &std::path::Path, other: &std::path::Path) -> backup_core::Result<()> {
        LocalDisk.exchange(one, other)
    }

    fn remove(&self, path: &std::path::Path) -> backup_core::Result<()> {
        LocalDisk.remove(path)
    }
}

/// A store in a folder, and what is asked of the disk beside it.
fn watched(folder: &std::path::Path) -> (Store, Arc<Watched>) {
    let disk = Arc::new(Watched::default());
    let inner = LocalFileSystem::new_with_prefix(folder).unwrap().with_fsync(true);
    let store = Store::over_folder(
        Arc::new(inner),
        folder.to_owned(),
        Arc::clone(&disk) as Arc<dyn backup_core::disk::Disk>,
        &host(1),
        &Context::default(),
    );
    (store, disk)
}

#[tokio::test]
async fn folders_are_synced_where_the_object_store_does_not() {
    let folder = tempfile::tempdir().unwrap();
    let (store, disk) = watched(folder.path());
    let synced = || std::mem::take(&mut *disk.synced.lock().unwrap());
    Repository::init_in(store.clone()).await.unwrap();
    let made = synced();
    for below in ["", "catalog", "objects", "streams", "objects/00", "objects/ff"] {
        assert!(made.contains(&folder.path().join(below)), "{below} is not synced");
    }
    // Made; and once more for what the probe deleted. What it creates need not be durable.
    let catalog = folder.path().join("catalog");
    assert_eq!(made.iter().filter(|synced| **synced == catalog).count(), 1 + 1);

    assert_eq!(store.create("streams/a", "1".into()).await.unwrap(), Created::Created);
    assert!(synced().is_empty(), "the object store syncs what it creates");
    // Somebody else may have created it a moment ago, and not synced it yet.
    assert_eq!(store.create("streams/a", "2".into()).await.unwrap(), Created::Exists);
    assert_eq!(synced(), [folder.path().join("streams")]);
}

#[tokio::test]
async fn a_name_that_cannot_be_made_is_an_error_with_its_path() {
    let folder = tempfile::tempdir().unwrap();
    let repository = local(folder.path()).await;
    // Permissions do not hold root back; a file in place of a folder does.
    fs::remove_dir(folder.path().join("streams")).unwrap();
    fs::write(folder.path().join("streams"), "").unwrap();
    let error = repository.store().create("streams/a", "1".into()).await.unwrap_err();
    assert!(matches!(error, Error::Store { action: "create", .. }), "{error}");
    assert!(error.to_string().ends_with("/streams/a"), "{error}");
}
