//! Several hosts and several stores in one repository: each gets its own back, or is told to choose.

use std::fs;

use serde_json::Value;

use crate::memory_file::{self, sample};
use crate::place::{Answer, Place};

/// Seen: a.db was lost, and b.db, which was backed up into the same repository, was put in its place.
#[test]
fn one_host_with_two_stores() {
    let place = Place::new();
    for (name, records) in [("a.bcs", 10), ("b.bcs", 20)] {
        memory_file::write(&place.path(name), &sample(records));
        place.run(["backup", &place.memory(name)]).done();
    }
    let lost = fs::read(place.path("a.bcs")).unwrap();
    fs::remove_file(place.path("a.bcs")).unwrap();
    let (a, b) = (place.memory("a.bcs"), place.memory("b.bcs"));
    for args in [["restore", "latest", &a], ["show", "latest", "-q"], ["prove", "latest", "-q"]] {
        place.run(args).fails(5, &[&a, &b, "1 snapshot", "--name", "--host", "--source"]);
    }
    assert!(!place.path("a.bcs").exists());
    place.run(["export", "@2099-01-01", &place.text("out.bcs")]).fails(5, &[&a, &b]);

    // A start without a word takes the target's own.
    place.run(["restore", "latest", &a, "--if-missing"]).done();
    assert_eq!(fs::read(place.path("a.bcs")).unwrap(), lost);
    // The location as it was given, and as `snapshots` prints it.
    for (source, records) in [("memory:b.bcs", 20), (a.as_str(), 10)] {
        let shown = place.json(["show", "latest", "--source", source]);
        assert_eq!(shown["databases"][0]["records"], records, "{source}");
    }
    // A snapshot beside a store is one of that store.
    for store in [&a, &b] {
        assert_eq!(place.json(["diff", "latest", store])["equal"], true, "{store}");
        assert_eq!(place.json(["diff", store, "latest"])["equal"], true, "{store}");
    }
    place.run(["restore", "latest", &place.memory("copy.bcs"), "--source", &b]).done();
    assert_eq!(fs::read(place.path("copy.bcs")).unwrap(), fs::read(place.path("b.bcs")).unwrap());
}

#[test]
fn two_hosts_with_one_path() {
    let place = Place::new();
    let store = place.memory("store.bcs");
    for (host, records) in [("one", 10), ("two", 20), ("two", 30)] {
        memory_file::write(&place.path("store.bcs"), &sample(records));
        place.run(["backup", &store, "--host", host, "--label", &format!("l{records}")]).done();
    }
    place.run(["show", "latest"]).fails(5, &["host one", "host two", "2 snapshots"]);
    let records = |args: &[&str]| {
        let shown = place.json(["show", "latest"].iter().chain(args));
        shown["databases"][0]["records"].as_u64().unwrap()
    };
    assert_eq!(records(&["--host", "one"]), 10);
    assert_eq!(records(&["--host", "two"]), 30);
    assert_eq!(records(&["--label", "l20"]), 20);
    place.run(["show", "latest", "--host", "three"]).fails(4, &["host three"]);
    place.run(["show", "latest", "--host", "one", "--label", "l20"]).fails(4, &["l20"]);
    // An id needs no selector, and one that says otherwise is told.
    let id =
        place.json(["show", "latest", "--host", "one"])["snapshot"].as_str().unwrap().to_owned();
    place.run(["show", &id]).done();
    place.run(["show", &id[..8], "--host", "one"]).done();
    place.run(["show", &id, "--host", "two"]).fails(2, &[&id, "host one", "not of host two"]);
    // The target of a start is of this host, which is neither of them.
    fs::remove_file(place.path("store.bcs")).unwrap();
    let start = place.run(["restore", "latest", &store, "--if-missing"]);
    start.fails(5, &["host one", "host two", "--name", "--host"]);
    assert!(!place.path("store.bcs").exists());
    place.run(["restore", "latest", &store, "--if-missing", "--host", "two"]).done();
}

/// An application that starts for the first time gets nothing of another one, and is not told that there is
/// nothing before somebody has said which one it is.
#[test]
fn the_first_start_where_only_another_application_is() {
    let place = Place::new();
    let own = place.memory("own.bcs");
    let start = ["restore", "latest", &own, "--if-missing"];
    place.run(start).fails(4, &["no snapshot"]);
    memory_file::write(&place.path("other.bcs"), &sample(10));
    place.run(["backup", &place.memory("other.bcs")]).done();
    place.run(start).fails(5, &[&own, &place.memory("other.bcs"), "--name", "--host"]);
    let mut named = place.command(start);
    Answer::of(&named.env("KEEPSUM_NAME", "app").output().unwrap()).fails(4, &["app"]);
    assert!(!place.path("own.bcs").exists());
}

/// Each start of a container has another host name and another folder; the name says that it is one source.
#[test]
fn a_container_with_a_new_host_name_at_each_start() {
    let place = Place::new();
    let run = |args: &[&str]| {
        let mut command = place.command(args);
        Answer::of(&command.env("KEEPSUM_NAME", "app").arg("--json").output().unwrap())
    };
    memory_file::write(&place.path("other.bcs"), &sample(7));
    place.run(["backup", &place.memory("other.bcs")]).done();
    let mut before = None;
    for start in 1..=3_u64 {
        let store = place.memory(&format!("start-{start}.bcs"));
        let restored = run(&["restore", "latest", &store, "--if-missing"]);
        match before {
            None => drop(restored.fails(4, &["app"])),
            Some(records) => {
                assert_eq!(restored.done().json()["databases"][0]["records"], records);
            }
        }
        memory_file::write(&place.path(&format!("start-{start}.bcs")), &sample(30_000 + start));
        let host = format!("container-{start}");
        let stored = run(&["backup", &store, "--host", &host]).done().json();
        // What the container before stored is built on.
        let figure = |name: &str| stored[name].as_u64().unwrap();
        assert!(start == 1 || figure("reused_bytes") > 0, "{stored}");
        before = Some(30_000 + start);
    }
    // Named or not, an id is what it is.
    let list = place.json(["snapshots"]);
    let other = list[0]["snapshot"].as_str().unwrap();
    run(&["restore", other, &place.memory("by-id.bcs")]).done();
    let of_app = place.json(["snapshots", "--name", "app", "--last", "2"]);
    let hosts: Vec<_> = of_app.as_array().unwrap().iter().map(|s| &s["host"]).collect();
    assert_eq!(hosts, ["container-2", "container-3"]);
    let table = place.run(["snapshots"]).done().stdout;
    assert!(table.contains("\napp\n") || table.starts_with("app\n"), "{table}");
}

/// The size and what was added stand in the catalog: the table is made without a manifest.
#[test]
fn sizes_are_listed_without_a_manifest() {
    let place = Place::with_snapshot();
    let store = place.memory("store.bcs");
    let stored = place.json(["backup", &store]);
    let list = place.json(["snapshots"]);
    let [first, second] = list.as_array().unwrap().as_slice() else { panic!("{list}") };
    assert_eq!(first["bytes"], first["databases"][0]["bytes"]);
    assert_eq!(second["added_bytes"], stored["uploaded_bytes"]);
    assert!(second["added_bytes"].as_u64() < first["added_bytes"].as_u64(), "{list}");
    assert!(first["entry"].as_u64() < second["entry"].as_u64(), "{list}");
    for mark in ["ahead_of_clock", "clock_ran_backward"] {
        assert_eq!(second[mark], Value::Bool(false));
    }
    fs::remove_dir_all(place.path("repo/objects")).unwrap();
    let table = place.run(["snapshots"]).done();
    assert!(table.stdout.contains("SIZE") && table.stdout.contains("ADDED"), "{table:?}");
    assert!(table.stdout.starts_with(&format!("{store} of ")), "{table:?}");
    assert_eq!(table.stderr, "");
}

/// A service's home, or a container's with a read-only root.
#[test]
fn a_home_that_cannot_be_written() {
    let place = Place::with_snapshot();
    let store = place.memory("store.bcs");
    let copy = place.memory("copy.bcs");
    fs::write(place.path("home"), "a file, below which no folder can be made").unwrap();
    let commands: [&[&str]; 7] = [
        &["snapshots"],
        &["show", "latest"],
        &["verify"],
        &["status"],
        &["backup", &store],
        &["restore", "latest", &copy],
        &["diff", "latest", &store],
    ];
    for args in commands {
        let mut command = place.command(args);
        command.env_remove("KEEPSUM_STATE").env_remove("XDG_STATE_HOME");
        let answer = Answer::of(&command.env("HOME", place.path("home")).output().unwrap()).done();
        let said = answer.stderr.lines().filter(|line| line.contains("KEEPSUM_STATE")).count();
        assert_eq!(said, 1, "{args:?}: {answer:?}");
    }
}
