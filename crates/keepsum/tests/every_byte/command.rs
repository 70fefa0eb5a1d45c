//! The same through the command: what `verify` writes and says, `--read-only`, and `--salvage`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use keepsum::StoreLocation;
use serde_json::Value;
use testkit::contents::Contents;
use testkit::transfer::transfer;

/// A scratch folder with a repository and a snapshot of a RocksDB.
struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    async fn new() -> Self {
        let place = Self { folder: tempfile::tempdir().unwrap() };
        let mut contents = Contents::new();
        for number in 0..50_u32 {
            contents.put("accounts", b"", &number.to_be_bytes(), vec![b'v'; 400]);
        }
        let store: StoreLocation = place.store("db").parse().unwrap();
        let target = store.target().unwrap();
        let existing = backup_core::target::Existing::Refuse;
        transfer(&contents, target.as_ref(), existing).await.unwrap();
        place.run(0, &["init"]);
        place.run(0, &["backup", &place.store("db"), "--records"]);
        place
    }

    fn store(&self, name: &str) -> String {
        format!("rocksdb:{}", self.folder.path().join(name).display())
    }

    /// Runs the command with `--json`, which must end with `code`.
    #[track_caller]
    fn run(&self, code: i32, args: &[&str]) -> Value {
        let output = Command::new(env!("CARGO_BIN_EXE_keepsum"))
            .args(args)
            .args(["--json", "--quiet"])
            .env("KEEPSUM_REPO", self.folder.path().join("repo"))
            .env("KEEPSUM_STATE", self.folder.path().join("state"))
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        serde_json::from_slice(&output.stdout).unwrap_or_default()
    }

    fn entries(&self) -> usize {
        fs::read_dir(self.folder.path().join("repo/catalog")).unwrap().count()
    }

    fn objects(&self) -> Vec<PathBuf> {
        let below = |folder: &Path| {
            let found = fs::read_dir(folder).unwrap();
            found.map(|entry| entry.unwrap().path()).collect::<Vec<_>>()
        };
        let folders = below(&self.folder.path().join("repo/objects"));
        folders.iter().flat_map(|folder| below(folder)).collect()
    }
}

#[tokio::test]
async fn verify_lists_what_is_damaged_unless_it_must_not_write() {
    let place = Place::new().await;
    for object in place.objects() {
        let bytes = fs::read(&object).unwrap();
        let mut flipped = bytes.clone();
        flipped[bytes.len() / 3] ^= 8;
        fs::write(&object, flipped).unwrap();
        let entries = place.entries();
        let seen = place.run(3, &["verify", "--level", "full", "--read-only"]);
        assert_eq!((place.entries(), &seen["listed_damaged"]), (entries, &Value::Null));
        let listed = place.run(3, &["verify", "--level", "full"]);
        assert_eq!(place.entries(), entries + 1);
        assert_eq!(listed["findings"], seen["findings"]);
        assert!(listed["listed_damaged"].as_u64().is_some_and(|listed| listed >= 1), "{listed}");
        let restored = place.run(3, &["restore", "latest", &place.store("other")]);
        assert_eq!(restored["error"]["exit_code"], 3);
        fs::write(&object, bytes).unwrap();
        assert_eq!(place.run(0, &["verify", "--level", "full"])["listed_damaged"], 0);
    }
}

#[tokio::test]
async fn salvage_says_what_is_lost_with_exit_code_3() {
    let place = Place::new().await;
    let whole = place.run(0, &["restore", "latest", &place.store("whole"), "--salvage"]);
    assert_eq!((&whole["salvaged"], &whole["proved"]), (&Value::Bool(true), &Value::Null));
    assert_eq!(whole["losses"].as_array().map(Vec::len), Some(0));
    let mut lost = 0;
    for (number, object) in place.objects().into_iter().enumerate() {
        let bytes = fs::read(&object).unwrap();
        fs::remove_file(&object).unwrap();
        let into = place.store(&format!("salvaged-{number}"));
        let told = place.run(3, &["restore", "latest", &into, "--salvage"]);
        for loss in told["losses"].as_array().unwrap_or(&Vec::new()) {
            assert_eq!((&loss["database"], &loss["records"]), (&"accounts".into(), &50.into()));
            lost += 1;
        }
        place.run(2, &["restore", "latest", &into, "--salvage", "--replace"]);
        fs::write(&object, bytes).unwrap();
    }
    assert_eq!(lost, 1);
    // A snapshot whose manifest is gone is still listed.
    for object in place.objects() {
        fs::remove_file(object).unwrap();
    }
    let snapshots = place.run(0, &["snapshots"]);
    assert_eq!(snapshots[0]["shape"], "damaged", "{snapshots}");
}
