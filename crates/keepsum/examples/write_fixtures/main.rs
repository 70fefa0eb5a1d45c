//! Writes repositories as this version stores them, to be kept for ever: `fixtures/` of the project.
//!
//! ```sh
//! cargo run -p keepsum --example write_fixtures -- fixtures/v2
//! ```
//!
//! Once a format is released, its folder does not change any more: a later version must read what is
//! there (`tests/fixtures`), and `cargo xtask tidy` compares every byte. A new format gets a folder of
//! its own. Beside each repository lies what it holds, and what `verify` finds in it.

mod damage;
mod deterministic;
mod stores;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use backup_core::Source;
use backup_core::progress::Context;
use clap::Parser;
use keepsum::backup::{BackupOptions, ProofChoice, ShapeChoice, backup};
use keepsum::verify::{Level, verify};
use keepsum::{Host, Repository, RepositoryLocation};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(about = "Writes repositories of the stored format as it is now")]
struct Args {
    /// The folder to make; it must not exist
    folder: PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Args { folder } = Args::parse();
    ensure!(!folder.exists(), "{} exists; a format that is kept does not change", folder.display());
    let scratch = tempfile::tempdir()?;
    records(&folder).await?;
    rocksdb_records(&folder, scratch.path()).await?;
    rocksdb_files(&folder, scratch.path()).await?;
    files(&folder, scratch.path()).await?;
    damage::write(&folder).await
}

/// A repository that is being written, and what its snapshots hold.
struct Fixture {
    folder: PathBuf,
    repository: Repository,
    host: Host,
    snapshots: Vec<Value>,
}

impl Fixture {
    async fn begin(parent: &Path, name: &str, seed: u64) -> Result<Self> {
        let folder = parent.join(name);
        fs::create_dir_all(&folder)?;
        let host = deterministic::host(seed);
        let location = RepositoryLocation::folder(&folder.join("repository"))?;
        let repository = Repository::init(&location, &host, &Context::default()).await?;
        Ok(Self { folder, repository, host, snapshots: Vec::new() })
    }

    /// Backs up a store, whose restored files have the digest `files`.
    async fn add(
        &mut self,
        source: &dyn Source,
        shape: ShapeChoice,
        proof: ProofChoice,
        files: Option<String>,
    ) -> Result<()> {
        let label = Some(format!("number {}", self.snapshots.len() + 1));
        let description = Some("written to be kept".to_owned());
        let shape = Some(shape);
        let options =
            BackupOptions { shape, proof, label, description, ..BackupOptions::default() };
        let context = Context::default();
        let report = backup(&self.repository, source, &options, &self.host, &context).await?;
        self.snapshots.push(json!({
            "snapshot": report.snapshot,
            "shape": report.shape,
            "proof": report.proof,
            "databases": report.databases,
            "global_lthash": report.global_lthash,
            "files": files,
        }));
        Ok(())
    }

    async fn finish(self, about: &str) -> Result<()> {
        let report = verify(&self.repository, Level::Full, &Context::default()).await?;
        ensure!(report.findings.is_empty(), "{:?}", report.findings);
        write_expected(&self.folder, about, &self.snapshots, &[])
    }
}

/// Writes what a fixture holds, and removes the folders that hold nothing: git keeps none.
fn write_expected(
    folder: &Path,
    about: &str,
    snapshots: &[Value],
    findings: &[Value],
) -> Result<()> {
    let expected = json!({"about": about, "snapshots": snapshots, "findings": findings});
    let text = serde_json::to_string_pretty(&expected)? + "\n";
    let path = folder.join("expected.json");
    fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    for part in fs::read_dir(folder.join("repository").join("objects"))? {
        // Those that are not empty stay.
        let _ = fs::remove_dir(part?.path());
    }
    let _ = fs::remove_dir(folder.join("repository").join("streams"));
    Ok(())
}

async fn records(parent: &Path) -> Result<()> {
    let mut fixture = Fixture::begin(parent, "memory-records", 1).await?;
    let store = stores::Partitioned::new().await?;
    fixture.add(&store.source(), ShapeChoice::Records, ProofChoice::Physical, None).await?;
    store.change().await?;
    fixture.add(&store.source(), ShapeChoice::Records, ProofChoice::Physical, None).await?;
    let about = "a partitioned memory store, twice: root keys, empty values, an empty database, keys \
                 of many lengths, a value in pieces, a tree with inner nodes";
    fixture.finish(about).await
}

async fn rocksdb_records(parent: &Path, scratch: &Path) -> Result<()> {
    let mut fixture = Fixture::begin(parent, "rocksdb-records", 2).await?;
    let store = stores::rocksdb(&scratch.join("plain"))?;
    let source = store.source()?;
    fixture.add(&source, ShapeChoice::Records, ProofChoice::Physical, None).await?;
    fixture.finish("a RocksDB of two column families, as records").await
}

async fn rocksdb_files(parent: &Path, scratch: &Path) -> Result<()> {
    let mut fixture = Fixture::begin(parent, "rocksdb-files", 3).await?;
    let path = scratch.join("files");
    drop(stores::rocksdb(&path)?);
    let source = backend_rocksdb::RocksSource::path(&path)?;
    fixture.add(&source, ShapeChoice::Files, ProofChoice::Physical, None).await?;
    fixture.add(&source, ShapeChoice::Files, ProofChoice::Logical, None).await?;
    fixture
        .finish("a RocksDB of two column families, as files: without and with a logical proof")
        .await
}

async fn files(parent: &Path, scratch: &Path) -> Result<()> {
    let mut fixture = Fixture::begin(parent, "files", 4).await?;
    let path = scratch.join("engine");
    let digest = stores::files(&path)?;
    let source = backend_files::FilesSource::folder(&path);
    fixture.add(&source, ShapeChoice::Files, ProofChoice::Physical, Some(digest)).await?;
    fixture
        .finish("files of an engine of one's own, in folders, one of them in several pieces")
        .await
}
