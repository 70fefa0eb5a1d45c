//! Ctrl-C and SIGTERM. The quiesce command runs at a known moment of a backup, so it sends them.

use std::fs;

use crate::place::Place;

const STOPPING: &str = "stopping; nothing is half-written; press Ctrl-C again to stop at once";

fn application(place: &Place) -> String {
    fs::create_dir(place.path("app")).unwrap();
    fs::write(place.path("app/data"), vec![1; 100_000]).unwrap();
    format!("files:{}", place.text("app"))
}

/// A command that sends `signal` to keepsum while it pauses the store, and waits until it is seen.
fn sending(signal: &str) -> String {
    format!("if [ $KEEPSUM_PHASE = pause ]; then kill -{signal} $PPID; sleep 0.5; fi")
}

#[test]
fn the_first_signal_stops_cleanly_and_the_same_command_goes_on() {
    for signal in ["INT", "TERM"] {
        let place = Place::new();
        let source = application(&place);
        let answer = place.run(["backup", &source, "--quiesce", &sending(signal)]);
        assert_eq!(answer.code, 1, "{signal}: {answer:?}");
        let lines: Vec<&str> = answer.stderr.lines().collect();
        assert_eq!(lines.first(), Some(&STOPPING), "{signal}: {answer:?}");
        assert!(lines.last().unwrap().starts_with("keepsum: cancelled"), "{signal}: {answer:?}");
        assert_eq!(place.json(["snapshots"]), serde_json::json!([]), "{signal}");
        place.run(["backup", &source]).done();
        place.run(["verify", "--level", "full"]).done();
    }
}

#[test]
fn the_second_signal_ends_it_at_once() {
    let place = Place::new();
    let source = application(&place);
    let command = "kill -INT $PPID; sleep 0.5; kill -INT $PPID; exec sleep 30";
    let mut waiting = place.command(["backup", &source, "--quiesce", command]);
    let started = std::fs::metadata(place.path("app")).unwrap().modified().unwrap();
    let output = waiting.output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    // A file that is made now tells the time, without a clock.
    fs::write(place.path("now"), b"").unwrap();
    let now = fs::metadata(place.path("now")).unwrap().modified().unwrap();
    assert!(now.duration_since(started).unwrap().as_secs() < 25);
    place.run(["backup", &source]).done();
}
