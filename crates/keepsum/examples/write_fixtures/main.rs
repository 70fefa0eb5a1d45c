//! Writes repositories as this version stores them, to be kept for ever: `fixtures/` of the project.
//!
//! ```sh
//! cargo run -p keepsum --all-features --example write_fixtures -- fixtures/v1
//! ```
//!
//! Until the first release a change of the format replaces `fixtures/v1`. Once a format is released, its folder
//! does not change any more: a later version must read what is there (`tests/fixtures`), and `cargo xtask tidy`
//! compares every byte. A new format gets a folder of its own; names behind the folder choose what is written.
//! Beside each repository lies what it holds, and what `verify` finds in it.

mod damage;
mod deterministic;
mod sqlite;
mod stores;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use backup_core::Source;
use backup_core::progress::Context;
use clap::Parser;
use keepsum::backup::{BackupOptions, ProofChoice, ShapeChoice, backup};
use keepsum::verify::{Level, verify};
use keepsum::{Repository, RepositoryLocation};
use serde_json::{Value, json};

#[derive(Parser)]
#[command(about = "Writes repositories of the stored format as it is now")]
struct Args {
    /// The folder to make; it must not exist
    folder: PathBuf,
    /// Only these; all of them if none is named
    names: Vec<String>,
}

#[tokio::main]
async fn main() -> Result<()> {
    let Args { folder, names } = Args::parse();
    ensure!(!folder.exists(), "{} exists; a format that is kept does not change", folder.display());
    let scratch = tempfile::tempdir()?;
    let scratch = scratch.path();
    for name in &names {
        ensure!(FIXTURES.contains(&name.as_str()), "there is no {name}; there are {FIXTURES:?}");
    }
    for name in FIXTURES {
        if !names.is_empty() && !names.iter().any(|wanted| wanted == name) {
            continue;
        }
        match name {
            "memory-records" => records(&folder).await?,
            "rocksdb-records" => rocksdb_records(&folder, scratch).await?,
            "rocksdb-files" => rocksdb_files(&folder, scratch).await?,
            "files" => files(&folder, scratch).await?,
            "sqlite-pages" => sqlite_pages(&folder, scratch).await?,
            "sqlite-rows" => sqlite_rows(&folder, scratch).await?,
            "sqlite-words" => sqlite_words(&folder, scratch).await?,
            "sqlite-store" => sqlite_store(&folder, scratch).await?,
            _ => damage::write(&folder).await?,
        }
    }
    Ok(())
}

/// All there are. What is damaged is a copy of what is good.
const FIXTURES: [&str; 9] = [
    "memory-records",
    "rocksdb-records",
    "rocksdb-files",
    "files",
    "sqlite-pages",
    "sqlite-rows",
    "sqlite-words",
    "sqlite-store",
    "damaged",
];

/// A repository that is being written, and what its snapshots hold.
struct Fixture {
    folder: PathBuf,
    repository: Repository,
    snapshots: Vec<Value>,
}

impl Fixture {
    async fn begin(parent: &Path, name: &str, seed: u64) -> Result<Self> {
        let folder = parent.join(name);
        fs::create_dir_all(&folder)?;
        let host = deterministic::host(seed);
        let location = RepositoryLocation::folder(&folder.join("repository"))?;
        let repository = Repository::init(&location, &host, &Context::default()).await?;
        Ok(Self { folder, repository, snapshots: Vec::new() })
    }

    /// Backs up a store, whose restored files have the digest `files`.
    async fn add(
        &mut self,
        source: &dyn Source,
        shape: ShapeChoice,
        proof: ProofChoice,
        files: Option<String>,
    ) -> Result<()> {
        self.add_with(source, shape, proof, files, Value::Null).await
    }

    /// As [`add`](Self::add), with `answers` of the restored store that are not looked for elsewhere.
    async fn add_with(
        &mut self,
        source: &dyn Source,
        shape: ShapeChoice,
        proof: ProofChoice,
        files: Option<String>,
        answers: Value,
    ) -> Result<()> {
        let label = Some(format!("number {}", self.snapshots.len() + 1));
        let description = Some("written to be kept".to_owned());
        let shape = Some(shape);
        let options =
            BackupOptions { shape, proof, label, description, ..BackupOptions::default() };
        let report = backup(&self.repository, source, &options).await?;
        self.snapshots.push(json!({
            "snapshot": report.snapshot,
            "shape": report.shape,
            "proof": report.proof,
            "databases": report.databases,
            "global_lthash": report.global_lthash,
            "files": files,
        }));
        let pages = self.pages().await?;
        let snapshot = self.snapshots.last_mut().and_then(Value::as_object_mut);
        let snapshot = snapshot.context("it was just added")?;
        if let Some(pages) = pages {
            snapshot.insert("pages".into(), pages);
        }
        if !answers.is_null() {
            snapshot.insert("answers".into(), answers);
        }
        Ok(())
    }

    /// What the newest snapshot says of its pages, if it has them.
    async fn pages(&self) -> Result<Option<Value>> {
        let head = self.repository.head().await?;
        let newest = head.state.snapshots.values().max_by_key(|entry| entry.entry);
        let manifest = self.repository.manifest_of(newest.context("one was just taken")?).await?;
        Ok(manifest.pages.map(|pages| {
            json!({
                "page_bytes": pages.page_bytes,
                "pages": pages.sum.records,
                "lthash": pages.sum.lthash.checksum().to_string(),
                "position": manifest.position.to_string(),
            })
        }))
    }

    async fn finish(self, about: &str) -> Result<()> {
        let report = verify(&self.repository, Level::Full).await?;
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

async fn sqlite_pages(parent: &Path, scratch: &Path) -> Result<()> {
    let mut fixture = Fixture::begin(parent, "sqlite-pages", 5).await?;
    let path = scratch.join("pages.db");
    let connection = sqlite::live(&path)?;
    let source = backend_sqlite::SqliteSource::path(&path)?;
    for change in ["UPDATE t SET b = 'changed' WHERE a = 40", "PRAGMA journal_mode = delete"] {
        let digest = blake3::hash(&sqlite::carried_back(&path, scratch)?).to_string();
        fixture.add(&source, ShapeChoice::Files, ProofChoice::Physical, Some(digest)).await?;
        connection.execute_batch(change)?;
    }
    let digest = blake3::hash(&fs::read(&path)?).to_string();
    fixture.add(&source, ShapeChoice::Files, ProofChoice::Logical, Some(digest)).await?;
    fixture
        .finish(
            "pages of a SQLite database: twice of one in use whose log holds a part, once of one with a \
             rollback journal and a logical proof",
        )
        .await
}

async fn sqlite_rows(parent: &Path, scratch: &Path) -> Result<()> {
    let about = "rows of a SQLite database: tables with and without rowids, all storage classes, an index, a \
                 view, a trigger";
    rows(parent, "sqlite-rows", 6, &sqlite::ROWS, &scratch.join("rows.db"), about).await
}

async fn sqlite_words(parent: &Path, scratch: &Path) -> Result<()> {
    let about = "rows of a SQLite database with full-text search (FTS5)";
    rows(parent, "sqlite-words", 7, &sqlite::WORDS, &scratch.join("words.db"), about).await
}

async fn rows(
    parent: &Path,
    name: &str,
    seed: u64,
    rows: &sqlite::Rows,
    path: &Path,
    about: &str,
) -> Result<()> {
    let mut fixture = Fixture::begin(parent, name, seed).await?;
    rows.make(path)?;
    let source = backend_sqlite::SqliteSource::path(path)?;
    let (shape, proof, answers) =
        (ShapeChoice::Records, ProofChoice::Physical, rows.answers(path)?);
    fixture.add_with(&source, shape, proof, None, answers).await?;
    fixture.finish(about).await
}

async fn sqlite_store(parent: &Path, scratch: &Path) -> Result<()> {
    let mut fixture = Fixture::begin(parent, "sqlite-store", 8).await?;
    let path = scratch.join("store.db");
    let store = sqlite::store(&path).await?;
    let source = backend_sqlite::SqliteSource::path(&path)?;
    fixture.add(&source, ShapeChoice::Records, ProofChoice::Physical, None).await?;
    drop(store);
    fixture.finish("a key-value store in a SQLite file, as records, with root keys").await
}
