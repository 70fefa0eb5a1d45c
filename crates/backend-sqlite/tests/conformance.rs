//! A store's file on the suite of every backend.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod place;

use testkit::conformance;

use place::Sqlite;

#[test]
fn conforms() {
    conformance::run(&Sqlite);
}
