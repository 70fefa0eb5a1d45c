//! A real service is killed in the middle of a backup, and starts again over what it kept.

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use testkit::s3::{BUCKET, Service, variables};

use crate::place::{Answer, Place, files_below};

/// What is backed up: so much that the kill comes in the middle.
const FILES: u64 = 48;
const FILE_BYTES: usize = 1 << 20;

/// How much the service has when it is killed.
const HALF: u64 = (FILES / 2) << 20;

/// Nothing stands between the command and SeaweedFS, which needs some 20 s to come back.
#[test]
fn a_backup_outlives_a_service_that_is_killed() {
    let Some(mut server) = Service::SeaweedFs.start() else { return };
    let place = Place::empty();
    let prepared = |args: &[&str]| {
        let mut command = place.command(args);
        command.env("KEEPSUM_REPO", format!("s3://{BUCKET}/restart"));
        command.envs(variables(&server.url()));
        command
    };
    let [mut init, mut backup, mut verify, mut restore] = [
        prepared(&["init"]),
        prepared(&["backup", &format!("files:{}", place.text("app"))]),
        prepared(&["verify", "--level", "full"]),
        prepared(&["restore", "latest", &format!("files:{}", place.text("back"))]),
    ];
    fs::create_dir(place.path("app")).unwrap();
    for number in 0..FILES {
        let file = place.path("app").join(format!("{number}.dat"));
        fs::write(file, testkit::noise(number, FILE_BYTES)).unwrap();
    }
    Answer::of(&init.output().unwrap()).done();

    let before = server.kept();
    let child = backup.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    while server.kept() - before < HALF {
        std::thread::sleep(Duration::from_millis(2));
    }
    server.kill();
    server.start_again();
    let answer = Answer::of(&child.wait_with_output().unwrap()).done();
    assert!(answer.stderr.contains("it is waited for, "), "{answer:?}");
    assert!(answer.stderr.contains("answers again"), "{answer:?}");

    let report = Answer::of(&verify.output().unwrap()).done();
    assert!(report.stdout.contains("everything is there and whole"), "{report:?}");
    Answer::of(&restore.output().unwrap()).done();
    let files = files_below(&place.path("app"));
    assert_eq!(files.len() as u64, FILES);
    for file in files {
        let copy = place.path("back").join(file.strip_prefix(place.path("app")).unwrap());
        assert!(fs::read(&copy).unwrap() == fs::read(&file).unwrap(), "{}", copy.display());
    }
}
