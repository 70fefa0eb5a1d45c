//! A host's memory of the catalogs it saw: what tells a repository that was put back, or replaced, from
//! one that went on.
//!
//! This is state and not cache: without it, the next look at the repository is the first one.

use std::fmt;
use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use archive::catalog::{Entry, RepositoryId};
use backup_core::Error as CoreError;
use backup_core::disk::{Disk, LocalDisk};
use futures_util::StreamExt;
use serde::{Deserialize, Serialize};

use crate::catalog::{Catalog, Head, READS};
use crate::{Error, Result, blocking, local};

/// The most bytes of a file of the memory.
const MAX_BYTES: u64 = 64 << 10;

/// A folder in which a host keeps what it saw, one small file for each repository and address.
#[derive(Debug, Clone)]
pub struct Memory {
    folder: PathBuf,
    disk: Arc<dyn Disk>,
    told: Option<Told>,
}

/// Who is told why something cannot be remembered or recalled.
#[derive(Clone)]
struct Told(Arc<dyn Fn(&Error) + Send + Sync>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Told")
    }
}

/// What is remembered of a repository.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Seen {
    /// The repository's id.
    #[serde(with = "hex::serde")]
    repository: [u8; 16],
    /// Where it was seen.
    address: String,
    /// The number of the newest entry.
    number: u64,
    /// The hash of its bytes.
    #[serde(with = "hex::serde")]
    hash: [u8; 32],
}

impl Memory {
    /// A memory in `folder`, which is made when something is first remembered.
    pub fn new(folder: impl Into<PathBuf>) -> Self {
        Self { folder: folder.into(), disk: Arc::new(LocalDisk), told: None }
    }

    /// Does its file operations through `disk`.
    #[must_use]
    pub fn on_disk(self, disk: Arc<dyn Disk>) -> Self {
        Self { disk, ..self }
    }

    /// Does without, where the folder cannot be made, read or written, and says why to `told`. Then a
    /// repository that went back, or was replaced, may go unnoticed; who is told should say so.
    #[must_use]
    pub fn or_without(self, told: impl Fn(&Error) + Send + Sync + 'static) -> Self {
        Self { told: Some(Told(Arc::new(told))), ..self }
    }

    /// What came of remembering or recalling; nothing, where the system refused and somebody is told.
    fn unless_refused<T: Default>(&self, done: Result<T>) -> Result<T> {
        match (done, &self.told) {
            (Err(error @ Error::Core(CoreError::Io { .. })), Some(Told(told))) => {
                told(&error);
                Ok(T::default())
            }
            (done, _) => done,
        }
    }

    /// Forgets what was seen of a repository, so that its present state is accepted.
    pub async fn accept(&self, repository: RepositoryId, address: &str) -> Result<()> {
        let (path, disk) = (self.file(repository, address), Arc::clone(&self.disk));
        let folder = self.folder.clone();
        blocking::run("forget what was seen", move || {
            if path.exists() {
                disk.remove(&path)?;
                disk.sync_folder(&folder)?;
            }
            Ok(())
        })
        .await
    }

    /// Remembers `head`, unless more is remembered already.
    pub(crate) async fn remember(&self, catalog: &Catalog, head: &Head) -> Result<()> {
        let seen = Seen { number: head.number, hash: head.hash.0, ..Seen::nothing_of(catalog) };
        let (folder, path) = (self.folder.clone(), self.file(catalog.id(), catalog.address()));
        let disk = Arc::clone(&self.disk);
        let work = move || {
            local::make(disk.as_ref(), &folder)?;
            let lock_path = folder.join("lock");
            let lock = File::create(&lock_path).map_err(CoreError::io("create", &lock_path))?;
            // Released when `lock` is dropped.
            lock.lock().map_err(CoreError::io("lock", &lock_path))?;
            if read(&path, &seen)?.is_some_and(|older| older.number >= seen.number) {
                return Ok(());
            }
            write(disk.as_ref(), &path, &seen)?;
            Ok(disk.sync_folder(&folder)?)
        };
        self.unless_refused(catalog.blocking().run("remember what was seen", work).await)
    }

    /// What is remembered, if anything is.
    pub(crate) async fn recall(&self, catalog: &Catalog) -> Result<Option<Seen>> {
        let path = self.file(catalog.id(), catalog.address());
        let of = Seen::nothing_of(catalog);
        let work = move || read(&path, &of);
        self.unless_refused(catalog.blocking().run("recall what was seen", work).await)
    }

    /// What to say of a repository that could not be opened: that this host has used one there, if it
    /// has and there is none now, and `error` itself otherwise.
    pub async fn explain(&self, error: Error) -> Error {
        let Error::NoRepository { address } = &error else { return error };
        let (folder, place) = (self.folder.clone(), address.clone());
        let newest = blocking::run("recall what was seen", move || {
            Ok(used_at(&folder, &place).into_iter().max())
        });
        match newest.await {
            Ok(Some(remembered)) => Error::Gone { address: address.clone(), remembered },
            _ => error,
        }
    }

    fn file(&self, repository: RepositoryId, address: &str) -> PathBuf {
        self.folder.join(format!("{repository}{}", ending(address)))
    }
}

impl Seen {
    /// Checks that `head`, which was read after this was recalled, continues it.
    pub(crate) async fn check(&self, catalog: &Catalog, head: &Head) -> Result<()> {
        let differs = |found: String, cause: String| {
            let (address, remembered) = (catalog.address().to_owned(), self.number);
            Err(Error::History { address, found, remembered, cause })
        };
        if head.number < self.number {
            let cause = "the repository was put back to an older state or replaced";
            return differs(format!("ends at catalog entry {}", head.number), cause.to_owned());
        }
        let forks = |number: u64| {
            let cause = format!(
                "if several wrote at the same time, the store let two of them create one entry, although \
                 {}, and what one of them committed is lost; else the repository was put back to an older \
                 state or replaced",
                catalog.condition()
            );
            differs(format!("has another catalog entry {number}"), cause)
        };
        if self.number < head.floor {
            // Its entry is no longer kept; that the catalog went on is all that can be known.
            return Ok(());
        }
        let mut entries = futures_util::stream::iter(self.number..=head.number)
            .map(|number| async move { (number, catalog.entry(number).await) })
            .buffered(READS);
        let mut last = None;
        while let Some((number, found)) = entries.next().await {
            let missing = || Error::Missing { what: Entry::path(number) };
            let (entry, hash) = match found.and_then(|found| found.ok_or_else(missing)) {
                // Is it damage, or did it become a stub since the head was read?
                Err(error) if error.is_damage() => {
                    let became_stub = self.number < catalog.read_head().await?.floor;
                    return if became_stub { Ok(()) } else { Err(error) };
                }
                found => found?,
            };
            let continues = match last {
                None => hash.0 == self.hash,
                Some(last) => entry.previous == last,
            };
            if !continues {
                return forks(number);
            }
            last = Some(hash);
        }
        if last == Some(head.hash) {
            return Ok(());
        }
        forks(head.number)
    }

    fn nothing_of(catalog: &Catalog) -> Self {
        let (repository, address) = (catalog.id().0, catalog.address().to_owned());
        Self { repository, address, number: 0, hash: [0; 32] }
    }
}

/// How the names of files end that remember a repository at this address.
fn ending(address: &str) -> String {
    let place = blake3::hash(address.as_bytes()).to_hex();
    format!("-{}.json", &place[..16])
}

/// The newest entries of the repositories that were seen at this address. What cannot be read says nothing.
fn used_at(folder: &Path, address: &str) -> Vec<u64> {
    let ending = ending(address);
    let Ok(files) = fs::read_dir(folder) else { return Vec::new() };
    let files = files.filter_map(|file| Some(file.ok()?.path()));
    let named = files.filter(|path| path.to_string_lossy().ends_with(&ending));
    let seen = named.filter_map(|path| whole(&path).ok()?);
    seen.filter(|seen| seen.address == address).map(|seen| seen.number).collect()
}

/// What the file at `path` says of the repository and address of `of`.
fn read(path: &Path, of: &Seen) -> Result<Option<Seen>> {
    let Some(seen) = whole(path)? else { return Ok(None) };
    if (seen.repository, &seen.address) != (of.repository, &of.address) {
        return Err(damaged(path));
    }
    Ok(Some(seen))
}

fn damaged(path: &Path) -> Error {
    let detail = "it is not what keepsum wrote there; remove it to accept the repository as it is";
    CoreError::damaged(path.display().to_string(), detail).into()
}

/// What the file at `path` says.
fn whole(path: &Path) -> Result<Option<Seen>> {
    let length = match fs::metadata(path) {
        Ok(found) => found.len(),
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(CoreError::io("look at", path)(error).into()),
    };
    let damaged = || damaged(path);
    if length > MAX_BYTES {
        return Err(damaged());
    }
    let bytes = fs::read(path).map_err(CoreError::io("read", path))?;
    let (body, checksum) = bytes.split_last_chunk::<65>().ok_or_else(damaged)?;
    if format!("{}\n", blake3::hash(body).to_hex()).as_bytes() != checksum {
        return Err(damaged());
    }
    serde_json::from_slice(body).map(Some).map_err(|_| damaged())
}

/// Replaces the file at `path`, at once or not at all. The caller holds the lock.
fn write(disk: &dyn Disk, path: &Path, seen: &Seen) -> Result<()> {
    let mut bytes = serde_json::to_vec(seen).expect("numbers and strings are always JSON");
    bytes.push(b'\n');
    let checksum = blake3::hash(&bytes).to_hex();
    bytes.extend_from_slice(checksum.as_bytes());
    bytes.push(b'\n');
    let new = path.with_extension("new");
    // A crash may have left it.
    disk.remove(&new)?;
    let mut file = disk.create_file(&new, 0o644)?;
    file.write_at(0, &bytes)?;
    file.sync()?;
    Ok(disk.rename(&new, path)?)
}
