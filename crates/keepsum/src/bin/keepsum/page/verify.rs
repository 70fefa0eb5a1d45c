//! What `verify` prints.

use keepsum::report::VerifyReport;

use super::table::{Align, Table};
use super::text::{Bytes, Number};
use super::{Page, sections};

impl Page for VerifyReport {
    fn page(&self) -> String {
        let mut looked = format!(
            "{} objects checked, {} read\n",
            Number(self.objects_checked),
            Bytes(self.bytes_read)
        );
        if self.unreached_objects > 0 {
            let (number, bytes) = (Number(self.unreached_objects), Bytes(self.unreached_bytes));
            let more = format!("{number} more objects, {bytes}, belong to no snapshot\n");
            looked.push_str(&more);
        }
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
        let next = match self.listed_damaged {
            Some(1..) => "the next backup of the same source stores what is damaged anew",
            _ => "`keepsum backup SOURCE --fresh` stores everything anew",
        };
        sections([table.to_string(), format!("{looked}{number} found; {next}\n")])
    }
}
