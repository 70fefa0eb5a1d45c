//! What `restore`, `export` and `convert` print.

use keepsum::report::{AlreadyThere, LossReport, NotCarriedReport, RestoreReport};

use super::Page;
use super::table::{Align, Facts, Table};
use super::text::{Bytes, Number, Rate, Seconds};
use super::{databases, sections};

impl Page for RestoreReport {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        let done = match (self.dry_run, self.salvaged) {
            (true, _) => "would restore",
            (_, true) => "salvaged",
            _ => "restored",
        };
        facts.add(done, &self.snapshot);
        facts.add("into", &self.target);
        facts.add("shape", self.shape);
        facts.add_some("proved", self.proved);
        facts.add_some("LtHash", self.global_lthash.as_ref());
        facts.add_some("files", self.files.map(Number));
        facts.add_some("old one kept", self.kept_aside.as_ref());
        let databases = databases::table(&self.databases);
        let not_carried = not_carried(&self.not_carried);
        sections([facts.to_string(), databases, not_carried, losses(&self.losses), amount(self)])
    }
}

impl Page for AlreadyThere {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        facts.add("already there", &self.target);
        facts.to_string()
    }
}

/// What the new store did not get, a line each.
fn not_carried(parts: &[NotCarriedReport]) -> String {
    if parts.is_empty() {
        return String::new();
    }
    let columns = [("NOT CARRIED", Align::Left), ("NAME", Align::Left), ("WHY", Align::Left)];
    let mut table = Table::new(columns);
    for NotCarriedReport { kind, name, why } in parts {
        table.row([kind.clone(), name.clone(), why.clone()]);
    }
    table.to_string()
}

/// What is lost of a salvaged snapshot, a line each.
fn losses(losses: &[LossReport]) -> String {
    if losses.is_empty() {
        return String::new();
    }
    let columns = [("LOST", Align::Left), ("FROM", Align::Left), ("TO", Align::Left)];
    let more = [("RECORDS", Align::Right), ("BYTES", Align::Right), ("WHY", Align::Left)];
    let mut table = Table::new([columns[0], columns[1], columns[2], more[0], more[1], more[2]]);
    let number = |number: Option<u64>| number.map(|n| Number(n).to_string()).unwrap_or_default();
    let place = |at: &Option<[String; 2]>| match at {
        Some([root_key, key]) if root_key.is_empty() => key.clone(),
        Some([root_key, key]) => format!("{root_key}/{key}"),
        None => String::new(),
    };
    for loss in losses {
        let what = loss.database.clone().or_else(|| loss.path.clone()).unwrap_or_default();
        let from = loss.offset.map_or_else(|| place(&loss.first), |at| format!("byte {at}"));
        let last = loss.last_database.as_ref().or(loss.last_path.as_ref()).cloned();
        let end = loss.offset.zip(loss.bytes).filter(|(_, bytes)| *bytes > 0);
        let end = end.map(|(at, bytes)| format!("byte {}", at.saturating_add(bytes - 1)));
        let to = last.or(end).unwrap_or_else(|| place(&loss.last));
        let (records, bytes) = (number(loss.records), number(loss.bytes));
        table.row([what, from, to, records, bytes, loss.why.clone()]);
    }
    table.to_string()
}

fn amount(report: &RestoreReport) -> String {
    let bytes = Bytes(report.bytes);
    if report.dry_run {
        return format!("{bytes} would be written; nothing was done\n");
    }
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one decimal")]
    let rate = Rate(report.bytes as f64 / report.elapsed_seconds.max(0.001));
    format!("{bytes} in {} ({rate})\n", Seconds(report.elapsed_seconds))
}
