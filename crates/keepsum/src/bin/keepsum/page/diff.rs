//! What `diff` prints.

use keepsum::report::{DatabaseDiff, DiffReport, RecordDiff};

use super::table::{Align, Table};
use super::text::{Number, printable};
use super::{Page, sections};

impl Page for DiffReport {
    fn page(&self) -> String {
        let mut table = Table::new([
            ("DATABASE", Align::Left),
            ("ADDED", Align::Right),
            ("REMOVED", Align::Right),
            ("CHANGED", Align::Right),
        ]);
        for database in &self.databases {
            let numbers = [database.added, database.removed, database.changed];
            let [added, removed, changed] = numbers.map(|number| Number(number).to_string());
            table.row([database.name.clone(), added, removed, changed]);
        }
        let records: String = self.databases.iter().map(records).collect();
        let verdict = if self.equal { "equal\n" } else { "different\n" };
        sections([table.to_string(), records, verdict.to_owned()])
    }
}

/// A line for each record: `+` added, `-` removed, `~` changed; root key and key in hexadecimal.
fn records(database: &DatabaseDiff) -> String {
    let name = printable(&database.name);
    let line = |record: &RecordDiff| {
        let sign = match record.change {
            "added" => '+',
            "removed" => '-',
            _ => '~',
        };
        let root = if record.root_key.is_empty() { "" } else { "/" };
        format!("{sign} {name}  {}{root}{}\n", record.root_key, record.key)
    };
    database.records.iter().flatten().map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_listed_below_the_counts() {
        let record = |change, root_key: &str| RecordDiff {
            change,
            root_key: root_key.to_owned(),
            key: "6b".to_owned(),
        };
        let report = DiffReport {
            databases: vec![DatabaseDiff {
                name: "users".to_owned(),
                added: 1000,
                removed: 0,
                changed: 1,
                records: Some(vec![record("added", ""), record("changed", "01")]),
            }],
            equal: false,
        };
        assert_eq!(
            report.page(),
            "DATABASE  ADDED  REMOVED  CHANGED\nusers     1,000        0        1\n\n\
             + users  6b\n~ users  01/6b\n\ndifferent\n"
        );
    }
}
