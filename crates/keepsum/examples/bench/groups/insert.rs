//! What a backup sends for one new record among many.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context as _, Result};
use archive::directory::Content;
use archive::node::{Child, Node};
use archive::object::{Kind, ObjectName};
use backup_core::progress::Context;
use futures_util::TryStreamExt;
use remote::tree::databases;
use remote::{Host, Repository, RepositoryLocation};
use tokio::runtime::Runtime;

use crate::figure::{Figure, Limit, Table};
use crate::folder;
use crate::setting::Setting;
use crate::store::{Shape, Store};

const RECORDS: u64 = 10_000_000;
const VALUE_BYTES: usize = 100;
const RECORDS_SHAPE: &[&str] = &["--records"];

/// The most leaves that may be sent, and the most nodes of each level above them.
const LEAVES: u64 = 3;

pub(super) fn measure(setting: &mut Setting) -> Result<Table> {
    setting.keep_nothing()?;
    let shape = Shape::of_number(setting.scaled(RECORDS), VALUE_BYTES);
    let mut store = Store::make(&setting.path("inserted"), shape)?;
    let keepsum = setting.keepsum()?;
    let runtime = Runtime::new().context("cannot start a runtime")?;
    keepsum.backup(&store.url(), RECORDS_SHAPE)?;
    let mut before = runtime.block_on(levels(&keepsum.repository))?;
    let mut most = Sent::default();
    let mut number = 0;
    setting.each_round(u32::MAX, || {
        number += 1;
        let files = folder::files(&keepsum.repository.join("objects"))?.len();
        store.insert_after(shape.records / u64::from(setting.rounds + 1) * number)?;
        keepsum.backup(&store.url(), RECORDS_SHAPE)?;
        let after = runtime.block_on(levels(&keepsum.repository))?;
        let files = folder::files(&keepsum.repository.join("objects"))?.len() - files;
        most.raise(&before, &after, files as u64);
        before = after;
        Ok(())
    })?;
    let all = before.first().map_or(0, BTreeSet::len);
    keepsum.remove()?;
    let allowed = |number: u64| (format!("allowed: {number}"), number);
    let figure = |what: &str, sent: u64, most| {
        Figure::sizes(what, (sent.to_string(), sent), allowed(most), Limit::Size(1.0))
    };
    let levels = most.nodes.len() as u64;
    let path = LEAVES * levels;
    let figures = vec![
        figure("one record inserted: leaves sent", most.leaves, LEAVES),
        figure(
            "one record inserted: nodes sent, of the path of each leaf",
            most.nodes.iter().sum(),
            path,
        ),
        figure(
            "one record inserted: objects sent, the manifest included",
            most.objects,
            LEAVES + path + 1,
        ),
    ];
    let notes = vec![format!(
        "The store: {store}. Its tree has {all} leaves and {levels} levels of nodes above them. \
         {} times one record was inserted and a backup taken; the most of each is shown.",
        setting.rounds
    )];
    store.remove()?;
    Ok(Table { notes, figures })
}

/// The most objects that a backup sent.
#[derive(Default)]
struct Sent {
    leaves: u64,
    /// By level.
    nodes: Vec<u64>,
    objects: u64,
}

impl Sent {
    fn raise(&mut self, before: &[Names], after: &[Names], objects: u64) {
        let none = Names::new();
        let mut new = after.iter().enumerate().map(|(level, names)| {
            names.difference(before.get(level).unwrap_or(&none)).count() as u64
        });
        self.leaves = self.leaves.max(new.next().unwrap_or(0));
        let nodes: Vec<u64> = new.collect();
        self.nodes.resize(self.nodes.len().max(nodes.len()), 0);
        for (most, sent) in self.nodes.iter_mut().zip(nodes) {
            *most = sent.max(*most);
        }
        self.objects = self.objects.max(objects);
    }
}

type Names = BTreeSet<ObjectName>;

/// The objects of the newest snapshot's trees by their level, the leaves first.
async fn levels(repository: &Path) -> Result<Vec<Names>> {
    let location = RepositoryLocation::folder(repository)?;
    let host = Host::system("bench".to_owned());
    let repository = Repository::open(&location, &host, &Context::default()).await?;
    let head = repository.head().await?;
    let newest = head.state.snapshots.values().max_by_key(|snapshot| snapshot.entry);
    let manifest = repository.manifest(&newest.context("no snapshot was taken")?.manifest).await?;
    let mut levels = Vec::new();
    let mut pending: Vec<(u8, Child)> = Vec::new();
    let mut stored = databases(repository.objects(), manifest.directory());
    while let Some(stored) = stored.try_next().await? {
        if let Content::Tree(tree) = stored.database.content {
            pending.push((tree.levels, tree.root));
        }
    }
    while let Some((level, child)) = pending.pop() {
        let index = usize::from(level);
        levels.resize(levels.len().max(index + 1), Names::new());
        levels[index].insert(child.object.name);
        if level > 0 {
            let content = repository.objects().read(Kind::Node, &child.object).await?;
            let node = Node::parse(&content, level)?;
            pending.extend(node.children.into_iter().map(|below| (level - 1, below)));
        }
    }
    Ok(levels)
}
