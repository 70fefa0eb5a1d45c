//! What `status` and `init` print.

use keepsum::report::StatusReport;
use serde::Serialize;

use super::table::{Align, Facts, Table};
use super::text::{Bytes, Number};
use super::{Page, sections};

/// A repository that has just been made.
#[derive(Serialize)]
#[serde(transparent)]
pub(crate) struct Made(pub(crate) StatusReport);

impl Page for Made {
    fn page(&self) -> String {
        let Self(report) = self;
        let mut facts = Facts::default();
        facts.add("made", &report.repository);
        facts.add("id", &report.id);
        facts.to_string()
    }
}

impl Page for StatusReport {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        facts.add("repository", &self.repository);
        facts.add("id", &self.id);
        facts.add("entry", Number(self.catalog_entry));
        facts.add("snapshots", Number(self.snapshots as u64));
        facts.add_some("newest", self.newest.as_ref());
        facts.add(
            "stored",
            format!("{} in {} objects", Bytes(self.stored_bytes), Number(self.objects)),
        );
        let mut pins = Table::new([
            ("UNDER WAY SINCE", Align::Left),
            ("HOST", Align::Left),
            ("SOURCE", Align::Left),
        ]);
        for pin in &self.pins {
            pins.row([pin.since.clone(), pin.host.clone(), pin.source.clone()]);
        }
        let pins = if self.pins.is_empty() { String::new() } else { pins.to_string() };
        sections([facts.to_string(), pins])
    }
}
