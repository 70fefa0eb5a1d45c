//! Tables as databases, rows as records, and back.

#![expect(clippy::unwrap_used, reason = "a test fails where it cannot go on")]

mod apart;
mod conformance;
mod ground;
mod hostile;
mod long;
mod properties;
mod schema;
mod shapes;
mod streams;
mod unsound;
