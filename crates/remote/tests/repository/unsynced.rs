//! Objects in a local folder are made durable late, but always before anything refers to them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use archive::object::Kind;
use backup_core::disk::{Access, Disk, DiskFile, LocalDisk};
use backup_core::progress::Context;
use object_store::local::LocalFileSystem;
use remote::store::Store;
use remote::{Repository, Session};

use crate::support::{host, manifest, source};

/// A disk that remembers what was synced, and fails to on request.
#[derive(Debug, Default)]
struct Syncing {
    synced: Mutex<BTreeSet<PathBuf>>,
    broken: AtomicBool,
}

impl Syncing {
    fn sync(&self, path: &Path) -> backup_core::Result<()> {
        if self.broken.load(Ordering::Relaxed) {
            return Err(backup_core::Error::io("sync", path)(std::io::Error::other("lost")));
        }
        self.synced.lock().unwrap().insert(path.to_owned());
        Ok(())
    }
}

impl Disk for Syncing {
    fn create_folder(&self, path: &Path) -> backup_core::Result<()> {
        LocalDisk.create_folder(path)
    }

    fn create_private_folder(&self, path: &Path) -> backup_core::Result<()> {
        LocalDisk.create_private_folder(path)
    }

    fn set_access(&self, path: &Path, access: Access) -> backup_core::Result<()> {
        LocalDisk.set_access(path, access)
    }

    fn create_file(&self, path: &Path, mode: u32) -> backup_core::Result<Box<dyn DiskFile>> {
        LocalDisk.create_file(path, mode)
    }

    fn open_file(&self, path: &Path) -> backup_core::Result<Box<dyn DiskFile>> {
        LocalDisk.open_file(path)
    }

    fn sync_folder(&self, path: &Path) -> backup_core::Result<()> {
        self.sync(path)
    }

    fn sync_file(&self, path: &Path) -> backup_core::Result<()> {
        self.sync(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> backup_core::Result<()> {
        LocalDisk.rename(from, to)
    }

    fn exchange(&self, one: &Path, other: &Path) -> backup_core::Result<()> {
        LocalDisk.exchange(one, other)
    }

    fn remove(&self, path: &Path) -> backup_core::Result<()> {
        LocalDisk.remove(path)
    }
}

async fn repository(folder: &Path) -> (Repository, Arc<Syncing>) {
    let disk = Arc::new(Syncing::default());
    let open = || LocalFileSystem::new_with_prefix(folder).unwrap();
    let store = Store::over_folder(
        Arc::new(open().with_fsync(true)),
        folder.to_owned(),
        Arc::clone(&disk) as Arc<dyn Disk>,
        &host(1),
        &Context::default(),
    );
    let store = store.with_unsynced(Arc::new(open()));
    (Repository::init_in(store).await.unwrap(), disk)
}

/// Stores some objects; returns their paths.
async fn put_some(session: &Session, folder: &Path, count: u64) -> Vec<PathBuf> {
    let mut paths = Vec::new();
    for number in 0..count {
        let content = number.to_le_bytes().to_vec().into();
        let stored = session.put(Kind::Piece, content, None).await.unwrap();
        paths.push(folder.join(stored.reference.name.path()));
    }
    paths
}

#[tokio::test]
async fn all_objects_and_their_names_are_durable_at_the_commit() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, disk) = repository(folder.path()).await;
    let head = repository.head().await.unwrap();
    let session = Session::begin(&repository, &head, &source(), &[]).await.unwrap();
    let stored = put_some(&session, folder.path(), 100).await;
    let synced = || disk.synced.lock().unwrap().clone();
    let early = stored.iter().filter(|path| synced().contains(*path)).count();
    assert!((1..100).contains(&early), "{early} of 100 were synced before the commit");
    session.commit(&manifest(1)).await.unwrap();
    for path in &stored {
        assert!(synced().contains(path), "{} is not synced", path.display());
        let above = path.parent().unwrap();
        assert!(synced().contains(above), "{} is not synced", above.display());
    }
}

#[tokio::test]
async fn a_checkpoint_refers_to_what_is_durable() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, disk) = repository(folder.path()).await;
    let head = repository.head().await.unwrap();
    let session = Session::begin(&repository, &head, &source(), &[]).await.unwrap();
    let stored = put_some(&session, folder.path(), 5).await;
    session.checkpoint(&manifest(1)).await.unwrap();
    assert!(stored.iter().all(|path| disk.synced.lock().unwrap().contains(path)));
}

/// The system reports that a write was lost once; what is asked again may be told that all is well.
#[tokio::test]
async fn nothing_is_committed_after_a_sync_that_failed_once() {
    let folder = tempfile::tempdir().unwrap();
    let (repository, disk) = repository(folder.path()).await;
    let head = repository.head().await.unwrap();
    let session = Session::begin(&repository, &head, &source(), &[]).await.unwrap();
    put_some(&session, folder.path(), 5).await;
    disk.broken.store(true, Ordering::Relaxed);
    let error = session.commit(&manifest(1)).await.unwrap_err();
    assert!(error.to_string().starts_with("cannot sync"), "{error}");
    disk.broken.store(false, Ordering::Relaxed);
    let error = session.commit(&manifest(1)).await.unwrap_err();
    assert!(error.to_string().contains("run the backup again"), "{error}");
    assert_eq!(repository.head().await.unwrap().hash, head.hash);
}
