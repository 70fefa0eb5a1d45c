//! What `restore`, `export` and `convert` print.

use keepsum::report::RestoreReport;

use super::Page;
use super::table::Facts;
use super::text::{Bytes, Number, Rate, Seconds};
use super::{databases, sections};

impl Page for RestoreReport {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        facts.add(if self.dry_run { "would restore" } else { "restored" }, &self.snapshot);
        facts.add("into", &self.target);
        facts.add("shape", self.shape);
        facts.add_some("proved", self.proved);
        facts.add_some("LtHash", self.global_lthash.as_ref());
        facts.add_some("files", self.files.map(Number));
        facts.add_some("old one kept", self.kept_aside.as_ref());
        sections([facts.to_string(), databases::table(&self.databases), amount(self)])
    }
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
