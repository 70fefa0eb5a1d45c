//! What `snapshots`, `show`, `prove` and `hash` print.

use std::collections::BTreeMap;

use keepsum::report::{HashReport, ShowReport, SnapshotReport};
use serde::Serialize;

use super::table::{Align, Facts, Table};
use super::text::{Bytes, Number, id_digits, printable, short};
use super::{Page, databases, sections};

/// The snapshots that were asked for.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Listed {
    /// In the order of the catalog.
    pub(crate) snapshots: Vec<SnapshotReport>,
    /// Whether only some were asked for.
    #[serde(skip)]
    pub(crate) selected: bool,
}

impl Page for Listed {
    fn page(&self) -> String {
        if self.snapshots.is_empty() {
            let none = if self.selected {
                "no such snapshots; `keepsum snapshots` alone lists all\n"
            } else {
                "no snapshots yet; make one with `keepsum backup SOURCE`\n"
            };
            return none.to_owned();
        }
        let ids = self.snapshots.iter().map(|snapshot| snapshot.snapshot.as_str());
        let digits = id_digits(ids);
        let mut sources: BTreeMap<_, Vec<&SnapshotReport>> = BTreeMap::new();
        for snapshot in &self.snapshots {
            let SnapshotReport { name, source, host, .. } = snapshot;
            let place = name.is_none().then_some((source, host));
            sources.entry((name, place)).or_default().push(snapshot);
        }
        sections(sources.into_values().map(|of_source| source(&of_source, digits)))
    }
}

/// The snapshots of one source, below what it is called. What is named may be in several places.
fn source(snapshots: &[&SnapshotReport], digits: usize) -> String {
    let columns = [
        ("SNAPSHOT", Align::Left),
        ("CREATED", Align::Left),
        ("SHAPE", Align::Left),
        ("SIZE", Align::Right),
        ("ADDED", Align::Right),
        ("LABEL", Align::Left),
    ];
    let cells = |snapshot: &SnapshotReport| {
        [
            short(&snapshot.snapshot, digits).to_owned(),
            format!("{}{}", moment(&snapshot.created), odd(snapshot)),
            snapshot.shape.to_owned(),
            Bytes(snapshot.bytes).to_string(),
            Bytes(snapshot.added_bytes).to_string(),
            snapshot.label.clone().unwrap_or_default(),
        ]
    };
    let place = |snapshot: &SnapshotReport| format!("{} of {}", snapshot.source, snapshot.host);
    match &snapshots[0].name {
        None => {
            let mut table = Table::new(columns);
            for snapshot in snapshots {
                table.row(cells(snapshot));
            }
            format!("{}\n{table}", printable(&place(snapshots[0])))
        }
        Some(name) => {
            let mut table = Table::new(with_last(columns, ("FROM", Align::Left)));
            for snapshot in snapshots {
                table.row(with_last(cells(snapshot), place(snapshot)));
            }
            format!("{}\n{table}", printable(name))
        }
    }
}

fn with_last<T>(columns: [T; 6], last: T) -> [T; 7] {
    let mut all = columns.into_iter().chain([last]);
    std::array::from_fn(|_| all.next().expect("one more than there were"))
}

/// What is odd about a time, if anything is.
fn odd(snapshot: &SnapshotReport) -> &'static str {
    match (snapshot.ahead_of_clock, snapshot.clock_ran_backward) {
        (true, true) => " (ahead of this clock, and before the last)",
        (true, false) => " (ahead of this clock)",
        (false, true) => " (before the last)",
        (false, false) => "",
    }
}

impl Page for ShowReport {
    fn page(&self) -> String {
        let summary = &self.summary;
        let mut facts = Facts::default();
        facts.add("snapshot", &summary.snapshot);
        facts.add("created", format!("{}{}", moment(&summary.created), odd(summary)));
        facts.add_some("name", summary.name.as_ref());
        facts.add("source", &summary.source);
        facts.add("host", &summary.host);
        facts.add_some("label", summary.label.as_ref());
        facts.add_some("description", self.description.as_ref());
        facts.add("size", Bytes(summary.bytes));
        facts.add("added", Bytes(summary.added_bytes));
        facts.add("shape", format!("{}, {}", summary.shape, self.layout));
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
