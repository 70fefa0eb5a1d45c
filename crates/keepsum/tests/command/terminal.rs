//! What goes to standard output and what to standard error, and in which form.

use std::process::Stdio;

use crate::memory_file::{self, sample};
use crate::place::{Answer, Place};

#[test]
fn results_go_to_standard_output_alone() {
    let place = Place::with_snapshot();
    let answer = place.run(["snapshots"]).done();
    assert_eq!(answer.stderr, "");
    let mut lines = answer.stdout.lines();
    assert!(lines.next().unwrap().starts_with(&place.memory("store.bcs")));
    assert!(lines.next().unwrap().starts_with("SNAPSHOT"));
    let row = lines.next().unwrap();
    assert!(row.contains("records") && row.contains("KiB"), "{row}");
    assert_eq!(row.split_whitespace().next().unwrap().len(), 12);
}

#[test]
fn quiet_says_nothing_but_the_result() {
    let place = Place::with_snapshot();
    let answer = place.run(["-q", "backup", &place.memory("store.bcs")]).done();
    assert_eq!(answer.stderr, "");
    assert!(answer.stdout.starts_with("snapshot"), "{answer:?}");
}

#[test]
fn progress_as_json_is_a_document_a_line() {
    let place = Place::with_snapshot();
    let args = ["backup", &place.memory("store.bcs"), "--progress", "json", "--json", "--fresh"];
    let answer = place.run(args).done();
    answer.json();
    let events: Vec<serde_json::Value> =
        answer.stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let of = |kind: &str| events.iter().filter(|event| event["event"] == kind).count();
    assert!(of("phase") > 0, "{events:?}");
    assert_eq!(of("phase"), of("done"), "{events:?}");
    assert!(events.iter().any(|event| event["event"] == "done" && event["records"] == 300));
}

#[test]
fn verbose_logs_to_standard_error() {
    let place = Place::with_snapshot();
    let answer = place.run(["-v", "snapshots", "--json"]).done();
    assert!(answer.stderr.contains("INFO") && answer.stderr.contains("opening"), "{answer:?}");
    answer.json();
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let place = Place::with_snapshot();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = place.command(["show", "latest"]).stdout(writer).output().unwrap();
    let answer = Answer::of(&output);
    assert_eq!((answer.code, answer.stderr.as_str()), (0, ""));
}

#[test]
fn output_that_cannot_be_written_is_a_failure() {
    let place = Place::with_snapshot();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let output = place.command(["show", "latest"]).stdout(Stdio::from(full)).output().unwrap();
    Answer::of(&output).fails(1, &["standard output", "No space left"]);
}

#[test]
fn names_cannot_steer_the_terminal() {
    let place = Place::new();
    memory_file::write(&place.path("store.bcs"), &sample(1));
    let label = "red \u{1b}[31m\u{202e}";
    place.run(["backup", &place.memory("store.bcs"), "--label", label]).done();
    let answer = place.run(["snapshots"]).done();
    assert!(!answer.stdout.contains(['\u{1b}', '\u{202e}']), "{answer:?}");
    assert!(answer.stdout.contains(r"red \u{1b}[31m"), "{answer:?}");
    assert_eq!(place.json(["snapshots"])[0]["label"], label);
}

#[test]
fn secrets_of_an_address_are_not_repeated() {
    let place = Place::empty();
    let address = "https://someone:hunter2@example.org/backups?token=hunter3";
    for args in [vec!["snapshots", "--repo", address], vec!["-vvv", "init", "--repo", address]] {
        let answer = place.run(&args).fails(5, &["example.org"]);
        assert!(!answer.stderr.contains("hunter"), "{answer:?}");
    }
    let mut help = place.command(["--help"]);
    let answer = Answer::of(&help.env("KEEPSUM_REPO", address).output().unwrap());
    assert!(!answer.stdout.contains("hunter"), "{answer:?}");
}
