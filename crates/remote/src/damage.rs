//! The lists of damaged objects: what makes damage heal.
//!
//! Writers never reuse what is on a list, so the next backup stores it anew. A list ends when none of
//! its objects is found damaged any more: nothing live reaches them, or they are whole again.

use std::collections::{BTreeMap, BTreeSet};

use archive::catalog::{Change, SourceId, State};
use archive::object::{Kind, ObjectName, ObjectRef};

use crate::catalog::Head;
use crate::names::{self, MAX_NAMES};
use crate::repository::Repository;
use crate::session::Session;
use crate::verify::{Level, Report};
use crate::{Error, Result};

/// How often it is tried again when other writers change what is live meanwhile.
const ATTEMPTS: u32 = 5;

/// What the lists say after [`mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Marked {
    /// How many damaged objects they name.
    pub listed: u64,
    /// Whether something was committed.
    pub committed: bool,
}

/// Commits what `report` found damaged, unless the lists say it already.
///
/// Only what [`Level::Full`] read can be taken off a list, and only while nothing became live that was
/// not looked at.
///
/// # Errors
/// As for any commit; nothing is committed then.
pub async fn mark(repository: &Repository, report: &Report, level: Level) -> Result<Marked> {
    let mut attempt = 0;
    loop {
        attempt += 1;
        match try_mark(repository, report, level).await {
            Err(Error::StartOver { .. }) if attempt < ATTEMPTS => {}
            done => return done,
        }
    }
}

async fn try_mark(repository: &Repository, report: &Report, level: Level) -> Result<Marked> {
    let head = repository.head().await?;
    let lists = read_lists(repository, &head.state).await?;
    let may_end = level == Level::Full && is_what_was_looked_at(&head.state, report);
    let plan = Plan::new(lists, &report.damaged, may_end);
    let listed = plan.listed;
    if plan.ending.is_empty() && plan.new.is_empty() {
        return Ok(Marked { listed, committed: false });
    }
    let session = Session::begin(repository, &head, &SourceId::default(), &[]).await?;
    let mut changes: Vec<Change> = plan.ending.into_iter().map(Change::Healed).collect();
    for names in plan.new.chunks(MAX_NAMES) {
        let encoded = names::encode(names);
        let content =
            encoded.map_err(|source| Error::Format { what: "a list of names", source })?;
        let stored = session.put(Kind::Names, content.into(), None).await?;
        changes.push(Change::Damaged(stored.reference));
    }
    let unchanged = |state: &State| {
        let same_roots = !may_end || is_what_was_looked_at(state, report);
        if state.damaged == head.state.damaged && same_roots {
            return Ok(changes.clone());
        }
        Err(Error::StartOver { why: "the lists of what is damaged changed meanwhile".to_owned() })
    };
    session.commit_changes(unchanged).await?;
    Ok(Marked { listed, committed: true })
}

/// Whether all that is live now was live when it was looked at. What was forgotten since does no harm:
/// less is reached.
fn is_what_was_looked_at(state: &State, report: &Report) -> bool {
    let Some(Head { state: then, .. }) = &report.head else { return false };
    let snapshots = state.snapshots.iter().all(|(id, now)| then.snapshots.get(id) == Some(now));
    let pinned = |manifest: &ObjectRef| {
        then.pins.values().any(|pin| pin.manifest == *manifest)
            || then.snapshots.values().any(|snapshot| snapshot.manifest == *manifest)
    };
    snapshots && state.pins.values().all(|pin| pinned(&pin.manifest))
}

/// The lists and what they name; nothing where a list cannot be read.
type Lists = BTreeMap<ObjectRef, Option<Vec<ObjectName>>>;

async fn read_lists(repository: &Repository, state: &State) -> Result<Lists> {
    let mut lists = Lists::new();
    for list in &state.damaged {
        let names = match names::read(repository.objects(), list).await {
            Ok(names) => Some(names),
            Err(error) if error.is_damage() => None,
            Err(error) => return Err(error),
        };
        lists.insert(*list, names);
    }
    Ok(lists)
}

/// What is to be committed.
#[derive(Debug, PartialEq, Eq)]
struct Plan {
    /// The lists that end.
    ending: Vec<ObjectRef>,
    /// The names that are on no list that stays; sorted.
    new: Vec<ObjectName>,
    /// How many names the lists have then.
    listed: u64,
}

impl Plan {
    fn new(lists: Lists, damaged: &BTreeSet<ObjectName>, may_end: bool) -> Self {
        let (mut ending, mut staying) = (Vec::new(), BTreeSet::new());
        for (list, names) in lists {
            match names {
                // A list that cannot be read makes writers reuse nothing at all: what it said was found
                // anew, if it is still so.
                None if may_end => ending.push(list),
                None => {}
                Some(names) if may_end && !names.iter().any(|name| damaged.contains(name)) => {
                    ending.push(list);
                }
                Some(names) => staying.extend(names),
            }
        }
        let new: Vec<ObjectName> = damaged.difference(&staying).copied().collect();
        let listed = (staying.len() + new.len()) as u64;
        Self { ending, new, listed }
    }
}

#[cfg(test)]
mod tests {
    use archive::object::ObjectHash;

    use super::*;

    fn name(first: u8) -> ObjectName {
        ObjectName { hash: ObjectHash([first; 32]), nonce: [first; 8] }
    }

    fn list(first: u8) -> ObjectRef {
        ObjectRef { name: name(first), plain: 42, stored: 100 }
    }

    fn plan(lists: &[(u8, Option<&[u8]>)], damaged: &[u8], may_end: bool) -> Plan {
        let names = |of: &[u8]| of.iter().map(|first| name(*first)).collect::<Vec<_>>();
        let lists = lists.iter().map(|(at, of)| (list(*at), of.map(names))).collect();
        Plan::new(lists, &names(damaged).into_iter().collect(), may_end)
    }

    #[test]
    fn the_same_finding_is_not_committed_twice() {
        let nothing = plan(&[(1, Some(&[5, 6])), (2, Some(&[7]))], &[5, 6, 7], true);
        assert_eq!(nothing, Plan { ending: vec![], new: vec![], listed: 3 });
        let one = plan(&[(1, Some(&[5, 6]))], &[5, 6, 7], true);
        assert_eq!(one, Plan { ending: vec![], new: vec![name(7)], listed: 3 });
    }

    #[test]
    fn a_list_ends_when_none_of_its_objects_is_found_any_more() {
        let lists: &[(u8, Option<&[u8]>)] = &[(1, Some(&[5, 6])), (2, Some(&[7]))];
        assert_eq!(plan(lists, &[5], true), Plan { ending: vec![list(2)], new: vec![], listed: 2 });
        // Who did not read everything, or not all that is live, ends none.
        assert_eq!(plan(lists, &[], false), Plan { ending: vec![], new: vec![], listed: 3 });
        let all = plan(lists, &[], true);
        assert_eq!(all, Plan { ending: vec![list(1), list(2)], new: vec![], listed: 0 });
    }

    #[test]
    fn a_list_that_cannot_be_read_is_replaced_by_what_is_found() {
        let lost = plan(&[(1, None)], &[5], true);
        assert_eq!(lost, Plan { ending: vec![list(1)], new: vec![name(5)], listed: 1 });
        let kept = plan(&[(1, None)], &[5], false);
        assert_eq!(kept, Plan { ending: vec![], new: vec![name(5)], listed: 1 });
    }
}
