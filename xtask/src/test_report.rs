//! What `cargo test` printed, added up: how many tests ran, and which did not.

use anyhow::{Result, bail};

/// Fed line by line.
#[derive(Default)]
pub(crate) struct TestReport {
    passed: u64,
    ignored: Vec<String>,
}

impl TestReport {
    /// Takes in one printed line.
    pub(crate) fn line(&mut self, line: &str) {
        if let Some(result) = line.strip_prefix("test result: ok. ") {
            let count = result.split_once(" passed").and_then(|(count, _)| count.parse().ok());
            self.passed += count.unwrap_or(0);
        } else if let Some((name, state)) = line.strip_prefix("test ").and_then(split_last)
            && let Some(reason) = state.strip_prefix("ignored")
        {
            let reason = reason.trim_start_matches([',', ' ']);
            self.ignored.push(format!("{name}: {}", or_unsaid(reason)));
        }
    }

    /// What the summary says. No test at all is a failure: it would look like success.
    pub(crate) fn notes(self) -> Result<Vec<String>> {
        if self.passed == 0 {
            bail!("cargo test ran no test");
        }
        let skipped = if self.ignored.is_empty() {
            "none".to_owned()
        } else {
            self.ignored.len().to_string()
        };
        let mut notes = vec![format!("{} tests passed; skipped: {skipped}", self.passed)];
        notes.extend(self.ignored.iter().map(|test| format!("skipped: {test}")));
        Ok(notes)
    }
}

/// `name ... state`; a name may hold dots of its own.
fn split_last(line: &str) -> Option<(&str, &str)> {
    line.rsplit_once(" ... ")
}

fn or_unsaid(reason: &str) -> &str {
    if reason.is_empty() { "no reason given" } else { reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passed_tests_add_up_and_skipped_ones_are_named_with_their_reason() {
        let mut report = TestReport::default();
        for line in [
            "running 3 tests",
            "test a::b ... ok",
            "test a::slow ... ignored, takes an hour",
            "test crates/x/src/lib.rs - page (line 3) ... ignored",
            "test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out",
            "test result: ok. 41 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out",
        ] {
            report.line(line);
        }
        assert_eq!(
            report.notes().expect("tests ran"),
            [
                "42 tests passed; skipped: 2",
                "skipped: a::slow: takes an hour",
                "skipped: crates/x/src/lib.rs - page (line 3): no reason given",
            ]
        );
    }

    #[test]
    fn no_test_at_all_is_a_failure() {
        let mut report = TestReport::default();
        report.line("test result: ok. 0 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        assert!(report.notes().is_err());
    }
}
