//! Plain lines, for a log or a pipe.

use std::io::Write;
use std::time::Duration;

use super::{Phase, View};
use crate::page::text::{Bytes, Rate, Seconds, printable};

/// The time between two lines of one phase.
const PERIOD: Duration = Duration::from_secs(5);

/// What is printed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    Progress,
    SentencesOnly,
}

/// A line every few seconds, and one at the end of a phase that took as long.
pub(super) struct Lines<W> {
    to: W,
    show: Show,
    /// How far into the phase the last line was printed.
    printed: Duration,
}

impl<W: Write + Send> Lines<W> {
    pub(super) fn new(to: W, show: Show) -> Self {
        Self { to, show, printed: Duration::ZERO }
    }

    fn line(&mut self, text: &str) {
        // Nobody can be told that standard error is closed.
        let _ = writeln!(self.to, "{text}");
    }
}

impl<W: Write + Send> View for Lines<W> {
    fn begin(&mut self, _: &Phase) {
        self.printed = Duration::ZERO;
    }

    fn advance(&mut self, phase: &Phase) {
        let elapsed = phase.elapsed();
        if self.show == Show::Progress && elapsed.saturating_sub(self.printed) >= PERIOD {
            self.printed = elapsed;
            self.line(&sentence(phase));
        }
    }

    fn end(&mut self, phase: &Phase) {
        if self.printed > Duration::ZERO {
            let took = Seconds(phase.elapsed().as_secs_f64());
            self.line(&format!("{}: {} in {took}", phase.name, Bytes(phase.bytes)));
        }
    }

    fn say(&mut self, sentence: &str) {
        self.line(&printable(sentence));
    }
}

fn sentence(phase: &Phase) -> String {
    let of = phase.total.map(|total| format!(" of {}", Bytes(total))).unwrap_or_default();
    let done = format!("{}: {}{of}", phase.name, Bytes(phase.bytes));
    let Some(rate) = phase.rate().filter(|rate| *rate > 0.0) else { return done };
    #[expect(clippy::cast_precision_loss, reason = "the time left is a guess")]
    let left = phase.total.map(|total| (total - phase.bytes) as f64 / rate);
    let left = left.map(|left| format!(", {} left", Seconds(left))).unwrap_or_default();
    format!("{done}, {}{left}", Rate(rate))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::now;

    fn phase(total: Option<u64>) -> Phase {
        let started =
            now().checked_sub(Duration::from_secs(10)).expect("a clock above ten seconds");
        Phase { name: "reading records", total, bytes: 10 << 20, records: 3, started }
    }

    #[test]
    fn a_line_has_bytes_rate_and_time_left() {
        let line = sentence(&phase(Some(30 << 20)));
        assert_eq!(line, "reading records: 10.0 MiB of 30.0 MiB, 1.0 MiB/s, 20 s left");
        assert_eq!(sentence(&phase(None)), "reading records: 10.0 MiB, 1.0 MiB/s");
    }

    #[test]
    fn lines_come_once_a_period_and_at_the_end() {
        let mut lines = Lines::new(Vec::new(), Show::Progress);
        let phase = phase(None);
        lines.begin(&phase);
        lines.advance(&phase);
        lines.advance(&phase);
        lines.end(&phase);
        assert_eq!(String::from_utf8(lines.to).unwrap().lines().count(), 2);
    }

    #[test]
    fn without_progress_only_sentences_are_printed() {
        let mut lines = Lines::new(Vec::new(), Show::SentencesOnly);
        lines.begin(&phase(None));
        lines.advance(&phase(None));
        lines.end(&phase(None));
        lines.say("look here");
        assert_eq!(lines.to, b"look here\n");
    }
}
