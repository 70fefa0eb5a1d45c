//! `kill -9` of a process in the middle of one file, or of one database.

use std::env;
use std::process::{Command, Stdio};
use std::time::Duration;

use backup_core::progress::Context;
use keepsum::backup::{BackupOptions, ShapeChoice, backup};
use keepsum::location::SourceOptions;
use keepsum::{Repository, RepositoryLocation, StoreLocation};

use crate::ALWAYS;
use crate::ground::{Ground, host};

const REPOSITORY: &str = "KEEPSUM_TEST_REPOSITORY";
const SOURCE: &str = "KEEPSUM_TEST_SOURCE";
const RECORDS: &str = "KEEPSUM_TEST_RECORDS";

/// The process that is killed.
#[tokio::test(flavor = "multi_thread")]
#[ignore = "runs in a process of its own, which the other test kills"]
async fn killed() {
    let location = RepositoryLocation::parse(&env::var(REPOSITORY).unwrap()).unwrap();
    let (host, context) = (host(), Context::default());
    let repository = Repository::open(&location, &host, &context).await.unwrap();
    let source: StoreLocation = env::var(SOURCE).unwrap().parse().unwrap();
    let source = source.source(&SourceOptions::default()).unwrap();
    let shape = match env::var(RECORDS) {
        Ok(_) => ShapeChoice::Records,
        Err(_) => ShapeChoice::Files,
    };
    let options =
        BackupOptions { shape: Some(shape), checkpoint_every: ALWAYS, ..BackupOptions::default() };
    backup(&repository, source.as_ref(), &options).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_backup_goes_on_where_it_was() {
    for (source, shape) in
        [("files:big", ShapeChoice::Files), ("sqlite:a.db", ShapeChoice::Records)]
    {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().to_str().unwrap();
        let ground = Ground::over(source, shape, &RepositoryLocation::parse(place).unwrap()).await;
        let mut command = Command::new(env::current_exe().unwrap());
        command
            .args(["--exact", "killed::killed", "--ignored"])
            .env(REPOSITORY, place)
            .env(SOURCE, ground.source().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if shape == ShapeChoice::Records {
            command.env(RECORDS, "1");
        }
        let mut child = command.spawn().unwrap();
        while ground.kept().await == 0 {
            assert!(child.try_wait().unwrap().is_none(), "{source}: it ended before a checkpoint");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let kept = ground.kept().await;
        assert!(kept < ground.total, "{source}: it had come to its end");
        ground.assert_sound().await;
        ground.goes_on(kept, source).await;
    }
}
