//! The protocol of a quiesce command.

use std::error::Error as _;
use std::fs;

use backend_files::{Quiesce, QuiesceCommand};
use backup_core::position::Position;

fn command(line: &str) -> QuiesceCommand {
    QuiesceCommand::new(line, "/the/store")
}

#[test]
fn the_first_line_of_pause_is_the_position() {
    let position = |line| command(line).pause().unwrap();
    assert_eq!(position("echo 12345"), Position::Log(12_345));
    assert_eq!(position("echo checkpoint 7; echo more"), Position::Named("checkpoint 7".into()));
    assert_eq!(position("printf '  spaced  '"), Position::Named("spaced".into()));
    assert_eq!(position("true"), Position::Unknown);
    // What only looks like a number keeps its form.
    assert_eq!(position("echo 00042"), Position::Named("00042".into()));
    assert_eq!(position("echo +42"), Position::Named("+42".into()));
    assert_eq!(position("echo 99999999999999999999"), Position::Named("9".repeat(20)));
}

#[test]
fn it_is_told_the_phase_and_the_folder() {
    let said = |line| command(line).pause().unwrap();
    assert_eq!(said("echo $KEEPSUM_PHASE"), Position::Named("pause".into()));
    assert_eq!(said("echo $KEEPSUM_SOURCE"), Position::Named("/the/store".into()));
    command("test $KEEPSUM_PHASE = resume").resume().unwrap();
}

#[test]
fn a_failure_tells_the_phase_the_code_and_what_it_said() {
    let error = command("echo the lock is held >&2; exit 3").pause().unwrap_err();
    assert_eq!(error.to_string(), "files: cannot run the quiesce command with KEEPSUM_PHASE=pause");
    let cause = error.source().unwrap().to_string();
    assert_eq!(cause, r#"exit status: 3; it said: "the lock is held""#);
    let error = command("kill -9 $$").resume().unwrap_err();
    assert!(error.to_string().ends_with("KEEPSUM_PHASE=resume"), "{error}");
    assert!(error.source().unwrap().to_string().contains("signal: 9"));
}

/// The error does not repeat the command line, which may hold a password.
#[test]
fn an_error_does_not_print_the_command() {
    let error = command("exit 1 # --password=secret").pause().unwrap_err();
    let text = format!("{error} {}", error.source().unwrap());
    assert!(!text.contains("secret"), "{text}");
}

/// A session that holds a lock goes on until `resume`, with the command's output still open.
#[test]
fn a_process_left_behind_does_not_hold_up_the_pause() {
    let folder = tempfile::tempdir().unwrap();
    let pid = folder.path().join("pid");
    let line = format!(
        "if [ $KEEPSUM_PHASE = pause ]; then sleep 60 & echo $! > {0}; echo held; \
         else kill $(cat {0}); fi",
        pid.display()
    );
    let quiesce = command(&line);
    assert_eq!(quiesce.pause().unwrap(), Position::Named("held".into()));
    let session = fs::read_to_string(&pid).unwrap();
    let process = format!("/proc/{}/stat", session.trim());
    let runs = || fs::read_to_string(&process).is_ok_and(|stat| !stat.contains(") Z "));
    assert!(runs(), "the session ended before the resume");
    quiesce.resume().unwrap();
    let ended = (0..100).any(|_| {
        std::thread::sleep(std::time::Duration::from_millis(20));
        !runs()
    });
    assert!(ended, "the session outlived the resume");
}

#[test]
fn much_output_neither_blocks_nor_fills_memory() {
    let position = command("yes position | head -c 3000000").pause().unwrap();
    assert_eq!(position, Position::Named("position".into()));
    let long = command("head -c 3000000 /dev/zero | tr '\\0' x").pause().unwrap();
    assert_eq!(long, Position::Named("x".repeat(4096)));
}
