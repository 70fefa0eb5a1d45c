//! The documents that others rely on: each field, its type, and what it says.

use serde_json::Value;

use crate::memory_file::{self, sample};
use crate::place::Place;

/// The document has these fields, each once asserted; more may be added.
#[track_caller]
fn has(document: &Value, fields: &[&str]) {
    for field in fields {
        assert!(document.get(field).is_some(), "no {field} in {document}");
    }
}

#[track_caller]
fn checksum(value: &Value) -> &str {
    let text = value.as_str().unwrap_or_else(|| panic!("no checksum: {value}"));
    assert!(text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()), "{text}");
    text
}

#[test]
fn backup_of_records() {
    let place = Place::new();
    memory_file::write(&place.path("store.bcs"), &sample(10));
    let made = place.json(["backup", &place.memory("store.bcs"), "--label", "x"]);
    has(&made, &["snapshot", "position", "uploaded_bytes", "reused_bytes", "elapsed_seconds"]);
    assert_eq!(made["shape"], "records");
    assert_eq!(made["proof"], "logical");
    assert_eq!(made["proved_from"], "source");
    let database = &made["databases"][0];
    assert_eq!(database["name"], "default");
    assert_eq!(database["records"], 10);
    assert_eq!(database["bytes"], 10 * (9 + 64));
    assert_eq!(checksum(&database["lthash"]), checksum(&made["global_lthash"]));
    assert!(made["uploaded_bytes"].as_u64().unwrap() > 0);
    assert!(made["elapsed_seconds"].is_number());
}

#[test]
fn backup_of_files_has_nulls_where_nothing_was_summed() {
    let place = Place::new();
    memory_file::write(&place.path("store.bcs"), &sample(10));
    let store = format!("rocksdb:{}", place.text("db"));
    place.run(["convert", &place.memory("store.bcs"), &store]).done();
    let made = place.json(["backup", &store, "--files"]);
    assert_eq!(made["shape"], "files");
    assert_eq!(made["proof"], "physical");
    assert_eq!(made["proved_from"], Value::Null);
    assert_eq!(made["global_lthash"], Value::Null);
    for database in made["databases"].as_array().unwrap() {
        for field in ["records", "bytes", "lthash"] {
            assert_eq!(database[field], Value::Null, "{field}");
        }
    }
    let proved = place.json(["backup", &store, "--files", "--proof", "logical"]);
    assert_eq!(proved["proof"], "logical");
    assert_eq!(proved["proved_from"], "source");
    assert_eq!(proved["databases"][0]["records"], 10);
    let hash = place.json(["hash", &store]);
    assert_eq!(hash["databases"], proved["databases"]);
    assert_eq!(hash["global_lthash"], proved["global_lthash"]);
}

#[test]
fn prove_adds_what_a_files_backup_left_out() {
    let place = Place::new();
    memory_file::write(&place.path("store.bcs"), &sample(10));
    let store = format!("rocksdb:{}", place.text("db"));
    place.run(["convert", &place.memory("store.bcs"), &store]).done();
    let made = place.json(["backup", &store, "--files"]);
    let proved = place.json(["prove", "latest"]);
    assert_eq!(proved["snapshot"], made["snapshot"]);
    assert_eq!(proved["proof"], "logical");
    assert_eq!(proved["proved_from"], "repository");
    assert_eq!(proved["global_lthash"], place.json(["hash", &store])["global_lthash"]);
    assert_eq!(place.json(["show", "latest"])["proved_from"], "repository");
}

#[test]
fn hash_is_the_same_for_each_engine_and_layout() {
    let place = Place::empty();
    memory_file::write(&place.path("store.bcs"), &memory_file::partitioned(20));
    let file = place.json(["hash", &place.memory("store.bcs")]);
    has(&file, &["databases", "global_lthash"]);
    assert_eq!(file["databases"][0]["records"], 40);
    let store = format!("rocksdb:{}", place.text("db"));
    let converted = place.json(["convert", &place.memory("store.bcs"), &store]);
    assert_eq!(converted["global_lthash"], file["global_lthash"]);
    let engine = place.json(["hash", &store]);
    assert_eq!(engine["databases"], file["databases"]);
    assert_eq!(engine["global_lthash"], file["global_lthash"]);
}

#[test]
fn snapshots_are_listed_oldest_first() {
    let place = Place::with_snapshot();
    place
        .run(["backup", &place.memory("store.bcs"), "--label", "two", "--host", "elsewhere"])
        .done();
    let list = place.json(["snapshots"]);
    let [first, second] = list.as_array().unwrap().as_slice() else { panic!("{list}") };
    for snapshot in [first, second] {
        has(snapshot, &["snapshot", "created", "source", "shape", "databases"]);
        assert_eq!(snapshot["source"].as_str().unwrap(), place.memory("store.bcs"));
        assert_eq!(snapshot["shape"], "records");
        assert_eq!(snapshot["databases"][0]["name"], "default");
        let created = snapshot["created"].as_str().unwrap();
        assert!(created.len() == 20 && created.ends_with('Z'), "{created}");
    }
    assert!(first["created"].as_str() <= second["created"].as_str());
    assert_eq!(first["label"], Value::Null);
    assert_eq!((&second["label"], &second["host"]), (&"two".into(), &"elsewhere".into()));
}

#[test]
fn an_empty_repository_lists_nothing() {
    assert_eq!(Place::new().json(["snapshots"]), Value::Array(Vec::new()));
}

#[test]
fn show_has_all_that_is_known() {
    let place = Place::new();
    memory_file::write(&place.path("store.bcs"), &sample(10));
    place.run(["backup", &place.memory("store.bcs"), "--description", "before the move"]).done();
    let shown = place.json(["show", "latest"]);
    has(&shown, &["snapshot", "created", "source", "host", "position", "consistency", "notes"]);
    assert_eq!(shown["description"], "before the move");
    assert_eq!(shown["layout"], "plain");
    assert_eq!(shown["proof"], "logical");
    assert_eq!(shown["files"], Value::Null);
    checksum(&shown["global_lthash"]);
}

#[test]
fn verify_counts_and_finds_nothing_in_a_whole_repository() {
    let place = Place::with_snapshot();
    for level in ["list", "full"] {
        let report = place.json(["verify", "--level", level]);
        assert_eq!(report["level"], level);
        assert_eq!(report["findings"], Value::Array(Vec::new()));
        assert!(report["objects_checked"].as_u64().unwrap() > 0);
        assert!(report["bytes_read"].is_u64());
    }
}

#[test]
fn diff_counts_and_names_records() {
    let place = Place::with_snapshot();
    let mut contents = sample(300);
    let records = contents.get_mut(&Vec::new()).unwrap();
    records.remove(b"key 00007".as_slice());
    records.insert(b"key 00008".to_vec(), b"other".to_vec());
    records.insert(b"new".to_vec(), Vec::new());
    memory_file::write(&place.path("store.bcs"), &contents);
    let live = place.json(["diff", "latest", &place.memory("store.bcs")]);
    assert_eq!(live["equal"], false);
    let counts = serde_json::json!({"name": "default", "added": 1, "removed": 1, "changed": 1});
    assert_eq!(live["databases"], serde_json::json!([counts]));
    let first = place.json(["snapshots"])[0]["snapshot"].as_str().unwrap().to_owned();
    place.run(["backup", &place.memory("store.bcs")]).done();
    let named = place.json(["diff", &first, "latest", "--records"]);
    let found = named["databases"][0]["records"].as_array().unwrap();
    let of = |change: &str| {
        let mut with = found.iter().filter(|record| record["change"] == change);
        let key = with.next().unwrap()["key"].as_str().unwrap().to_owned();
        assert!(with.next().is_none(), "{found:?}");
        key
    };
    assert_eq!(of("removed"), hex::encode("key 00007"));
    assert_eq!(of("changed"), hex::encode("key 00008"));
    assert_eq!(of("added"), hex::encode("new"));
    let same = place.json(["diff", "latest", &place.memory("store.bcs")]);
    assert_eq!(same["equal"], true);
}

#[test]
fn two_stores_are_compared_without_a_repository() {
    let place = Place::empty();
    memory_file::write(&place.path("a.bcs"), &sample(3));
    memory_file::write(&place.path("b.bcs"), &sample(4));
    let report = place.json(["diff", &place.memory("a.bcs"), &place.memory("b.bcs")]);
    assert_eq!(report["databases"][0]["added"], 1);
}

#[test]
fn restore_says_what_it_did_and_a_dry_run_does_nothing() {
    let place = Place::with_snapshot();
    let target = place.memory("restored.bcs");
    let plan = place.json(["restore", "latest", &target, "--dry-run"]);
    assert_eq!((&plan["dry_run"], &plan["proved"]), (&true.into(), &Value::Null));
    assert!(!place.path("restored.bcs").exists());
    let done = place.json(["restore", "latest", &target, "--check=none"]);
    assert_eq!((&done["dry_run"], &done["proved"]), (&false.into(), &"logical".into()));
    has(&done, &["snapshot", "target", "shape", "databases", "bytes", "kept_aside", "notes"]);
    assert_eq!(done["databases"], plan["databases"]);
    let bytes = |name| std::fs::read(place.path(name)).unwrap();
    assert_eq!(bytes("restored.bcs"), bytes("store.bcs"));
}

#[test]
fn a_replaced_store_is_kept_aside_under_the_name_it_prints() {
    let place = Place::with_snapshot();
    std::fs::write(place.path("restored.bcs"), b"something else").unwrap();
    let done = place.json(["restore", "latest", &place.memory("restored.bcs"), "--replace"]);
    let aside = done["kept_aside"].as_str().unwrap();
    assert_eq!(std::fs::read(aside).unwrap(), b"something else");
}

#[test]
fn export_and_import_are_a_round_trip() {
    let place = Place::with_snapshot();
    let out = place.json(["export", "latest", &place.text("out.bcs")]);
    assert_eq!(out["proved"], "logical");
    let back = place.json(["import", &place.text("out.bcs")]);
    assert_eq!(back["shape"], "records");
    assert_eq!(back["global_lthash"], out["global_lthash"]);
    assert!(back["reused_bytes"].as_u64().unwrap() > 0, "{back}");
}

#[test]
fn status_counts() {
    let place = Place::with_snapshot();
    let status = place.json(["status"]);
    assert_eq!(status["snapshots"], 1);
    assert!(status["objects"].as_u64().unwrap() > 0);
    assert!(status["stored_bytes"].as_u64().unwrap() > 0);
    assert_eq!(status["pins"], Value::Array(Vec::new()));
    assert_eq!(status["repository"].as_str().unwrap(), place.text("repo"));
    has(&status, &["id", "catalog_entry", "newest"]);
}

#[test]
fn init_says_what_it_made() {
    let place = Place::empty();
    let made = place.json(["init"]);
    assert_eq!(made["repository"].as_str().unwrap(), place.text("repo"));
    assert_eq!(made["snapshots"], 0);
}

#[test]
fn an_error_is_a_document_too() {
    let place = Place::new();
    let answer = place.run_json(["show", "latest"]).fails(4, &["latest"]);
    let error = &answer.json()["error"];
    assert_eq!(error["exit_code"], 4);
    assert!(error["causes"].is_array());
    assert!(answer.stderr.contains(error["message"].as_str().unwrap()));
    let usage = place.run_json(["restore"]).fails(2, &["<SNAPSHOT>", "<TARGET>"]);
    assert_eq!(usage.json()["error"]["exit_code"], 2);
}
