//! What `backup` and `import` print.

use keepsum::report::BackupReport;

use super::Page;
use super::table::Facts;
use super::text::{Bytes, Rate, Seconds};
use super::{databases, sections, snapshot};

impl Page for BackupReport {
    fn page(&self) -> String {
        let mut facts = Facts::default();
        facts.add("snapshot", &self.snapshot);
        facts.add("shape", self.shape);
        facts.add("position", format!("{} ({})", self.position, self.consistency));
        facts.add("proof", snapshot::proof(self.proof, self.proved_from));
        facts.add_some("LtHash", self.global_lthash.as_ref());
        facts.add_some("pause", self.pause_seconds.map(Seconds));
        sections([facts.to_string(), databases::table(&self.databases), traffic(self)])
    }
}

fn traffic(report: &BackupReport) -> String {
    let handled = report.uploaded_bytes + report.reused_bytes;
    #[expect(clippy::cast_precision_loss, reason = "a rate is shown with one decimal")]
    let rate = Rate(handled as f64 / report.elapsed_seconds.max(0.001));
    format!(
        "{} stored, {} reused, in {} ({rate})\n",
        Bytes(report.uploaded_bytes),
        Bytes(report.reused_bytes),
        Seconds(report.elapsed_seconds),
    )
}
