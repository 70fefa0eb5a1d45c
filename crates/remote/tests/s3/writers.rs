//! Several writers and one repository in a service that creates atomically, with nothing between them.

use std::sync::Arc;

use archive::catalog::SourceId;
use archive::manifest::{Shape, SnapshotId};
use archive::object::Kind;
use backup_core::progress::Context;
use remote::s3::Settings;
use remote::verify::{Level, verify};
use remote::{Repository, RepositoryLocation, Result, Session, Store};
use testkit::s3::{Service, variables};
use tokio::sync::Barrier;

use crate::ground::{Ground, host, told};
use crate::shared;

const WRITERS: u8 = 6;
const ROUNDS: u8 = 10;

fn id(writer: u8, round: u8) -> SnapshotId {
    let mut id = [0; 16];
    id[..2].copy_from_slice(&[writer, round]);
    SnapshotId(id)
}

fn source(writer: u8) -> SourceId {
    shared::source_of(&format!("host-{writer}"), "memory:store")
}

/// Backs up in each round, at the same time as the others, as a process of its own would.
async fn write(location: RepositoryLocation, writer: u8, turn: Arc<Barrier>) -> Result<()> {
    for round in 0..ROUNDS {
        turn.wait().await;
        let store = Store::connect(&location, &host(), &Context::default()).await?;
        let repository = Repository::open_in(store).await?;
        let head = repository.head().await?;
        let session = Session::begin(&repository, &head, &source(writer), &[]).await?;
        let content = format!("content {round} of {writer}");
        session.put(Kind::Piece, content.into_bytes().into(), None).await?;
        let shape = Shape::Files { tree: None, count: 0, bytes: 0 };
        session.commit(&shared::manifest(id(writer, round), source(writer), shape)).await?;
    }
    Ok(())
}

/// What was said to be done is there: none of sixty commits is lost, and none is there twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_commit_of_six_writers_is_lost() {
    let Some(ground) = Ground::new(Service::SeaweedFs) else { return };
    let direct = Settings::new(variables(&ground.server.url()));
    let location = RepositoryLocation::s3(&ground.location().to_string(), direct).unwrap();
    let made = Repository::init(&location, &host(), &Context::default()).await;
    let made = made.unwrap_or_else(|error| panic!("{}", told(&error)));
    let begun = tokio::time::Instant::now();
    let turn = Arc::new(Barrier::new(WRITERS.into()));
    let writers = (0..WRITERS).map(|writer| {
        let (location, turn) = (location.clone(), Arc::clone(&turn));
        tokio::spawn(write(location, writer, turn))
    });
    for done in futures_util::future::join_all(writers).await {
        done.unwrap().unwrap_or_else(|error| panic!("{}", told(&error)));
    }
    println!("{WRITERS} writers, {ROUNDS} rounds: {:?}", begun.elapsed());
    let head = made.head().await.unwrap();
    let listed: Vec<_> = head.state.snapshots.keys().copied().collect();
    let mut expected: Vec<_> =
        (0..WRITERS).flat_map(|writer| (0..ROUNDS).map(move |round| id(writer, round))).collect();
    expected.sort();
    assert_eq!(listed, expected);
    let numbers: std::collections::BTreeSet<_> =
        head.state.snapshots.values().map(|snapshot| snapshot.entry).collect();
    assert_eq!(numbers.len(), expected.len(), "each has an entry of its own");
    let report = verify(&made, Level::Full, &Context::default()).await.unwrap();
    assert!(report.findings.is_empty(), "{report:?}");
}
