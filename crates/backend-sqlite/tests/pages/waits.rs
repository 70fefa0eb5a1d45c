//! Programs that are in the way are waited for, as long as is asked and no longer.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use backend_sqlite::pages::{Options, capture};
use backend_sqlite::{Patience, SqliteSource};
use backup_core::progress::{Context, Event, ProgressSink};
use backup_core::source::View;
use backup_core::{Error, Files, Source};
use pollster::FutureExt as _;
use rusqlite::Connection;

use crate::ground::{SUM, bytes_of, chain, look_into, make, now, options, place};

#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl ProgressSink for Notes {
    fn event(&self, event: &Event) {
        if let Event::Note(note) = event {
            self.0.lock().unwrap().push(note.clone());
        }
    }
}

fn source(path: &Path, seconds: f64) -> SqliteSource {
    let source = SqliteSource::path(path).unwrap().with_clock(Arc::new(now));
    source.wait_for(Duration::from_secs_f64(seconds))
}

/// Keeps readers out for a while, in a transaction that this process wrote a moment ago.
fn locked(path: &Path, seconds: f64) -> thread::JoinHandle<()> {
    let connection = Connection::open(path).unwrap();
    connection
        .execute_batch("PRAGMA journal_mode=MEMORY; BEGIN EXCLUSIVE; DELETE FROM log")
        .unwrap();
    thread::spawn(move || {
        thread::sleep(Duration::from_secs_f64(seconds));
        connection.execute_batch("COMMIT").unwrap();
    })
}

#[test]
fn a_writer_that_ends_in_time() {
    for view in [View::Files, View::Records, View::Both] {
        let (_folder, path) = place();
        drop(make(&path, "PRAGMA journal_mode=delete"));
        let notes = Arc::new(Notes::default());
        let context = Context::new(Arc::clone(&notes) as Arc<dyn ProgressSink>);
        let writer = locked(&path, 2.0);
        let taken = source(&path, 20.0).snapshot(view, &context).block_on();
        assert!(taken.is_ok(), "{view:?}: {}", chain(&taken.err().unwrap()));
        writer.join().unwrap();
        let said = notes.0.lock().unwrap();
        assert_eq!(said.len(), 1, "{said:?}");
        assert!(
            said[0].contains("waiting for a program") && said[0].contains("seconds"),
            "{said:?}"
        );
    }
}

#[test]
fn a_writer_that_does_not_end_is_refused_in_time() {
    for view in [View::Files, View::Records] {
        let (_folder, path) = place();
        drop(make(&path, "PRAGMA journal_mode=delete"));
        let writer = locked(&path, 3.0);
        let begun = now();
        let error =
            source(&path, 1.0).snapshot(view, &Context::default()).block_on().err().unwrap();
        let took = now().duration_since(begun).unwrap();
        assert!(matches!(error, Error::InUse { .. }), "{view:?}: {}", chain(&error));
        assert!(took >= Duration::from_millis(900), "{took:?}");
        writer.join().unwrap();
        source(&path, 1.0).snapshot(view, &Context::default()).block_on().map(drop).unwrap();
    }
}

#[test]
fn who_cancels_does_not_wait() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=delete"));
    let writer = locked(&path, 3.0);
    let context = Context::default();
    let other = context.clone();
    let canceller = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        other.cancel();
    });
    let error = source(&path, 60.0).snapshot(View::Files, &context).block_on().err().unwrap();
    assert!(matches!(error, Error::Cancelled), "{}", chain(&error));
    assert!(!writer.is_finished());
    canceller.join().unwrap();
    writer.join().unwrap();
}

/// A writer every 20 ms was between each two slices: no backup came to its end. After the first that was
/// spoiled, all is read under one lock, where that is short.
#[test]
fn a_writer_between_each_two_slices() {
    let (_folder, path) = place();
    let connection = make(&path, "PRAGMA journal_mode=delete");
    let write = || connection.execute_batch("UPDATE accounts SET balance = balance").unwrap();
    let options: Options = options();
    let first = capture(&path, &options, &Context::default()).unwrap();
    first.read(0, 0..4096).block_on().unwrap();
    write();
    assert!(matches!(first.read(0, 0..4096).block_on(), Err(Error::Changed { .. })));
    drop(first);
    let second = capture(&path, &options, &Context::default()).unwrap();
    assert!(second.pause().is_some());
    write();
    assert_eq!(look_into(&bytes_of(&second).unwrap()).sum, SUM);
    // It was read to its end: the next one begins as the first did.
    drop(second);
    let third = capture(&path, &options, &Context::default()).unwrap();
    assert!(third.pause().is_none());
}

/// One budget for all snapshots that follow one another because each was spoiled.
#[test]
fn what_was_spoiled_goes_on_with_the_time_that_is_left() {
    let (_folder, path) = place();
    drop(make(&path, "PRAGMA journal_mode=delete"));
    let connection = Connection::open(&path).unwrap();
    // Too large to be copied under one lock, so that the second snapshot can be spoiled as well.
    let large = "CREATE TABLE large(x); INSERT INTO large VALUES(zeroblob(70000000))";
    connection.execute_batch(large).unwrap();
    let options = Options { patience: Patience::of(Duration::from_secs(4)), ..options() };
    let spoil = || {
        let snapshot = capture(&path, &options, &Context::default()).unwrap();
        connection.execute_batch("UPDATE accounts SET balance = balance").unwrap();
        snapshot.read(0, 0..4096).block_on().unwrap_err();
    };
    spoil();
    thread::sleep(Duration::from_secs(3));
    spoil();
    let writer = locked(&path, 6.0);
    let begun = now();
    let error = capture(&path, &options, &Context::default()).unwrap_err();
    let took = now().duration_since(begun).unwrap();
    assert!(matches!(error, Error::InUse { .. }), "{}", chain(&error));
    assert!(took < Duration::from_secs(3), "{took:?}");
    writer.join().unwrap();
}
