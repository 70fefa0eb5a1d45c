//! What a script learns from the exit code, and where the repository may be named.

use crate::memory_file::{self, sample};
use crate::place::Place;

#[test]
fn success_is_0_also_for_a_difference() {
    let place = Place::with_snapshot();
    memory_file::write(&place.path("store.bcs"), &sample(3));
    let answer = place.run(["diff", "latest", &place.memory("store.bcs")]).done();
    assert!(answer.stdout.contains("\ndifferent;"), "{answer:?}");
}

#[test]
fn a_store_that_cannot_be_read_is_1() {
    let place = Place::new();
    let answer = place.run(["backup", &place.memory("none.bcs")]);
    answer.fails(1, &[&place.text("none.bcs"), "does not exist"]);
}

#[test]
fn wrong_usage_is_2() {
    let place = Place::new();
    for args in [
        vec!["backup"],
        vec!["backup", "memory:x.bcs", "--records", "--files"],
        vec!["restore", "latest"],
        vec!["restore", "latest", "memory:x.bcs", "--as", "y"],
        vec!["verify", "--level", "deep"],
        vec!["no-such-command"],
        vec!["snapshots", "--quiet", "--verbose"],
        vec!["show", "not hexadecimal"],
        vec!["show", "@yesterday"],
    ] {
        place.run(&args).fails(2, &[]);
    }
}

#[test]
fn nothing_given_is_2_and_shows_the_help() {
    let answer = Place::empty().run::<&str>([]);
    assert_eq!(answer.code, 2);
    assert!(answer.stderr.contains("Usage: keepsum"), "{answer:?}");
}

#[test]
fn damage_is_3() {
    let place = Place::with_snapshot();
    std::fs::remove_dir_all(place.path("repo/objects")).unwrap();
    let answer = place.run(["verify"]);
    assert_eq!(answer.code, 3, "{answer:?}");
    assert!(answer.stdout.contains("missing"), "{answer:?}");
}

#[test]
fn no_such_snapshot_is_4() {
    let place = Place::new();
    for spec in ["latest", "0123456789ab", "@2020-01-01"] {
        place.run(["show", spec]).fails(4, &["no snapshot", "keepsum snapshots"]);
    }
}

#[test]
fn refusals_are_5() {
    let place = Place::with_snapshot();
    std::fs::write(place.path("taken.bcs"), b"x").unwrap();
    let answer = place.run(["restore", "latest", &place.memory("taken.bcs")]);
    answer.fails(5, &[&place.text("taken.bcs"), "not empty"]);
    place.run(["init"]).fails(5, &["already is a keepsum repository"]);
}

#[test]
fn the_repository_may_stand_anywhere() {
    let place = Place::with_snapshot();
    let repo = place.text("repo");
    for args in [
        ["--repo", &repo, "snapshots", "--json"],
        ["snapshots", "--repo", &repo, "--json"],
        ["--json", "snapshots", "--repo", &repo],
    ] {
        let output = place.command(args).env_remove("KEEPSUM_REPO").output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        let list: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(list.as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_snapshot_is_found_by_prefix_and_by_time() {
    let place = Place::with_snapshot();
    let id = place.json(["show", "latest"])["snapshot"].as_str().unwrap().to_owned();
    for spec in [&id[..1], &id[..12], &id, "@2999-01-01"] {
        assert_eq!(place.json(["show", spec])["snapshot"], id.as_str(), "{spec}");
    }
}

#[test]
fn every_command_has_help_with_an_example_and_none_is_unbuilt() {
    let place = Place::empty();
    let help = place.run(["--help"]).done().stdout;
    for name in [
        "init",
        "backup",
        "snapshots",
        "show",
        "verify",
        "prove",
        "restore",
        "diff",
        "hash",
        "convert",
        "export",
        "import",
        "status",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {name}")), "{name}");
        let own = place.run([name, "--help"]).done().stdout;
        assert!(own.contains(&format!("\n  keepsum {name}")), "{name}: {own}");
    }
    for name in ["sql", "replicate", "forget", "prune", "keys"] {
        assert!(!help.contains(&format!("\n  {name}")), "{name}");
    }
}

#[test]
fn completions_are_made_for_each_shell() {
    let place = Place::empty();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = place.run(["completions", shell]).done().stdout;
        assert!(script.contains("keepsum") && script.contains("snapshots"), "{shell}");
    }
}
