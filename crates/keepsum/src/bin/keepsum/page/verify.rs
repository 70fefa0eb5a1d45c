//! What `verify` prints.

use keepsum::report::VerifyReport;

use super::table::{Align, Table};
use super::text::{Bytes, Number};
use super::{Page, sections};

impl Page for VerifyReport {
    fn page(&self) -> String {
        let looked = format!(
            "{} objects checked, {} read\n",
            Number(self.objects_checked),
            Bytes(self.bytes_read)
        );
        if self.findings.is_empty() {
            let verdict = match self.level {
                "full" => "everything is there and whole",
                _ => "everything is there; `keepsum verify --level full` reads every byte",
            };
            return format!("{looked}{verdict}\n");
        }
        let mut table =
            Table::new([("FOUND", Align::Left), ("WHAT", Align::Left), ("DETAIL", Align::Left)]);
        for finding in &self.findings {
            let kind = finding.kind.to_owned();
            table.row([kind, finding.what.clone(), finding.detail.clone()]);
        }
        let number = Number(self.findings.len() as u64);
        let verdict =
            format!("{number} found; `keepsum backup SOURCE --fresh` stores everything anew\n");
        sections([table.to_string(), looked + &verdict])
    }
}
