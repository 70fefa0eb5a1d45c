//! The repositories that schedules begin with, made once by the real code.

use std::sync::LazyLock;

use archive::catalog::{Change, Entry, PinId, STATE_EVERY, State};
use archive::manifest::SnapshotId;
use archive::node::Tree;
use archive::object::Kind;
use backup_core::progress::Context;
use remote::env::Host;
use remote::store::Store;
use remote::tree::TreeWriter;
use remote::{Decision, Repository, Result, Root, Session};

use crate::bucket::{Bucket, Files};
use crate::collector::raise_floor;
use crate::ledger::{Ledger, Slots, Standing};
use crate::process::{Process, leaf_child, manifest, source_id};
use crate::random::Random;

/// A repository, and what it holds.
#[derive(Debug)]
pub(crate) struct Template {
    pub(crate) files: Files,
    pub(crate) ledger: Ledger,
}

/// Repositories whose last whole state is a few entries back, and about to be replaced: only those
/// grow a new one, and can make stubs of what was before.
pub(crate) static TEMPLATES: LazyLock<[Template; 2]> =
    LazyLock::new(|| [make(STATE_EVERY + 2), make(2 * STATE_EVERY - 3)]);

fn make(number: u64) -> Template {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    let made = runtime.expect("a runtime can be made").block_on(fill(number));
    made.expect("nothing goes wrong in a calm bucket")
}

async fn fill(number: u64) -> Result<Template> {
    let bucket = Bucket::calm(&Files::new());
    let ledger = Ledger::default();
    let process =
        Process { number: 0, bucket: bucket.clone(), ledger: ledger.clone(), memory: None };
    let host = Host::system("host");
    let store = Store::new(bucket.client(0), "memory:", &host, &Context::default());
    Repository::init_in(store).await?;
    let repository = process.open(&mut Random::new(number)).await?;
    for snapshot in 1..=3 {
        backup(&process, &repository, snapshot).await?;
    }
    interrupted(&repository).await?;
    loop {
        let head = repository.head().await?;
        if head.number == STATE_EVERY {
            raise_floor(&process, &repository).await?;
            continue;
        }
        if head.number >= number {
            ledger.acknowledge(head.number);
            return Ok(Template { files: bucket.files(), ledger });
        }
        // Ending what is not there changes nothing.
        let change = Change::Unpin(PinId([0; 16]));
        let decide = |_: &State, _: &[Entry]| Ok(Decision::Commit(vec![change.clone()]));
        repository.catalog().commit(&head, decide).await?;
    }
}

/// A snapshot of four slots, three of which the one before has.
async fn backup(process: &Process, repository: &Repository, number: u8) -> Result<()> {
    let head = repository.head().await?;
    let before: Vec<Root> = head.state.snapshots.keys().copied().map(Root::Snapshot).collect();
    let session =
        Session::begin(repository, &head, &source_id("host", "memory:template"), &before).await?;
    let mut writer = TreeWriter::new(&session, &[], false);
    let mut slots = Slots::new();
    for slot in 1..=4_u8 {
        let version = if slot == number { number } else { 0 };
        let content = bytes::Bytes::from(format!("template {slot} {version}"));
        let stored = session.put(Kind::Leaf, content.clone(), None).await?;
        process.ledger.store(stored.reference.name.hash, &content);
        writer.push(leaf_child(stored.reference, slot, &content), None).await?;
        slots.insert(slot, content);
    }
    let tree: Option<Tree> = writer.finish().await?;
    let id = SnapshotId([number; 16]);
    process.ledger.begin_snapshot(id, slots);
    session.commit(&manifest(id, tree)).await?;
    process.ledger.stand(id, Standing::Committed);
    Ok(())
}

/// What an interrupted backup leaves: garbage, and the pin of its parent.
async fn interrupted(repository: &Repository) -> Result<()> {
    let head = repository.head().await?;
    let root = head.state.snapshots.keys().next().copied().map(Root::Snapshot);
    let roots: Vec<Root> = root.into_iter().collect();
    let session =
        Session::begin(repository, &head, &source_id("host", "memory:interrupted"), &roots).await?;
    session.put(Kind::Leaf, "garbage".into(), None).await?;
    Ok(())
}
