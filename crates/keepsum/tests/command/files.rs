//! The durable files of any engine: `files:PATH`.

use std::fs;

use crate::place::{Place, files_below};

fn application(place: &Place) -> String {
    fs::create_dir_all(place.path("app/data")).unwrap();
    fs::write(place.path("app/data/one.dat"), b"one").unwrap();
    fs::write(place.path("app/data/two.dat"), vec![2; 300_000]).unwrap();
    fs::write(place.path("app/lock.tmp"), b"").unwrap();
    format!("files:{}", place.text("app"))
}

#[test]
fn a_folder_comes_back_as_it_was() {
    let place = Place::new();
    let source = application(&place);
    let made = place.json(["backup", &source]);
    assert_eq!((&made["shape"], &made["proof"]), (&"files".into(), &"physical".into()));
    assert_eq!(made["databases"], serde_json::json!([]));
    let done = place.json(["restore", "latest", &format!("files:{}", place.text("back"))]);
    assert_eq!((&done["files"], &done["proved"]), (&3.into(), &"physical".into()));
    for file in files_below(&place.path("app")) {
        let copy = place.path("back").join(file.strip_prefix(place.path("app")).unwrap());
        assert_eq!(fs::read(&copy).unwrap(), fs::read(&file).unwrap(), "{}", copy.display());
    }
}

#[test]
fn patterns_choose_the_files() {
    let place = Place::new();
    let source = application(&place);
    let args = ["backup", &source, "--include", "data/*", "--exclude", "**/*two*"];
    place.run(args).done();
    let done = place.json(["restore", "latest", &format!("files:{}", place.text("back"))]);
    assert_eq!(done["files"], 1);
    assert_eq!(fs::read(place.path("back/data/one.dat")).unwrap(), b"one");
}

#[test]
fn the_quiesce_command_gives_the_position_and_the_pause_is_told() {
    let place = Place::new();
    let source = application(&place);
    let log = place.text("phases");
    let command = format!("echo \"$KEEPSUM_PHASE\" >> {log}; echo 42");
    let made = place.json(["backup", &source, "--quiesce", &command]);
    assert_eq!(made["position"], "log 42");
    assert!(made["pause_seconds"].is_number(), "{made}");
    assert_eq!(fs::read_to_string(log).unwrap(), "pause\nresume\n");
}

#[test]
fn a_quiesce_command_that_fails_fails_the_backup() {
    let place = Place::new();
    let source = application(&place);
    let answer = place.run(["backup", &source, "--quiesce", "echo busy >&2; exit 7"]);
    answer.fails(1, &["quiesce", "busy"]);
    assert_eq!(place.json(["snapshots"]), serde_json::json!([]));
}
