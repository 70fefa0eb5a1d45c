//! Databases with their sums.

use keepsum::report::DatabaseReport;

use super::table::{Align, Table};
use super::text::{Bytes, Number, printable};

/// A table of databases with whole checksums, so that two pages can be compared by eye or by `diff`;
/// nothing where there are none, and their names alone where nothing else is known.
pub(super) fn table(databases: &[DatabaseReport]) -> String {
    if databases.is_empty() {
        return String::new();
    }
    if databases.iter().all(|database| database.records.is_none()) {
        let names: Vec<&str> = databases.iter().map(|database| database.name.as_str()).collect();
        return format!("databases: {}\n", printable(&names.join(", ")));
    }
    let mut table = Table::new([
        ("DATABASE", Align::Left),
        ("RECORDS", Align::Right),
        ("SIZE", Align::Right),
        ("LTHASH", Align::Left),
    ]);
    for database in databases {
        table.row([
            database.name.clone(),
            database.records.map_or_else(unknown, |records| Number(records).to_string()),
            database.bytes.map_or_else(unknown, |bytes| Bytes(bytes).to_string()),
            database.lthash.clone().unwrap_or_else(unknown),
        ]);
    }
    table.to_string()
}

/// What stands for a figure that nobody knows.
pub(super) fn unknown() -> String {
    "-".to_owned()
}
