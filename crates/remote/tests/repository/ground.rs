//! Where the suite keeps its repositories: in memory, unless the environment names another ground.
//!
//! One test for each other ground runs this very program again, with that ground in its environment,
//! so every test holds over every store, and a failure has the test's own name.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use object_store::ObjectStore;
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;

/// `folder:PATH`, or `s3`, which the `AWS_…` variables then describe.
const VARIABLE: &str = "KEEPSUM_TEST_GROUND";

/// How many tests run at a time over another ground.
const THREADS: &str = "4";

/// The fewest tests that are worth being called the suite.
const TESTS: usize = 60;

/// Tests that are about local folders alone, by words of their names.
const LOCAL: [&str; 6] = ["folder", "local", "leftovers", "absurd_size", "ground::", "unsynced::"];

fn chosen() -> Option<String> {
    std::env::var(VARIABLE).ok()
}

/// Whether the ground is the memory of this process.
pub(crate) fn is_memory() -> bool {
    chosen().is_none()
}

/// 1 in memory; elsewhere `step`, so that what is enumerated there is only sampled here.
pub(crate) fn stride(step: usize) -> usize {
    if is_memory() { 1 } else { step }
}

/// A store of its own, empty, on the ground of this run.
pub(crate) async fn fresh() -> Arc<dyn ObjectStore> {
    static COUNT: AtomicUsize = AtomicUsize::new(0);
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let Some(chosen) = chosen() else { return Arc::new(InMemory::new()) };
    if let Some(folder) = chosen.strip_prefix("folder:") {
        let path = std::path::Path::new(folder).join(number.to_string());
        std::fs::create_dir(&path).unwrap();
        return Arc::new(LocalFileSystem::new_with_prefix(path).unwrap());
    }
    assert_eq!(chosen, "s3", "{VARIABLE} names no ground");
    in_bucket(number).await
}

#[cfg(feature = "aws")]
async fn in_bucket(number: usize) -> Arc<dyn ObjectStore> {
    use object_store::prefix::PrefixStore;
    use remote::s3::{Settings, connect};
    let url = format!("s3://{}", testkit::s3::BUCKET);
    let bucket = connect(&url, Settings::from_env()).await.unwrap();
    Arc::new(PrefixStore::new(bucket, number.to_string()))
}

#[cfg(not(feature = "aws"))]
#[expect(clippy::unused_async, reason = "with the feature it waits for the bucket")]
async fn in_bucket(_number: usize) -> Arc<dyn ObjectStore> {
    panic!("{VARIABLE}=s3 needs the feature aws")
}

/// Runs the suite over another ground.
fn run_over(ground: &str, variables: impl IntoIterator<Item = (&'static str, String)>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("AWS_") {
            command.env_remove(name);
        }
    }
    command.env(VARIABLE, ground).envs(variables).args(["--test-threads", THREADS]);
    let skipped = LOCAL.iter().flat_map(|word| ["--skip", word]);
    let mut suite = command.args(skipped).stdout(Stdio::piped()).spawn().unwrap();
    let mut passed = 0;
    for line in BufReader::new(suite.stdout.take().unwrap()).lines().map(Result::unwrap) {
        passed += usize::from(line.starts_with("test ") && line.ends_with("... ok"));
        println!("{line}");
    }
    assert!(suite.wait().unwrap().success(), "the suite failed over {ground}");
    assert!(passed >= TESTS, "only {passed} tests over {ground}");
}

#[test]
fn the_suite_holds_over_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    run_over(&format!("folder:{}", folder.path().display()), []);
}

/// Nothing but a counter stands before SeaweedFS: what it creates at the same time is raced for.
#[cfg(feature = "aws")]
fn run_over_service(service: testkit::s3::Service) {
    let Some(server) = service.start() else { return };
    let proxy = service.proxy(&server);
    run_over("s3", testkit::s3::variables(&proxy.url()));
    assert!(proxy.calls() > 1000, "only {} requests", proxy.calls());
}

#[cfg(feature = "aws")]
#[test]
fn the_suite_holds_over_seaweedfs() {
    run_over_service(testkit::s3::Service::SeaweedFs);
}

#[cfg(feature = "aws")]
#[test]
fn the_suite_holds_over_moto() {
    run_over_service(testkit::s3::Service::Moto);
}
