//! Time taken, for people to read.

use std::fmt;
use std::time::{Duration, Instant};

/// Measures from its start.
pub(crate) struct Stopwatch(Instant);

impl Stopwatch {
    #[expect(
        clippy::disallowed_methods,
        reason = "a task measures at the edge; nothing depends on it"
    )]
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}

/// `0.4 s`, `12.3 s`, `4 min 07 s`.
pub(crate) struct Readable(pub(crate) Duration);

impl fmt::Display for Readable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        if seconds < 60 {
            return write!(f, "{:.1} s", self.0.as_secs_f64());
        }
        write!(f, "{} min {:02} s", seconds / 60, seconds % 60)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_and_long_times_read_well() {
        assert_eq!(Readable(Duration::from_millis(420)).to_string(), "0.4 s");
        assert_eq!(Readable(Duration::from_secs(247)).to_string(), "4 min 07 s");
    }
}
