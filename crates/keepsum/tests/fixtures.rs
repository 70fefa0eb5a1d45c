//! Repositories that released formats wrote are read for ever: the good ones give what went in, and
//! of the damaged ones `verify` says what it always said.

#![cfg(all(feature = "cli", feature = "rocksdb", feature = "sqlite", feature = "files"))]
#![expect(clippy::unwrap_used, reason = "what the tests share fails as a test does")]

use std::fs;
use std::path::{Path, PathBuf};

use backup_core::progress::Context;
use keepsum::backup::{BackupOptions, backup};
use keepsum::hash::hash;
use keepsum::location::SourceOptions;
use keepsum::restore::{RestoreOptions, restore};
use keepsum::verify::{Level, not_opened, verify};
use keepsum::{Host, Repository, RepositoryLocation, SnapshotSpec, StoreLocation};
use serde_json::Value;

/// A fixture, copied so that nothing can change it.
struct Fixture {
    name: String,
    expected: Value,
    folder: tempfile::TempDir,
}

fn fixtures() -> Vec<Fixture> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures");
    let mut found = Vec::new();
    for version in folders(&root) {
        for fixture in folders(&version) {
            let folder = tempfile::tempdir().unwrap();
            copy(&fixture.join("repository"), folder.path());
            let expected = fs::read(fixture.join("expected.json")).unwrap();
            let expected = serde_json::from_slice(&expected).unwrap();
            let name = fixture.strip_prefix(&root).unwrap().display().to_string();
            found.push(Fixture { name, expected, folder });
        }
    }
    assert!(found.len() >= 15, "{} fixtures; some are gone", found.len());
    found
}

fn folders(parent: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(parent).unwrap().map(|entry| entry.unwrap().path());
    let mut folders: Vec<_> = entries.filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Copies a repository, with the folders that git does not keep because they are empty.
fn copy(from: &Path, to: &Path) {
    for part in 0..=255_u8 {
        fs::create_dir_all(to.join("objects").join(format!("{part:02x}"))).unwrap();
    }
    fs::create_dir_all(to.join("streams")).unwrap();
    copy_folder(from, to);
}

fn copy_folder(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
        let there = to.join(entry.file_name());
        if entry.path().is_dir() {
            copy_folder(&entry.path(), &there);
        } else {
            fs::copy(entry.path(), there).unwrap();
        }
    }
}

async fn open(fixture: &Fixture) -> remote::Result<Repository> {
    let location = RepositoryLocation::folder(fixture.folder.path()).unwrap();
    Repository::open(&location, &Host::system("test"), &Context::default()).await
}

/// The digest of restored files, or of the one file, as the fixture's writer made it.
fn digest(folder: &Path) -> String {
    if folder.is_file() {
        return blake3::hash(&fs::read(folder).unwrap()).to_string();
    }
    let mut files = Vec::new();
    let mut pending = vec![folder.to_owned()];
    while let Some(next) = pending.pop() {
        for entry in fs::read_dir(&next).unwrap().map(Result::unwrap) {
            if entry.path().is_dir() {
                pending.push(entry.path());
            } else if entry.file_name() != "KEEPSUM_RESTORED" {
                files.push(entry.path());
            }
        }
    }
    files.sort();
    let mut digest = blake3::Hasher::new();
    for file in files {
        let name = file.strip_prefix(folder).unwrap().display().to_string();
        digest.update(name.as_bytes());
        digest.update(blake3::hash(&fs::read(&file).unwrap()).as_bytes());
    }
    digest.finalize().to_string()
}

/// Compares what a snapshot says of its pages; a restore has compared the pages with that.
async fn check_pages(repository: &Repository, expected: &Value, name: &str) {
    let head = repository.head().await.unwrap();
    let id = expected["snapshot"].as_str().unwrap();
    let entry = head.state.snapshots.values().find(|entry| entry.id.to_string() == id);
    let manifest = repository.manifest_of(entry.unwrap()).await.unwrap();
    let pages = manifest.pages.unwrap();
    let found = serde_json::json!({
        "page_bytes": pages.page_bytes,
        "pages": pages.sum.records,
        "lthash": pages.sum.lthash.checksum().to_string(),
        "position": manifest.position.to_string(),
    });
    assert_eq!(found, expected["pages"], "{name}");
}

/// Restores a snapshot and compares it with what went in.
async fn check_snapshot(repository: &Repository, engine: &str, expected: &Value, name: &str) {
    let context = Context::default();
    let spec: SnapshotSpec = expected["snapshot"].as_str().unwrap().parse().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("restored");
    let target: StoreLocation = format!("{engine}:{}", path.display()).parse().unwrap();
    let options = RestoreOptions::default();
    let into = target.target().unwrap();
    restore(repository, &spec, into.as_ref(), &options).await.unwrap();
    if let Some(files) = expected["files"].as_str() {
        assert_eq!(digest(&path), files, "{name}");
    }
    if let Some(questions) =
        expected["answers"]["questions"].as_array().filter(|_| engine == "sqlite")
    {
        let answers = expected["answers"]["answers"].as_array().unwrap();
        assert_eq!(questions.len(), answers.len());
        let restored = rusqlite::Connection::open(&path).unwrap();
        for (question, answer) in questions.iter().zip(answers) {
            let question = question.as_str().unwrap();
            let found = restored.query_row(question, [], |row| row.get::<_, String>(0));
            assert_eq!(found.as_deref(), Ok(answer.as_str().unwrap()), "{name}: {question}");
        }
    }
    if expected["pages"].is_object() {
        check_pages(repository, expected, name).await;
    }
    if expected["proof"] == "logical" {
        let source = target.source(&SourceOptions::default()).unwrap();
        let found = hash(source.as_ref(), &context).await.unwrap();
        let found = serde_json::to_value(&found).unwrap();
        assert_eq!(found["global_lthash"], expected["global_lthash"], "{name} into {engine}");
        let bare = |databases: &Value| -> Vec<Value> {
            let all = databases.as_array().unwrap().iter();
            // An empty database is no file, or no column family, everywhere.
            all.filter(|database| database["records"] != 0).cloned().collect()
        };
        assert_eq!(bare(&found["databases"]), bare(&expected["databases"]), "{name} into {engine}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn good_repositories_give_what_went_in() {
    let mut snapshots = 0;
    for fixture in fixtures() {
        let name = &fixture.name;
        for expected in fixture.expected["snapshots"].as_array().unwrap() {
            let repository = open(&fixture).await.unwrap();
            let found = verify(&repository, Level::Full).await.unwrap();
            assert_eq!(found.findings, [], "{name}");
            let engines: &[&str] = match name.rsplit('/').next().unwrap() {
                "files" => &["files"],
                "sqlite-pages" => &["sqlite"],
                "sqlite-rows" | "sqlite-words" => &["sqlite", "memory"],
                "sqlite-store" => &["sqlite", "rocksdb", "memory"],
                _ => &["rocksdb", "memory"],
            };
            for engine in engines {
                check_snapshot(&repository, engine, expected, name).await;
            }
            snapshots += 1;
        }
    }
    assert!(snapshots >= 12, "{snapshots} snapshots");
}

#[tokio::test(flavor = "multi_thread")]
async fn damaged_repositories_are_found_to_be() {
    let mut damaged = 0;
    for fixture in fixtures().into_iter().filter(|fixture| fixture.name.contains("damaged")) {
        let report = match open(&fixture).await {
            Ok(repository) => verify(&repository, Level::Full).await.unwrap(),
            Err(error) => not_opened(Level::Full, error).unwrap(),
        };
        let base = fixture.folder.path().display().to_string();
        for expected in fixture.expected["findings"].as_array().unwrap() {
            let what = expected["what"].as_str().unwrap();
            let found = report.findings.iter().any(|finding| {
                finding.kind == expected["kind"].as_str().unwrap()
                    && finding.what.replace(&base, "").trim_start_matches('/') == what
            });
            assert!(found, "{}: {what} is not found in {:?}", fixture.name, report.findings);
        }
        assert!(!report.findings.is_empty(), "{}", fixture.name);
        damaged += 1;
    }
    assert!(damaged >= 7, "{damaged} damaged repositories");
}

#[tokio::test(flavor = "multi_thread")]
async fn old_repositories_are_written_on() {
    for fixture in fixtures().into_iter().filter(|fixture| !fixture.name.contains("damaged")) {
        let repository = open(&fixture).await.unwrap();
        let store = tempfile::tempdir().unwrap();
        fs::write(store.path().join("file"), "new").unwrap();
        let source: StoreLocation = format!("files:{}", store.path().display()).parse().unwrap();
        let source = source.source(&SourceOptions::default()).unwrap();
        let options = BackupOptions::default();
        backup(&repository, source.as_ref(), &options).await.unwrap();
        let found = verify(&repository, Level::Full).await.unwrap();
        assert_eq!(found.findings, [], "{}", fixture.name);
    }
}
