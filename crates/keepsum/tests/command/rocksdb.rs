//! A RocksDB directory through the command: both shapes, layouts, parts, reuse.

use crate::memory_file::{self, partitioned, sample};
use crate::place::{Answer, Place, files_below};

/// A RocksDB store with the records of a memory file.
fn store(place: &Place, contents: &memory_file::Contents) -> String {
    memory_file::write(&place.path("store.bcs"), contents);
    let location = format!("rocksdb:{}", place.text("db"));
    place.run(["convert", &place.memory("store.bcs"), &location]).done();
    location
}

fn hash(place: &Place, location: &str) -> String {
    let hash = place.json(["hash", location]);
    hash["global_lthash"].as_str().unwrap().to_owned()
}

#[test]
fn both_shapes_restore_into_both_engines() {
    let place = Place::new();
    let source = store(&place, &sample(2000));
    let expected = hash(&place, &source);
    for shape in ["--records", "--files"] {
        let made = place.json(["backup", &source, shape]);
        let id = made["snapshot"].as_str().unwrap();
        for target in
            [place.memory(&format!("x{shape}.bcs")), format!("rocksdb:{}", place.text(shape))]
        {
            place.run(["restore", id, &target]).done();
            assert_eq!(hash(&place, &target), expected, "{shape} {target}");
            let diff = place.json(["diff", id, &target]);
            assert_eq!(diff["equal"], true, "{shape} {target}");
        }
        assert_eq!(
            std::fs::read(place.path(&format!("x{shape}.bcs"))).unwrap(),
            std::fs::read(place.path("store.bcs")).unwrap()
        );
    }
}

#[test]
fn without_a_shape_the_files_are_copied_and_an_unchanged_store_sends_next_to_nothing() {
    let place = Place::new();
    let source = store(&place, &sample(2000));
    let first = place.json(["backup", &source]);
    assert_eq!(first["shape"], "files");
    let again = place.json(["backup", &source]);
    assert!(again["reused_bytes"].as_u64() > again["uploaded_bytes"].as_u64(), "{again}");
    assert!(again["uploaded_bytes"].as_u64() < first["uploaded_bytes"].as_u64(), "{again}");
    let fresh = place.json(["backup", &source, "--fresh"]);
    assert_eq!(fresh["reused_bytes"], 0);
}

#[test]
fn a_backup_of_the_other_shape_in_between_loses_no_reuse() {
    let place = Place::new();
    let source = store(&place, &sample(2000));
    place.run(["backup", &source, "--files"]).done();
    place.run(["backup", &source, "--records"]).done();
    for shape in ["--files", "--records"] {
        let again = place.json(["backup", &source, shape]);
        assert!(again["reused_bytes"].as_u64() > again["uploaded_bytes"].as_u64(), "{again}");
    }
}

#[test]
fn the_source_is_not_modified() {
    let place = Place::new();
    let source = store(&place, &sample(100));
    let state = || {
        let files = files_below(&place.path("db"));
        files.into_iter().map(|file| (std::fs::read(&file).unwrap(), file)).collect::<Vec<_>>()
    };
    let before = state();
    for args in [vec!["backup", &source, "--files"], vec!["backup", &source, "--records"]] {
        place.run(&args).done();
    }
    assert!(before == state(), "a backup changed its source");
}

#[test]
fn root_keys_are_kept_and_cannot_be_dropped() {
    let place = Place::new();
    let source = store(&place, &partitioned(50));
    place.run(["backup", &source, "--records"]).done();
    assert_eq!(place.json(["show", "latest"])["layout"], "partitioned");
    let restored = format!("rocksdb:{}", place.text("restored"));
    place.run(["restore", "latest", &restored]).done();
    assert_eq!(hash(&place, &restored), hash(&place, &source));
    let plain = format!("rocksdb:{}", place.text("plain"));
    let answer = place.run(["restore", "latest", &plain, "--layout", "plain"]);
    assert_ne!(answer.code, 0, "{answer:?}");
    assert!(!place.path("plain").exists());
}

#[test]
fn one_database_is_restored_under_another_name() {
    let place = Place::new();
    std::fs::create_dir(place.path("many")).unwrap();
    memory_file::write(&place.path("many/users.bcs"), &sample(10));
    memory_file::write(&place.path("many/posts.bcs"), &sample(20));
    let source = format!("rocksdb:{}", place.text("db"));
    place.run(["convert", &place.memory("many"), &source]).done();
    let made = place.json(["backup", &source, "--records"]);
    let names: Vec<_> = made["databases"].as_array().unwrap().iter().map(|d| &d["name"]).collect();
    assert_eq!(names, ["posts", "users"]);
    let target = place.memory("part.bcs");
    let args = ["restore", "latest", &target, "--database", "users", "--as", "default"];
    let done = place.json(args);
    assert_eq!(done["databases"][0]["lthash"], made["databases"][1]["lthash"]);
    assert_eq!(
        std::fs::read(place.path("part.bcs")).unwrap(),
        std::fs::read(place.path("many/users.bcs")).unwrap()
    );
    let all = place.run(["export", "latest", &place.text("all.bcs")]);
    assert!(all.code != 0 && all.stderr.contains("all.bcs"), "{all:?}");
    place.run(["export", "latest", &place.text("all")]).done();
    assert_eq!(files_below(&place.path("all")).len(), 3, "two databases and the sidecar");
}

#[test]
fn a_restored_store_says_where_it_is_from() {
    let place = Place::new();
    let source = store(&place, &sample(3));
    let made = place.json(["backup", &source]);
    place.run(["restore", "latest", &format!("rocksdb:{}", place.text("restored"))]).done();
    let sidecar = std::fs::read_to_string(place.path("restored/KEEPSUM_RESTORED")).unwrap();
    assert!(sidecar.contains(made["snapshot"].as_str().unwrap()), "{sidecar}");
}

#[test]
fn a_table_cut_in_half_is_refused_as_records_by_its_name() {
    let place = Place::new();
    let source = store(&place, &sample(2000));
    let table = files_below(&place.path("db"))
        .into_iter()
        .find(|file| file.extension().is_some_and(|extension| extension == "sst"))
        .unwrap();
    let bytes = std::fs::read(&table).unwrap();
    std::fs::write(&table, &bytes[..bytes.len() / 2]).unwrap();
    let answer: Answer = place.run(["backup", &source, "--records"]);
    assert!(answer.code == 1 || answer.code == 3, "{answer:?}");
    let name = table.file_name().unwrap().to_str().unwrap();
    assert!(answer.stderr.contains(name.trim_start_matches('0')), "{answer:?}");
    assert_eq!(place.json(["snapshots"]), serde_json::json!([]));
}

/// What was left out at the backup, and what its program will not find, is said again by the restore.
#[test]
fn what_a_program_will_not_find_is_said_again_at_the_restore() {
    let place = Place::new();
    let source = store(&place, &sample(100));
    std::fs::write(place.path("db/config.json"), "{}").unwrap();
    for shape in ["--files", "--records"] {
        let made = place.run(["backup", &source, shape]).done();
        assert!(made.stderr.contains("left out: config.json"), "{made:?}");
        let target = format!("rocksdb:{}", place.text(shape));
        let restored = place.run(["restore", "latest", &target]).done();
        assert!(restored.stderr.contains("left out: config.json"), "{restored:?}");
        let planned = place.json(["restore", "latest", &target, "--dry-run", "--replace"]);
        assert!(planned["unusual"].to_string().contains("config.json"), "{planned}");
    }
    place.run(["backup", &source, "--files", "--include", "*.json"]).done();
    let target = format!("rocksdb:{}", place.text("carried"));
    let restored = place.run(["restore", "latest", &target]).done();
    assert!(!restored.stderr.contains("left out"), "{restored:?}");
    assert_eq!(std::fs::read_to_string(place.path("carried/config.json")).unwrap(), "{}");
}

/// The command takes the folders that OPTIONS does not say.
#[test]
fn folders_of_logs_and_tables_are_named_by_options() {
    let place = Place::new();
    let source = store(&place, &sample(100));
    std::fs::create_dir(place.path("disk")).unwrap();
    for file in files_below(&place.path("db")) {
        let is_moved = file.extension().is_some_and(|e| e == "sst" || e == "log");
        if is_moved {
            std::fs::rename(&file, place.path("disk").join(file.file_name().unwrap())).unwrap();
        }
    }
    assert!([3, 5].contains(&place.run(["backup", &source]).code));
    let disk = place.text("disk");
    for option in ["--db-path", "--cf-path"] {
        place.run(["backup", &source, option, &disk, "--wal-dir", &disk]).done();
    }
    let of_files = format!("files:{}", place.text("db"));
    for option in ["--db-path", "--cf-path", "--wal-dir"] {
        assert_eq!(place.run(["backup", &of_files, option, &disk]).code, 2, "{option}");
    }
}
