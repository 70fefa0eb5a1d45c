//! `verify`: looks at everything that is live, and reports what is wrong.
//!
//! What is found is data ([`Finding`]), not an error; an error means that something could not be
//! looked at. A part of a tree that the snapshot before it shares is looked at once: the walk
//! compares the two trees as it goes, and so needs no memory of what it has seen.

use std::collections::HashMap;

use archive::catalog::{Pin, SnapshotEntry};
use archive::leaf::LeafValue;
use archive::manifest::{Manifest, Shape};
use archive::node::{Child, Tree};
use archive::object::{Kind, ObjectName, ObjectRef};
use backup_core::progress::Context;
use futures_util::stream::{self, StreamExt, TryStreamExt};

use crate::objects::Objects;
use crate::repository::Repository;
use crate::tree::{TreeReader, check_records_leaf, checked_leaf, list_files, read_node};
use crate::{Error, Result};

/// How many objects are read at the same time.
const OBJECTS_AT_ONCE: usize = 4;

/// How closely to look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// The catalog, manifests and nodes are read; the other objects must be there with their length.
    List,
    /// Every object is read, and every hash and sum recomputed.
    Full,
}

/// What was found.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Report {
    /// What is wrong, in the order it was found.
    pub findings: Vec<Finding>,
    /// How many objects and entries were looked at.
    pub objects_checked: u64,
    /// How many stored bytes were read.
    pub bytes_read: u64,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What kind of thing.
    pub kind: FindingKind,
    /// The object or entry, by its name in the repository.
    pub what: String,
    /// What was expected, what was found, and what it breaks.
    pub detail: String,
}

/// Kinds of findings.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FindingKind {
    /// It is not there.
    Missing,
    /// Its bytes are not what they must be.
    Damaged,
    /// The catalog is not a continuation of what this host saw before.
    History,
}

impl FindingKind {
    /// The word that JSON and messages use.
    pub fn word(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Damaged => "damaged",
            Self::History => "history",
        }
    }
}

impl Report {
    /// Records damage as a finding; any other error is passed on.
    pub fn note(&mut self, error: Error, breaks: &str) -> Result<()> {
        let (kind, what, detail) = match error {
            Error::Missing { what } => (FindingKind::Missing, what, "it is not there".to_owned()),
            Error::Damaged { what, source } => (FindingKind::Damaged, what, source.to_string()),
            Error::History { .. } => {
                (FindingKind::History, "the catalog".to_owned(), error.to_string())
            }
            other => return Err(other),
        };
        let detail =
            if breaks.is_empty() { detail } else { format!("{detail}; it breaks {breaks}") };
        let finding = Finding { kind, what, detail };
        if !self.findings.contains(&finding) {
            self.findings.push(finding);
        }
        Ok(())
    }
}

/// Looks at every live snapshot and pin of a repository, and at its catalog.
pub async fn verify(repository: &Repository, level: Level, context: &Context) -> Result<Report> {
    let mut report = Report::default();
    context.phase("reading the catalog", None);
    repository.catalog().check_all(&mut report, context).await?;
    let head = match repository.head().await {
        Ok(head) => head,
        Err(error) => {
            report.note(error, "the catalog")?;
            return Ok(report);
        }
    };
    let stored = match level {
        Level::Full => HashMap::new(),
        Level::List => repository.objects().list(context).await?,
    };
    let mut roots: Vec<Root> = head.state.snapshots.values().map(Root::of_snapshot).collect();
    roots.extend(head.state.pins.values().map(Root::of_pin));
    roots.sort_by(|a, b| (&a.source, a.created_ms).cmp(&(&b.source, b.created_ms)));
    context.phase("reading what snapshots hold", None);
    let mut walk = Walk { repository, level, stored, context, report, breaks: String::new() };
    let mut before: Option<(String, Manifest)> = None;
    for root in roots {
        walk.breaks.clone_from(&root.name);
        let Some(manifest) = walk.manifest(&root).await? else { continue };
        let baseline = before.as_ref().filter(|(source, _)| *source == root.source);
        walk.snapshot(&manifest, baseline.map(|(_, manifest)| manifest)).await?;
        before = Some((root.source, manifest));
    }
    Ok(walk.report)
}

/// A manifest that is live, and what lives by it.
struct Root {
    name: String,
    source: String,
    created_ms: u64,
    manifest: ObjectRef,
    id: Option<archive::manifest::SnapshotId>,
}

impl Root {
    fn of_snapshot(entry: &SnapshotEntry) -> Self {
        Self {
            name: format!("snapshot {}", entry.id),
            source: entry.source.clone(),
            created_ms: entry.created_ms,
            manifest: entry.manifest,
            id: Some(entry.id),
        }
    }

    fn of_pin(pin: &Pin) -> Self {
        Self {
            name: format!("the backup of {} under way since {} ms", pin.source, pin.created_ms),
            source: pin.source.clone(),
            created_ms: pin.created_ms,
            manifest: pin.manifest,
            id: None,
        }
    }
}

struct Walk<'a> {
    repository: &'a Repository,
    level: Level,
    stored: HashMap<ObjectName, u64>,
    context: &'a Context,
    report: Report,
    /// What is broken by what is found now.
    breaks: String,
}

/// A tree with what its leaves are checked against.
#[derive(Clone, Copy)]
enum Content<'a> {
    Records { tag: &'a [u8] },
    Files,
}

impl Walk<'_> {
    async fn manifest(&mut self, root: &Root) -> Result<Option<Manifest>> {
        self.count(&root.manifest);
        let read = async {
            let content = self.repository.objects().read(Kind::Manifest, &root.manifest).await?;
            let manifest =
                Manifest::parse(&content).map_err(Error::damaged(root.manifest.name.path()))?;
            if root.id.is_some_and(|id| id != manifest.id) {
                let detail = format!("it is of snapshot {}", manifest.id);
                let source = archive::Error::mismatch("a manifest", detail);
                return Err(Error::damaged(root.manifest.name.path())(source));
            }
            Ok(manifest)
        };
        match read.await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) => self.report.note(error, &self.breaks).map(|()| None),
        }
    }

    async fn snapshot(&mut self, manifest: &Manifest, before: Option<&Manifest>) -> Result<()> {
        for database in &manifest.databases {
            let Some(tree) = &database.tree else { continue };
            let sum = database.sum.as_ref().map(|sum| sum.lthash.checksum());
            if sum != tree.root.checksum {
                let detail =
                    format!("database {:?} and its tree differ in their LtHash", database.name);
                let source = archive::Error::mismatch("a manifest", detail);
                let what = format!("the manifest of {}", self.breaks);
                self.report.note(Error::damaged(what)(source), "")?;
            }
            let earlier = before.and_then(|before| {
                before.databases.iter().find(|d| d.name == database.name)?.tree.as_ref()
            });
            self.tree(tree, Content::Records { tag: &database.tag }, earlier).await?;
        }
        if let Shape::Files { tree: Some(tree), .. } = &manifest.shape {
            let earlier = before.and_then(|before| match &before.shape {
                Shape::Files { tree, .. } => tree.as_ref(),
                Shape::Records => None,
            });
            self.tree(tree, Content::Files, earlier).await?;
            if let Err(error) = list_files(self.repository.objects(), tree).await {
                self.report.note(error, &self.breaks)?;
            }
        }
        Ok(())
    }

    /// Walks a tree, leaving out what stands at the same place of an earlier one.
    async fn tree(
        &mut self,
        tree: &Tree,
        content: Content<'_>,
        earlier: Option<&Tree>,
    ) -> Result<()> {
        let objects = self.repository.objects();
        let mut earlier = earlier.map(|tree| TreeReader::new(objects.clone(), tree.clone()));
        let mut pending = vec![(tree.levels, tree.root.clone())];
        let mut leaves = Vec::new();
        while let Some((level, child)) = pending.pop() {
            self.context.check()?;
            if let Some(reader) = &mut earlier {
                // An earlier tree that cannot be read was reported when it was walked itself.
                let found = reader.find(level, &child.first).await.ok().flatten();
                if found.is_some_and(|found| found.object == child.object) {
                    continue;
                }
            }
            if level == 0 {
                leaves.push(child);
                if leaves.len() >= 64 {
                    self.leaves(&std::mem::take(&mut leaves), content).await?;
                }
                continue;
            }
            self.count(&child.object);
            match read_node(objects, &child, level).await {
                Ok(node) => {
                    let below = node.children.into_iter().rev();
                    pending.extend(below.map(|child| (level - 1, child)));
                }
                Err(error) => self.report.note(error, &self.breaks)?,
            }
        }
        self.leaves(&leaves, content).await
    }

    /// Checks leaves and the pieces that they name.
    async fn leaves(&mut self, leaves: &[Child], content: Content<'_>) -> Result<()> {
        for leaf in leaves {
            self.count(&leaf.object);
        }
        let (level, stored) = (self.level, &self.stored);
        let objects = self.repository.objects();
        let checked: Vec<(Vec<Error>, Vec<ObjectRef>)> = stream::iter(leaves)
            .map(async |leaf| {
                let mut found = Vec::new();
                let mut pieces = Vec::new();
                if level == Level::List {
                    found.extend(check_stored(objects, stored, &leaf.object).await.err());
                }
                let needed = level == Level::Full || leaf.pieces > 0;
                if needed && found.is_empty() {
                    match leaf_pieces(objects, leaf).await {
                        Ok(named) => pieces = named,
                        Err(error) => found.push(error),
                    }
                }
                if let (Level::Full, Content::Records { tag }) = (level, content)
                    && found.is_empty()
                {
                    found.extend(check_records_leaf(objects, leaf, tag).await.err());
                }
                Ok::<_, Error>((found, pieces))
            })
            .buffered(OBJECTS_AT_ONCE)
            .try_collect()
            .await?;
        for (found, pieces) in checked {
            for error in found {
                self.report.note(error, &self.breaks)?;
            }
            self.pieces(&pieces).await?;
        }
        Ok(())
    }

    async fn pieces(&mut self, pieces: &[ObjectRef]) -> Result<()> {
        for piece in pieces {
            self.count(piece);
        }
        let (level, stored) = (self.level, &self.stored);
        let objects = self.repository.objects();
        let found: Vec<Option<Error>> = stream::iter(pieces)
            .map(async |piece| match level {
                Level::List => check_stored(objects, stored, piece).await.err(),
                Level::Full => objects.read(Kind::Piece, piece).await.err(),
            })
            .buffered(OBJECTS_AT_ONCE)
            .collect()
            .await;
        found.into_iter().flatten().try_for_each(|error| self.report.note(error, &self.breaks))
    }

    fn count(&mut self, object: &ObjectRef) {
        self.report.objects_checked += 1;
        if self.level == Level::Full {
            self.report.bytes_read += u64::from(object.stored);
            self.context.advance(u64::from(object.stored), 0);
        }
    }
}

/// The pieces that a leaf names.
async fn leaf_pieces(objects: &Objects, leaf: &Child) -> Result<Vec<ObjectRef>> {
    let content = objects.read(Kind::Leaf, &leaf.object).await?;
    let parsed = checked_leaf(leaf, &content)?;
    let pieces = parsed.iter().flat_map(|record| match record.value {
        LeafValue::Inline(_) => Vec::new(),
        LeafValue::Pieces { pieces, .. } => pieces,
    });
    Ok(pieces.collect())
}

/// Whether the store has the object with its length. A listing may miss what was just stored, so what it
/// misses is asked for by name.
async fn check_stored(
    objects: &Objects,
    stored: &HashMap<ObjectName, u64>,
    object: &ObjectRef,
) -> Result<()> {
    let what = object.name.path();
    let found = match stored.get(&object.name) {
        Some(found) => Some(*found),
        None => objects.stored_size(object).await?,
    };
    match found {
        None => Err(Error::Missing { what }),
        Some(found) if found != u64::from(object.stored) => {
            let detail = format!("it has {found} bytes, not {}", object.stored);
            Err(Error::damaged(what)(archive::Error::mismatch("an object", detail)))
        }
        Some(_) => Ok(()),
    }
}
