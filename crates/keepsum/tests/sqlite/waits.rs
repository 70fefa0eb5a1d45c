//! Writers that leave little room for a reader are waited for.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use rusqlite::Connection;

use crate::place::{Place, SHAPES};
use crate::writer::make;

/// Refused after 0.12 seconds: five beginnings, each of which the next commit spoiled.
#[test]
fn a_writer_every_twenty_milliseconds_with_a_rollback_journal() {
    let place = Place::new();
    let database = place.path("source/app.db");
    make(&database, "delete");
    // Enough that a commit comes before the end of what is sent.
    let connection = Connection::open(&database).unwrap();
    connection
        .execute_batch("CREATE TABLE more(x); INSERT INTO more VALUES(randomblob(12000000))")
        .unwrap();
    connection.busy_timeout(Duration::from_secs(20)).unwrap();
    let done = &AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(move || {
            while !done.load(Ordering::Acquire) {
                connection
                    .execute_batch("UPDATE account SET balance = balance WHERE id = 7")
                    .unwrap();
                thread::sleep(Duration::from_millis(20));
            }
        });
        let reports = SHAPES.map(|shape| place.back_up(&database, shape));
        done.store(true, Ordering::Release);
        for (report, name) in reports.into_iter().zip(["files.db", "records.db"]) {
            place.restore(&report.unwrap().snapshot, name);
        }
    });
}
