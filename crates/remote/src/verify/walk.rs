//! The walk through what is live.

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
    Budget, LastFile, TreeReader, check_files, checked_leaf, examine_leaf, read_node,
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
}

/// A tree with what its leaves are checked against.
#[derive(Clone, Copy)]
enum Content<'a> {
    Records { tag: &'a [u8] },
    Files,
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
        Self { repository, level, reached, context, report, breaks, root: 0 }
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
        for database in &manifest.databases {
            let Some(tree) = &database.tree else { continue };
            // Under another tag the same records have other sums.
            let earlier = before.and_then(|before| {
                let mut databases = before.databases.iter();
                databases.find(|d| (&d.name, &d.tag) == (&database.name, &database.tag))
            });
            let earlier = earlier.and_then(|database| database.tree.as_ref());
            self.tree(tree, Content::Records { tag: &database.tag }, earlier).await?;
        }
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
        (Level::List, _) if leaf.pieces == 0 => return Ok(Looked::default()),
        (Level::Full, Content::Records { tag }) => {
            examine_leaf(objects, leaf, tag).await.map(|examined| Looked {
                errors: examined.broken.into_iter().flat_map(|value| value.errors).collect(),
                pieces: examined.pieces,
                pieces_read: true,
                sum: examined.sum,
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
