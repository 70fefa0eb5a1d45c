//! The walk through what is live.

use archive::directory::{Content as Held, Database, Holding};
use archive::leaf::LeafValue;
use archive::manifest::{Manifest, Shape};
use archive::node::{Child, Node, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::progress::Context;
use futures_util::stream::{self, StreamExt, TryStreamExt};
use lthash::LtHash;

use super::inventory::{Inventory, Seen};
use super::report::Report;
use super::sums::{self, Known};
use super::{Level, Root};
use crate::catalog::Head;
use crate::objects::Objects;
use crate::repository::Repository;
use crate::tree::{
    Budget, DirectoryReader, LastFile, StoredDatabase, TreeReader, check_files, checked_leaf,
    describe_databases, examine_leaf, read_leaf, read_node,
};
use crate::{Error, Result, names};

/// How many objects are read at the same time.
const OBJECTS_AT_ONCE: usize = 4;

/// Goes through live trees, reports what is wrong and gathers what is reached.
pub(super) struct Walk<'a> {
    repository: &'a Repository,
    level: Level,
    reached: Inventory,
    context: &'a Context,
    report: Report,
    /// What is broken by what is found now.
    breaks: String,
    /// The number of the root that is looked at.
    root: u32,
    /// Databases whose trees are still to be walked.
    named: Vec<Named>,
}

/// A tree with what its leaves are checked against.
#[derive(Clone, Copy)]
enum Content<'a> {
    Records { tag: &'a [u8] },
    Files,
    Directory { holding: Holding },
}

/// A database that has a tree of its own.
struct Named {
    name: String,
    tag: Vec<u8>,
    tree: Tree,
}

/// What came of looking at a leaf.
#[derive(Default)]
struct Looked {
    errors: Vec<Error>,
    /// The pieces that it names, and whether they were read.
    pieces: Vec<ObjectRef>,
    pieces_read: bool,
    /// Its sum, if it was recomputed.
    sum: Option<LtHash>,
    /// The databases of which it names the trees.
    named: Vec<Named>,
}

impl<'a> Walk<'a> {
    pub(super) fn new(
        repository: &'a Repository,
        level: Level,
        reached: Inventory,
        report: Report,
        context: &'a Context,
    ) -> Self {
        let breaks = String::new();
        Self { repository, level, reached, context, report, breaks, root: 0, named: Vec::new() }
    }

    /// What was found, and all that was reached.
    pub(super) fn finish(self) -> (Report, Inventory) {
        (self.report, self.reached)
    }

    /// Looks at the lists of names that the state refers to: a writer that cannot read them trusts
    /// nothing, or starts over.
    pub(super) async fn lists(&mut self, head: &Head) -> Result<()> {
        for list in head.state.damaged.iter().chain(&head.state.condemned) {
            self.count(list).await?;
            if let Err(error) = names::read(self.repository.objects(), list).await {
                self.report.note(error, "the list of what is damaged or being deleted")?;
            }
        }
        Ok(())
    }

    /// The manifest of the next root, if it can be read and is the one that the catalog means.
    pub(super) async fn manifest(&mut self, root: &Root, number: u32) -> Result<Option<Manifest>> {
        self.breaks.clone_from(&root.name);
        self.root = number;
        self.count(&root.manifest).await?;
        let read = match &root.snapshot {
            Some(entry) => self.repository.manifest_of(entry).await,
            None => self.repository.manifest(&root.manifest).await,
        };
        match read {
            Ok(manifest) => Ok(Some(manifest)),
            Err(error) => self.report.note(error, &self.breaks).map(|()| None),
        }
    }

    /// Looks at all that a manifest holds and an earlier one does not.
    pub(super) async fn snapshot(
        &mut self,
        manifest: &Manifest,
        before: Option<&Manifest>,
        last: LastFile,
    ) -> Result<()> {
        self.databases(manifest, before).await?;
        if let Shape::Files { tree: Some(tree), count, bytes } = &manifest.shape {
            let earlier = before.and_then(|before| match &before.shape {
                Shape::Files { tree, .. } => tree.as_ref(),
                Shape::Records => None,
            });
            self.tree(tree, Content::Files, earlier).await?;
            let objects = self.repository.objects();
            if let Err(error) = check_files(objects, tree, (*count, *bytes), last).await {
                self.report.note(error, &self.breaks)?;
            }
        }
        Ok(())
    }

    /// Looks at the directory of a manifest, and at the trees that are new in it.
    async fn databases(&mut self, manifest: &Manifest, before: Option<&Manifest>) -> Result<()> {
        let directory = manifest.directory();
        let Some(tree) = directory.tree else { return Ok(()) };
        let said = |manifest: &Manifest| (manifest.databases.clone(), manifest.sum.clone());
        if before.map(said) != Some(said(manifest)) {
            let objects = self.repository.objects();
            // What they have together is told by all of them, those that an earlier snapshot has included.
            let described = describe_databases(objects, directory, manifest.sum.as_ref()).await;
            if let Err(error) = described {
                self.report.note(error, &self.breaks)?;
            }
        }
        // Of a snapshot of another shape nothing is the same.
        let before = before.map(Manifest::directory);
        let before = before.filter(|before| before.holding == directory.holding);
        let content = Content::Directory { holding: directory.holding };
        self.tree(tree, content, before.and_then(|before| before.tree)).await?;
        let objects = self.repository.objects();
        let mut earlier = before.map(|before| DirectoryReader::new(objects, before));
        for Named { name, tag, tree } in std::mem::take(&mut self.named) {
            let known = match &mut earlier {
                // What cannot be read was reported with the earlier directory.
                Some(reader) => reader.find(&name).await.ok().flatten(),
                None => None,
            };
            // Under another tag the same records have other sums.
            let known = known.filter(|known| known.database.described.tag == tag);
            let known = known.and_then(|known| match known.database.content {
                Held::Tree(tree) => Some(tree),
                _ => None,
            });
            self.tree(&tree, Content::Records { tag: &tag }, known.as_deref()).await?;
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
        while let Some((level, child)) = pending.pop() {
            self.context.check()?;
            let before = at_same_place(earlier.as_mut(), level, &child).await;
            // All that is said of it must be the same, not only its name.
            if before.as_ref() == Some(&child) {
                continue;
            }
            if level == 0 {
                self.leaves(&[child], content).await?;
                continue;
            }
            self.count(&child.object).await?;
            let node = match read_node(objects, &child, level).await {
                Ok(node) => node,
                Err(error) => {
                    self.report.note(error, &self.breaks)?;
                    continue;
                }
            };
            let known = if level == 1 {
                let mut new = Vec::new();
                for leaf in &node.children {
                    let same = at_same_place(earlier.as_mut(), 0, leaf).await;
                    if same.as_ref() != Some(leaf) {
                        new.push(leaf.clone());
                    }
                }
                self.leaves(&new, content).await?
            } else {
                let below = node.children.iter().rev().cloned();
                pending.extend(below.map(|child| (level - 1, child)));
                Known::new()
            };
            self.sum(&child, &node, before.as_ref(), &known).await?;
        }
        Ok(())
    }

    /// Checks that the sum of a node is that of its children. Those right above leaves are left out
    /// where leaves are not read.
    async fn sum(
        &mut self,
        child: &Child,
        node: &Node,
        before: Option<&Child>,
        known: &Known,
    ) -> Result<()> {
        if node.level == 1 && self.level == Level::List {
            return Ok(());
        }
        let objects = self.repository.objects();
        let before = match before {
            // What cannot be read was reported with the earlier tree.
            Some(before) => read_node(objects, before, node.level).await.ok(),
            None => None,
        };
        let checked = sums::check(objects, child, node, before.as_ref(), known).await;
        checked.or_else(|error| self.report.note(error, &self.breaks))
    }

    /// Checks leaves and the pieces that they name, and returns the sums that were recomputed.
    async fn leaves(&mut self, leaves: &[Child], content: Content<'_>) -> Result<Known> {
        for leaf in leaves {
            self.count(&leaf.object).await?;
        }
        let level = self.level;
        let objects = self.repository.objects();
        let budget = Budget::new();
        let mut looked = stream::iter(leaves)
            .map(async |leaf| {
                let _room = budget.admit(leaf).await;
                Ok::<_, Error>((leaf, look_at(objects, leaf, level, content).await?))
            })
            .buffered(OBJECTS_AT_ONCE);
        let mut known = Known::new();
        while let Some((leaf, looked)) = looked.try_next().await? {
            for error in looked.errors {
                self.report.note(error, &self.breaks)?;
            }
            known.extend(looked.sum.map(|sum| (leaf.object, sum)));
            self.named.extend(looked.named);
            for piece in &looked.pieces {
                self.count(piece).await?;
            }
            if level == Level::Full && !looked.pieces_read {
                self.pieces(&looked.pieces).await?;
            }
        }
        Ok(known)
    }

    async fn pieces(&mut self, pieces: &[ObjectRef]) -> Result<()> {
        let objects = self.repository.objects();
        let mut read = stream::iter(pieces)
            .map(async |piece| objects.read(Kind::Piece, piece).await.err())
            .buffered(OBJECTS_AT_ONCE);
        while let Some(error) = read.next().await {
            if let Some(error) = error {
                self.report.note(error, &self.breaks)?;
            }
        }
        Ok(())
    }

    /// Takes note that an object is reached.
    async fn count(&mut self, object: &ObjectRef) -> Result<()> {
        self.report.objects_checked += 1;
        if self.level == Level::Full {
            self.report.bytes_read += u64::from(object.stored);
            self.context.advance(u64::from(object.stored), 0);
        }
        self.reached.push(Seen::reached(object, self.root)).await
    }
}

/// What an earlier tree has on this level at the first record of `child`. An earlier tree that cannot be
/// read was reported when it was walked itself.
async fn at_same_place(
    earlier: Option<&mut TreeReader>,
    level: u8,
    child: &Child,
) -> Option<Child> {
    match earlier {
        Some(reader) => reader.find(level, &child.first).await.ok().flatten(),
        None => None,
    }
}

/// Reads a leaf as far as the level asks for it.
async fn look_at(
    objects: &Objects,
    leaf: &Child,
    level: Level,
    content: Content<'_>,
) -> Result<Looked> {
    let read = match (level, content) {
        (_, Content::Directory { holding }) => directory_leaf(objects, leaf, level, holding).await,
        (Level::List, _) if leaf.pieces == 0 => return Ok(Looked::default()),
        (Level::Full, Content::Records { tag }) => {
            examine_leaf(objects, leaf, tag).await.map(|examined| Looked {
                errors: examined.broken.into_iter().flat_map(|value| value.errors).collect(),
                pieces: examined.pieces,
                pieces_read: true,
                sum: examined.sum,
                named: Vec::new(),
            })
        }
        (Level::List | Level::Full, _) => {
            leaf_pieces(objects, leaf).await.map(|pieces| Looked { pieces, ..Looked::default() })
        }
    };
    match read {
        Err(error) if error.is_damage() => Ok(Looked { errors: vec![error], ..Looked::default() }),
        read => read,
    }
}

/// Reads a leaf of a directory, and all that stands in it. Its trees are walked later.
async fn directory_leaf(
    objects: &Objects,
    leaf: &Child,
    level: Level,
    holding: Holding,
) -> Result<Looked> {
    let databases = read_leaf(objects, leaf, holding).await?;
    let mut looked = Looked::default();
    if level == Level::Full && holding.is_summed() {
        match sum_of(objects, databases.clone()).await? {
            Ok(Some(sum)) if Some(sum.checksum()) != leaf.checksum => {
                let detail = "its LtHash is not the sum of its databases'";
                let source = archive::Error::mismatch("a directory", detail);
                looked.errors.push(Error::Damaged { what: leaf.object.name.path(), source });
            }
            Ok(sum) => looked.sum = sum,
            Err(damage) => looked.errors.push(damage),
        }
    }
    let named = databases.into_iter().filter_map(|stored| {
        let Database { described, content } = stored.database;
        let Held::Tree(tree) = content else { return None };
        Some(Named { name: described.name, tag: described.tag, tree: *tree })
    });
    looked.named = named.collect();
    Ok(looked)
}

/// The sum of databases: recomputed where their records are here, and what a tree's root says of its own. None
/// where such a root cannot be read, which is reported as its tree is walked. Damage is what is wrong with
/// records that are here.
async fn sum_of(
    objects: &Objects,
    databases: Vec<StoredDatabase>,
) -> Result<Result<Option<LtHash>, Error>> {
    let mut total = LtHash::identity();
    let mut small = Vec::new();
    for stored in databases {
        match &stored.database.content {
            Held::Tree(tree) => match sums::of_child(objects, &tree.root, tree.levels).await? {
                Some(sum) => total += &sum,
                None => return Ok(Ok(None)),
            },
            Held::Sum(sum) => total += sum,
            Held::Inline(_) | Held::Nothing => small.push(stored),
        }
    }
    let summed = crate::blocking::run("sum small databases", move || {
        for stored in small {
            total += &stored.read_small()?.1.lthash;
        }
        Ok(total)
    });
    match summed.await {
        Ok(total) => Ok(Ok(Some(total))),
        Err(damage) if damage.is_damage() => Ok(Err(damage)),
        Err(error) => Err(error),
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
