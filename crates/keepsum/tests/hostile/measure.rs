//! Reading a repository in a process of its own, and what that took.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use backup_core::progress::Context;
use keepsum::diff::{DiffOptions, Side, diff};
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, verify};
use keepsum::{
    Error, ExitCode, Host, Repository, RepositoryLocation, SnapshotSpec, StoreLocation, snapshots,
};

use crate::Hostile;

/// The variable that names the folder of the repository to a child.
pub(crate) const CASE: &str = "KEEPSUM_HOSTILE_CASE";

/// What came of an operation.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) operation: String,
    /// Whether it failed with the exit code for damage, or `verify` found something.
    pub(crate) refused: bool,
    /// The memory it took beside what the process had.
    pub(crate) kilobytes: u64,
    /// The CPU time it took.
    pub(crate) milliseconds: u64,
    /// What was said.
    pub(crate) said: String,
}

pub(crate) fn is_child() -> bool {
    env::var_os(CASE).is_some()
}

/// Runs this test again, as a child that reads the repository, and returns what it printed.
pub(crate) fn read_in_a_child(hostile: &Hostile) -> Vec<Outcome> {
    let output = Command::new(env::current_exe().unwrap())
        .args(["--exact", "hostile_repositories_are_refused_within_memory_and_time"])
        .args(["--nocapture", "--test-threads", "1"])
        .env(CASE, hostile.forge.folder())
        // What is freed is given back: measured is what is held, and not what the arena of each thread
        // of the C library keeps for the next time.
        .envs([("MALLOC_MMAP_THRESHOLD_", "1048576"), ("MALLOC_TRIM_THRESHOLD_", "4194304")])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let name = hostile.name;
    assert!(output.status.success(), "{name}: {text}{}", String::from_utf8_lossy(&output.stderr));
    let lines = text.lines().filter_map(|line| line.strip_prefix("outcome\t"));
    let outcomes = lines.map(|line| {
        println!("{name}: {line}");
        let mut fields = line.splitn(5, '\t');
        let mut next = || fields.next().unwrap().to_owned();
        Outcome {
            operation: next(),
            refused: next() == "refused",
            kilobytes: next().parse().unwrap(),
            milliseconds: next().parse().unwrap(),
            said: next(),
        }
    });
    outcomes.collect()
}

/// The child: reads the repository in each way, and prints what came of it.
pub(crate) async fn read() {
    let folder = env::var_os(CASE).unwrap();
    let folder = Path::new(&folder);
    let engine = fs::read_to_string(folder.join("engine")).unwrap();
    let target = |name: &str| -> StoreLocation {
        format!("{engine}:{}", folder.join("into").join(name).display()).parse().unwrap()
    };
    told("verify", async {
        let repository = open(folder).await?;
        let report = verify(&repository, Level::Full).await?;
        match report.findings.first() {
            None => Ok(format!("{} objects", report.objects_checked)),
            Some(finding) => Err(Refusal::Found(format!("{} {}", finding.what, finding.detail))),
        }
    })
    .await;
    for name in ["restore", "export"] {
        told(name, async {
            // `export` is a restore into portable files.
            let target = match (name, engine.as_str()) {
                ("restore", "memory") => {
                    format!("rocksdb:{}", folder.join("into/db").display()).parse().unwrap()
                }
                _ => target(name),
            };
            let repository = open(folder).await?;
            let (snapshot, options) = (hostile(folder), RestoreOptions::default());
            restore(&repository, &snapshot, target.target()?.as_ref(), &options).await?;
            Ok("restored".to_owned())
        })
        .await;
    }
    told("show", async {
        let repository = open(folder).await?;
        let shown = snapshots::show(&repository, &hostile(folder)).await?;
        Ok(shown.summary.snapshot)
    })
    .await;
    let diffing = Box::pin(async {
        let repository = open(folder).await?;
        let sound = fs::read_to_string(folder.join("sound")).unwrap();
        let (old, new) = (Side::Snapshot(sound.parse()?), Side::Snapshot(hostile(folder)));
        let options = DiffOptions { records: true, ..DiffOptions::default() };
        let report = diff(Some(&repository), &old, &new, &options, &Context::default()).await?;
        Ok(format!("{} databases", report.databases.len()))
    });
    told("diff", diffing).await;
}

/// The hostile snapshot, which may say that it is of another source.
fn hostile(folder: &Path) -> SnapshotSpec {
    fs::read_to_string(folder.join("hostile")).unwrap().parse().unwrap()
}

fn host() -> Host {
    Host::system("test")
}

async fn open(folder: &Path) -> Result<Repository, Error> {
    let location = RepositoryLocation::parse(folder.join("repo").to_str().unwrap())?;
    Ok(Repository::open(&location, &host(), &Context::default()).await?)
}

enum Refusal {
    Found(String),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Refusal {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

async fn told(operation: &str, work: impl Future<Output = Result<String, Refusal>>) {
    forget_peak();
    let (memory, time) = (peak(), cpu());
    let answer = Box::pin(work).await;
    let (memory, time) = (peak().saturating_sub(memory), (cpu() - time) * 10);
    let (came_to, said) = match answer {
        Ok(said) => ("done", said),
        Err(Refusal::Found(said)) => ("refused", said),
        Err(Refusal::Failed(error)) if error.exit_code() == ExitCode::Damaged => {
            ("refused", account(&error))
        }
        Err(Refusal::Failed(error)) => ("failed", account(&error)),
    };
    let said: String = said.chars().filter(|c| !c.is_control()).take(300).collect();
    println!("\noutcome\t{operation}\t{came_to}\t{}\t{time}\t{said}", memory >> 10);
}

fn account(error: &Error) -> String {
    let mut said = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        said = format!("{said}: {error}");
        cause = error.source();
    }
    said
}

/// Makes the largest memory of this process so far what it is now.
fn forget_peak() {
    fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// The largest memory of this process since, in bytes.
fn peak() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

/// The CPU time of this process so far, in hundredths of a second.
fn cpu() -> u64 {
    let stat = fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    fields.split(' ').skip(11).take(2).map(|field| field.parse::<u64>().unwrap()).sum()
}
