//! A JSON event on each line, for programs that show progress themselves.

use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::{Phase, View};

/// The time between two `progress` events of one phase.
const PERIOD: Duration = Duration::from_millis(500);

/// What a line says. Fields are only ever added.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
enum Line<'a> {
    /// A phase begins; `bytes` is the expected total, null where it is not known.
    Phase { name: &'a str, bytes: Option<u64> },
    /// How far the phase is, each since it began.
    Progress { name: &'a str, bytes: u64, records: u64, elapsed_seconds: f64 },
    /// The phase is over, with the same figures.
    Done { name: &'a str, bytes: u64, records: u64, elapsed_seconds: f64 },
    /// A sentence that the person should read.
    Note { text: &'a str },
}

/// Writes the events.
pub(super) struct Events<W> {
    to: W,
    /// How far into the phase the last event was written.
    written: Duration,
}

impl<W: Write + Send> Events<W> {
    pub(super) fn new(to: W) -> Self {
        Self { to, written: Duration::ZERO }
    }

    fn line(&mut self, line: &Line<'_>) {
        if let Ok(mut bytes) = serde_json::to_vec(line) {
            bytes.push(b'\n');
            // Nobody can be told that standard error is closed.
            let _ = self.to.write_all(&bytes);
        }
    }
}

impl<W: Write + Send> View for Events<W> {
    fn begin(&mut self, phase: &Phase) {
        self.written = Duration::ZERO;
        self.line(&Line::Phase { name: phase.name, bytes: phase.total });
    }

    fn advance(&mut self, phase: &Phase) {
        let elapsed = phase.elapsed();
        if elapsed.saturating_sub(self.written) >= PERIOD {
            self.written = elapsed;
            self.line(&Line::Progress {
                name: phase.name,
                bytes: phase.bytes,
                records: phase.records,
                elapsed_seconds: elapsed.as_secs_f64(),
            });
        }
    }

    fn end(&mut self, phase: &Phase) {
        self.line(&Line::Done {
            name: phase.name,
            bytes: phase.bytes,
            records: phase.records,
            elapsed_seconds: phase.elapsed().as_secs_f64(),
        });
    }

    fn say(&mut self, sentence: &str) {
        self.line(&Line::Note { text: sentence });
    }

    fn note(&mut self, sentence: &str) {
        self.say(sentence);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::now;

    #[test]
    fn every_line_is_a_document() {
        let mut events = Events::new(Vec::new());
        let started = now().checked_sub(PERIOD).expect("a clock above a second");
        let phase = Phase { name: "copying files", total: Some(9), bytes: 4, records: 0, started };
        events.begin(&phase);
        events.advance(&phase);
        events.note("two\nlines");
        events.end(&phase);
        let text = String::from_utf8(events.to).unwrap();
        let lines: Vec<serde_json::Value> =
            text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let kinds: Vec<_> = lines.iter().map(|line| line["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["phase", "progress", "note", "done"]);
        assert_eq!(lines[0]["bytes"], 9);
        assert_eq!(lines[1]["bytes"], 4);
        assert_eq!(lines[2]["text"], "two\nlines");
    }
}
