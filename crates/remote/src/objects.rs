//! Objects: stored once, never changed, every byte checked when read.

use std::borrow::Cow;
use std::collections::HashMap;
use std::iter;
use std::ops::Range;
use std::sync::Arc;

use archive::object::{self, Hashed, Index, Kind, ObjectKey, ObjectName, ObjectRef, Part};
use backup_core::disk::WRITE_BYTES;
use backup_core::progress::Context;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::PutPayload;

use crate::nonce::Nonces;
use crate::store::{Created, Listed, MAX_STORED_BYTES, Store};
use crate::unsynced::Unsynced;
use crate::{Error, Result};

/// The zstd level of what is stored: fast, and most of what there is to gain.
const LEVEL: i32 = 1;

/// Objects of at most this many stored bytes are read whole even where a range is asked for: one
/// request instead of two.
const WHOLE_BYTES: u32 = 512 << 10;

/// How many names are tried for one object before the store is taken to be at fault.
const NAMES_TRIED: u32 = 16;

/// What came of storing an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The object.
    pub reference: ObjectRef,
    /// Whether it was there already, and nothing was sent.
    pub reused: bool,
}

/// A file below `objects/`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedObject {
    /// An object, by its name.
    Object {
        /// Its name.
        name: ObjectName,
        /// Its stored length in bytes.
        stored: u64,
    },
    /// A file that is no object, by its path in the repository.
    Foreign(Listed),
}

/// The objects of a repository.
///
/// Hashing and compression run on tokio's threads for blocking work.
#[derive(Debug, Clone)]
pub struct Objects {
    store: Store,
    key: ObjectKey,
    nonces: Nonces,
    /// What a session stored and did not yet make durable; without a session, all is at once.
    unsynced: Option<Arc<Unsynced>>,
}

impl Objects {
    pub(crate) fn new(store: Store, key: ObjectKey) -> Result<Self> {
        let nonces = Nonces::draw(store.host())?;
        Ok(Self { store, key, nonces, unsynced: None })
    }

    /// The same objects for a session: with names of its own for what is stored from here on, which
    /// is durable only after [`settle`](Self::settle).
    pub(crate) fn for_session(&self) -> Result<Self> {
        let unsynced = self.store.needs_sync().then(Arc::default);
        Ok(Self { unsynced, ..self.with_new_nonces()? })
    }

    /// The same objects, with names of their own for what is stored from here on.
    pub(crate) fn with_new_nonces(&self) -> Result<Self> {
        let nonces = Nonces::draw(self.store.host())?;
        Ok(Self { nonces, ..self.clone() })
    }

    /// The same objects through another connection.
    pub(crate) fn through(self, store: Store) -> Self {
        Self { store, ..self }
    }

    pub(crate) fn nonces(&self) -> &Nonces {
        &self.nonces
    }

    /// The plain content of an object, every stored byte of it checked.
    ///
    /// # Errors
    /// [`Error::Missing`], or [`Error::Damaged`] unless it is exactly the object referred to.
    pub async fn read(&self, kind: Kind, reference: &ObjectRef) -> Result<Bytes> {
        check_size(kind, reference)?;
        let path = reference.name.path();
        let stored = self.store.get(&path, u64::from(reference.stored)).await?;
        let stored = stored.ok_or_else(|| missing(reference))?;
        let (reference, key, what) = (*reference, self.key.clone(), reference.name.path());
        let blocking = self.store.blocking();
        let check = blocking.run("check an object", move || {
            let content = object::open(&stored, &reference, kind, &key);
            Ok(match content.map_err(Error::damaged(what))? {
                Cow::Borrowed(content) => stored.slice_ref(content),
                Cow::Owned(content) => content.into(),
            })
        });
        check.await
    }

    /// The bytes `range` of an object's plain content, checked; up to its end where it is shorter.
    ///
    /// # Errors
    /// As for [`read`](Self::read).
    pub async fn read_range(
        &self,
        kind: Kind,
        reference: &ObjectRef,
        range: Range<u64>,
    ) -> Result<Bytes> {
        check_size(kind, reference)?;
        let end = range.end.min(u64::from(reference.plain));
        let plain = range.start.min(end)..end;
        if plain.is_empty() {
            return Ok(Bytes::new());
        }
        if reference.stored <= WHOLE_BYTES || plain == (0..u64::from(reference.plain)) {
            let content = self.read(kind, reference).await?;
            return Ok(content.slice(offset(plain.start)..offset(plain.end)));
        }
        let tail = self.part(reference, Index::tail_range(reference)).await?;
        let damaged = || Error::damaged(reference.name.path());
        let index = Index::from_tail(&tail, reference, kind, &self.key)
            .map_err(|error| damaged()(error))?;
        let (stored, _) = index.stored_range(&plain);
        let frames = self.part(reference, stored).await?;
        let (key, what) = (self.key.clone(), reference.name.path());
        let blocking = self.store.blocking();
        let check = blocking.run("check a part of an object", move || {
            index.open_range(&plain, &frames, &key).map(Bytes::from).map_err(Error::damaged(what))
        });
        check.await
    }

    /// Whether `content` is the plain content of an object.
    pub(crate) async fn is_content(
        &self,
        kind: Kind,
        reference: &ObjectRef,
        content: Bytes,
    ) -> Result<bool> {
        let (name, key) = (reference.name, self.key.clone());
        let blocking = self.store.blocking();
        let hash = blocking.run("hash an object's content", move || {
            Ok(Hashed::new(kind, &content, &key).map_err(cannot_store(kind))?.hash)
        });
        Ok(hash.await? == name.hash)
    }

    /// Stores content, unless `known` is an object of the same content, which is then what the caller
    /// refers to. The caller may name as known only what a live snapshot or pin reaches.
    ///
    /// A name that is taken is never adopted: the content is then stored under another.
    ///
    /// # Errors
    /// [`Error::Format`] for content above the limit of an object.
    pub async fn put(
        &self,
        kind: Kind,
        content: Bytes,
        known: Option<ObjectRef>,
    ) -> Result<Stored> {
        // What no reader takes is not written.
        if content.len() > kind.max_bytes() {
            let (found, limit) = (content.len() as u64, kind.max_bytes() as u64);
            let what = "an object's content in bytes";
            return Err(cannot_store(kind)(archive::Error::Limit { what, found, limit }));
        }
        let key = self.key.clone();
        let blocking = self.store.blocking();
        let sealed = blocking
            .run("compress an object", move || {
                let hashed = Hashed::new(kind, &content, &key).map_err(cannot_store(kind))?;
                let (hash, plain) = (hashed.hash, hashed.plain());
                if let Some(known) = known.filter(|k| k.name.hash == hash && k.plain == plain) {
                    return Ok(Err(known));
                }
                let parts = hashed.seal_parts(LEVEL).map_err(cannot_store(kind))?;
                Ok(Ok((hash, plain, payload(parts, &content))))
            })
            .await?;
        let (hash, plain, stored) = match sealed {
            Ok(sealed) => sealed,
            Err(known) => return Ok(Stored { reference: known, reused: true }),
        };
        let length = u32::try_from(stored.content_length()).expect("an object's length is bounded");
        for tried in 1..=NAMES_TRIED {
            let name = ObjectName { hash, nonce: self.nonces.next(self.store.host())? };
            if self.create(name.path(), stored.clone()).await? == Created::Created {
                let reference = ObjectRef { name, plain, stored: length };
                return Ok(Stored { reference, reused: false });
            }
            self.nonces.give_up(name);
            self.store.give_way(tried).await?;
        }
        let why = format!("it says that {NAMES_TRIED} random names are all taken");
        Err(Error::Unfit { address: self.store.address().to_owned(), why })
    }

    /// Makes all that was stored durable, where it is not yet. Nothing may refer to it before.
    pub(crate) async fn settle(&self) -> Result<()> {
        match &self.unsynced {
            Some(unsynced) => unsynced.settle(&self.store).await,
            None => Ok(()),
        }
    }

    async fn create(&self, path: String, stored: PutPayload) -> Result<Created> {
        let Some(unsynced) = &self.unsynced else { return self.store.create(&path, stored).await };
        let bytes = stored.content_length() as u64;
        let created = self.store.create_unsynced(&path, stored).await?;
        if created == Created::Created {
            unsynced.add(path, bytes, &self.store).await?;
        }
        Ok(created)
    }

    /// All files below `objects/`, in no order.
    pub fn files(&self) -> BoxStream<'static, Result<ListedObject>> {
        let listing = self.store.list("objects");
        listing.map(|listed| listed.map(sort_out)).boxed()
    }

    /// The stored length in bytes of every object there is.
    pub async fn list(&self, context: &Context) -> Result<HashMap<ObjectName, u64>> {
        let mut found = HashMap::new();
        let mut files = self.files();
        while let Some(file) = files.try_next().await? {
            context.check()?;
            if let ListedObject::Object { name, stored } = file {
                found.insert(name, stored);
            }
        }
        Ok(found)
    }

    async fn part(&self, reference: &ObjectRef, range: Range<u64>) -> Result<Bytes> {
        let path = reference.name.path();
        let expected = range.end - range.start;
        let part = match self.store.get_range(&path, range).await {
            Ok(part) => part,
            // A range beyond the end is refused by some stores: is the object shorter than it was?
            Err(error) => match self.store.size(&path).await? {
                Some(size) if size == u64::from(reference.stored) => return Err(error),
                Some(size) => return Err(wrong_size(reference, size)),
                None => return Err(missing(reference)),
            },
        };
        let part = part.ok_or_else(|| missing(reference))?;
        if part.size != u64::from(reference.stored) || part.bytes.len() as u64 != expected {
            return Err(wrong_size(reference, part.size));
        }
        Ok(part.bytes)
    }
}

/// The stored bytes, in parts that a folder's files are written in.
fn payload(parts: Vec<Part>, content: &Bytes) -> PutPayload {
    let bytes = |part| match part {
        Part::Content(range) => content.slice(range),
        Part::Made(bytes) => bytes.into(),
    };
    let cut = |mut rest: Bytes| {
        iter::from_fn(move || {
            let part = rest.split_to(rest.len().min(WRITE_BYTES));
            (!part.is_empty()).then_some(part)
        })
    };
    parts.into_iter().map(bytes).flat_map(cut).collect()
}

/// Refuses a reference with lengths that no object has, before anything is asked for.
fn check_size(kind: Kind, reference: &ObjectRef) -> Result<()> {
    let limit = kind.max_bytes() as u64;
    let fits =
        u64::from(reference.plain) <= limit && u64::from(reference.stored) <= MAX_STORED_BYTES;
    if fits {
        return Ok(());
    }
    let detail = "its reference has impossible lengths";
    let source = archive::Error::malformed(kind.noun(), 0, detail);
    Err(Error::Damaged { what: reference.name.path(), source })
}

fn wrong_size(reference: &ObjectRef, found: u64) -> Error {
    let detail = format!("it has {found} bytes, not {}", reference.stored);
    let at = usize::try_from(found).unwrap_or(usize::MAX);
    let source = archive::Error::malformed("an object", at, detail);
    Error::Damaged { what: reference.name.path(), source }
}

fn missing(reference: &ObjectRef) -> Error {
    Error::Missing { what: reference.name.path() }
}

/// An offset in an object's content.
fn offset(at: u64) -> usize {
    usize::try_from(at).expect("an object has at most MAX_OBJECT_BYTES")
}

fn sort_out(listed: Listed) -> ListedObject {
    let name = listed.path.rsplit('/').next().and_then(|last| last.parse::<ObjectName>().ok());
    match name {
        Some(name) if name.path() == listed.path => {
            ListedObject::Object { name, stored: listed.size }
        }
        _ => ListedObject::Foreign(listed),
    }
}

fn cannot_store(kind: Kind) -> impl FnOnce(archive::Error) -> Error {
    move |source| Error::Format { what: kind.noun(), source }
}
