//! What `snapshots`, `show`, `prove` and `hash` print.

use keepsum::report::{HashReport, ShowReport, SnapshotReport};

use super::Page;
use super::databases::{self, unknown};
use super::sections;
use super::table::{Align, Facts, Table};
use super::text::{Bytes, Number, id_digits, short};

impl Page for [SnapshotReport] {
    fn page(&self) -> String {
        if self.is_empty() {
            return "no snapshots yet; make one with `keepsum backup SOURCE`\n".to_owned();
        }
        let digits = id_digits(self.iter().map(|snapshot| snapshot.snapshot.as_str()));
        let mut table = Table::new([
            ("SNAPSHOT", Align::Left),
            ("CREATED", Align::Left),
            ("SHAPE", Align::Left),
            ("DATABASES", Align::Right),
            ("RECORDS", Align::Right),
            ("SIZE", Align::Right),
            ("LABEL", Align::Left),
            ("HOST", Align::Left),
            ("SOURCE", Align::Left),
        ]);
        for snapshot in self {
            let all = &snapshot.databases;
            let known = |figure: Option<u64>| figure.filter(|_| !all.is_empty());
            let records = known(databases::total(all, |database| database.records));
            let bytes = known(databases::total(all, |database| database.bytes));
            table.row([
                short(&snapshot.snapshot, digits).to_owned(),
                moment(&snapshot.created),
                snapshot.shape.to_owned(),
                if all.is_empty() { unknown() } else { all.len().to_string() },
                records.map_or_else(unknown, |records| Number(records).to_string()),
                bytes.map_or_else(unknown, |bytes| Bytes(bytes).to_string()),
                snapshot.label.clone().unwrap_or_default(),
                snapshot.host.clone(),
                snapshot.source.clone(),
            ]);
        }
        table.to_string()
    }
}

impl Page for ShowReport {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        facts.add("snapshot", &self.summary.snapshot);
        facts.add("created", moment(&self.summary.created));
        facts.add("source", &self.summary.source);
        facts.add("host", &self.summary.host);
        facts.add_some("label", self.summary.label.as_ref());
        facts.add_some("description", self.description.as_ref());
        facts.add("shape", format!("{}, {}", self.summary.shape, self.layout));
        facts.add("position", format!("{} ({})", self.position, self.consistency));
        facts.add("proof", proof(self.proof, self.proved_from));
        facts.add_some("LtHash", self.global_lthash.as_ref());
        if let (Some(files), Some(bytes)) = (self.files, self.files_bytes) {
            facts.add("files", format!("{} ({})", Number(files), Bytes(bytes)));
        }
        sections([facts.to_string(), databases::table(&self.summary.databases)])
    }
}

impl Page for HashReport {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        facts.add_some("LtHash", self.global_lthash.as_ref());
        facts.add("position", &self.position);
        sections([databases::table(&self.databases), facts.to_string()])
    }
}

/// `logical, from the source`.
pub(super) fn proof(proof: &str, from: Option<&str>) -> String {
    from.map_or_else(|| proof.to_owned(), |from| format!("{proof}, from the {from}"))
}

/// `2026-11-21 12:31:29Z`: RFC 3339 also allows a space, which reads better.
fn moment(created: &str) -> String {
    created.replacen('T', " ", 1)
}
