//! Whether a node's LtHash is the sum of its children's.
//!
//! A reference has only the checksum of a sum; the sum itself is in what it refers to. To read every
//! child of every new node would be to read again most of what an earlier snapshot shares. So where the
//! earlier tree has a node that begins at the same record, and most children are the same, only the
//! others are read: what one sum has more than the other is what its own children have more.

use std::collections::HashMap;

use archive::leaf::Leaf;
use archive::node::{Child, Node};
use archive::object::{Kind, ObjectRef};
use lthash::LtHash;

use crate::objects::Objects;
use crate::tree::{checked_leaf, read_node};
use crate::{Error, Result};

/// The sums of children that were read already.
pub(super) type Known = HashMap<ObjectRef, LtHash>;

/// Checks the sum of `node`, which `child` refers to; `before` is the node that began at the same
/// record in an earlier tree, whose sum was checked.
///
/// # Errors
/// [`Error::Damaged`] where it does not add up. Children that cannot be read are not found here: then
/// there is nothing to compare with, and who reads them reports them.
pub(super) async fn check(
    objects: &Objects,
    child: &Child,
    node: &Node,
    before: Option<&Node>,
    known: &Known,
) -> Result<()> {
    let Some(claimed) = &node.sum else { return Ok(()) };
    let adding = Adding { objects, level: node.level - 1, known };
    if let Some(before) = before
        && let Some(sum) = &before.sum
    {
        let (gone, new) = differing(&before.children, &node.children);
        let fewer = gone.len() + new.len() < node.children.len();
        // Where they differ, which of the two nodes is wrong is told by all children.
        if fewer && adding.changed(sum, &gone, &new).await?.as_ref() == Some(claimed) {
            return Ok(());
        }
    }
    let all: Vec<&Child> = node.children.iter().collect();
    match adding.changed(&LtHash::identity(), &[], &all).await? {
        Some(found) if found != *claimed => {
            let detail = "its LtHash is not the sum of its children's";
            let source = archive::Error::mismatch("a node", detail);
            Err(Error::damaged(child.object.name.path())(source))
        }
        _ => Ok(()),
    }
}

struct Adding<'a> {
    objects: &'a Objects,
    /// The level of the children.
    level: u8,
    known: &'a Known,
}

impl Adding<'_> {
    /// `from` without `gone` and with `new`; none where one of them cannot be read.
    async fn changed(
        &self,
        from: &LtHash,
        gone: &[&Child],
        new: &[&Child],
    ) -> Result<Option<LtHash>> {
        let mut total = from.clone();
        for child in gone {
            let Some(sum) = self.sum(child).await? else { return Ok(None) };
            total -= &sum;
        }
        for child in new {
            let Some(sum) = self.sum(child).await? else { return Ok(None) };
            total += &sum;
        }
        Ok(Some(total))
    }

    /// What a child says is its sum: the one whose checksum refers to it.
    async fn sum(&self, child: &Child) -> Result<Option<LtHash>> {
        if let Some(sum) = self.known.get(&child.object) {
            return Ok(Some(sum.clone()));
        }
        of_child(self.objects, child, self.level).await
    }
}

/// What a node or leaf says is its sum, where it is the one that refers to it; none where it cannot be
/// read.
pub(super) async fn of_child(
    objects: &Objects,
    child: &Child,
    level: u8,
) -> Result<Option<LtHash>> {
    let read = async {
        if level > 0 {
            return Ok(read_node(objects, child, level).await?.sum);
        }
        let content = objects.read(Kind::Leaf, &child.object).await?;
        checked_leaf(child, &content).map(|leaf: Leaf<'_>| leaf.sum)
    };
    match read.await {
        Ok(sum) => Ok(sum),
        Err(error) if error.is_damage() => Ok(None),
        Err(error) => Err(error),
    }
}

/// The children that only the one has, and those that only the other has. Both are sorted.
fn differing<'a>(old: &'a [Child], new: &'a [Child]) -> (Vec<&'a Child>, Vec<&'a Child>) {
    let only = |these: &'a [Child], those: &[Child]| {
        let is_there = |child: &&Child| {
            let at = those.binary_search_by(|other| other.first.cmp(&child.first));
            at.is_ok_and(|at| those[at] == **child)
        };
        these.iter().filter(|child| !is_there(child)).collect()
    };
    (only(old, new), only(new, old))
}
