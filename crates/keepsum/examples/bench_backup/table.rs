//! The result, as a Markdown table.

use std::fmt;
use std::time::Duration;

/// One comparison over several rounds.
pub(crate) struct Row {
    ours: &'static str,
    theirs: String,
    /// What each side handles in one round.
    bytes: u64,
    rounds: Vec<(Duration, Duration)>,
}

impl Row {
    pub(crate) fn new(ours: &'static str, theirs: &str, bytes: u64) -> Self {
        Self { ours, theirs: theirs.to_owned(), bytes, rounds: Vec::new() }
    }

    /// Adds one round: our time, and the other side's.
    pub(crate) fn add(&mut self, ours: Duration, theirs: Duration) {
        self.rounds.push((ours, theirs));
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ours = median(self.rounds.iter().map(|(ours, _)| ours.as_secs_f64()));
        let theirs = median(self.rounds.iter().map(|(_, theirs)| theirs.as_secs_f64()));
        let ratios =
            self.rounds.iter().map(|(ours, theirs)| theirs.as_secs_f64() / ours.as_secs_f64());
        let lowest = ratios.clone().fold(f64::INFINITY, f64::min);
        let highest = ratios.fold(0.0, f64::max);
        #[expect(clippy::cast_precision_loss, reason = "a rate for people to read")]
        let rate = |seconds: f64| self.bytes as f64 / 1e6 / seconds;
        write!(
            f,
            "| {} | {ours:.3} s, {:.0} MB/s | {} | {theirs:.3} s, {:.0} MB/s | {:.2} | {lowest:.2} to {highest:.2} |",
            self.ours,
            rate(ours),
            self.theirs,
            rate(theirs),
            theirs / ours,
        )
    }
}

fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<_> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// All comparisons.
pub(crate) struct Table(Vec<Row>);

impl Table {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self(rows)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "| keepsum | median | instead | median | speed, as a share | all rounds |")?;
        writeln!(f, "|---|---|---|---|---|---|")?;
        for row in &self.0 {
            writeln!(f, "{row}")?;
        }
        write!(f, "Speed 1.00: as fast as what stands beside it; 2.00: twice as fast.")
    }
}
