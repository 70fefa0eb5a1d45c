//! The databases of a snapshot: small ones in the directory, others in trees, held against a map.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::Mutex;

use archive::directory::{Content, Described};
use archive::limits::INLINE_DATABASE_BYTES;
use archive::manifest::{Manifest, Shape, SnapshotId};
use async_trait::async_trait;
use backup_core::Records;
use backup_core::integrity::{DatabaseSum, Summer};
use backup_core::progress::Context;
use backup_core::record::{Assembler, RecordBatch, RecordKey, parts};
use backup_core::source::{BatchStream, DatabaseInfo};
use futures_util::{StreamExt, TryStreamExt, stream};
use remote::tree::{
    Checkpoints, DirectoryReader, DirectoryWritten, OpenRecords, ReadingAll, SoFar, Unsaved,
    compare, describe_databases, open_databases, scan, write_databases,
};
use remote::verify::{Level, verify};
use remote::{Repository, Root, Session};

use crate::listed::{Map, manifest, repository, source, stored_objects};

/// Databases by their names.
type Databases = BTreeMap<String, Map>;

/// A snapshot of databases, in an order of its own.
struct Store(Vec<(String, Map)>);

impl Store {
    fn of(databases: &Databases) -> Self {
        let each = databases.iter().map(|(name, map)| (name.clone(), map.clone()));
        Self(each.rev().collect())
    }

    fn infos(&self) -> Vec<DatabaseInfo> {
        self.0.iter().map(|(name, _)| DatabaseInfo::new(name)).collect()
    }
}

#[async_trait]
impl Records for Store {
    async fn splits(&self, _: usize, _: usize) -> backup_core::Result<Vec<RecordKey>> {
        Ok(Vec::new())
    }

    fn scan(&self, database: usize, _: Option<&RecordKey>) -> BatchStream {
        let mut batch = RecordBatch::default();
        for (at, value) in &self.0[database].1 {
            for part in parts(&at.root_key, &at.key, value) {
                batch.push(part).unwrap();
            }
        }
        stream::iter([Ok(batch)]).boxed()
    }
}

/// Numbers that a seed gives.
struct Drawn(u64, u64);

impl Drawn {
    fn below(&mut self, limit: usize) -> usize {
        self.1 += 1;
        let bytes = testkit::noise(self.0 ^ (self.1 << 20), 8);
        usize::try_from(u64::from_le_bytes(bytes.try_into().unwrap()) % limit as u64).unwrap()
    }

    /// A database about as large as those that stand in the directory may be, or none of these.
    fn database(&mut self) -> Map {
        let records = [0, 1, 2, 3, 40][self.below(5)];
        let mut map = Map::new();
        let mut left = match self.below(4) {
            0 => self.below(300),
            1 => INLINE_DATABASE_BYTES.saturating_sub(self.below(400)) + 200,
            2 => self.below(3 * INLINE_DATABASE_BYTES),
            _ => self.below(2_000),
        };
        for number in 0..records {
            let take = if number + 1 == records { left } else { self.below(left + 1) };
            left -= take;
            let root_key: &[u8] = if self.below(3) == 0 { b"root" } else { b"" };
            let key = format!("{number:03}");
            let value = testkit::noise(self.below(1000) as u64, take);
            map.insert(RecordKey::new(root_key, key.as_bytes()), value);
        }
        map
    }

    fn databases(&mut self, count: usize) -> Databases {
        (0..count).map(|number| (format!("table {number:05}"), self.database())).collect()
    }
}

fn sum(name: &str, map: &Map) -> DatabaseSum {
    let mut summer = Summer::new(name.as_bytes());
    for (at, value) in map {
        for part in parts(&at.root_key, &at.key, value) {
            summer.add_record(&part).unwrap();
        }
    }
    summer.finish().unwrap()
}

async fn store(
    repository: &Repository,
    databases: &Databases,
    parent: Option<&Manifest>,
) -> (Manifest, DirectoryWritten) {
    let head = repository.head().await.unwrap();
    let roots: Vec<Root> = parent.iter().map(|parent| Root::Snapshot(parent.id)).collect();
    let session = Arc::new(Session::begin(repository, &head, &source(), &roots).await.unwrap());
    let store = Store::of(databases);
    let infos = store.infos();
    let reading = ReadingAll { records: &store, databases: &infos, readers: 3 };
    let before: Vec<_> = parent.iter().map(|parent| parent.directory()).collect();
    let context = Context::default();
    let written = write_databases(&session, reading, &before, &Unsaved, &context).await.unwrap();
    let mut made = manifest(Shape::Records);
    made.id = SnapshotId(repository.host().random().unwrap());
    (made.databases, made.sum) = (written.tree.clone(), written.sum.clone());
    session.commit(&made).await.unwrap();
    (made, written)
}

async fn read(repository: &Repository, manifest: &Manifest) -> Databases {
    let mut found = Databases::new();
    let objects = repository.objects();
    let mut opened = open_databases(objects, manifest.directory());
    while let Some(database) = opened.try_next().await.unwrap() {
        let Described { name, tag, proof, .. } = database.described;
        let (batches, sum) = match database.records {
            OpenRecords::Here(batch, sum) => (vec![batch], sum),
            OpenRecords::Tree(tree) => {
                let batches = scan(objects, &tree, &tag, None).try_collect::<Vec<_>>().await;
                let (mut all, mut total) = (Vec::new(), DatabaseSum::default());
                for (batch, sum) in batches.unwrap() {
                    all.push(batch);
                    total.add(&sum);
                }
                (all, total)
            }
        };
        let map = found.entry(name.clone()).or_default();
        let mut values = Assembler::new();
        for batch in &batches {
            let insert = |root_key: &[u8], key: &[u8], value: &[u8]| {
                assert_eq!(map.insert(RecordKey::new(root_key, key), value.to_vec()), None);
                Ok(())
            };
            values.feed(batch, u64::MAX, insert).unwrap();
        }
        assert_eq!(sum, self::sum(&name, map), "{name}");
        assert_eq!(proof, Some(archive::directory::Proof::of(&sum)), "{name}");
    }
    found
}

/// Whatever databases are written is read back, all at once or one by one, before and after changes; and a
/// change on top of an earlier snapshot makes what a stranger with equal content makes.
#[tokio::test(flavor = "multi_thread")]
async fn databases_of_any_size_are_read_back_before_and_after_changes() {
    let seed = testkit::seed::seed();
    for round in 0..12 {
        let repository = repository().await;
        let mut drawn = Drawn(seed ^ round, 0);
        let count = [0, 1, 2, 30, 200][drawn.below(5)];
        let mut databases = drawn.databases(count);
        let (mut manifest, _) = store(&repository, &databases, None).await;
        for change in 0..3 {
            let what = format!("seed {seed}, round {round}, change {change}, {count} databases");
            assert_eq!(read(&repository, &manifest).await, databases, "{what}");
            let objects = repository.objects();
            let (directory, total) = (manifest.directory(), manifest.sum.as_ref());
            let described = describe_databases(objects, directory, total).await.unwrap();
            let names: Vec<_> = described.iter().map(|one| &one.name).collect();
            assert!(names.into_iter().eq(databases.keys()), "{what}");
            let mut reader = DirectoryReader::new(objects, directory);
            for (name, map) in databases.iter().rev() {
                let found = reader.find(name).await.unwrap().unwrap();
                let small = matches!(found.database.content, Content::Inline(_));
                let bytes: usize = map.iter().map(|(at, v)| at.key.len() + v.len()).sum();
                assert!(small || bytes + 40 * 8 > INLINE_DATABASE_BYTES, "{what}: {name}");
            }
            assert_eq!(reader.find("no such").await.unwrap(), None);
            let report = verify(&repository, Level::Full, &Context::default()).await.unwrap();
            assert_eq!(report.findings, [], "{what}");
            let before = databases.clone();
            for _ in 0..drawn.below(4) {
                let name = format!("table {:05}", drawn.below(count + 2));
                if drawn.below(4) == 0 {
                    databases.remove(&name);
                } else {
                    databases.insert(name, drawn.database());
                }
            }
            let (after, written) = store(&repository, &databases, Some(&manifest)).await;
            let (_, stranger) = store(&repository, &databases, None).await;
            let root = |written: &DirectoryWritten| {
                let root = &written.tree.as_ref()?.root;
                Some((root.checksum, root.records, root.bytes, written.databases.clone()))
            };
            assert_eq!(root(&written), root(&stranger), "{what}");
            differ(&repository, (&before, &manifest), (&databases, &after)).await;
            manifest = after;
        }
    }
}

/// What is said to differ is what differs, for each database that both have.
async fn differ(
    repository: &Repository,
    (old, before): (&Databases, &Manifest),
    (new, after): (&Databases, &Manifest),
) {
    let objects = repository.objects();
    let mut readers = [before, after].map(|one| DirectoryReader::new(objects, one.directory()));
    for (name, map) in old {
        let Some(other) = new.get(name) else { continue };
        let mut contents = Vec::new();
        for reader in &mut readers {
            contents.push(reader.find(name).await.unwrap().unwrap().database.content);
        }
        let (one, two) = (Some(&contents[0]), Some(&contents[1]));
        let found = compare(objects, one, two, None, &Context::default()).await.unwrap();
        let gone = map.keys().filter(|at| !other.contains_key(at)).count();
        let came = other.keys().filter(|at| !map.contains_key(at)).count();
        let both = map.iter().filter(|(at, _)| other.contains_key(at));
        let changed = both.filter(|(at, value)| other[*at] != **value).count();
        let found = (found.removed, found.added, found.changed);
        assert_eq!(found, (gone as u64, came as u64, changed as u64), "{name}");
    }
}

fn ten_thousand() -> Databases {
    let database = |number: u64| {
        let value = testkit::noise(number, 40);
        let map = Map::from([
            (RecordKey::new(b"", b"1"), value.clone()),
            (RecordKey::new(b"", b"2"), value),
        ]);
        (format!("day_{number}"), map)
    };
    (0..10_000).map(database).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn ten_thousand_small_databases_are_few_objects_and_none_the_second_time() {
    let repository = repository().await;
    let mut databases = ten_thousand();
    let (first, _) = store(&repository, &databases, None).await;
    let objects = stored_objects(&repository).await;
    assert!(objects <= 40, "{objects} objects for 10,000 databases");
    let (second, _) = store(&repository, &databases, Some(&first)).await;
    assert_eq!(stored_objects(&repository).await - objects, 1, "the manifest alone is new");
    assert_eq!(first.databases, second.databases);
    let changed = databases.get_mut("day_7654").unwrap();
    changed.insert(RecordKey::new(b"", b"2"), b"changed".to_vec());
    let objects = stored_objects(&repository).await;
    let (third, _) = store(&repository, &databases, Some(&second)).await;
    // The manifest, a leaf or two, and the path above.
    let more = stored_objects(&repository).await - objects;
    assert!(more <= 5, "{more} objects for one database that changed");
    assert_eq!(read(&repository, &third).await, databases);
}

/// Takes what is stored so far, at every opportunity.
struct Often(Mutex<Vec<DirectoryWritten>>);

#[async_trait]
impl Checkpoints for Often {
    fn is_due(&self) -> bool {
        true
    }

    fn is_worth_it(&self) -> bool {
        true
    }

    async fn save(&self, so_far: SoFar) -> remote::Result<()> {
        let SoFar::Databases(written) = so_far else { panic!("{so_far:?}") };
        self.0.lock().unwrap().push(written);
        Ok(())
    }
}

/// A checkpoint holds the databases before, and as much as there is of the one that is being written.
#[tokio::test(flavor = "multi_thread")]
async fn a_checkpoint_holds_what_came_so_far() {
    let repository = repository().await;
    let mut databases: Databases = ten_thousand().into_iter().take(40).collect();
    databases.insert("large".into(), super::listed::synthetic(8_000, 3));
    let head = repository.head().await.unwrap();
    let session = Arc::new(Session::begin(&repository, &head, &source(), &[]).await.unwrap());
    let store = Store::of(&databases);
    let (infos, often) = (store.infos(), Often(Mutex::default()));
    let reading = ReadingAll { records: &store, databases: &infos, readers: 2 };
    let context = Context::default();
    write_databases(&session, reading, &[], &often, &context).await.unwrap();
    let saved = std::mem::take(&mut *often.0.lock().unwrap());
    assert!(saved.len() >= 3, "{}", saved.len());
    let mut last = 0;
    for written in saved {
        let mut pinned = manifest(Shape::Records);
        (pinned.databases, pinned.sum) = (written.tree, written.sum);
        pinned.encode().unwrap();
        let found = read(&repository, &pinned).await;
        for (name, map) in &found {
            assert!(map.iter().all(|(at, value)| databases[name].get(at) == Some(value)), "{name}");
        }
        let whole = found.iter().filter(|(name, map)| databases[*name] == **map).count();
        assert!(whole >= last && found.len() <= whole + 1, "{whole} of {}", found.len());
        last = whole;
    }
    assert_eq!(last, databases.len());
}
