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
        let differing: Vec<&DatabaseDiff> = self.databases.iter().filter(|d| differs(d)).collect();
        for database in &differing {
            let numbers = [database.added, database.removed, database.changed];
            let [added, removed, changed] = numbers.map(|number| Number(number).to_string());
            table.row([database.name.clone(), added, removed, changed]);
        }
        let (some, all) = (differing.len(), self.databases.len());
        if some == 0 {
            return format!("equal; databases compared: {all}\n");
        }
        let records = self.databases.iter().map(records).collect();
        let verdict = format!("different; databases that differ: {some} of {all}\n");
        sections([table.to_string(), records, verdict])
    }
}

fn differs(database: &DatabaseDiff) -> bool {
    database.added + database.removed + database.changed > 0
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
    fn equal_databases_are_only_counted() {
        let same =
            DatabaseDiff { name: "a".to_owned(), added: 0, removed: 0, changed: 0, records: None };
        let report = DiffReport { databases: vec![same], equal: true };
        assert_eq!(report.page(), "equal; databases compared: 1\n");
    }

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
             + users  6b\n~ users  01/6b\n\ndifferent; databases that differ: 1 of 1\n"
        );
    }
}
