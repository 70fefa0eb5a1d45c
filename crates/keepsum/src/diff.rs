//! `diff`: how two snapshots, two stores, or one of each differ.

use std::cmp::Ordering;
use std::collections::BTreeMap;

use archive::directory::{Described, Proof};
use archive::manifest::Shape;
use backup_core::Source;
use backup_core::progress::Context;
use backup_core::record::{RecordBatch, RecordKey};
use backup_core::source::{Snapshot, View};
use futures_util::stream::{BoxStream, StreamExt, TryStreamExt};
use remote::Repository;
use remote::tree::{
    DiffTotals, Difference, DirectoryReader, EachDifference, StoredDatabase, compare,
};
use tokio::sync::Mutex;

use crate::report::{DatabaseDiff, DiffReport, RecordDiff};
use crate::scratch::Scratch;
use crate::selector::SnapshotSpec;
use crate::selector::without_last_slash;
use crate::{Engines, Error, Result, snapshots, sums};

/// One side of a comparison.
#[derive(Clone)]
pub enum Side<'a> {
    /// A snapshot of the repository.
    Snapshot(SnapshotSpec),
    /// A store.
    Store(&'a dyn Source),
}

/// How to compare.
#[derive(Debug, Clone, Default)]
pub struct DiffOptions {
    /// Name each record that differs.
    pub records: bool,
    /// The engines that read the records of a snapshot of files; those of this build, unless told otherwise.
    pub engines: Engines,
}

/// Compares `old` with `new`, database by database; with `options.records`, record by record.
///
/// Two snapshots of records are compared by walking only where they differ. Files go through a
/// scratch store, unless both sides have a logical proof that says they are equal. A snapshot that is
/// compared with a store is chosen within the store's source, if the repository has snapshots of that.
pub async fn diff(
    repository: Option<&Repository>,
    old: &Side<'_>,
    new: &Side<'_>,
    options: &DiffOptions,
    context: &Context,
) -> Result<DiffReport> {
    let DiffOptions { records, engines } = options;
    let (old, new) = (beside(repository, old, new).await?, beside(repository, new, old).await?);
    let old = Opened::open(repository, &old, engines, context).await?;
    let new = Opened::open(repository, &new, engines, context).await?;
    let mut names: BTreeMap<&str, (Option<usize>, Option<usize>)> = BTreeMap::new();
    for (number, name) in old.names().enumerate() {
        names.entry(name).or_default().0 = Some(number);
    }
    for (number, name) in new.names().enumerate() {
        names.entry(name).or_default().1 = Some(number);
    }
    context.phase("comparing", None);
    let mut databases = Vec::new();
    for (name, (in_old, in_new)) in names {
        let mut differing = records.then(Vec::new);
        let one = in_old.map(|number| (&old, number));
        let other = in_new.map(|number| (&new, number));
        let totals = compared(repository, one, other, differing.as_mut(), context).await?;
        databases.push(DatabaseDiff {
            name: name.to_owned(),
            added: totals.added,
            removed: totals.removed,
            changed: totals.changed,
            records: differing,
        });
    }
    let same =
        |database: &DatabaseDiff| (database.added, database.removed, database.changed) == (0, 0, 0);
    Ok(DiffReport { equal: databases.iter().all(same), databases })
}

/// A side as it is meant beside the other one.
async fn beside<'a>(
    repository: Option<&Repository>,
    side: &Side<'a>,
    other: &Side<'_>,
) -> Result<Side<'a>> {
    match (repository, side, other) {
        (Some(repository), Side::Snapshot(spec), Side::Store(store)) => {
            let location = without_last_slash(store.describe().location);
            Ok(Side::Snapshot(snapshots::beside(repository, spec, location).await?))
        }
        _ => Ok(side.clone()),
    }
}

/// A side that is ready to be read.
enum Opened<'a> {
    /// Records in the repository.
    Tree {
        repository: &'a Repository,
        databases: Vec<Described>,
        reader: Box<Mutex<DirectoryReader>>,
    },
    /// A store, or a files snapshot in a scratch store.
    Live { snapshot: Box<dyn Snapshot>, proofs: Vec<Proof>, _scratch: Option<Scratch> },
}

impl<'a> Opened<'a> {
    async fn open(
        repository: Option<&'a Repository>,
        side: &Side<'_>,
        engines: &Engines,
        context: &Context,
    ) -> Result<Self> {
        match side {
            Side::Store(source) => Self::live(*source, None, context).await,
            Side::Snapshot(spec) => {
                let Some(repository) = repository else {
                    let what = format!("the snapshot {spec}");
                    return Err(Error::Usage { what, detail: "needs a repository".into() });
                };
                let manifest = snapshots::find(repository, spec).await?;
                if manifest.shape == Shape::Records {
                    let databases = snapshots::databases(repository, &manifest).await?;
                    let reader = DirectoryReader::new(repository.objects(), manifest.directory());
                    return Ok(Self::Tree {
                        repository,
                        databases,
                        reader: Box::new(Mutex::new(reader)),
                    });
                }
                let filled = Scratch::fill(repository, &manifest, engines, None, context).await;
                let scratch = snapshots::explained(repository, manifest.id, filled).await?;
                let snapshot = scratch.source().snapshot(View::Records, context).await?;
                Self::summed(snapshot, Some(scratch), context).await
            }
        }
    }

    async fn live(
        source: &dyn Source,
        scratch: Option<Scratch>,
        context: &Context,
    ) -> Result<Self> {
        if !source.capabilities().records {
            let what = format!("a {} store has no records to compare", source.describe().engine);
            return Err(Error::Refused { what, instead: "compare its snapshots' files".into() });
        }
        let snapshot = source.snapshot(View::Records, context).await?;
        Self::summed(snapshot, scratch, context).await
    }

    async fn summed(
        snapshot: Box<dyn Snapshot>,
        scratch: Option<Scratch>,
        context: &Context,
    ) -> Result<Self> {
        let (proofs, _) = sums::sum_snapshot(snapshot.as_ref(), context).await?;
        Ok(Self::Live { snapshot, proofs, _scratch: scratch })
    }

    fn names(&self) -> Box<dyn Iterator<Item = &str> + '_> {
        match self {
            Self::Tree { databases, .. } => Box::new(databases.iter().map(|d| d.name.as_str())),
            Self::Live { snapshot, .. } => {
                Box::new(snapshot.info().databases.iter().map(|d| d.name.as_str()))
            }
        }
    }

    /// The proof under the database's own name.
    fn proof(&self, number: usize) -> Option<Proof> {
        match self {
            Self::Tree { databases, .. } => {
                let database = databases.get(number)?;
                let own = database.tag == database.name.as_bytes();
                database.proof.filter(|_| own)
            }
            Self::Live { proofs, .. } => proofs.get(number).copied(),
        }
    }

    /// A database that the repository has.
    async fn stored(&self, number: usize) -> Result<Option<StoredDatabase>> {
        match self {
            Self::Tree { databases, reader, .. } => {
                Ok(reader.lock().await.find(&databases[number].name).await?)
            }
            Self::Live { .. } => Ok(None),
        }
    }

    async fn batches(&self, number: usize) -> Result<BoxStream<'static, Result<RecordBatch>>> {
        Ok(match self {
            Self::Tree { repository, .. } => match self.stored(number).await? {
                Some(stored) => {
                    let batches = stored.scan(repository.objects());
                    batches.map_ok(|(batch, _)| batch).map_err(Error::from).boxed()
                }
                None => futures_util::stream::empty().boxed(),
            },
            Self::Live { snapshot, .. } => match snapshot.records() {
                Some(records) => records.scan(number, None).map_err(Error::from).boxed(),
                None => futures_util::stream::empty().boxed(),
            },
        })
    }
}

async fn compared(
    repository: Option<&Repository>,
    old: Option<(&Opened<'_>, usize)>,
    new: Option<(&Opened<'_>, usize)>,
    named: Option<&mut Vec<RecordDiff>>,
    context: &Context,
) -> Result<DiffTotals> {
    let proof = |side: Option<(&Opened<'_>, usize)>| side.and_then(|(side, n)| side.proof(n));
    if let (Some(one), Some(other)) = (proof(old), proof(new))
        && one == other
    {
        return Ok(DiffTotals::default());
    }
    let mut name = named.map(|named| {
        |difference: Difference, at: &RecordKey| named.push(record_diff(difference, at))
    });
    let each: Option<EachDifference<'_>> = name.as_mut().map(|name| name as EachDifference<'_>);
    let is_live =
        |side: Option<(&Opened<'_>, usize)>| matches!(side, Some((Opened::Live { .. }, _)));
    if let Some(repository) = repository
        && !is_live(old)
        && !is_live(new)
    {
        let (one, other) = (stored(old).await?, stored(new).await?);
        let held = |found: &Option<StoredDatabase>| {
            found.as_ref().map(|found| found.database.content.clone())
        };
        let (one, other) = (held(&one), held(&other));
        let objects = repository.objects();
        return Ok(compare(objects, one.as_ref(), other.as_ref(), each, context).await?);
    }
    merge(Cursor::new(old).await?, Cursor::new(new).await?, each, context).await
}

async fn stored(side: Option<(&Opened<'_>, usize)>) -> Result<Option<StoredDatabase>> {
    match side {
        Some((side, number)) => side.stored(number).await,
        None => Ok(None),
    }
}

/// Walks two databases side by side, in key order.
async fn merge(
    mut old: Cursor,
    mut new: Cursor,
    mut each: Option<EachDifference<'_>>,
    context: &Context,
) -> Result<DiffTotals> {
    let mut totals = DiffTotals::default();
    let (mut one, mut other) = (old.next().await?, new.next().await?);
    loop {
        context.check()?;
        let order = match (&one, &other) {
            (None, None) => return Ok(totals),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (Some((one, _)), Some((other, _))) => one.cmp(other),
        };
        let difference = match order {
            Ordering::Less => Some(Difference::Removed),
            Ordering::Greater => Some(Difference::Added),
            Ordering::Equal if one == other => None,
            Ordering::Equal => Some(Difference::Changed),
        };
        let at = if order.is_gt() { &other } else { &one };
        if let (Some(difference), Some((at, _))) = (difference, at) {
            totals.count(difference, 1);
            if let Some(each) = &mut each {
                each(difference, at);
            }
        }
        if order.is_le() {
            one = old.next().await?;
        }
        if order.is_ge() {
            other = new.next().await?;
        }
    }
}

/// The records of a database one by one, each with the hash of its value, which may come in parts.
struct Cursor {
    batches: BoxStream<'static, Result<RecordBatch>>,
    ready: std::vec::IntoIter<(RecordKey, blake3::Hash)>,
    open: blake3::Hasher,
}

impl Cursor {
    async fn new(side: Option<(&Opened<'_>, usize)>) -> Result<Self> {
        let batches = match side {
            Some((side, number)) => side.batches(number).await?,
            None => futures_util::stream::empty().boxed(),
        };
        Ok(Self { batches, ready: Vec::new().into_iter(), open: blake3::Hasher::new() })
    }

    async fn next(&mut self) -> Result<Option<(RecordKey, blake3::Hash)>> {
        loop {
            if let Some(record) = self.ready.next() {
                return Ok(Some(record));
            }
            let Some(batch) = self.batches.try_next().await? else { return Ok(None) };
            let mut ready = Vec::with_capacity(batch.len());
            for record in batch.iter() {
                self.open.update(record.value);
                if record.ends_value() {
                    ready.push((RecordKey::new(record.root_key, record.key), self.open.finalize()));
                    self.open.reset();
                }
            }
            self.ready = ready.into_iter();
        }
    }
}

fn record_diff(difference: Difference, at: &RecordKey) -> RecordDiff {
    let change = match difference {
        Difference::Added => "added",
        Difference::Removed => "removed",
        Difference::Changed => "changed",
    };
    RecordDiff { change, root_key: hex::encode(&at.root_key), key: hex::encode(&at.key) }
}
