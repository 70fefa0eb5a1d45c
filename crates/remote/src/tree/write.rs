//! Writing a tree above its leaves, and finding in its parents what is stored already.

use archive::leaf::FinishedLeaf;
use archive::node::{Child, Node, NodeBuilder, Tree};
use archive::object::{Kind, ObjectRef};
use backup_core::record::RecordKey;
use lthash::LtHash;

use super::read::{Found, TreeReader};
use crate::objects::Objects;
use crate::session::Session;
use crate::{Error, Result};

/// What a tree's parents store: the trees of the same database, or of the same store's files, in
/// snapshots and pins that are live.
///
/// Where a parent is damaged there is nothing to reuse: what stood there is stored anew.
#[derive(Debug)]
pub(crate) struct Parents {
    readers: Vec<TreeReader>,
}

impl Parents {
    pub(crate) fn new(objects: &Objects, trees: &[Tree]) -> Self {
        let reader = |tree: &Tree| TreeReader::new(objects.clone(), tree.clone());
        Self { readers: trees.iter().map(reader).collect() }
    }

    /// What may be the same leaf (level 0) or node: one that begins at the same record, and has the
    /// same sum where `alike` looks at it. The content's hash decides.
    pub(crate) async fn candidate(
        &mut self,
        level: u8,
        first: &RecordKey,
        alike: impl Fn(&Child) -> bool,
    ) -> Result<Option<ObjectRef>> {
        for reader in &mut self.readers {
            if let Some(child) = or_nothing(reader.find(level, first).await)?
                && alike(&child)
            {
                return Ok(Some(child.object));
            }
        }
        Ok(None)
    }

    pub(crate) fn len(&self) -> usize {
        self.readers.len()
    }

    /// The value that one parent stores at `place`.
    pub(crate) async fn value_in(
        &mut self,
        parent: usize,
        place: &RecordKey,
    ) -> Result<Option<Found>> {
        match self.readers.get_mut(parent) {
            Some(reader) => or_nothing(reader.get(place).await),
            None => Ok(None),
        }
    }

    /// The value that the first parent that has it stores at `place`.
    pub(crate) async fn value(&mut self, place: &RecordKey) -> Result<Option<Found>> {
        for reader in &mut self.readers {
            if let Some(found) = or_nothing(reader.get(place).await)? {
                return Ok(Some(found));
            }
        }
        Ok(None)
    }
}

/// What a parent has, which is nothing where it is damaged.
pub(super) fn or_nothing<T>(found: Result<Option<T>>) -> Result<Option<T>> {
    match found {
        Err(error) if error.is_damage() => {
            tracing::debug!(%error, "a part of an earlier snapshot is damaged and not reused");
            Ok(None)
        }
        found => found,
    }
}

/// Builds the nodes above leaves that come in order, and stores them.
#[derive(Debug)]
pub struct TreeWriter<'a> {
    session: &'a Session,
    parents: Parents,
    summed: bool,
    /// Unfinished nodes, the parents of leaves first.
    levels: Vec<NodeBuilder>,
    /// Whether only a checkpoint will reach what is stored.
    interim: bool,
}

impl<'a> TreeWriter<'a> {
    /// A tree with no leaves; `summed` says whether its leaves have sums.
    pub fn new(session: &'a Session, parents: &[Tree], summed: bool) -> Self {
        let parents = Parents::new(session.repository().objects(), parents);
        Self { session, parents, summed, levels: Vec::new(), interim: false }
    }

    /// A tree of the same leaves so far, for a checkpoint: finishing it leaves this one as it is.
    pub(crate) fn so_far(&self) -> Self {
        let parents = Parents::new(self.session.repository().objects(), &[]);
        let (session, summed) = (self.session, self.summed);
        Self { session, parents, summed, levels: self.levels.clone(), interim: true }
    }

    /// Adds the next leaf.
    pub async fn push(&mut self, leaf: Child, sum: Option<&LtHash>) -> Result<()> {
        self.push_at(0, leaf, sum.cloned()).await
    }

    /// Stores what is left and returns the tree; none if there were no leaves.
    pub async fn finish(mut self) -> Result<Option<Tree>> {
        let mut depth = 0;
        while depth < self.levels.len() {
            let top = depth + 1 == self.levels.len();
            if top && let [root] = self.levels[depth].children() {
                let levels = u8::try_from(depth).unwrap_or(u8::MAX);
                return Ok(Some(Tree { levels, root: root.clone() }));
            }
            if let Some(node) = self.levels[depth].take() {
                let (child, sum) = self.store(node).await?;
                self.push_at(depth + 1, child, sum).await?;
            }
            depth += 1;
        }
        Ok(None)
    }

    async fn push_at(&mut self, depth: usize, child: Child, sum: Option<LtHash>) -> Result<()> {
        let mut next = Some((depth, child, sum));
        while let Some((depth, child, sum)) = next.take() {
            if depth == self.levels.len() {
                let level = u8::try_from(depth + 1).unwrap_or(u8::MAX);
                self.levels.push(NodeBuilder::new(level, self.summed));
            }
            let full = self.levels[depth].push(child, sum.as_ref());
            if let Some(node) = full.map_err(|source| Error::Format { what: "a node", source })? {
                let (child, sum) = self.store(node).await?;
                next = Some((depth + 1, child, sum));
            }
        }
        Ok(())
    }

    async fn store(&mut self, node: Node) -> Result<(Child, Option<LtHash>)> {
        let content = node.encode().into();
        let stored = if self.interim {
            self.session.put_interim(Kind::Node, content).await?
        } else {
            let known = match node.children.first() {
                Some(child) => self.parents.candidate(node.level, &child.first, |_| true).await?,
                None => None,
            };
            self.session.put(Kind::Node, content, known).await?
        };
        Ok((Child::of_node(stored.reference, &node), node.sum))
    }
}

/// Stores a finished leaf, unless a parent has it.
pub(crate) async fn store_leaf(
    session: &Session,
    leaf: FinishedLeaf,
    sum: Option<&LtHash>,
    known: Option<ObjectRef>,
) -> Result<Child> {
    let mut leaf = leaf;
    let content = std::mem::take(&mut leaf.content);
    let stored = session.put(Kind::Leaf, content, known).await?;
    Ok(Child::of_leaf(stored.reference, &leaf, sum))
}
